/* Written by `cargo xtask gen`; not edited by hand. */

#include "msec.h"

_Static_assert(sizeof(msec_call_options) == 64, "msec_call_options");
_Static_assert(offsetof(msec_call_options, size) == 0, "msec_call_options.size");
_Static_assert(offsetof(msec_call_options, timeout_ms) == 4, "msec_call_options.timeout_ms");
_Static_assert(offsetof(msec_call_options, flags) == 8, "msec_call_options.flags");
_Static_assert(offsetof(msec_call_options, hedge_after_ms) == 12, "msec_call_options.hedge_after_ms");
_Static_assert(offsetof(msec_call_options, priority) == 16, "msec_call_options.priority");
_Static_assert(offsetof(msec_call_options, lane) == 20, "msec_call_options.lane");
_Static_assert(offsetof(msec_call_options, key) == 24, "msec_call_options.key");
_Static_assert(offsetof(msec_call_options, key_size) == 32, "msec_call_options.key_size");
_Static_assert(offsetof(msec_call_options, caller) == 40, "msec_call_options.caller");
_Static_assert(offsetof(msec_call_options, headers) == 48, "msec_call_options.headers");
_Static_assert(offsetof(msec_call_options, headers_count) == 56, "msec_call_options.headers_count");

_Static_assert(sizeof(msec_certificate) == 16, "msec_certificate");
_Static_assert(offsetof(msec_certificate, chain) == 0, "msec_certificate.chain");
_Static_assert(offsetof(msec_certificate, key) == 8, "msec_certificate.key");

_Static_assert(sizeof(msec_client_tls_options) == 32, "msec_client_tls_options");
_Static_assert(offsetof(msec_client_tls_options, size) == 0, "msec_client_tls_options.size");
_Static_assert(offsetof(msec_client_tls_options, flags) == 4, "msec_client_tls_options.flags");
_Static_assert(offsetof(msec_client_tls_options, ca) == 8, "msec_client_tls_options.ca");
_Static_assert(offsetof(msec_client_tls_options, certificate) == 16, "msec_client_tls_options.certificate");
_Static_assert(offsetof(msec_client_tls_options, server_name) == 24, "msec_client_tls_options.server_name");

_Static_assert(sizeof(msec_engine_options) == 56, "msec_engine_options");
_Static_assert(offsetof(msec_engine_options, size) == 0, "msec_engine_options.size");
_Static_assert(offsetof(msec_engine_options, abi_version) == 4, "msec_engine_options.abi_version");
_Static_assert(offsetof(msec_engine_options, cores) == 8, "msec_engine_options.cores");
_Static_assert(offsetof(msec_engine_options, stack_kb) == 12, "msec_engine_options.stack_kb");
_Static_assert(offsetof(msec_engine_options, service) == 16, "msec_engine_options.service");
_Static_assert(offsetof(msec_engine_options, routes) == 24, "msec_engine_options.routes");
_Static_assert(offsetof(msec_engine_options, tls) == 32, "msec_engine_options.tls");
_Static_assert(offsetof(msec_engine_options, settings) == 40, "msec_engine_options.settings");
_Static_assert(offsetof(msec_engine_options, settings_count) == 48, "msec_engine_options.settings_count");

_Static_assert(sizeof(msec_field) == 16, "msec_field");
_Static_assert(offsetof(msec_field, key) == 0, "msec_field.key");
_Static_assert(offsetof(msec_field, value) == 8, "msec_field.value");

_Static_assert(sizeof(msec_header) == 24, "msec_header");
_Static_assert(offsetof(msec_header, key) == 0, "msec_header.key");
_Static_assert(offsetof(msec_header, value) == 8, "msec_header.value");
_Static_assert(offsetof(msec_header, value_size) == 16, "msec_header.value_size");

_Static_assert(sizeof(msec_label) == 16, "msec_label");
_Static_assert(offsetof(msec_label, key) == 0, "msec_label.key");
_Static_assert(offsetof(msec_label, value) == 8, "msec_label.value");

_Static_assert(sizeof(msec_method_options) == 16, "msec_method_options");
_Static_assert(offsetof(msec_method_options, size) == 0, "msec_method_options.size");
_Static_assert(offsetof(msec_method_options, flags) == 4, "msec_method_options.flags");
_Static_assert(offsetof(msec_method_options, requests_max) == 8, "msec_method_options.requests_max");
_Static_assert(offsetof(msec_method_options, reserved) == 12, "msec_method_options.reserved");

_Static_assert(sizeof(msec_plugin) == 64, "msec_plugin");
_Static_assert(offsetof(msec_plugin, size) == 0, "msec_plugin.size");
_Static_assert(offsetof(msec_plugin, abi_min) == 4, "msec_plugin.abi_min");
_Static_assert(offsetof(msec_plugin, abi_max) == 8, "msec_plugin.abi_max");
_Static_assert(offsetof(msec_plugin, name) == 16, "msec_plugin.name");
_Static_assert(offsetof(msec_plugin, build_id) == 24, "msec_plugin.build_id");
_Static_assert(offsetof(msec_plugin, init) == 32, "msec_plugin.init");
_Static_assert(offsetof(msec_plugin, ready) == 40, "msec_plugin.ready");
_Static_assert(offsetof(msec_plugin, fini) == 48, "msec_plugin.fini");
_Static_assert(offsetof(msec_plugin, barrier) == 56, "msec_plugin.barrier");

_Static_assert(sizeof(msec_server_tls_options) == 32, "msec_server_tls_options");
_Static_assert(offsetof(msec_server_tls_options, size) == 0, "msec_server_tls_options.size");
_Static_assert(offsetof(msec_server_tls_options, flags) == 4, "msec_server_tls_options.flags");
_Static_assert(offsetof(msec_server_tls_options, certificates) == 8, "msec_server_tls_options.certificates");
_Static_assert(offsetof(msec_server_tls_options, certificates_count) == 16, "msec_server_tls_options.certificates_count");
_Static_assert(offsetof(msec_server_tls_options, client_ca) == 24, "msec_server_tls_options.client_ca");

_Static_assert(sizeof(msec_setting) == 16, "msec_setting");
_Static_assert(offsetof(msec_setting, name) == 0, "msec_setting.name");
_Static_assert(offsetof(msec_setting, value) == 8, "msec_setting.value");

_Static_assert(sizeof(msec_slice) == 16, "msec_slice");
_Static_assert(offsetof(msec_slice, data) == 0, "msec_slice.data");
_Static_assert(offsetof(msec_slice, size) == 8, "msec_slice.size");

_Static_assert(sizeof(msec_wait) == 24, "msec_wait");
_Static_assert(offsetof(msec_wait, channel) == 0, "msec_wait.channel");
_Static_assert(offsetof(msec_wait, pending) == 8, "msec_wait.pending");
_Static_assert(offsetof(msec_wait, task) == 16, "msec_wait.task");

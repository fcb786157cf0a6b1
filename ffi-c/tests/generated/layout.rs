//! Written by `cargo xtask gen`; not edited by hand.

use std::mem::offset_of;

const _: () = assert!(size_of::<crate::client::msec_call_options>() == 64);
const _: () = assert!(offset_of!(crate::client::msec_call_options, size) == 0);
const _: () = assert!(offset_of!(crate::client::msec_call_options, timeout_ms) == 4);
const _: () = assert!(offset_of!(crate::client::msec_call_options, flags) == 8);
const _: () = assert!(offset_of!(crate::client::msec_call_options, hedge_after_ms) == 12);
const _: () = assert!(offset_of!(crate::client::msec_call_options, priority) == 16);
const _: () = assert!(offset_of!(crate::client::msec_call_options, lane) == 20);
const _: () = assert!(offset_of!(crate::client::msec_call_options, key) == 24);
const _: () = assert!(offset_of!(crate::client::msec_call_options, key_size) == 32);
const _: () = assert!(offset_of!(crate::client::msec_call_options, caller) == 40);
const _: () = assert!(offset_of!(crate::client::msec_call_options, headers) == 48);
const _: () = assert!(offset_of!(crate::client::msec_call_options, headers_count) == 56);

const _: () = assert!(size_of::<crate::tls::msec_certificate>() == 16);
const _: () = assert!(offset_of!(crate::tls::msec_certificate, chain) == 0);
const _: () = assert!(offset_of!(crate::tls::msec_certificate, key) == 8);

const _: () = assert!(size_of::<crate::tls::msec_client_tls_options>() == 32);
const _: () = assert!(offset_of!(crate::tls::msec_client_tls_options, size) == 0);
const _: () = assert!(offset_of!(crate::tls::msec_client_tls_options, flags) == 4);
const _: () = assert!(offset_of!(crate::tls::msec_client_tls_options, ca) == 8);
const _: () = assert!(offset_of!(crate::tls::msec_client_tls_options, certificate) == 16);
const _: () = assert!(offset_of!(crate::tls::msec_client_tls_options, server_name) == 24);

const _: () = assert!(size_of::<crate::engine::msec_engine_options>() == 56);
const _: () = assert!(offset_of!(crate::engine::msec_engine_options, size) == 0);
const _: () = assert!(offset_of!(crate::engine::msec_engine_options, abi_version) == 4);
const _: () = assert!(offset_of!(crate::engine::msec_engine_options, cores) == 8);
const _: () = assert!(offset_of!(crate::engine::msec_engine_options, stack_kb) == 12);
const _: () = assert!(offset_of!(crate::engine::msec_engine_options, service) == 16);
const _: () = assert!(offset_of!(crate::engine::msec_engine_options, routes) == 24);
const _: () = assert!(offset_of!(crate::engine::msec_engine_options, tls) == 32);
const _: () = assert!(offset_of!(crate::engine::msec_engine_options, settings) == 40);
const _: () = assert!(offset_of!(crate::engine::msec_engine_options, settings_count) == 48);

const _: () = assert!(size_of::<crate::log::msec_field>() == 16);
const _: () = assert!(offset_of!(crate::log::msec_field, key) == 0);
const _: () = assert!(offset_of!(crate::log::msec_field, value) == 8);

const _: () = assert!(size_of::<crate::client::msec_header>() == 24);
const _: () = assert!(offset_of!(crate::client::msec_header, key) == 0);
const _: () = assert!(offset_of!(crate::client::msec_header, value) == 8);
const _: () = assert!(offset_of!(crate::client::msec_header, value_size) == 16);

const _: () = assert!(size_of::<crate::metric::msec_label>() == 16);
const _: () = assert!(offset_of!(crate::metric::msec_label, key) == 0);
const _: () = assert!(offset_of!(crate::metric::msec_label, value) == 8);

const _: () = assert!(size_of::<crate::server::msec_method_options>() == 16);
const _: () = assert!(offset_of!(crate::server::msec_method_options, size) == 0);
const _: () = assert!(offset_of!(crate::server::msec_method_options, flags) == 4);
const _: () = assert!(offset_of!(crate::server::msec_method_options, requests_max) == 8);
const _: () = assert!(offset_of!(crate::server::msec_method_options, reserved) == 12);

const _: () = assert!(size_of::<crate::plugin::msec_plugin>() == 64);
const _: () = assert!(offset_of!(crate::plugin::msec_plugin, size) == 0);
const _: () = assert!(offset_of!(crate::plugin::msec_plugin, abi_min) == 4);
const _: () = assert!(offset_of!(crate::plugin::msec_plugin, abi_max) == 8);
const _: () = assert!(offset_of!(crate::plugin::msec_plugin, name) == 16);
const _: () = assert!(offset_of!(crate::plugin::msec_plugin, build_id) == 24);
const _: () = assert!(offset_of!(crate::plugin::msec_plugin, init) == 32);
const _: () = assert!(offset_of!(crate::plugin::msec_plugin, ready) == 40);
const _: () = assert!(offset_of!(crate::plugin::msec_plugin, fini) == 48);
const _: () = assert!(offset_of!(crate::plugin::msec_plugin, barrier) == 56);

const _: () = assert!(size_of::<crate::tls::msec_server_tls_options>() == 32);
const _: () = assert!(offset_of!(crate::tls::msec_server_tls_options, size) == 0);
const _: () = assert!(offset_of!(crate::tls::msec_server_tls_options, flags) == 4);
const _: () = assert!(offset_of!(crate::tls::msec_server_tls_options, certificates) == 8);
const _: () = assert!(offset_of!(crate::tls::msec_server_tls_options, certificates_count) == 16);
const _: () = assert!(offset_of!(crate::tls::msec_server_tls_options, client_ca) == 24);

const _: () = assert!(size_of::<crate::config::msec_setting>() == 16);
const _: () = assert!(offset_of!(crate::config::msec_setting, name) == 0);
const _: () = assert!(offset_of!(crate::config::msec_setting, value) == 8);

const _: () = assert!(size_of::<crate::slice::msec_slice>() == 16);
const _: () = assert!(offset_of!(crate::slice::msec_slice, data) == 0);
const _: () = assert!(offset_of!(crate::slice::msec_slice, size) == 8);

const _: () = assert!(size_of::<crate::select::msec_wait>() == 24);
const _: () = assert!(offset_of!(crate::select::msec_wait, channel) == 0);
const _: () = assert!(offset_of!(crate::select::msec_wait, pending) == 8);
const _: () = assert!(offset_of!(crate::select::msec_wait, task) == 16);

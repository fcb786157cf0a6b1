/* Written by `cargo xtask gen`; not edited by hand. */

#include "msec.h"

enum msec_constants {
    VALUE_OF_OK = MSEC_OK,
    VALUE_OF_EINVALID_PARAMETER = MSEC_EINVALID_PARAMETER,
    VALUE_OF_ESYSTEM_ERROR = MSEC_ESYSTEM_ERROR,
    VALUE_OF_EINVALID_PACKAGE = MSEC_EINVALID_PACKAGE,
    VALUE_OF_EINVALID_HEAD = MSEC_EINVALID_HEAD,
    VALUE_OF_EINVALID_BODY = MSEC_EINVALID_BODY,
    VALUE_OF_EINVALID_METHOD = MSEC_EINVALID_METHOD,
    VALUE_OF_EHEAD_UNSET = MSEC_EHEAD_UNSET,
    VALUE_OF_EBODY_UNSET = MSEC_EBODY_UNSET,
    VALUE_OF_ENO_MEMORY = MSEC_ENO_MEMORY,
    VALUE_OF_ETIMEOUT = MSEC_ETIMEOUT,
    VALUE_OF_ENETWORK = MSEC_ENETWORK,
    VALUE_OF_ERECV_TIMEOUT = MSEC_ERECV_TIMEOUT,
    VALUE_OF_ESEND_RECV_FAILED = MSEC_ESEND_RECV_FAILED,
    VALUE_OF_EINVALID_ENDPOINT = MSEC_EINVALID_ENDPOINT,
    VALUE_OF_ENO_ROUTE = MSEC_ENO_ROUTE,
    VALUE_OF_EINVALID_SEQUENCE = MSEC_EINVALID_SEQUENCE,
    VALUE_OF_ENO_BODY = MSEC_ENO_BODY,
    VALUE_OF_ESERVICE_FAILED = MSEC_ESERVICE_FAILED,
    VALUE_OF_EBACKEND_FAILED = MSEC_EBACKEND_FAILED,
    VALUE_OF_EPHP_FAILED = MSEC_EPHP_FAILED,
    VALUE_OF_EPYTHON_FAILED = MSEC_EPYTHON_FAILED,
    VALUE_OF_EOVERLOADED = MSEC_EOVERLOADED,
    VALUE_OF_EDEADLINE_EXCEEDED = MSEC_EDEADLINE_EXCEEDED,
    VALUE_OF_ECANCELLED = MSEC_ECANCELLED,
    VALUE_OF_EDRAINING = MSEC_EDRAINING,
    VALUE_OF_ETOO_LARGE = MSEC_ETOO_LARGE,
    VALUE_OF_EUNAUTHENTICATED = MSEC_EUNAUTHENTICATED,
    VALUE_OF_EFORBIDDEN = MSEC_EFORBIDDEN,
    VALUE_OF_ERATE_LIMITED = MSEC_ERATE_LIMITED,
    VALUE_OF_ENO_HEALTHY_INSTANCE = MSEC_ENO_HEALTHY_INSTANCE,
    VALUE_OF_EJAVA_FAILED = MSEC_EJAVA_FAILED,
    VALUE_OF_EPANIC = MSEC_EPANIC,
    VALUE_OF_CALL_ONE_WAY = MSEC_CALL_ONE_WAY,
    VALUE_OF_CALL_DYED = MSEC_CALL_DYED,
    VALUE_OF_CALL_IDEMPOTENT = MSEC_CALL_IDEMPOTENT,
    VALUE_OF_CALL_NO_RETRY = MSEC_CALL_NO_RETRY,
    VALUE_OF_CALL_HEDGE_AT_P95 = MSEC_CALL_HEDGE_AT_P95,
    VALUE_OF_CALL_LZ4 = MSEC_CALL_LZ4,
    VALUE_OF_CALL_ZSTD = MSEC_CALL_ZSTD,
    VALUE_OF_PRIORITY_CRITICAL = MSEC_PRIORITY_CRITICAL,
    VALUE_OF_PRIORITY_DEFAULT = MSEC_PRIORITY_DEFAULT,
    VALUE_OF_PRIORITY_SHEDDABLE = MSEC_PRIORITY_SHEDDABLE,
    VALUE_OF_IDENTITY_SUBJECT = MSEC_IDENTITY_SUBJECT,
    VALUE_OF_IDENTITY_COMMON_NAME = MSEC_IDENTITY_COMMON_NAME,
    VALUE_OF_IDENTITY_DNS_NAME = MSEC_IDENTITY_DNS_NAME,
    VALUE_OF_IDENTITY_URI = MSEC_IDENTITY_URI,
    VALUE_OF_LOG_TRACE = MSEC_LOG_TRACE,
    VALUE_OF_LOG_DEBUG = MSEC_LOG_DEBUG,
    VALUE_OF_LOG_INFO = MSEC_LOG_INFO,
    VALUE_OF_LOG_WARN = MSEC_LOG_WARN,
    VALUE_OF_LOG_ERROR = MSEC_LOG_ERROR,
    VALUE_OF_LOG_FATAL = MSEC_LOG_FATAL,
    VALUE_OF_PAGES_LOOPBACK = MSEC_PAGES_LOOPBACK,
    VALUE_OF_PAGES_EVERYBODY = MSEC_PAGES_EVERYBODY,
    VALUE_OF_PAGES_NOBODY = MSEC_PAGES_NOBODY,
    VALUE_OF_READABLE = MSEC_READABLE,
    VALUE_OF_WRITABLE = MSEC_WRITABLE,
    VALUE_OF_METHOD_HEAVY = MSEC_METHOD_HEAVY,
    VALUE_OF_METHOD_CALLBACK = MSEC_METHOD_CALLBACK,
    VALUE_OF_METHOD_FIXED = MSEC_METHOD_FIXED,
    VALUE_OF_TLS_IF_SHOWN = MSEC_TLS_IF_SHOWN,
    VALUE_OF_TLS_ACCEPT_PLAIN = MSEC_TLS_ACCEPT_PLAIN,
};

void msec_constants(enum msec_constants constants);
void msec_constants(enum msec_constants constants) { (void)constants; }

struct msec_channel *msec_channel_new(size_t capacity) { __builtin_trap(); }
void msec_channel_free(struct msec_channel *channel) { __builtin_trap(); }
int32_t msec_channel_send(const struct msec_channel *channel, void *item, uint32_t timeout_ms) { __builtin_trap(); }
int32_t msec_channel_recv(const struct msec_channel *channel, uint32_t timeout_ms, void **item) { __builtin_trap(); }
int32_t msec_channel_recv_any(const struct msec_channel *const *channels, size_t channels_count, uint32_t timeout_ms, size_t *index, void **item) { __builtin_trap(); }
int32_t msec_channel_close(const struct msec_channel *channel) { __builtin_trap(); }
int32_t msec_client_new(const struct msec_engine *engine, const char *target, struct msec_client **client) { __builtin_trap(); }
void msec_client_free(struct msec_client *client) { __builtin_trap(); }
int32_t msec_client_call(const struct msec_client *client, const char *method, const char *body, size_t body_size, const struct msec_call_options *options, struct msec_reply **reply) { __builtin_trap(); }
int32_t msec_client_call_back(const struct msec_client *client, const char *method, const char *body, size_t body_size, const struct msec_call_options *options, msec_done done, void *userdata) { __builtin_trap(); }
struct msec_condition *msec_condition_new(void) { __builtin_trap(); }
void msec_condition_free(struct msec_condition *condition) { __builtin_trap(); }
int32_t msec_condition_wait(const struct msec_condition *condition, const struct msec_mutex *mutex, uint32_t timeout_ms) { __builtin_trap(); }
int32_t msec_condition_notify_one(const struct msec_condition *condition) { __builtin_trap(); }
int32_t msec_condition_notify_all(const struct msec_condition *condition) { __builtin_trap(); }
int32_t msec_engine_config(const struct msec_engine *engine, const char *name, struct msec_text **value) { __builtin_trap(); }
struct msec_slice msec_context_body(const struct msec_context *context) { __builtin_trap(); }
struct msec_slice msec_context_method(const struct msec_context *context) { __builtin_trap(); }
struct msec_slice msec_context_caller(const struct msec_context *context) { __builtin_trap(); }
struct msec_slice msec_context_peer(struct msec_context *context) { __builtin_trap(); }
int64_t msec_context_remaining_ms(const struct msec_context *context) { __builtin_trap(); }
bool msec_context_is_cancelled(const struct msec_context *context) { __builtin_trap(); }
bool msec_context_is_dyed(const struct msec_context *context) { __builtin_trap(); }
bool msec_context_is_one_way(const struct msec_context *context) { __builtin_trap(); }
uint64_t msec_context_flow_id(const struct msec_context *context) { __builtin_trap(); }
uint32_t msec_context_attempt(const struct msec_context *context) { __builtin_trap(); }
uint32_t msec_context_priority(const struct msec_context *context) { __builtin_trap(); }
struct msec_slice msec_context_traceparent(struct msec_context *context) { __builtin_trap(); }
struct msec_slice msec_context_header(const struct msec_context *context, const char *key) { __builtin_trap(); }
bool msec_context_header_at(const struct msec_context *context, size_t index, struct msec_slice *key, struct msec_slice *value) { __builtin_trap(); }
void msec_context_set_result(struct msec_context *context, int32_t result) { __builtin_trap(); }
int32_t msec_context_answer(struct msec_context *context, const char *data, size_t size) { __builtin_trap(); }
char *msec_context_answer_place(struct msec_context *context, size_t size) { __builtin_trap(); }
void msec_context_fail_text(struct msec_context *context, const char *data, size_t size) { __builtin_trap(); }
int32_t msec_engine_set_dye_rules(const struct msec_engine *engine, const char *rules) { __builtin_trap(); }
int32_t msec_engine_new(const struct msec_engine_options *options, struct msec_engine **engine) { __builtin_trap(); }
void msec_engine_free(struct msec_engine *engine) { __builtin_trap(); }
const char *msec_engine_io(const struct msec_engine *engine) { __builtin_trap(); }
const char *msec_strerror(int32_t code) { __builtin_trap(); }
const char *msec_error_text(void) { __builtin_trap(); }
bool msec_error_answered(void) { __builtin_trap(); }
bool msec_error_retryable(int32_t code) { __builtin_trap(); }
const struct msec_engine *msec_host_engine(const struct msec_host *host) { __builtin_trap(); }
const char *msec_host_service(const struct msec_host *host) { __builtin_trap(); }
const char *msec_host_conf(const struct msec_host *host) { __builtin_trap(); }
uint32_t msec_host_worker(const struct msec_host *host) { __builtin_trap(); }
const char *msec_host_config(const struct msec_host *host, const char *section, const char *key) { __builtin_trap(); }
int32_t msec_host_fail_text(const struct msec_host *host, const char *data, size_t size) { __builtin_trap(); }
struct msec_slice msec_context_identity(struct msec_context *context, uint32_t what, size_t index) { __builtin_trap(); }
struct msec_local *msec_local_new(msec_local_end end) { __builtin_trap(); }
void msec_local_free(struct msec_local *local) { __builtin_trap(); }
int32_t msec_local_set(const struct msec_local *local, void *pointer) { __builtin_trap(); }
void *msec_local_pointer(const struct msec_local *local) { __builtin_trap(); }
bool msec_log_is_on(uint32_t level) { __builtin_trap(); }
int32_t msec_log(uint32_t level, const char *source, const char *data, size_t size, const struct msec_field *fields, size_t fields_count) { __builtin_trap(); }
int32_t msec_log_option(const char *key, const char *value) { __builtin_trap(); }
bool msec_log_flush(uint32_t patience_ms) { __builtin_trap(); }
void msec_metric_add(const char *name, uint64_t amount, const struct msec_label *labels, size_t labels_count) { __builtin_trap(); }
void msec_metric_set(const char *name, int64_t value, const struct msec_label *labels, size_t labels_count) { __builtin_trap(); }
void msec_metric_record(const char *name, uint64_t value, const struct msec_label *labels, size_t labels_count) { __builtin_trap(); }
struct msec_mutex *msec_mutex_new(void) { __builtin_trap(); }
void msec_mutex_free(struct msec_mutex *mutex) { __builtin_trap(); }
int32_t msec_mutex_lock(const struct msec_mutex *mutex, uint32_t timeout_ms) { __builtin_trap(); }
int32_t msec_mutex_try_lock(const struct msec_mutex *mutex) { __builtin_trap(); }
int32_t msec_mutex_unlock(const struct msec_mutex *mutex) { __builtin_trap(); }
int32_t msec_offload(msec_task_function function, void *argument, int32_t *returned) { __builtin_trap(); }
int32_t msec_server_builder_pages(struct msec_server_builder *builder, uint32_t who) { __builtin_trap(); }
int32_t msec_server_builder_host(struct msec_server_builder *builder, const char *name) { __builtin_trap(); }
int32_t msec_server_builder_cors(struct msec_server_builder *builder, const char *origin) { __builtin_trap(); }
int32_t msec_client_start(const struct msec_client *client, const char *method, const char *body, size_t body_size, const struct msec_call_options *options, struct msec_pending **pending) { __builtin_trap(); }
int32_t msec_pending_wait(struct msec_pending *pending, struct msec_reply **reply) { __builtin_trap(); }
void msec_pending_free(struct msec_pending *pending) { __builtin_trap(); }
int msec_worker_main(int count, const char *const *arguments) { __builtin_trap(); }
int32_t msec_process_name_crashes(void) { __builtin_trap(); }
int32_t msec_server_builder_quota(struct msec_server_builder *builder, const char *caller, uint32_t per_second, uint32_t burst) { __builtin_trap(); }
int32_t msec_raw_call(const char *address, const char *data, size_t size, msec_length length, void *userdata, uint32_t timeout_ms, struct msec_reply **reply) { __builtin_trap(); }
int32_t msec_wait_fd(int32_t fd, uint32_t what, uint32_t timeout_ms) { __builtin_trap(); }
struct msec_slice msec_reply_body(const struct msec_reply *reply) { __builtin_trap(); }
int32_t msec_reply_result(const struct msec_reply *reply) { __builtin_trap(); }
void msec_reply_free(struct msec_reply *reply) { __builtin_trap(); }
int32_t msec_engine_metrics(const struct msec_engine *engine, struct msec_text **metrics) { __builtin_trap(); }
void msec_annotate(const char *data, size_t size) { __builtin_trap(); }
int32_t msec_engine_load_routes(const struct msec_engine *engine, const char *path) { __builtin_trap(); }
int32_t msec_engine_set_routes(const struct msec_engine *engine, const char *routes) { __builtin_trap(); }
int32_t msec_engine_push_routes(const struct msec_engine *engine, const char *routes, struct msec_text **held) { __builtin_trap(); }
int32_t msec_engine_confirm_routes(const struct msec_engine *engine, const char *service) { __builtin_trap(); }
int32_t msec_engine_explain_routes(const struct msec_engine *engine, struct msec_text **json) { __builtin_trap(); }
int32_t msec_engine_pick_route(const struct msec_engine *engine, const char *service, struct msec_text **address) { __builtin_trap(); }
int32_t msec_engine_report_route(const struct msec_engine *engine, const char *service, const char *instance, uint32_t failures_count, uint64_t latency_us) { __builtin_trap(); }
int32_t msec_select(const struct msec_wait *waits, size_t waits_count, uint32_t timeout_ms, size_t *index, void **item) { __builtin_trap(); }
struct msec_semaphore *msec_semaphore_new(size_t permits) { __builtin_trap(); }
void msec_semaphore_free(struct msec_semaphore *semaphore) { __builtin_trap(); }
int32_t msec_semaphore_acquire(const struct msec_semaphore *semaphore, uint32_t timeout_ms) { __builtin_trap(); }
int32_t msec_semaphore_try_acquire(const struct msec_semaphore *semaphore) { __builtin_trap(); }
int32_t msec_semaphore_release(const struct msec_semaphore *semaphore, size_t permits) { __builtin_trap(); }
struct msec_server_builder *msec_server_builder_new(void) { __builtin_trap(); }
void msec_server_builder_free(struct msec_server_builder *builder) { __builtin_trap(); }
int32_t msec_server_builder_method(struct msec_server_builder *builder, const char *name, msec_handler handler, void *userdata, const struct msec_method_options *options) { __builtin_trap(); }
int32_t msec_server_builder_descriptors(struct msec_server_builder *builder, const char *data, size_t size) { __builtin_trap(); }
int32_t msec_server_builder_listen(struct msec_server_builder *builder, const char *address) { __builtin_trap(); }
int32_t msec_server_builder_admin(struct msec_server_builder *builder, const char *address) { __builtin_trap(); }
int32_t msec_server_start(struct msec_server_builder *builder, const struct msec_engine *engine, struct msec_server **server) { __builtin_trap(); }
const char *msec_server_address(const struct msec_server *server, size_t index) { __builtin_trap(); }
int32_t msec_server_drain(const struct msec_server *server) { __builtin_trap(); }
int32_t msec_server_stop(const struct msec_server *server, uint32_t grace_ms) { __builtin_trap(); }
void msec_server_free(struct msec_server *server) { __builtin_trap(); }
int32_t msec_server_load(const struct msec_server *server, size_t *connections_count, size_t *requests_count) { __builtin_trap(); }
int32_t msec_spawn(const struct msec_engine *engine, msec_task_function function, void *argument, struct msec_task **task) { __builtin_trap(); }
int32_t msec_task_join(struct msec_task *task, uint32_t timeout_ms, int32_t *returned) { __builtin_trap(); }
int32_t msec_task_join_uncancelled(struct msec_task *task, int32_t *returned) { __builtin_trap(); }
void msec_task_free(struct msec_task *task) { __builtin_trap(); }
int32_t msec_sleep(uint32_t ms) { __builtin_trap(); }
int32_t msec_yield(void) { __builtin_trap(); }
bool msec_on_coroutine(void) { __builtin_trap(); }
const char *msec_text_data(const struct msec_text *text) { __builtin_trap(); }
void msec_text_free(struct msec_text *text) { __builtin_trap(); }
int32_t msec_server_builder_tls(struct msec_server_builder *builder, const struct msec_server_tls_options *options) { __builtin_trap(); }
int32_t msec_engine_reload_tls(const struct msec_engine *engine) { __builtin_trap(); }
uint32_t msec_abi_version(void) { __builtin_trap(); }
const char *msec_version(void) { __builtin_trap(); }
const msec_plugin *msec_plugin_v1(void);
const msec_plugin *msec_plugin_v1(void) { __builtin_trap(); }

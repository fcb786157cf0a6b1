/* NULL at every pointer of every export: null.h is written out of the header and calls each
 * function with NULL for one pointer after the other, and for all of them, with something valid for
 * the rest. Once in a handler, where there is a context, and once on a plain thread, where there is
 * none. Where a pointer is needed, the code is MSEC_EINVALID_PARAMETER; where not, is said here. */

#include <string.h>

#include "check.h"

/* Pointers that may be NULL; and a function whose result is no code. */
static const char *const OPTIONAL[] = {
    "msec_client_call.body",
    "msec_client_call.options",
    "msec_client_call.reply",
    "msec_client_call_back.body",
    "msec_client_call_back.options",
    "msec_client_start.body",
    "msec_client_start.options",
    "msec_context_answer.data",
    "msec_engine_new.options",
    "msec_engine_push_routes.held",
    "msec_log.data",
    "msec_log.fields",
    "msec_offload.returned",
    "msec_pending_wait.reply",
    "msec_raw_call.data",
    "msec_reply_result.*",
    "msec_server_builder_method.options",
    "msec_server_builder_quota.caller",
    "msec_spawn.task",
    "msec_task_join.returned",
    "msec_task_join_uncancelled.returned",
};

/* Something valid of each type. */
static msec_engine *engine;
static msec_server *server;
static msec_client *client;
static msec_channel *channel;
static const msec_channel *channels[1];
static msec_wait one_wait;
static msec_condition *condition;
static msec_mutex *mutex;
static msec_local *local;
static msec_context *context;
static msec_call_options call_options = MSEC_CALL_OPTIONS_INIT;
static msec_engine_options engine_options = MSEC_ENGINE_OPTIONS_INIT;
static msec_method_options method_options = MSEC_METHOD_OPTIONS_INIT;
static msec_server_tls_options tls_options = MSEC_SERVER_TLS_OPTIONS_INIT;
static msec_field field = {"key", "value"};
static msec_label label = {"key", "value"};

/* Places for what is handed out. */
static msec_client *out_client;
static msec_engine *out_engine;
static msec_pending *out_pending;
static msec_reply *out_reply;
static msec_server *out_server;
static msec_task *out_task;
static msec_text *out_text;
static msec_slice out_slice;
static void *out_item;
static size_t out_size;
static int32_t out_number;

static int32_t handler(void *userdata, msec_context *served) {
    (void)userdata;
    (void)served;
    return MSEC_OK;
}

static void done(void *userdata, int32_t code, msec_reply *reply) {
    (void)userdata;
    (void)code;
    msec_reply_free(reply);
}

static int64_t length(void *userdata, const char *data, size_t size) {
    (void)userdata;
    (void)data;
    return (int64_t)size;
}

static int32_t function(void *argument) {
    (void)argument;
    return 0;
}

/* Left alone: whether it was used up depends on the call. */
static msec_server_builder *a_builder(void) {
    return msec_server_builder_new();
}

static msec_task *a_task(void) {
    msec_task *made;
    CHECK(msec_spawn(engine, function, NULL, &made) == MSEC_OK);
    return made;
}

static msec_pending *a_pending(void) {
    msec_pending *made;
    CHECK(msec_client_start(client, "null.Null.Nothing", NULL, 0, NULL, &made) == MSEC_OK);
    return made;
}

static int calls_count;

/* Frees what was handed out. */
static void survived(const char *place) {
    (void)place;
    calls_count++;
    msec_client_free(out_client);
    msec_pending_free(out_pending);
    msec_reply_free(out_reply);
    msec_server_free(out_server);
    msec_task_free(out_task);
    msec_text_free(out_text);
    if (context == NULL) msec_engine_free(out_engine);
    out_client = NULL;
    out_engine = NULL;
    out_pending = NULL;
    out_reply = NULL;
    out_server = NULL;
    out_task = NULL;
    out_text = NULL;
}

static void expect(const char *place, int32_t code) {
    size_t index;
    bool optional = false;
    for (index = 0; index < sizeof OPTIONAL / sizeof OPTIONAL[0]; index++)
        if (!strcmp(OPTIONAL[index], place)) optional = true;
    if (code > 0 || code == MSEC_EPANIC || (!optional && code != MSEC_EINVALID_PARAMETER)) {
        fprintf(stderr, "%s: %d (%s)\n", place, (int)code, msec_error_text());
        exit(1);
    }
    survived(place);
}

#include "generated/null.h"

static int32_t in_a_handler(void *userdata, msec_context *served) {
    (void)userdata;
    context = served;
    every_pointer();
    context = NULL;
    return msec_context_answer(served, "survived", 8);
}

int main(void) {
    msec_call_options patient = MSEC_CALL_OPTIONS_INIT;
    msec_server_builder *builder = msec_server_builder_new();
    msec_reply *reply;
    /* A record that is not kept is not looked at. */
    CHECK(setenv("MSEC_LOG", "trace", 1) == 0);
    engine_options.cores = 1;
    call_options.timeout_ms = 1000;
    patient.timeout_ms = 120000;
    CHECK(msec_engine_new(&engine_options, &engine) == MSEC_OK);
    CHECK(msec_server_builder_method(builder, "null.Null.Every", in_a_handler, NULL, NULL) == 0);
    CHECK(msec_server_builder_listen(builder, "127.0.0.1:0") == MSEC_OK);
    CHECK(msec_server_start(builder, engine, &server) == MSEC_OK);
    CHECK(msec_client_new(engine, msec_server_address(server, 0), &client) == MSEC_OK);
    channel = msec_channel_new(1);
    channels[0] = channel;
    one_wait.channel = channel;
    condition = msec_condition_new();
    mutex = msec_mutex_new();
    local = msec_local_new(NULL);
    CHECK(msec_client_call(client, "null.Null.Every", "", 0, &patient, &reply) == MSEC_OK);
    CHECK(msec_reply_body(reply).size == 8);
    msec_reply_free(reply);
    every_pointer();
    /* Nothing of that has harmed the others. */
    CHECK(msec_client_call(client, "null.Null.Every", "", 0, &patient, NULL) == MSEC_OK);
    CHECK(calls_count > 300);
    msec_local_free(local);
    msec_mutex_free(mutex);
    msec_condition_free(condition);
    msec_channel_free(channel);
    msec_server_free(server);
    msec_client_free(client);
    msec_engine_free(engine);
    puts("everything works");
    return 0;
}

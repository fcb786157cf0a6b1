/* Uses what services are operated by as a program would (configuration, routes, TLS, quotas, dye),
 * and what everything.c has no room for, and says what went wrong where. Compiled as C99, C11,
 * C++11 and C++20. MSEC_TEST_TLS names a folder with certificates; without, TLS is left out. */

#include <pthread.h>
#include <string.h>

#include "check.h"

static const char *ECHO = "echo.EchoService.Echo";
static msec_engine *engine;
static msec_client *client;
static const char *address;

static int32_t echo(void *userdata, msec_context *context) {
    msec_slice body = msec_context_body(context);
    (void)userdata;
    return msec_context_answer(context, body.data, body.size);
}

static bool is(msec_slice slice, const char *text) {
    return slice.size == strlen(text) && !memcmp(slice.data, text, slice.size);
}

/* Whether a text that was handed out has a part; frees it. */
static bool has(msec_text *text, const char *part) {
    bool found = strstr(msec_text_data(text), part) != NULL;
    msec_text_free(text);
    return found;
}

/* Two headers with one key, in their order; priority and place in the trace. */
static int32_t facts(void *userdata, msec_context *context) {
    msec_slice key, value;
    CHECK(msec_context_header_at(context, 0, &key, &value) && is(key, "a") && is(value, "1"));
    CHECK(msec_context_header_at(context, 1, &key, &value) && is(key, "b") && value.size == 0);
    CHECK(msec_context_header_at(context, 2, &key, &value) && is(key, "a") && is(value, "2"));
    CHECK(msec_context_header_at(context, 3, &key, &value) && is(key, "msec-priority"));
    CHECK(!msec_context_header_at(context, 4, &key, &value));
    CHECK(is(msec_context_header(context, "a"), "2"));
    CHECK(msec_context_priority(context) == MSEC_PRIORITY_CRITICAL);
    CHECK(msec_context_traceparent(context).size == 55);
    CHECK(msec_context_identity(context, MSEC_IDENTITY_SUBJECT, 0).data == NULL);
    msec_annotate("seen", 4);
    return echo(userdata, context);
}

static void calls(void) {
    msec_call_options options = MSEC_CALL_OPTIONS_INIT;
    msec_header headers[3] = {{"a", "1", 1}, {"b", NULL, 0}, {"a", "2", 1}};
    char large[5000];
    msec_reply *reply;
    int round;
    options.headers = headers;
    options.headers_count = 3;
    options.priority = MSEC_PRIORITY_CRITICAL;
    CHECK(msec_client_call(client, "echo.EchoService.Facts", "", 0, &options, NULL) == MSEC_OK);
    memset(large, 'x', sizeof large);
    for (round = 0; round < 4; round++) {
        msec_call_options other = MSEC_CALL_OPTIONS_INIT;
        other.lane = 7;
        other.flags = round % 2 ? MSEC_CALL_LZ4 : MSEC_CALL_ZSTD | MSEC_CALL_HEDGE_AT_P95;
        CHECK(msec_client_call(client, ECHO, large, sizeof large, &other, &reply) == MSEC_OK);
        CHECK(msec_reply_body(reply).size == sizeof large);
        msec_reply_free(reply);
    }
    options.lane = 65536;
    CHECK(msec_client_call(client, ECHO, "", 0, &options, NULL) == MSEC_EINVALID_PARAMETER);
    options.lane = 0;
    options.priority = 4;
    CHECK(msec_client_call(client, ECHO, "", 0, &options, NULL) == MSEC_EINVALID_PARAMETER);
    options.priority = 0;
    options.flags = 0x80000000;
    CHECK(msec_client_call(client, ECHO, "", 0, &options, NULL) == MSEC_EINVALID_PARAMETER);
}

static msec_local *one, *two;
static msec_semaphore *told;
static char ended[16];

static void end(void *pointer) {
    strcat(ended, (const char *)pointer);
    msec_semaphore_release(told, 1);
}

static int32_t has_its_own(void *argument) {
    static char a[] = "a", b[] = "b", c[] = "c";
    (void)argument;
    CHECK(msec_local_pointer(one) == NULL);
    CHECK(msec_local_set(one, a) == MSEC_OK && msec_local_set(two, b) == MSEC_OK);
    CHECK(msec_sleep(1) == MSEC_OK);
    CHECK(msec_local_pointer(one) == a && msec_local_pointer(two) == b);
    CHECK(msec_local_set(one, a) == MSEC_OK && !strcmp(ended, ""));
    CHECK(msec_local_set(two, NULL) == MSEC_OK && !strcmp(ended, "b"));
    CHECK(msec_local_pointer(two) == NULL && msec_local_set(two, c) == MSEC_OK);
    return 0;
}

static void *of_a_thread(void *argument) {
    CHECK(has_its_own(argument) == 0);
    return NULL;
}

/* On the loop of a core there is no coroutine that could have anything. */
static void on_the_loop(void *userdata, int32_t code, msec_reply *reply) {
    CHECK(code == MSEC_OK && msec_local_pointer(one) == NULL);
    CHECK(msec_local_set(one, userdata) == MSEC_ESYSTEM_ERROR);
    msec_reply_free(reply);
    msec_semaphore_release(told, 1);
}

static void locals(void) {
    pthread_t thread;
    msec_task *task;
    int count;
    told = msec_semaphore_new(0);
    one = msec_local_new(end);
    two = msec_local_new(end);
    CHECK(msec_spawn(engine, has_its_own, NULL, &task) == MSEC_OK);
    CHECK(msec_task_join(task, 5000, NULL) == MSEC_OK);
    /* A joiner goes on while the coroutine still clears up. */
    for (count = 0; count < 3; count++) CHECK(msec_semaphore_acquire(told, 5000) == MSEC_OK);
    CHECK(!strcmp(ended, "bca"));
    ended[0] = 0;
    CHECK(pthread_create(&thread, NULL, of_a_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(!strcmp(ended, "bca"));
    for (count = 0; count < 3; count++) CHECK(msec_semaphore_try_acquire(told) == MSEC_OK);
    CHECK(msec_client_call_back(client, ECHO, "", 0, NULL, on_the_loop, ended) == MSEC_OK);
    CHECK(msec_semaphore_acquire(told, 5000) == MSEC_OK);
    msec_semaphore_free(told);
    msec_local_free(one);
    msec_local_free(two);
}

static int32_t send_late(void *channel) {
    CHECK(msec_sleep(5) == MSEC_OK);
    return msec_channel_send((const msec_channel *)channel, ended, 0);
}

static void channels(void) {
    msec_channel *first = msec_channel_new(2), *second = msec_channel_new(2);
    const msec_channel *both[2], *none[1] = {NULL};
    size_t index = 9;
    void *item;
    both[0] = first;
    both[1] = second;
    CHECK(msec_channel_recv_any(both, 2, 1, &index, &item) == MSEC_ETIMEOUT && index == 9);
    CHECK(msec_spawn(engine, send_late, second, NULL) == MSEC_OK);
    CHECK(msec_channel_recv_any(both, 2, 5000, &index, &item) == MSEC_OK);
    CHECK(index == 1 && item == ended);
    CHECK(msec_channel_send(second, NULL, 0) == MSEC_OK);
    CHECK(msec_channel_send(first, &index, 0) == MSEC_OK);
    CHECK(msec_channel_recv_any(both, 2, 0, &index, &item) == MSEC_OK);
    CHECK(index == 0 && item == &index);
    CHECK(msec_channel_close(first) == MSEC_OK);
    CHECK(msec_channel_recv_any(both, 2, 0, &index, &item) == MSEC_OK);
    CHECK(index == 1 && item == NULL);
    CHECK(msec_channel_close(second) == MSEC_OK);
    CHECK(msec_channel_recv_any(both, 2, 0, &index, &item) == MSEC_EDRAINING);
    CHECK(msec_channel_recv_any(none, 1, 0, &index, &item) == MSEC_EINVALID_PARAMETER);
    msec_channel_free(first);
    msec_channel_free(second);
}

/* Channels, calls and tasks beside each other. */
static void first_of_several(void) {
    msec_channel *channel = msec_channel_new(1);
    msec_task *task;
    msec_pending *pending;
    msec_reply *reply;
    msec_wait waits[3];
    size_t index = 9;
    int32_t returned = 0;
    void *item = &index;
    memset(waits, 0, sizeof waits);
    waits[0].channel = channel;
    CHECK(msec_select(waits, 1, 1, &index, &item) == MSEC_ETIMEOUT && index == 9);
    CHECK(msec_select(waits, 2, 1, &index, &item) == MSEC_EINVALID_PARAMETER);
    CHECK(msec_client_start(client, ECHO, "hey", 3, NULL, &pending) == MSEC_OK);
    waits[1].pending = pending;
    CHECK(msec_select(waits, 2, 5000, &index, &item) == MSEC_OK && index == 1 && item == NULL);
    CHECK(msec_pending_wait(pending, &reply) == MSEC_OK && is(msec_reply_body(reply), "hey"));
    msec_reply_free(reply);
    CHECK(msec_spawn(engine, send_late, channel, &task) == MSEC_OK);
    waits[1].pending = NULL;
    waits[1].task = task;
    CHECK(msec_select(waits + 1, 1, 5000, &index, &item) == MSEC_OK && index == 0);
    CHECK(msec_select(waits, 2, 5000, &index, &item) == MSEC_OK && index == 0 && item == ended);
    CHECK(msec_task_join_uncancelled(task, &returned) == MSEC_OK && returned == 0);
    waits[1].channel = channel;
    CHECK(msec_select(waits, 2, 1, &index, &item) == MSEC_EINVALID_PARAMETER);
    CHECK(msec_channel_close(channel) == MSEC_OK);
    CHECK(msec_select(waits, 1, 0, &index, &item) == MSEC_EDRAINING);
    msec_channel_free(channel);
}

static void configuration(void) {
    msec_setting wrong = {"MSEC_CORES", "many"};
    msec_engine_options options = MSEC_ENGINE_OPTIONS_INIT;
    msec_engine *none = NULL;
    msec_text *text;
    CHECK(msec_engine_config(engine, "stall_ms", &text) == MSEC_OK && has(text, "60000"));
    CHECK(msec_engine_config(engine, "cores", &text) == MSEC_OK && has(text, "2"));
    CHECK(msec_engine_config(engine, "cheese", &text) == MSEC_EINVALID_PARAMETER);
    options.settings = &wrong;
    options.settings_count = 1;
    CHECK(msec_engine_new(&options, &none) == MSEC_EINVALID_PARAMETER && none == NULL);
    CHECK(strstr(msec_error_text(), "allowed is a number from 1 to 255") != NULL);
    wrong.name = "MSEC_CHEESE";
    CHECK(msec_engine_new(&options, &none) == MSEC_EINVALID_PARAMETER && none == NULL);
    CHECK(msec_engine_set_dye_rules(engine, "uin=77 for=10m; method=a.B.* percent=0.5") == MSEC_OK);
    CHECK(msec_engine_set_dye_rules(engine, "percent=many") == MSEC_EINVALID_PARAMETER);
    CHECK(msec_engine_set_dye_rules(engine, "") == MSEC_OK);
    CHECK(msec_engine_metrics(engine, &text) == MSEC_OK && has(text, "EchoService"));
}

/* Calls an instance by other means: what is picked is its address, and failures count. */
static void by_hand(void) {
    msec_text *text;
    CHECK(msec_engine_pick_route(engine, "Demo.echo", &text) == MSEC_OK && has(text, address));
    CHECK(msec_engine_report_route(engine, "Demo.echo", address, 0, 1500) == MSEC_OK);
    CHECK(msec_engine_report_route(engine, "Demo.echo", address, 5, 1000) == MSEC_OK);
    CHECK(msec_engine_explain_routes(engine, &text) == MSEC_OK && has(text, "ejected"));
    CHECK(msec_engine_pick_route(engine, "Demo.echo", &text) == MSEC_OK && has(text, address));
    CHECK(msec_engine_pick_route(engine, "Demo.none", &text) == MSEC_ENO_ROUTE);
    CHECK(msec_engine_pick_route(engine, "none", &text) == MSEC_EINVALID_ENDPOINT);
    CHECK(msec_engine_report_route(engine, "Demo.echo", "Demo.echo", 0, 1) ==
          MSEC_EINVALID_ENDPOINT);
}

static void routes(void) {
    char table[512];
    const char *head = "[[service]]\nname = \"Demo.echo\"\npolicy = \"wrr\"\n";
    msec_client *named;
    msec_text *text;
    CHECK(msec_client_new(engine, "Demo.echo", &named) == MSEC_OK);
    CHECK(msec_client_call(named, ECHO, "", 0, NULL, NULL) == MSEC_ENO_ROUTE);
    snprintf(table, sizeof table, "%s[[service.instance]]\naddress = \"%s\"\n", head, address);
    CHECK(msec_engine_set_routes(engine, table) == MSEC_OK);
    CHECK(msec_client_call(named, ECHO, "", 0, NULL, NULL) == MSEC_OK);
    CHECK(msec_engine_explain_routes(engine, &text) == MSEC_OK && has(text, "\"policy\":\"wrr\""));
    CHECK(msec_engine_set_routes(engine, "\n[[service]]\nnam = 1") == MSEC_EINVALID_PARAMETER);
    CHECK(strstr(msec_error_text(), "routes:") != NULL);
    by_hand();
    /* A registry that takes the only instance away is not believed at once. */
    CHECK(msec_engine_push_routes(engine, "", &text) == MSEC_OK && has(text, "Demo.echo\n"));
    CHECK(msec_client_call(named, ECHO, "", 0, NULL, NULL) == MSEC_OK);
    CHECK(msec_engine_confirm_routes(engine, "Demo.echo") == MSEC_OK);
    CHECK(msec_engine_confirm_routes(engine, "Demo.echo") == MSEC_EINVALID_PARAMETER);
    CHECK(msec_client_call(named, ECHO, "", 0, NULL, NULL) == MSEC_ENO_ROUTE);
    msec_client_free(named);
}

static msec_server *serve(const char *at, msec_handler handler,
                          const msec_server_tls_options *tls) {
    msec_server_builder *builder = msec_server_builder_new();
    msec_server *server;
    CHECK(msec_server_builder_method(builder, ECHO, echo, NULL, NULL) == MSEC_OK);
    CHECK(msec_server_builder_method(builder, "echo.EchoService.Facts", handler, NULL, NULL) == 0);
    CHECK(msec_server_builder_listen(builder, at) == MSEC_OK);
    CHECK(msec_server_builder_pages(builder, MSEC_PAGES_NOBODY) == MSEC_OK);
    CHECK(msec_server_builder_pages(builder, 3) == MSEC_EINVALID_PARAMETER);
    CHECK(msec_server_builder_host(builder, "echo.example") == MSEC_OK);
    CHECK(msec_server_builder_cors(builder, "https://shop.example") == MSEC_OK);
    CHECK(msec_server_builder_quota(builder, "Demo.greedy", 1, 1) == MSEC_OK);
    CHECK(msec_server_builder_quota(builder, NULL, 1000000, 1000000) == MSEC_OK);
    if (tls != NULL) CHECK(msec_server_builder_tls(builder, tls) == MSEC_OK);
    CHECK(msec_server_start(builder, engine, &server) == MSEC_OK);
    return server;
}

static void quotas(msec_server *server) {
    msec_call_options options = MSEC_CALL_OPTIONS_INIT;
    size_t connections, requests;
    options.caller = "Demo.greedy";
    CHECK(msec_client_call(client, ECHO, "", 0, &options, NULL) == MSEC_OK);
    CHECK(msec_client_call(client, ECHO, "", 0, &options, NULL) == MSEC_ERATE_LIMITED);
    CHECK(msec_server_load(server, &connections, &requests) == MSEC_OK && connections > 0);
}

/* The caller is whom its certificate says. */
static int32_t who(void *userdata, msec_context *context) {
    (void)userdata;
    CHECK(is(msec_context_identity(context, MSEC_IDENTITY_COMMON_NAME, 0), "ann"));
    CHECK(msec_context_identity(context, MSEC_IDENTITY_COMMON_NAME, 1).data == NULL);
    CHECK(is(msec_context_identity(context, MSEC_IDENTITY_URI, 0), "spiffe://example/ann"));
    CHECK(msec_context_identity(context, MSEC_IDENTITY_DNS_NAME, 0).data == NULL);
    CHECK(msec_context_identity(context, 77, 0).data == NULL);
    return msec_context_answer(context, "ann", 3);
}

static char ca[256], chain[256], key[256];

static const char *file(char *place, const char *name) {
    snprintf(place, 256, "%s/%s", getenv("MSEC_TEST_TLS"), name);
    return place;
}

static void tls(void) {
    msec_server_tls_options options = MSEC_SERVER_TLS_OPTIONS_INIT;
    msec_certificate certificate, missing = {"nowhere.pem", "nowhere.key"};
    msec_server_builder *builder = msec_server_builder_new();
    msec_server *server = NULL;
    msec_client *secure;
    CHECK(msec_server_builder_tls(builder, &options) == MSEC_EINVALID_PARAMETER);
    options.certificates = &missing;
    options.certificates_count = 1;
    CHECK(msec_server_builder_tls(builder, &options) == MSEC_OK);
    CHECK(msec_server_builder_listen(builder, "127.0.0.1:0@tls") == MSEC_OK);
    CHECK(msec_server_start(builder, engine, &server) == MSEC_ESYSTEM_ERROR && server == NULL);
    CHECK(strstr(msec_error_text(), "nowhere.pem") != NULL);
    certificate.chain = file(chain, "server.pem");
    certificate.key = file(key, "server.key");
    options.certificates = &certificate;
    options.client_ca = file(ca, "ca.pem");
    server = serve("127.0.0.1:0@tls", who, &options);
    CHECK(msec_client_new(engine, msec_server_address(server, 0), &secure) == MSEC_OK);
    CHECK(msec_client_call(secure, "echo.EchoService.Facts", "", 0, NULL, NULL) == MSEC_OK);
    CHECK(msec_engine_reload_tls(engine) == MSEC_OK);
    msec_client_free(secure);
    msec_server_free(server);
}

static msec_engine *start(void) {
    msec_engine_options options = MSEC_ENGINE_OPTIONS_INIT;
    msec_client_tls_options tls = MSEC_CLIENT_TLS_OPTIONS_INIT;
    msec_certificate certificate;
    msec_setting settings[2] = {{"MSEC_STALL_MS", "60000"}, {"MSEC_ZONE", "north"}};
    msec_engine *started = NULL;
    options.cores = 2;
    options.settings = settings;
    options.settings_count = 2;
    if (getenv("MSEC_TEST_TLS") == NULL) {
        CHECK(msec_engine_new(&options, &started) == MSEC_OK);
        return started;
    }
    options.tls = &tls;
    CHECK(msec_engine_new(&options, &started) == MSEC_EINVALID_PARAMETER);
    certificate.chain = file(chain, "client.pem");
    certificate.key = file(key, "client.key");
    tls.ca = file(ca, "ca.pem");
    tls.certificate = &certificate;
    CHECK(msec_engine_new(&options, &started) == MSEC_OK);
    return started;
}

int main(void) {
    msec_server *server;
    CHECK(msec_process_name_crashes() == MSEC_OK);
    engine = start();
    server = serve("127.0.0.1:0", facts, NULL);
    address = msec_server_address(server, 0);
    CHECK(msec_client_new(engine, address, &client) == MSEC_OK);
    calls();
    locals();
    channels();
    first_of_several();
    configuration();
    routes();
    quotas(server);
    if (getenv("MSEC_TEST_TLS") != NULL) tls();
    CHECK(msec_server_stop(server, 100) == MSEC_OK && msec_server_stop(server, 100) == MSEC_OK);
    msec_server_free(server);
    msec_client_free(client);
    msec_engine_free(engine);
    puts("everything works");
    return 0;
}

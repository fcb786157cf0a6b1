/* Uses what services are made of as a program would, and says what went wrong where; operation.c
 * does so with what they are operated by. Compiled as C99, C11, C++11 and C++20. */

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

static const char *ECHO = "echo.EchoService.Echo";
static msec_engine *engine;
static msec_client *client;

static int32_t echo(void *userdata, msec_context *context) {
    msec_slice body = msec_context_body(context);
    (void)userdata;
    return msec_context_answer(context, body.data, body.size);
}

/* Says what it knows of its request. */
static int32_t facts(void *userdata, msec_context *context) {
    char line[512];
    msec_slice caller = msec_context_caller(context);
    msec_slice method = msec_context_method(context);
    msec_slice tenant = msec_context_header(context, "tenant");
    msec_slice key, value;
    int64_t remaining_ms = msec_context_remaining_ms(context);
    int size;
    CHECK(msec_context_header_at(context, 0, &key, &value) && key.size == 6 && value.size == 4);
    CHECK(!msec_context_header_at(context, 1, &key, &value));
    CHECK(msec_context_header(context, "missing").data == NULL);
    CHECK(msec_context_peer(context).size > 0);
    CHECK(msec_context_flow_id(context) != 0 && msec_context_attempt(context) == 0);
    CHECK(!msec_context_is_cancelled(context) && !msec_context_is_one_way(context));
    msec_context_set_result(context, *(int32_t *)userdata);
    size = snprintf(line, sizeof line, "%.*s %.*s %.*s dyed=%d in_time=%d", (int)caller.size,
                    caller.data, (int)method.size, method.data, (int)tenant.size, tenant.data,
                    msec_context_is_dyed(context), remaining_ms > 0 && remaining_ms <= 300);
    memcpy(msec_context_answer_place(context, (size_t)size), line, (size_t)size);
    return MSEC_OK;
}

static int32_t refuse(void *userdata, msec_context *context) {
    (void)userdata;
    msec_context_fail_text(context, "no such article", 15);
    return -7001;
}

static int32_t sleepy(void *userdata, msec_context *context) {
    (void)userdata;
    (void)context;
    return msec_sleep(5000);
}

/* Calls another method of the same server, as a nested call, and passes on what it said. */
static int32_t relay(void *userdata, msec_context *context) {
    msec_slice body = msec_context_body(context);
    msec_reply *reply;
    int32_t code = msec_client_call(client, ECHO, body.data, body.size, NULL, &reply);
    (void)userdata;
    if (code != MSEC_OK) return code;
    code = msec_context_answer(context, msec_reply_body(reply).data, msec_reply_body(reply).size);
    msec_reply_free(reply);
    return code;
}

static void calls(const char *address) {
    msec_call_options options = MSEC_CALL_OPTIONS_INIT;
    msec_header header = {"tenant", "blue", 4};
    msec_reply *reply = NULL;
    msec_pending *pending[8];
    msec_slice body;
    int index;
    (void)address;

    CHECK(msec_client_call(client, ECHO, "hello", 5, NULL, &reply) == MSEC_OK);
    body = msec_reply_body(reply);
    CHECK(body.size == 5 && !memcmp(body.data, "hello", 5) && msec_reply_result(reply) == 0);
    msec_reply_free(reply);
    CHECK(msec_client_call(client, "echo.EchoService.Relay", NULL, 0, NULL, &reply) == MSEC_OK);
    CHECK(msec_reply_body(reply).size == 0);
    msec_reply_free(reply);
    CHECK(msec_client_call(client, ECHO, "unread", 6, NULL, NULL) == MSEC_OK);

    options.timeout_ms = 300;
    options.flags = MSEC_CALL_DYED;
    options.caller = "Demo.caller";
    options.headers = &header;
    options.headers_count = 1;
    CHECK(msec_client_call(client, "echo.EchoService.Facts", "", 0, &options, &reply) == MSEC_OK);
    body = msec_reply_body(reply);
    CHECK(msec_reply_result(reply) == 77);
    {
        const char *expect = "Demo.caller echo.EchoService.Facts blue dyed=1 in_time=1";
        CHECK(body.size == strlen(expect) && !memcmp(body.data, expect, body.size));
    }
    msec_reply_free(reply);

    reply = NULL;
    CHECK(msec_client_call(client, "echo.EchoService.Refuse", "", 0, NULL, &reply) == -7001);
    CHECK(reply == NULL && strstr(msec_error_text(), "no such article") != NULL);
    CHECK(msec_error_answered());
    CHECK(msec_client_call(client, "echo.EchoService.Missing", "", 0, NULL, &reply) ==
          MSEC_EINVALID_METHOD);
    options.timeout_ms = 20;
    CHECK(msec_client_call(client, "echo.EchoService.Sleepy", "", 0, &options, &reply) ==
          MSEC_ETIMEOUT);
    CHECK(!msec_error_answered());
    CHECK(!strcmp(msec_strerror(MSEC_ETIMEOUT), "timeout") && !msec_error_retryable(MSEC_ETIMEOUT));

    for (index = 0; index < 8; index++)
        CHECK(msec_client_start(client, ECHO, (const char *)&index, sizeof index, NULL,
                                &pending[index]) == MSEC_OK);
    for (index = 0; index < 7; index++) {
        CHECK(msec_pending_wait(pending[index], &reply) == MSEC_OK);
        CHECK(!memcmp(msec_reply_body(reply).data, &index, sizeof index));
        msec_reply_free(reply);
    }
    msec_pending_free(pending[7]);
}

static msec_semaphore *called_back;

static void done(void *userdata, int32_t code, msec_reply *reply) {
    CHECK(code == MSEC_OK && msec_reply_body(reply).size == 4);
    *(int *)userdata += 1;
    msec_reply_free(reply);
    CHECK(msec_semaphore_release(called_back, 1) == MSEC_OK);
}

static void callbacks(void) {
    int count = 0;
    called_back = msec_semaphore_new(0);
    CHECK(msec_client_call_back(client, ECHO, "back", 4, NULL, done, &count) == MSEC_OK);
    CHECK(msec_semaphore_acquire(called_back, 5000) == MSEC_OK && count == 1);
    CHECK(msec_semaphore_try_acquire(called_back) == MSEC_EOVERLOADED);
    CHECK(msec_semaphore_acquire(called_back, 1) == MSEC_ETIMEOUT);
    msec_semaphore_free(called_back);
}

static msec_mutex *mutex;
static msec_condition *condition;
static msec_channel *channel;
static int produced;

static int32_t produce(void *argument) {
    int index;
    CHECK(msec_on_coroutine());
    for (index = 1; index <= 100; index++) {
        CHECK(msec_channel_send(channel, &produced + index % 2, 0) == MSEC_OK);
        CHECK(msec_mutex_lock(mutex, 0) == MSEC_OK);
        produced = index;
        CHECK(msec_yield() == MSEC_OK);
        CHECK(produced == index);
        CHECK((index % 2 ? msec_condition_notify_one : msec_condition_notify_all)(condition) ==
              MSEC_OK);
        CHECK(msec_mutex_unlock(mutex) == MSEC_OK);
    }
    CHECK(msec_channel_close(channel) == MSEC_OK);
    return *(int32_t *)argument;
}

static int32_t consume(void *argument) {
    void *item;
    int32_t count = 0, code;
    (void)argument;
    while ((code = msec_channel_recv(channel, 0, &item)) == MSEC_OK) count++;
    CHECK(code == MSEC_EDRAINING);
    return count;
}

static int32_t add_on_a_thread(void *argument) {
    CHECK(!msec_on_coroutine());
    return *(int32_t *)argument + 1;
}

/* A pipe, the offload threads and time, on a coroutine. */
static int32_t waits(void *argument) {
    int ends[2];
    int32_t returned;
    char byte;
    CHECK(pipe(ends) == 0);
    CHECK(msec_wait_fd(ends[0], MSEC_READABLE, 5) == MSEC_ETIMEOUT);
    CHECK(msec_wait_fd(ends[1], MSEC_WRITABLE, 0) == MSEC_OK);
    CHECK(write(ends[1], "x", 1) == 1);
    CHECK(msec_wait_fd(ends[0], MSEC_READABLE, 0) == MSEC_OK && read(ends[0], &byte, 1) == 1);
    CHECK(msec_wait_fd(-1, MSEC_READABLE, 0) == MSEC_EINVALID_PARAMETER);
    CHECK(msec_wait_fd(ends[0], 77, 0) == MSEC_EINVALID_PARAMETER);
    close(ends[0]);
    close(ends[1]);
    CHECK(msec_offload(add_on_a_thread, argument, &returned) == MSEC_OK);
    CHECK(msec_sleep(2) == MSEC_OK);
    return returned;
}

static int32_t add_on_a_coroutine(void *argument) {
    (void)argument;
    return msec_sleep(0);
}

static void tasks(void) {
    int32_t argument = 41, returned = 0;
    msec_task *producer, *consumer, *waiter;
    mutex = msec_mutex_new();
    condition = msec_condition_new();
    channel = msec_channel_new(2);
    CHECK(msec_spawn(engine, produce, &argument, &producer) == MSEC_OK);
    CHECK(msec_spawn(engine, consume, NULL, &consumer) == MSEC_OK);
    CHECK(msec_spawn(engine, waits, &argument, &waiter) == MSEC_OK);
    CHECK(msec_mutex_lock(mutex, 5000) == MSEC_OK);
    CHECK(msec_mutex_try_lock(mutex) == MSEC_EOVERLOADED);
    while (produced < 100) CHECK(msec_condition_wait(condition, mutex, 5000) == MSEC_OK);
    CHECK(msec_mutex_unlock(mutex) == MSEC_OK);
    CHECK(msec_task_join(producer, 5000, &returned) == MSEC_OK && returned == 41);
    CHECK(msec_task_join(consumer, 5000, &returned) == MSEC_OK && returned == 100);
    CHECK(msec_task_join(waiter, 5000, &returned) == MSEC_OK && returned == 42);
    CHECK(msec_spawn(engine, add_on_a_coroutine, NULL, NULL) == MSEC_OK);
    msec_channel_free(channel);
    msec_condition_free(condition);
    msec_mutex_free(mutex);
}

/* One line for one line. */
static int64_t end_of_line(void *userdata, const char *data, size_t size) {
    const char *end = (const char *)memchr(data, '\n', size);
    (void)userdata;
    return end == NULL ? 0 : end - data + 1;
}

static int32_t raw_calls(void *argument) {
    msec_reply *reply;
    (void)argument;
    CHECK(msec_raw_call("127.0.0.1:1", "x\n", 2, end_of_line, NULL, 200, &reply) == MSEC_ENETWORK);
    CHECK(msec_raw_call("nowhere", "x\n", 2, end_of_line, NULL, 200, &reply) ==
          MSEC_EINVALID_ENDPOINT);
    return 0;
}

static void reports(void) {
    msec_label label = {"city", "Koeln"};
    msec_field field = {"pieces", "3"};
    msec_task *task;
    msec_metric_add("orders", 1, &label, 1);
    msec_metric_set("stock", -17, NULL, 0);
    msec_metric_record("order_bytes", 640, NULL, 0);
    CHECK(msec_log_is_on(MSEC_LOG_ERROR) && !msec_log_is_on(MSEC_LOG_TRACE));
    CHECK(msec_log(MSEC_LOG_INFO, "everything.c:1", "order 77 placed", 15, &field, 1) == MSEC_OK);
    CHECK(msec_log_option("order", "77") == MSEC_OK);
    CHECK(msec_log_flush(5000));
    CHECK(msec_spawn(engine, raw_calls, NULL, &task) == MSEC_OK);
    CHECK(msec_task_join(task, 5000, NULL) == MSEC_OK);
    CHECK(msec_engine_load_routes(engine, "/nonexistent/routes.toml") != MSEC_OK);
}

static void *from_a_thread(void *argument) {
    int index;
    (void)argument;
    for (index = 0; index < 200; index++)
        CHECK(msec_client_call(client, ECHO, "thread", 6, NULL, NULL) == MSEC_OK);
    return NULL;
}

int main(void) {
    int32_t result = 77;
    msec_engine_options options = MSEC_ENGINE_OPTIONS_INIT;
    msec_method_options method = MSEC_METHOD_OPTIONS_INIT;
    msec_server_builder *builder;
    msec_server *server;
    pthread_t threads[4];
    int index;
    CHECK(msec_abi_version() == MSEC_ABI_VERSION && msec_version()[0] != 0);
    options.cores = 2;
    options.service = "Demo.everything";
    CHECK(msec_engine_new(&options, &engine) == MSEC_OK);
    CHECK(!strcmp(msec_engine_io(engine), "uring") || !strcmp(msec_engine_io(engine), "epoll"));

    builder = msec_server_builder_new();
    CHECK(msec_server_builder_method(builder, ECHO, echo, NULL, NULL) == MSEC_OK);
    CHECK(msec_server_builder_method(builder, "echo.EchoService.Facts", facts, &result, NULL) == 0);
    CHECK(msec_server_builder_method(builder, "echo.EchoService.Refuse", refuse, NULL, NULL) == 0);
    CHECK(msec_server_builder_method(builder, "echo.EchoService.Sleepy", sleepy, NULL, NULL) == 0);
    method.flags = MSEC_METHOD_FIXED;
    method.requests_max = 1000;
    CHECK(msec_server_builder_method(builder, "echo.EchoService.Relay", relay, NULL, &method) == 0);
    CHECK(msec_server_builder_listen(builder, "127.0.0.1:0") == MSEC_OK);
    CHECK(msec_server_builder_admin(builder, "127.0.0.1:0") == MSEC_OK);
    CHECK(msec_server_start(builder, engine, &server) == MSEC_OK);
    CHECK(msec_server_address(server, 1) != NULL && msec_server_address(server, 2) == NULL);
    CHECK(msec_client_new(engine, msec_server_address(server, 0), &client) == MSEC_OK);

    calls(msec_server_address(server, 0));
    callbacks();
    tasks();
    reports();
    for (index = 0; index < 4; index++)
        CHECK(pthread_create(&threads[index], NULL, from_a_thread, NULL) == 0);
    for (index = 0; index < 4; index++) CHECK(pthread_join(threads[index], NULL) == 0);

    builder = msec_server_builder_new();
    CHECK(msec_server_builder_listen(builder, "nowhere at all") == MSEC_OK);
    {
        msec_server *none = NULL;
        CHECK(msec_server_start(builder, engine, &none) == MSEC_EINVALID_ENDPOINT && none == NULL);
    }
    msec_server_builder_free(msec_server_builder_new());
    CHECK(msec_server_drain(server) == MSEC_OK);
    CHECK(msec_server_stop(server, 100) == MSEC_OK);
    CHECK(msec_client_call(client, ECHO, "late", 4, NULL, NULL) == MSEC_ENETWORK);
    msec_server_free(server);
    msec_client_free(client);
    msec_engine_free(engine);
    puts("everything works");
    return 0;
}

/* What a program does wrong, or at an odd moment, one story a run: the first argument names it.
 * Each says which code the caller gets. Meanwhile somebody else calls another server of the same
 * engine without a pause, and must not notice anything. */

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static msec_engine *engine;
static msec_server *server, *others_server;
static msec_client *client, *others_client;

static int32_t echo(void *userdata, msec_context *context) {
    msec_slice body = msec_context_body(context);
    (void)userdata;
    return msec_context_answer(context, body.data, body.size);
}

static int32_t call(const char *method) {
    msec_call_options options = MSEC_CALL_OPTIONS_INIT;
    options.timeout_ms = 20000;
    return msec_client_call(client, method, "", 0, &options, NULL);
}

/* What nobody may do who holds up a core: a code, and nothing happens. */
static int32_t stops_its_server(void *userdata, msec_context *context) {
    msec_server_builder *builder = msec_server_builder_new();
    msec_server *another = NULL;
    msec_engine *inner = NULL;
    msec_text *text = NULL;
    size_t connections, requests;
    (void)userdata;
    CHECK(msec_server_stop(server, 1000) == MSEC_ESYSTEM_ERROR);
    CHECK(strstr(msec_error_text(), "a core's thread must not wait") != NULL);
    CHECK(msec_server_drain(server) == MSEC_ESYSTEM_ERROR);
    CHECK(msec_server_load(server, &connections, &requests) == MSEC_ESYSTEM_ERROR);
    CHECK(msec_server_start(builder, engine, &another) == MSEC_ESYSTEM_ERROR && another == NULL);
    CHECK(msec_engine_new(NULL, &inner) == MSEC_ESYSTEM_ERROR && inner == NULL);
    CHECK(msec_engine_set_routes(engine, "") == MSEC_ESYSTEM_ERROR);
    CHECK(msec_engine_load_routes(engine, "/dev/null") == MSEC_ESYSTEM_ERROR);
    CHECK(msec_engine_set_dye_rules(engine, "") == MSEC_ESYSTEM_ERROR);
    CHECK(msec_engine_metrics(engine, &text) == MSEC_ESYSTEM_ERROR && text == NULL);
    /* What may suspend may be asked here. */
    CHECK(msec_engine_explain_routes(engine, &text) == MSEC_OK);
    msec_text_free(text);
    return msec_context_answer(context, "still here", 10);
}

static int32_t look(void *argument) {
    size_t connections, requests;
    (void)argument;
    return msec_server_load(server, &connections, &requests);
}

/* From an offload thread the cores can be waited for. */
static int32_t looks_from_aside(void *userdata, msec_context *context) {
    int32_t returned = -1, code = msec_offload(look, NULL, &returned);
    (void)userdata;
    (void)context;
    return code == MSEC_OK ? returned : code;
}

static void stops_itself(void) {
    CHECK(call("fault.Fault.Stop") == MSEC_OK);
    CHECK(call("fault.Fault.Look") == MSEC_OK);
    CHECK(call("fault.Fault.Echo") == MSEC_OK);
}

static msec_semaphore *told;
static int rounds;

/* On the loop of a core: what would wait fails, what starts something works. */
static void calls_again(void *userdata, int32_t code, msec_reply *reply) {
    msec_pending *pending;
    msec_text *text = NULL;
    CHECK(code == MSEC_OK);
    msec_reply_free(reply);
    CHECK(msec_sleep(1) == MSEC_ESYSTEM_ERROR && msec_yield() == MSEC_ESYSTEM_ERROR);
    CHECK(call("fault.Fault.Echo") == MSEC_ESYSTEM_ERROR);
    CHECK(msec_server_stop(server, 0) == MSEC_ESYSTEM_ERROR);
    CHECK(msec_engine_explain_routes(engine, &text) == MSEC_ESYSTEM_ERROR && text == NULL);
    CHECK(msec_client_start(client, "fault.Fault.Echo", NULL, 0, NULL, &pending) == MSEC_OK);
    CHECK(msec_pending_wait(pending, NULL) == MSEC_ESYSTEM_ERROR);
    if (++rounds == 100) {
        CHECK(msec_semaphore_release(told, 1) == MSEC_OK);
        return;
    }
    CHECK(msec_client_call_back(client, "fault.Fault.Echo", NULL, 0, NULL, calls_again,
                                userdata) == MSEC_OK);
}

static void calls_back(void) {
    told = msec_semaphore_new(0);
    CHECK(msec_client_call_back(client, "fault.Fault.Echo", NULL, 0, NULL, calls_again, NULL) == 0);
    CHECK(msec_semaphore_acquire(told, 20000) == MSEC_OK && rounds == 100);
    msec_semaphore_free(told);
}

/* The others go on without the handle of their engine. */
static void goes_on_after_the_end(void) {
    msec_pending *pending;
    msec_engine_free(engine);
    engine = NULL;
    CHECK(call("fault.Fault.Echo") == MSEC_OK);
    CHECK(msec_server_stop(server, 10) == MSEC_OK && msec_server_stop(server, 10) == MSEC_OK);
    CHECK(msec_server_drain(server) == MSEC_OK && msec_server_address(server, 0) != NULL);
    CHECK(call("fault.Fault.Echo") == MSEC_ENETWORK);
    msec_server_free(server);
    server = NULL;
    CHECK(call("fault.Fault.Echo") == MSEC_ENETWORK);
    CHECK(msec_client_start(client, "fault.Fault.Echo", NULL, 0, NULL, &pending) == MSEC_OK);
    msec_client_free(client);
    client = NULL;
    CHECK(msec_pending_wait(pending, NULL) == MSEC_ENETWORK);
}

static int status_of(pid_t child) {
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A child may end, or become another program. */
static int32_t forks_here(void *userdata, msec_context *context) {
    pid_t child;
    (void)userdata;
    child = fork();
    if (child == 0) _exit(7);
    CHECK(status_of(child) == 7);
    CHECK(msec_sleep(1) == MSEC_OK);
    child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "exit 9", (char *)NULL);
        _exit(1);
    }
    CHECK(status_of(child) == 9);
    return msec_context_answer(context, "parent", 6);
}

static void forks(void) {
    int round;
    for (round = 0; round < 20; round++) CHECK(call("fault.Fault.Fork") == MSEC_OK);
    CHECK(call("fault.Fault.Echo") == MSEC_OK);
}

static __thread int of_this_thread;

static int32_t stays(void *userdata, msec_context *context) {
    volatile int *before = &of_this_thread;
    pthread_t thread = pthread_self();
    int round;
    (void)userdata;
    (void)context;
    for (round = 0; round < 20; round++) {
        CHECK(msec_sleep((uint32_t)round % 3) == MSEC_OK);
        CHECK(&of_this_thread == before && pthread_equal(pthread_self(), thread));
    }
    return MSEC_OK;
}

static void keeps_its_thread(void) {
    msec_pending *pending[32];
    int index;
    msec_call_options options = MSEC_CALL_OPTIONS_INIT;
    options.timeout_ms = 20000;
    for (index = 0; index < 32; index++)
        CHECK(msec_client_start(client, "fault.Fault.Stay", NULL, 0, &options, &pending[index]) ==
              MSEC_OK);
    for (index = 0; index < 32; index++)
        CHECK(msec_pending_wait(pending[index], NULL) == MSEC_OK);
}

/* What a C++ program's destructors of static objects do. */
static void clean_up(void) {
    CHECK(msec_server_stop(server, 1000) == MSEC_ESYSTEM_ERROR);
    msec_server_free(server);
    msec_client_free(client);
    msec_engine_free(engine);
}

static int32_t exits_here(void *userdata, msec_context *context) {
    (void)userdata;
    (void)context;
    CHECK(atexit(clean_up) == 0);
    exit(5);
}

/* The process ends with that code; whoever has called never hears of it, and who clears up on the
 * way waits for nobody. */
static void exits(void) {
    CHECK(call("fault.Fault.Exit") == MSEC_OK);
}

/* Somebody else. */
static volatile bool others_end;
static unsigned others_count;

static void *others(void *argument) {
    (void)argument;
    /* Once at least, however short the story is. */
    do {
        msec_call_options options = MSEC_CALL_OPTIONS_INIT;
        options.timeout_ms = 20000;
        CHECK(msec_client_call(others_client, "fault.Fault.Echo", "", 0, &options, NULL) == 0);
        others_count++;
    } while (!others_end);
    return NULL;
}

static msec_server *serve(void) {
    static const struct {
        const char *name;
        msec_handler handler;
    } methods[] = {
        {"fault.Fault.Echo", echo},        {"fault.Fault.Stop", stops_its_server},
        {"fault.Fault.Fork", forks_here},  {"fault.Fault.Look", looks_from_aside},
        {"fault.Fault.Stay", stays},       {"fault.Fault.Exit", exits_here},
    };
    msec_server_builder *builder = msec_server_builder_new();
    msec_server *started;
    size_t index;
    for (index = 0; index < sizeof methods / sizeof methods[0]; index++)
        CHECK(msec_server_builder_method(builder, methods[index].name, methods[index].handler,
                                         NULL, NULL) == MSEC_OK);
    CHECK(msec_server_builder_listen(builder, "127.0.0.1:0") == MSEC_OK);
    CHECK(msec_server_start(builder, engine, &started) == MSEC_OK);
    return started;
}

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void (*tell)(void);
    } stories[] = {
        {"calls_back", calls_back},
        {"exits", exits},
        {"forks", forks},
        {"goes_on_after_the_end", goes_on_after_the_end},
        {"keeps_its_thread", keeps_its_thread},
        {"stops_itself", stops_itself},
    };
    msec_engine_options options = MSEC_ENGINE_OPTIONS_INIT;
    pthread_t thread;
    size_t index;
    CHECK(count == 2);
    options.cores = 2;
    CHECK(msec_engine_new(&options, &engine) == MSEC_OK);
    server = serve();
    others_server = serve();
    CHECK(msec_client_new(engine, msec_server_address(server, 0), &client) == MSEC_OK);
    CHECK(msec_client_new(engine, msec_server_address(others_server, 0), &others_client) == 0);
    CHECK(pthread_create(&thread, NULL, others, NULL) == 0);
    for (index = 0; strcmp(stories[index].name, arguments[1]); index++) {
    }
    stories[index].tell();
    others_end = true;
    CHECK(pthread_join(thread, NULL) == 0 && others_count > 0);
    msec_server_free(server);
    msec_server_free(others_server);
    msec_client_free(client);
    msec_client_free(others_client);
    msec_engine_free(engine);
    puts("everything works");
    return 0;
}

/* What the stories of calls.c share: two ends, functions that run beside, and time. */

#ifndef CALLS_H
#define CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "msec.h"

/* Ends the story with the place where something is not as it should be. */
#define CHECK(fact)                                                                         \
    do {                                                                                    \
        if (!(fact)) {                                                                      \
            static char place[200];                                                         \
            snprintf(place, sizeof place, "line %d: %s; errno %d", __LINE__, #fact, errno); \
            return place;                                                                   \
        }                                                                                   \
    } while (0)

#define MS 1000000LL

/* What a story ends with: NULL, or what went wrong. */
typedef const char *(*story)(void);

static inline long long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static const msec_engine *engine;
/* How often a coroutine beside has run, each millisecond: it stands still while the core blocks. */
static int ticks;

/* Starts a coroutine beside this one. */
static inline msec_task *beside(msec_task_function function, void *argument) {
    msec_task *task = NULL;
    return msec_spawn(engine, function, argument, &task) == MSEC_OK ? task : NULL;
}

/* Waits for it; what it returned. */
static inline int32_t join(msec_task *task) {
    int32_t returned = -1;
    return task && msec_task_join(task, 10000, &returned) == MSEC_OK ? returned : -1;
}

/* How long a call took at least, in ms, and whether others ran meanwhile. */
#define PARKS(least_ms, call)                            \
    do {                                                 \
        long long begin = now_ns();                      \
        int before = ticks;                              \
        CHECK(call);                                     \
        CHECK(now_ns() - begin >= (least_ms) * MS);      \
        CHECK(now_ns() - begin < (least_ms) * MS + 5000 * MS); \
        CHECK(ticks - before >= 5);                      \
    } while (0)

/* A descriptor and what is to be done with it a little later. */
struct later {
    int fd;
    const char *data;
    size_t size;
};

/* Sends after 30 ms. */
static inline int32_t send_later(void *argument) {
    struct later *later = argument;
    msec_sleep(30);
    return write(later->fd, later->data, later->size) == (ssize_t)later->size ? 0 : -1;
}

static inline int32_t close_later(void *argument) {
    msec_sleep(30);
    return close(((struct later *)argument)->fd);
}

/* Reads bytes until so many have come or the other side ends; its bytes add up to the result. */
static inline int32_t drain_later(void *argument) {
    struct later *later = argument;
    size_t left = later->size;
    uint32_t sum = 0;
    msec_sleep(30);
    while (left > 0) {
        unsigned char bytes[1500];
        ssize_t count = read(later->fd, bytes, left < sizeof bytes ? left : sizeof bytes);
        if (count <= 0) return -1;
        left -= (size_t)count;
        while (count > 0) sum += bytes[--count];
    }
    return (int32_t)(sum & 0x7fffffff);
}

static inline int set_timeout(int fd, int option, int ms) {
    struct timeval time = {0, ms * 1000};
    return setsockopt(fd, SOL_SOCKET, option, &time, sizeof time);
}

/* Beside every story. */
static int32_t tick(void *argument) {
    const int *go_on = argument;
    while (*go_on) {
        ticks++;
        msec_sleep(1);
    }
    return 0;
}

struct told {
    const char *name;
    story story;
};

extern const struct told stories[];

/* Tells the story whose name is the body. */
static int32_t tell(void *userdata, msec_context *context) {
    msec_slice body = msec_context_body(context);
    const struct told *told = stories;
    const char *ended;
    char name[100];
    int go_on = 1;
    msec_task *ticking;
    (void)userdata;
    snprintf(name, sizeof name, "%.*s", (int)body.size, body.data);
    while (told->name && strcmp(told->name, name)) told++;
    if (!told->name) return MSEC_EINVALID_PARAMETER;
    ticking = beside(tick, &go_on);
    ended = told->story();
    go_on = 0;
    msec_task_join_uncancelled(ticking, NULL);
    if (!ended) ended = "well";
    return msec_context_answer(context, ended, strlen(ended));
}

static int32_t echo(void *userdata, msec_context *context) {
    msec_slice body = msec_context_body(context);
    (void)userdata;
    return msec_context_answer(context, body.data, body.size);
}

static int32_t init(const msec_host *host, msec_server_builder *builder) {
    int32_t code = msec_server_builder_method(builder, "hook.Test.Tell", tell, NULL, NULL);
    engine = msec_host_engine(host);
    if (code != MSEC_OK) return code;
    return msec_server_builder_method(builder, "echo.EchoService.Echo", echo, NULL, NULL);
}

extern const msec_plugin *msec_plugin_v1(void);

const msec_plugin *msec_plugin_v1(void) {
    static msec_plugin told = MSEC_PLUGIN_INIT;
    told.init = init;
    return &told;
}

#endif

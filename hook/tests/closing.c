/* A plugin whose one method tells a story by its name: descriptors that are closed, duplicated and
 * inherited while somebody waits for them, requests that are cancelled, and threads. */

#include "calls.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

static int pair[2];

static int open_pair(void) {
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
}

/* The other end hears of it: nobody holds the file any more. */
static const char *closed(void) {
    struct later later = {0};
    msec_task *task;
    char byte;
    CHECK(open_pair() == 0);
    later.fd = pair[0];
    task = beside(close_later, &later);
    PARKS(20, read(pair[0], &byte, 1) == -1 && errno == EBADF);
    CHECK(join(task) == 0 && set_timeout(pair[1], SO_RCVTIMEO, 500) == 0);
    CHECK(read(pair[1], &byte, 1) == 0 && close(pair[1]) == 0);
    return NULL;
}

/* Reads, and returns the errno. */
static int32_t reads(void *unused) {
    char byte;
    (void)unused;
    return read(pair[0], &byte, 1) == -1 ? errno : 0;
}

static int32_t close_offloaded(void *argument) {
    struct timespec time = {0, 30 * MS};
    nanosleep(&time, NULL);
    return close(((struct later *)argument)->fd);
}

static int32_t close_by_thread(void *argument) {
    int32_t returned = -1;
    return msec_offload(close_offloaded, argument, &returned) == MSEC_OK ? returned : -1;
}

static const char *closed_by_a_thread(void) {
    struct later later = {0};
    msec_task *task;
    char byte;
    CHECK(open_pair() == 0);
    later.fd = pair[0];
    task = beside(close_by_thread, &later);
    PARKS(20, recv(pair[0], &byte, 1, 0) == -1 && errno == EBADF);
    CHECK(join(task) == 0 && close(pair[1]) == 0);
    return NULL;
}

static int32_t close_soon(void *argument) {
    struct later *later = argument;
    struct timespec time = {0, (long)later->size * 1000};
    nanosleep(&time, NULL);
    return close(later->fd);
}

/* Whenever it is closed by another thread, the wait ends: before it begins, meanwhile, later. */
static const char *closed_at_any_time(void) {
    struct later later = {0};
    int round;
    for (round = 0; round < 300; round++) {
        msec_task *task;
        int32_t returned = -1;
        char byte;
        CHECK(open_pair() == 0);
        later.fd = pair[0];
        later.size = (size_t)round % 30 * 5;
        task = beside(reads, NULL);
        CHECK(msec_yield() == MSEC_OK);
        CHECK(msec_offload(close_soon, &later, &returned) == MSEC_OK && returned == 0);
        CHECK(join(task) == EBADF);
        CHECK(read(pair[1], &byte, 1) == 0 && close(pair[1]) == 0);
    }
    return NULL;
}

/* The number is another file's, in which there is something to read. */
static int32_t replace_later(void *argument) {
    uint64_t *count = argument;
    int event = eventfd(1, EFD_CLOEXEC);
    msec_sleep(30);
    if (dup2(event, pair[0]) != pair[0] || close(event)) return -1;
    *count = 1;
    return 0;
}

static const char *replaced(void) {
    struct pollfd wanted = {0, POLLIN | POLLPRI, 0};
    uint64_t count = 0;
    msec_task *task;
    CHECK(open_pair() == 0);
    task = beside(replace_later, &count);
    PARKS(20, read(pair[0], &count, 8) == -1 && errno == EBADF);
    CHECK(join(task) == 0 && read(pair[0], &count, 8) == 8 && close(pair[0]) == 0);
    CHECK(close(pair[1]) == 0);
    /* Who polls is told what the number is now. */
    CHECK(open_pair() == 0);
    wanted.fd = pair[0];
    task = beside(replace_later, &count);
    PARKS(20, poll(&wanted, 1, 5000) == 1 && wanted.revents == POLLIN);
    CHECK(join(task) == 0 && close(pair[0]) == 0 && close(pair[1]) == 0);
    return NULL;
}

static const char *closed_while_polled(void) {
    struct pollfd wanted[2] = {{0, POLLIN, 0}, {0, POLLIN, 0}};
    struct later later = {0};
    msec_task *task;
    CHECK(open_pair() == 0);
    wanted[0].fd = later.fd = pair[0];
    wanted[1].fd = pair[1];
    task = beside(close_later, &later);
    PARKS(20, poll(wanted, 2, 5000) == 2);
    CHECK(wanted[0].revents == POLLNVAL && wanted[1].revents & POLLHUP);
    CHECK(join(task) == 0 && close(pair[1]) == 0);
    return NULL;
}

/* Of two numbers of a file, one is closed: who waits with the other waits on. */
static const char *duplicated(void) {
    struct later later = {0}, send = {0, "hello", 5};
    msec_task *task, *sends;
    char text[8];
    int copy;
    CHECK(open_pair() == 0 && (copy = dup(pair[0])) >= 0);
    later.fd = copy;
    send.fd = pair[1];
    task = beside(close_later, &later);
    CHECK(set_timeout(pair[0], SO_RCVTIMEO, 100) == 0);
    PARKS(100, read(pair[0], text, 8) == -1 && errno == EAGAIN);
    CHECK(join(task) == 0 && (copy = dup(pair[0])) >= 0);
    sends = beside(send_later, &send);
    PARKS(20, read(copy, text, 8) == 5);
    CHECK(join(sends) == 0 && close(copy) == 0 && close(pair[0]) == 0 && close(pair[1]) == 0);
    return NULL;
}

/* In a child nothing parks: there is no engine, and what looks like a coroutine is none. */
static const char *forked(void) {
    int status, ends[2], back[2];
    char byte = 0;
    pid_t child;
    CHECK(pipe2(ends, O_CLOEXEC) == 0 && pipe2(back, O_CLOEXEC) == 0 && open_pair() == 0);
    child = fork();
    if (child == 0) {
        struct timespec time = {0, 10 * MS};
        struct pollfd wanted = {pair[0], POLLIN, 0};
        int well = nanosleep(&time, NULL) == 0 && usleep(1000) == 0;
        well = well && poll(&wanted, 1, 10) == 0 && set_timeout(pair[0], SO_RCVTIMEO, 10) == 0;
        well = well && recv(pair[0], &byte, 1, 0) == -1 && errno == EAGAIN;
        well = well && read(ends[0], &byte, 1) == 1 && byte == 'x';
        well = well && write(back[1], "y", 1) == 1 && close(pair[0]) == 0;
        if (!well) _exit(1);
        execl("/bin/sh", "sh", "-c", "test -z \"$LD_PRELOAD\"", (char *)NULL);
        _exit(2);
    }
    CHECK(child > 0);
    PARKS(20, usleep(20000) == 0);
    CHECK(write(ends[1], "x", 1) == 1 && read(back[0], &byte, 1) == 1 && byte == 'y');
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(back[0]) == 0);
    CHECK(close(back[1]) == 0 && close(pair[0]) == 0 && close(pair[1]) == 0);
    return NULL;
}

/* A program that is started has none of the hook, and its output is read without holding anybody
 * up. */
static const char *started(void) {
    char text[64] = "";
    FILE *out = popen("sleep 0.05; echo \"preload:$LD_PRELOAD.\"; "
                      "grep -c libmsec_hook /proc/self/maps", "r");
    size_t count = 0;
    ssize_t more;
    CHECK(out);
    while ((more = read(fileno(out), text + count, sizeof text - 1 - count)) > 0)
        count += (size_t)more;
    CHECK(more == 0 && pclose(out) >= 0);
    CHECK(!strcmp(text, "preload:.\n0\n"));
    return NULL;
}

static void *on_a_thread(void *unused) {
    struct timespec time = {0, 20 * MS};
    char byte;
    (void)unused;
    if (nanosleep(&time, NULL) || set_timeout(pair[0], SO_RCVTIMEO, 20)) return pair;
    if (recv(pair[0], &byte, 1, 0) != -1 || errno != EAGAIN) return pair;
    return read(pair[0], &byte, 1) == -1 && errno == EAGAIN ? NULL : pair;
}

/* On other threads all is as ever. */
static const char *threads(void) {
    pthread_t thread;
    void *returned;
    CHECK(open_pair() == 0 && pthread_create(&thread, NULL, on_a_thread, NULL) == 0);
    CHECK(pthread_join(thread, &returned) == 0 && returned == NULL);
    CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
    return NULL;
}

/* What the last request saw that was cancelled. */
static char cancelled_text[200] = "none";

/* Waits until its caller has gone. */
static const char *cancelled(void) {
    struct timespec time = {60, 0};
    int received, slept, again;
    char byte;
    CHECK(open_pair() == 0);
    strcpy(cancelled_text, "waits");
    received = recv(pair[0], &byte, 1, 0) == -1 ? errno : 0;
    slept = nanosleep(&time, NULL) == -1 ? errno : 0;
    again = poll(NULL, 0, 60000) == -1 ? errno : 0;
    CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
    snprintf(cancelled_text, sizeof cancelled_text, "%s, %s, %s", strerror(received),
             strerror(slept), strerror(again));
    return NULL;
}

static const char *what_was_cancelled(void) {
    return cancelled_text;
}

const struct told stories[] = {
    {"closed", closed},
    {"closed_by_a_thread", closed_by_a_thread},
    {"closed_at_any_time", closed_at_any_time},
    {"replaced", replaced},
    {"closed_while_polled", closed_while_polled},
    {"duplicated", duplicated},
    {"forked", forked},
    {"started", started},
    {"threads", threads},
    {"cancelled", cancelled},
    {"what_was_cancelled", what_was_cancelled},
    {NULL, NULL},
};

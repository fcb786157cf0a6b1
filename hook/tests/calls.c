/* A plugin whose one method tells a story by its name: calls of the C library on a coroutine, each
 * with what the kernel would do, while the core goes on. It answers with "well", or with the place
 * where it was not. */

#include "calls.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <sys/un.h>

#define BIG (1 << 20)

static int pair[2];

static int open_pair(void) {
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
}

static const char *close_pair(void) {
    CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
    return NULL;
}

static const char *receiving(void) {
    char bytes[8], more[8];
    struct iovec pieces[2] = {{bytes, 2}, {more, 6}};
    struct msghdr message = {0};
    struct later later = {0, "hello", 5};
    msec_task *task;
    CHECK(open_pair() == 0);
    later.fd = pair[1];
    task = beside(send_later, &later);
    PARKS(20, read(pair[0], bytes, sizeof bytes) == 5 && !memcmp(bytes, "hello", 5));
    CHECK(join(task) == 0);
    task = beside(send_later, &later);
    PARKS(20, recv(pair[0], bytes, sizeof bytes, MSG_PEEK) == 5);
    CHECK(recv(pair[0], bytes, sizeof bytes, 0) == 5 && join(task) == 0);
    task = beside(send_later, &later);
    PARKS(20, recvfrom(pair[0], bytes, sizeof bytes, 0, NULL, NULL) == 5);
    CHECK(join(task) == 0);
    task = beside(send_later, &later);
    PARKS(20, readv(pair[0], pieces, 2) == 5 && !memcmp(bytes, "he", 2) && !memcmp(more, "llo", 3));
    CHECK(join(task) == 0);
    message.msg_iov = pieces;
    message.msg_iovlen = 2;
    task = beside(send_later, &later);
    PARKS(20, recvmsg(pair[0], &message, 0) == 5 && message.msg_iov == pieces);
    CHECK(join(task) == 0 && read(pair[0], bytes, 0) == 0);
    CHECK(shutdown(pair[1], SHUT_WR) == 0 && read(pair[0], bytes, 1) == 0);
    return close_pair();
}

/* Several messages at a time: all that are asked for, or the first of them. */
static const char *several(void) {
    char bytes[3][8] = {{0}};
    struct iovec places[3] = {{bytes[0], 8}, {bytes[1], 8}, {bytes[2], 8}};
    struct mmsghdr messages[3] = {{{0}, 0}};
    struct later later = {0, "hello", 5};
    struct timespec none = {0, 0};
    unsigned char *big = calloc(1, BIG);
    struct iovec halves[2] = {{big, BIG / 2}, {big + BIG / 2, BIG / 2}};
    struct mmsghdr sent[2] = {{{0}, 0}};
    msec_task *task;
    int index, before;
    for (index = 0; index < 3; index++) {
        messages[index].msg_hdr.msg_iov = &places[index];
        messages[index].msg_hdr.msg_iovlen = 1;
        sent[index % 2].msg_hdr.msg_iov = &halves[index % 2];
        sent[index % 2].msg_hdr.msg_iovlen = 1;
    }
    CHECK(big && socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) == 0);
    later.fd = pair[1];
    CHECK(sendmmsg(pair[1], messages, 2, 0) == 2 && messages[1].msg_len == 8);
    task = beside(send_later, &later);
    PARKS(20, recvmmsg(pair[0], messages, 3, 0, NULL) == 3 && messages[0].msg_len == 8);
    CHECK(messages[2].msg_len == 5 && !memcmp(bytes[2], "hello", 5) && join(task) == 0);
    task = beside(send_later, &later);
    PARKS(20, recvmmsg(pair[0], messages, 3, MSG_WAITFORONE, NULL) == 1 && join(task) == 0);
    task = beside(send_later, &later);
    PARKS(20, recvmmsg(pair[0], messages, 3, 0, &none) == 1 && join(task) == 0);
    CHECK(recvmmsg(pair[0], messages, 3, MSG_DONTWAIT, NULL) == -1 && errno == EAGAIN);
    CHECK(close_pair() == NULL && open_pair() == 0);
    /* A stream gets all of the first before the second. */
    later = (struct later){pair[1], NULL, BIG};
    task = beside(drain_later, &later);
    before = ticks;
    CHECK(sendmmsg(pair[0], sent, 2, 0) == 2 && ticks - before >= 5);
    CHECK(sent[0].msg_len == BIG / 2 && sent[1].msg_len == BIG / 2 && join(task) == 0);
    free(big);
    CHECK(sendmmsg(-1, sent, 2, 0) == -1 && errno == EBADF);
    return close_pair();
}

/* All that is asked for, in two parts that come apart. */
static const char *receiving_whole(void) {
    char bytes[8], more[8];
    struct iovec pieces[2] = {{bytes, 4}, {more, 4}};
    struct msghdr message = {0};
    struct later later = {0, "hello", 5};
    msec_task *task;
    CHECK(open_pair() == 0);
    later.fd = pair[1];
    CHECK(write(pair[1], "abc", 3) == 3);
    task = beside(send_later, &later);
    PARKS(20, recv(pair[0], bytes, 8, MSG_WAITALL) == 8 && !memcmp(bytes, "abchello", 8));
    CHECK(join(task) == 0 && write(pair[1], "abc", 3) == 3);
    message.msg_iov = pieces;
    message.msg_iovlen = 2;
    task = beside(send_later, &later);
    PARKS(20, recvmsg(pair[0], &message, MSG_WAITALL) == 8);
    CHECK(!memcmp(bytes, "abch", 4) && !memcmp(more, "ello", 4) && join(task) == 0);
    CHECK(write(pair[1], "abc", 3) == 3 && shutdown(pair[1], SHUT_WR) == 0);
    CHECK(recv(pair[0], bytes, 8, MSG_WAITALL) == 3);
    return close_pair();
}

/* More than there is room for is written whole, while the reader takes its time. */
static const char *sending(void) {
    static unsigned char big[BIG];
    uint32_t sum = 0;
    size_t index;
    int round;
    for (index = 0; index < BIG; index++) sum += big[index] = (unsigned char)(index * 7 % 251);
    CHECK(open_pair() == 0);
    for (round = 0; round < 5; round++) {
        struct iovec pieces[3] = {{big, 10}, {big + 10, 0}, {big + 10, BIG - 10}};
        struct msghdr message = {0};
        struct later later = {pair[1], NULL, BIG};
        msec_task *task = beside(drain_later, &later);
        ssize_t sent = -1;
        int before = ticks;
        message.msg_iov = pieces;
        message.msg_iovlen = 3;
        switch (round) {
        case 0: sent = write(pair[0], big, BIG); break;
        case 1: sent = writev(pair[0], pieces, 3); break;
        case 2: sent = send(pair[0], big, BIG, MSG_NOSIGNAL); break;
        case 3: sent = sendto(pair[0], big, BIG, 0, NULL, 0); break;
        case 4: sent = sendmsg(pair[0], &message, 0); break;
        }
        CHECK(sent == BIG && ticks - before >= 5);
        CHECK(join(task) == (int32_t)(sum & 0x7fffffff));
    }
    return close_pair();
}

/* Receives so many bytes, and counts the descriptors that come with them. */
static int32_t count_rights_later(void *argument) {
    struct later *later = argument;
    static char got[BIG];
    size_t left = later->size;
    int32_t rights = 0;
    msec_sleep(30);
    while (left > 0) {
        char control[CMSG_SPACE(sizeof(int) * 4)];
        struct iovec place = {got, left};
        struct msghdr message = {0};
        struct cmsghdr *header;
        ssize_t count;
        message.msg_iov = &place;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        count = recvmsg(later->fd, &message, 0);
        if (count <= 0) return -1;
        left -= (size_t)count;
        for (header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
            int fd;
            memcpy(&fd, CMSG_DATA(header), sizeof fd);
            close(fd);
            rights++;
        }
    }
    return rights;
}

/* A descriptor goes with a big message once, and not again with each part of it. */
static const char *sending_rights(void) {
    static char big[BIG];
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec piece = {big, BIG};
    struct msghdr message = {0};
    struct later later = {0, NULL, BIG};
    msec_task *task;
    int extra = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(open_pair() == 0 && extra >= 0);
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &extra, sizeof extra);
    later.fd = pair[1];
    task = beside(count_rights_later, &later);
    CHECK(sendmsg(pair[0], &message, 0) == BIG);
    CHECK(join(task) == 1 && close(extra) == 0);
    return close_pair();
}

/* Who wants EAGAIN gets it at once; to poll is to wait all the same. */
static const char *nonblocking(void) {
    static char big[BIG];
    struct pollfd wanted = {0, POLLIN, 0};
    long long begin = now_ns();
    char byte;
    CHECK(open_pair() == 0);
    CHECK(recv(pair[0], &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    CHECK(recv(pair[0], &byte, 1, MSG_OOB) == -1 && errno != EAGAIN);
    CHECK(fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0);
    CHECK(read(pair[0], &byte, 1) == -1 && errno == EAGAIN);
    CHECK(recv(pair[0], &byte, 1, 0) == -1 && errno == EAGAIN);
    CHECK(write(pair[0], big, BIG) < BIG);
    CHECK(write(pair[0], big, BIG) == -1 && errno == EAGAIN);
    CHECK(now_ns() - begin < 1000 * MS);
    wanted.fd = pair[0];
    PARKS(50, poll(&wanted, 1, 50) == 0);
    return close_pair();
}

static const char *timeouts(void) {
    static char big[BIG];
    char byte;
    CHECK(open_pair() == 0);
    CHECK(set_timeout(pair[0], SO_RCVTIMEO, 50) == 0);
    PARKS(50, read(pair[0], &byte, 1) == -1 && errno == EAGAIN);
    PARKS(50, recv(pair[0], &byte, 1, 0) == -1 && errno == EAGAIN);
    CHECK(set_timeout(pair[0], SO_SNDTIMEO, 50) == 0);
    PARKS(50, write(pair[0], big, BIG) < BIG);
    PARKS(50, send(pair[0], big, BIG, 0) == -1 && errno == EAGAIN);
    return close_pair();
}

/* What is no socket, and what never waits. */
static const char *pipes(void) {
    static unsigned char big[BIG];
    char text[16], name[] = "/tmp/msec-hook-XXXXXX";
    struct later later = {0, "hello", 5};
    struct iovec pieces[2] = {{big, 5000}, {big + 5000, BIG - 5000}};
    uint64_t count = 7;
    msec_task *task;
    int ends[2], file, event = eventfd(0, EFD_CLOEXEC);
    memset(big, 1, BIG);
    CHECK(pipe2(ends, O_CLOEXEC) == 0 && event >= 0);
    later.fd = ends[1];
    task = beside(send_later, &later);
    PARKS(20, read(ends[0], text, sizeof text) == 5 && !memcmp(text, "hello", 5));
    CHECK(join(task) == 0);
    later = (struct later){ends[0], NULL, BIG};
    task = beside(drain_later, &later);
    PARKS(20, write(ends[1], big, BIG) == BIG);
    CHECK(join(task) == BIG);
    task = beside(drain_later, &later);
    PARKS(20, writev(ends[1], pieces, 2) == BIG);
    CHECK(join(task) == BIG);
    CHECK(close(ends[1]) == 0 && read(ends[0], text, sizeof text) == 0 && close(ends[0]) == 0);
    later = (struct later){event, (const char *)&count, sizeof count};
    task = beside(send_later, &later);
    PARKS(20, read(event, text, 8) == 8 && text[0] == 7);
    CHECK(join(task) == 0 && close(event) == 0);
    file = mkstemp(name);
    CHECK(file >= 0 && unlink(name) == 0 && write(file, big, BIG) == BIG);
    CHECK(lseek(file, 0, SEEK_SET) == 0 && read(file, text, sizeof text) == sizeof text);
    CHECK(close(file) == 0 && read(file, text, 1) == -1 && errno == EBADF);
    return NULL;
}

static const char *polling(void) {
    struct later later = {0, "hello", 5};
    struct pollfd wanted[4] = {{-1, POLLIN, 0}};
    struct timespec time = {0, 50 * MS};
    struct epoll_event event = {EPOLLIN, {0}};
    msec_task *task;
    char text[8];
    int ends[2], epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(open_pair() == 0 && pipe2(ends, O_CLOEXEC) == 0 && epoll >= 0);
    later.fd = pair[1];
    PARKS(50, poll(NULL, 0, 50) == 0);
    wanted[1] = (struct pollfd){pair[0], POLLIN, 0};
    wanted[2] = (struct pollfd){ends[0], POLLIN | POLLPRI, 0};
    wanted[3] = (struct pollfd){pair[0], POLLPRI, 0};
    PARKS(50, poll(wanted, 4, 50) == 0);
    PARKS(50, ppoll(wanted, 4, &time, NULL) == 0);
    task = beside(send_later, &later);
    PARKS(20, poll(wanted, 4, -1) == 1 && wanted[1].revents == POLLIN && !wanted[2].revents);
    CHECK(join(task) == 0 && read(pair[0], text, 5) == 5);
    task = beside(send_later, &later);
    PARKS(20, ppoll(wanted + 1, 1, NULL, NULL) == 1 && wanted[1].revents == POLLIN);
    CHECK(join(task) == 0 && read(pair[0], text, 5) == 5);
    later.fd = ends[1];
    task = beside(close_later, &later);
    PARKS(20, poll(wanted, 4, 5000) == 1 && wanted[2].revents == POLLHUP);
    CHECK(join(task) == 0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event) == 0);
    PARKS(50, epoll_wait(epoll, &event, 1, 50) == 0);
    later.fd = pair[1];
    task = beside(send_later, &later);
    PARKS(20, epoll_wait(epoll, &event, 1, -1) == 1 && event.events == EPOLLIN);
    CHECK(join(task) == 0 && close(epoll) == 0 && close(ends[0]) == 0);
    return close_pair();
}

static const char *selecting(void) {
    struct later later = {0, "hello", 5};
    struct timeval time = {0, 50000}, long_time = {5, 0};
    struct timespec short_time = {0, 50 * MS};
    fd_set read_set, write_set;
    msec_task *task;
    int ends[2], most;
    CHECK(open_pair() == 0 && pipe2(ends, O_CLOEXEC) == 0);
    later.fd = pair[1];
    most = (pair[0] > ends[0] ? pair[0] : ends[0]) + 1;
    PARKS(50, select(0, NULL, NULL, NULL, &time) == 0);
    CHECK(time.tv_sec == 0 && time.tv_usec == 0);
    FD_ZERO(&read_set);
    FD_ZERO(&write_set);
    FD_SET(pair[0], &read_set);
    FD_SET(ends[0], &read_set);
    PARKS(50, pselect(most, &read_set, NULL, NULL, &short_time, NULL) == 0);
    CHECK(!FD_ISSET(pair[0], &read_set) && !FD_ISSET(ends[0], &read_set));
    FD_SET(pair[0], &read_set);
    FD_SET(ends[0], &read_set);
    task = beside(send_later, &later);
    PARKS(20, select(most, &read_set, &write_set, NULL, &long_time) == 1);
    CHECK(FD_ISSET(pair[0], &read_set) && !FD_ISSET(ends[0], &read_set));
    CHECK(long_time.tv_sec == 4 && join(task) == 0);
    /* A hang-up is nothing exceptional. */
    time = (struct timeval){0, 50000};
    CHECK(close(ends[1]) == 0);
    FD_ZERO(&read_set);
    FD_SET(ends[0], &read_set);
    PARKS(50, select(ends[0] + 1, NULL, NULL, &read_set, &time) == 0);
    CHECK(close(ends[0]) == 0);
    return close_pair();
}

static int32_t accept_later(void *argument) {
    struct later *later = argument;
    int fd;
    msec_sleep(30);
    fd = accept(later->fd, NULL, NULL);
    return fd < 0 ? -1 : close(fd);
}

static int32_t connect_later(void *argument) {
    const struct sockaddr_in *address = argument;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    msec_sleep(30);
    return connect(fd, (const struct sockaddr *)address, sizeof *address) ? -1 : close(fd);
}

static const char *connecting(void) {
    struct sockaddr_in address = {0};
    struct sockaddr_un path = {AF_UNIX, "\0msec-hook-test"};
    socklen_t size = sizeof address;
    struct later later = {0};
    msec_task *task;
    int index, fd, fds[3], listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 4) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    task = beside(connect_later, &address);
    PARKS(20, (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    CHECK(join(task) == 0 && close(fd) == 0);
    CHECK(set_timeout(listener, SO_RCVTIMEO, 50) == 0);
    PARKS(50, accept(listener, NULL, NULL) == -1 && errno == EAGAIN);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(fd, (struct sockaddr *)&address, size) == 0);
    CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK) && close(fd) == 0 && close(listener) == 0);
    /* The engine lets go of what was waited for in vain when the core has its turn. */
    CHECK(usleep(1000) == 0);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(fd, (struct sockaddr *)&address, size) == -1 && errno == ECONNREFUSED);
    CHECK(close(fd) == 0);
    /* Here a queue that is full is waited for. */
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&path, sizeof path) == 0 && listen(listener, 1) == 0);
    for (index = 0; index < 3; index++) fds[index] = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(connect(fds[0], (struct sockaddr *)&path, sizeof path) == 0);
    CHECK(connect(fds[1], (struct sockaddr *)&path, sizeof path) == 0);
    later.fd = listener;
    task = beside(accept_later, &later);
    PARKS(20, connect(fds[2], (struct sockaddr *)&path, sizeof path) == 0);
    CHECK(join(task) == 0);
    for (index = 0; index < 3; index++) CHECK(close(fds[index]) == 0);
    CHECK(close(listener) == 0);
    return NULL;
}

static const char *sleeping(void) {
    struct timespec time = {0, 50 * MS}, wrong = {0, 2000 * MS};
    PARKS(1000, sleep(1) == 0);
    PARKS(50, usleep(50000) == 0);
    PARKS(50, nanosleep(&time, NULL) == 0);
    PARKS(50, clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL) == 0);
    CHECK(clock_gettime(CLOCK_REALTIME, &time) == 0);
    time.tv_nsec += 60 * MS;
    time.tv_sec += time.tv_nsec / (1000 * MS);
    time.tv_nsec %= 1000 * MS;
    PARKS(50, clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &time, NULL) == 0);
    CHECK(nanosleep(&wrong, NULL) == -1 && errno == EINVAL);
    return NULL;
}

static const char *resolving(void) {
    struct addrinfo hints = {0}, *found = NULL;
    hints.ai_socktype = SOCK_STREAM;
    CHECK(getaddrinfo("localhost", "80", &hints, &found) == 0 && found);
    freeaddrinfo(found);
    CHECK(getaddrinfo("127.0.0.1", NULL, NULL, &found) == 0 && found->ai_family == AF_INET);
    freeaddrinfo(found);
    CHECK(getaddrinfo(NULL, "80", NULL, &found) == 0);
    freeaddrinfo(found);
    CHECK(getaddrinfo("no such name", NULL, &hints, &found) != 0);
    CHECK(getaddrinfo("localhost", "no such service", &hints, &found) == EAI_SERVICE);
    return NULL;
}

const struct told stories[] = {
    {"receiving", receiving},
    {"several", several},
    {"receiving_whole", receiving_whole},
    {"sending", sending},
    {"sending_rights", sending_rights},
    {"nonblocking", nonblocking},
    {"timeouts", timeouts},
    {"pipes", pipes},
    {"polling", polling},
    {"selecting", selecting},
    {"connecting", connecting},
    {"sleeping", sleeping},
    {"resolving", resolving},
    {NULL, NULL},
};

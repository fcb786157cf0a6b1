/* Threads of control in plain C. */

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "configini.h"
#include "mt_capi.h"

static int ended = 0;

/* Answers one connection with what came. */
static void serve(void *listening) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    char data[16];
    int fd = mtc_accept(*(int *)listening, (struct sockaddr *)&peer, &length, 5000);
    int got = mtc_recv(fd, data, sizeof data, 0, 5000);
    if (got > 0) mtc_send(fd, data, (size_t)got, 0, 5000);
    close(fd);
    ended = 1;
}

static int datagrams(void) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    char data[16];
    int one = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(one, (struct sockaddr *)&address, sizeof address) != 0) return -1;
    getsockname(one, (struct sockaddr *)&address, &length);
    mtc_sendto(other, "abc", 3, 0, (struct sockaddr *)&address, (int)length, 5000);
    return mtc_recvfrom(one, data, sizeof data, 0, NULL, NULL, 5000);
}

int main(int count, char **arguments) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int listening, fd, sock = -1, ends[2];
    char data[16];
    void *kept;
    char *value;
    if (count != 2) return 1;
    mtc_set_stack_size(128 * 1024);
    if (!mtc_init_frame()) return 1;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listening = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) != 0) return 2;
    if (listen(listening, 8) != 0) return 2;
    getsockname(listening, (struct sockaddr *)&address, &length);

    if (mtc_start_thread((void *)serve, &listening) == NULL) return 3;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (mtc_connect(fd, (struct sockaddr *)&address, (int)length, 5000) != 0) return 4;
    if (mtc_write(fd, "hello", 5, 5000) != 5) return 5;
    if (mtc_wait_events(fd, EPOLLIN, 5000) != EPOLLIN) return 6;
    if (mtc_read(fd, data, sizeof data, 5000) != 5 || memcmp(data, "hello", 5) != 0) return 7;
    while (!ended) mtc_sleep(1);
    close(fd);

    if (datagrams() != 3) return 8;
    kept = mtc_get_keep_conn(&address, &sock);
    if (kept == NULL || sock < 0) return 9;
    mtc_free_keep_conn(kept, 1);
    mtc_set_private(&sock);
    if (mtc_get_private() != &sock || mtc_time_ms() < 1000000000000ULL) return 10;
    if (pipe(ends) != 0 || mtc_write(ends[1], "x", 1, 1000) != 1) return 11;
    if (mtc_read(ends[0], data, 1, 1000) != 1 || mtc_read(ends[0], data, 1, 10) != -1) return 12;

    value = GetConfig(arguments[1], "C", "colour");
    if (value == NULL || strcmp(value, "blue") != 0) return 13;
    free(value);
    if (GetConfig(arguments[1], "C", "taste") != NULL) return 14;
    puts("everything works");
    return 0;
}

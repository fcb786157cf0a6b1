#include "mt_capi.h"

#include "mt_api.h"

using namespace NS_MICRO_THREAD;

void mtc_sleep(int ms) { mt_sleep(ms); }

unsigned long long mtc_time_ms(void) { return mt_time_ms(); }

void mtc_set_private(void *data) { mt_set_msg_private(data); }

void *mtc_get_private(void) { return mt_get_msg_private(); }

int mtc_init_frame(void) { return mt_init_frame() ? 1 : 0; }

void mtc_set_stack_size(unsigned int bytes) { mt_set_stack_size(bytes); }

int mtc_recvfrom(int fd, void *buf, int len, int flags, struct sockaddr *from,
                 socklen_t *fromlen, int timeout) {
    return mt_recvfrom(fd, buf, len, flags, from, fromlen, timeout);
}

int mtc_sendto(int fd, const void *msg, int len, int flags, const struct sockaddr *to, int tolen,
               int timeout) {
    return mt_sendto(fd, msg, len, flags, to, tolen, timeout);
}

int mtc_connect(int fd, const struct sockaddr *addr, int addrlen, int timeout) {
    return mt_connect(fd, addr, addrlen, timeout);
}

int mtc_accept(int fd, struct sockaddr *addr, socklen_t *addrlen, int timeout) {
    return mt_accept(fd, addr, addrlen, timeout);
}

ssize_t mtc_read(int fd, void *buf, size_t nbyte, int timeout) {
    return mt_read(fd, buf, nbyte, timeout);
}

ssize_t mtc_write(int fd, const void *buf, size_t nbyte, int timeout) {
    return mt_write(fd, buf, nbyte, timeout);
}

int mtc_recv(int fd, void *buf, int len, int flags, int timeout) {
    return mt_recv(fd, buf, len, flags, timeout);
}

ssize_t mtc_send(int fd, const void *buf, size_t nbyte, int flags, int timeout) {
    return mt_send(fd, buf, nbyte, flags, timeout);
}

int mtc_wait_events(int fd, int events, int timeout) {
    return mt_wait_events(fd, events, timeout);
}

void *mtc_start_thread(void *entry, void *args) { return mt_start_thread(entry, args); }

void *mtc_get_keep_conn(struct sockaddr_in *addr, int *sock) {
    return mt_get_keep_conn(addr, sock);
}

void mtc_free_keep_conn(void *conn, int force_free) { mt_free_keep_conn(conn, force_free != 0); }

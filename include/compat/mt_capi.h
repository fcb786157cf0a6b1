/* mt_api.h for C. What the functions do is said there, of those with mt_ for mtc_. */

#ifndef MSEC_COMPAT_MT_CAPI_H
#define MSEC_COMPAT_MT_CAPI_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

void mtc_sleep(int ms);
unsigned long long mtc_time_ms(void);

/* mt_set_msg_private, mt_get_msg_private. */
void mtc_set_private(void *data);
void *mtc_get_private(void);

/* Not 0: there can be threads of control. */
int mtc_init_frame(void);
void mtc_set_stack_size(unsigned int bytes);

int mtc_recvfrom(int fd, void *buf, int len, int flags, struct sockaddr *from,
                 socklen_t *fromlen, int timeout);
int mtc_sendto(int fd, const void *msg, int len, int flags, const struct sockaddr *to, int tolen,
               int timeout);
int mtc_connect(int fd, const struct sockaddr *addr, int addrlen, int timeout);
int mtc_accept(int fd, struct sockaddr *addr, socklen_t *addrlen, int timeout);
ssize_t mtc_read(int fd, void *buf, size_t nbyte, int timeout);
ssize_t mtc_write(int fd, const void *buf, size_t nbyte, int timeout);
int mtc_recv(int fd, void *buf, int len, int flags, int timeout);
ssize_t mtc_send(int fd, const void *buf, size_t nbyte, int flags, int timeout);
int mtc_wait_events(int fd, int events, int timeout);

void *mtc_start_thread(void *entry, void *args);
void *mtc_get_keep_conn(struct sockaddr_in *addr, int *sock);
void mtc_free_keep_conn(void *conn, int force_free);

#ifdef __cplusplus
}
#endif

#endif

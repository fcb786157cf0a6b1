// Old code's sockets: whole exchanges, and single operations with a time.

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "kept.h"
#include "mt_api.h"
#include "net.h"
#include "runtime.h"

using namespace msec::compat;

namespace NS_MICRO_THREAD {

namespace {

/// How long a connection may take that is made to be lent.
const int CONNECT_MS = 1000;

int refuse() {
    errno = EINVAL;
    return NET_ARGUMENTS;
}

/// Has a descriptor not block as long as one lives.
class not_blocking {
public:
    explicit not_blocking(int fd) : fd_(fd), flags_(fcntl(fd, F_GETFL)) {
        if (flags_ >= 0 && (flags_ & O_NONBLOCK) == 0) fcntl(fd_, F_SETFL, flags_ | O_NONBLOCK);
    }
    ~not_blocking() {
        const int error = errno;
        if (flags_ >= 0 && (flags_ & O_NONBLOCK) == 0) fcntl(fd_, F_SETFL, flags_);
        errno = error;
    }
    not_blocking(const not_blocking &) = delete;
    not_blocking &operator=(const not_blocking &) = delete;

private:
    int fd_;
    int flags_;
};

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

/// Tries until it does not fail for want of readiness. What `attempt` returned at last; -1 with
/// errno.
template <typename Attempt>
ssize_t patiently(int fd, int events, const limit &end, Attempt attempt) {
    for (;;) {
        const ssize_t done = attempt();
        if (done >= 0) return done;
        if (would_block()) {
            const int found = wait_fd(fd, events, end.left_ms());
            if (found == 0) errno = ETIME;
            if (found <= 0) return -1;
        } else if (errno != EINTR) {
            return -1;
        }
    }
}

/// As `patiently`, with parts until all is done. All of it, or -1.
template <typename Attempt>
ssize_t wholly(int fd, size_t size, int timeout, Attempt attempt) {
    const limit end(timeout);
    size_t done = 0;
    while (done < size) {
        const ssize_t part = patiently(fd, POLLOUT, end, [&] { return attempt(done); });
        if (part < 0) return -1;
        done += static_cast<size_t>(part);
    }
    return static_cast<ssize_t>(done);
}

bool is_socket(int fd) {
    int type;
    socklen_t length = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0;
}

/// What mt_get_keep_conn lends.
struct lent {
    sockaddr_in peer;
    int fd;
};

}  // namespace

int mt_udpsendrcv(struct sockaddr_in *dst, void *pkg, int len, void *rcv_buf, int &buf_size,
                  int timeout) {
    if (dst == nullptr || pkg == nullptr || len < 0 || rcv_buf == nullptr || buf_size <= 0) {
        return refuse();
    }
    std::string answer;
    const int code = udp_call(*dst, static_cast<char *>(pkg), static_cast<size_t>(len), answer,
                              timeout, static_cast<size_t>(buf_size));
    if (code != NET_OK) return code;
    memcpy(rcv_buf, answer.data(), answer.size());
    buf_size = static_cast<int>(answer.size());
    return 0;
}

int mt_tcpsendrcv_ex(struct sockaddr_in *dst, void *pkg, int len, void *rcv_buf, int *buf_size,
                     int timeout, MtFuncTcpMsgLen check_func, MT_TCP_CONN_TYPE type) {
    const bool send_only = type == MT_TCP_SHORT_SNDONLY || type == MT_TCP_LONG_SNDONLY;
    const bool kept = type == MT_TCP_LONG || type == MT_TCP_LONG_SNDONLY;
    if (dst == nullptr || len < 1 || type < MT_TCP_SHORT || type > MT_TCP_LONG_SNDONLY ||
        (!send_only && (rcv_buf == nullptr || buf_size == nullptr || *buf_size <= 0))) {
        return refuse();
    }
    tcp_manner manner = {kept, send_only, 0};
    if (!send_only) manner.answer_max = static_cast<size_t>(*buf_size);
    std::string answer;
    const int code = tcp_exchange(*dst, static_cast<char *>(pkg), static_cast<size_t>(len),
                                  answer, check_func, timeout, manner);
    if (code != NET_OK || send_only) return code;
    memcpy(rcv_buf, answer.data(), answer.size());
    *buf_size = static_cast<int>(answer.size());
    return 0;
}

int mt_tcpsendrcv(struct sockaddr_in *dst, void *pkg, int len, void *rcv_buf, int &buf_size,
                  int timeout, MtFuncTcpMsgLen check_func) {
    return mt_tcpsendrcv_ex(dst, pkg, len, rcv_buf, &buf_size, timeout, check_func, MT_TCP_LONG);
}

int mt_tcpsendrcv_v2(struct sockaddr_in *dst, void *pkg, int len, void **rcv_buf, int &buf_size,
                     int timeout, MtFuncTcpMsgLen check_func) {
    if (dst == nullptr || len < 1 || rcv_buf == nullptr) return refuse();
    std::string answer;
    const int code = tcp_call(*dst, static_cast<char *>(pkg), static_cast<size_t>(len), answer,
                              check_func, timeout);
    if (code == NET_TOO_SMALL) return NET_NO_MEMORY;
    if (code != NET_OK) return code;
    void *copy = malloc(answer.size());
    if (copy == nullptr) return NET_NO_MEMORY;
    memcpy(copy, answer.data(), answer.size());
    *rcv_buf = copy;
    buf_size = static_cast<int>(answer.size());
    return 0;
}

int mt_recvfrom(int fd, void *buf, int len, int flags, struct sockaddr *from, socklen_t *fromlen,
                int timeout) {
    const size_t size = static_cast<size_t>(std::max(len, 0));
    return static_cast<int>(patiently(fd, POLLIN, limit(timeout), [=] {
        return recvfrom(fd, buf, size, flags | MSG_DONTWAIT, from, fromlen);
    }));
}

int mt_sendto(int fd, const void *msg, int len, int flags, const struct sockaddr *to, int tolen,
              int timeout) {
    const size_t size = static_cast<size_t>(std::max(len, 0));
    return static_cast<int>(patiently(fd, POLLOUT, limit(timeout), [=] {
        return sendto(fd, msg, size, flags | MSG_DONTWAIT | MSG_NOSIGNAL, to,
                      static_cast<socklen_t>(tolen));
    }));
}

int mt_connect(int fd, const struct sockaddr *addr, int addrlen, int timeout) {
    const not_blocking for_now(fd);
    if (connect(fd, addr, static_cast<socklen_t>(addrlen)) == 0 || errno == EISCONN) return 0;
    if (errno != EINPROGRESS && errno != EALREADY && errno != EINTR) return -1;
    const int found = wait_fd(fd, POLLOUT, timeout);
    if (found == 0) errno = ETIME;
    if (found <= 0) return -1;
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return -1;
    errno = error;
    return error == 0 ? 0 : -1;
}

int mt_accept(int fd, struct sockaddr *addr, socklen_t *addrlen, int timeout) {
    const not_blocking for_now(fd);
    return static_cast<int>(
        patiently(fd, POLLIN, limit(timeout), [=] { return accept(fd, addr, addrlen); }));
}

ssize_t mt_read(int fd, void *buf, size_t nbyte, int timeout) {
    if (is_socket(fd)) {
        return patiently(fd, POLLIN, limit(timeout),
                         [=] { return recv(fd, buf, nbyte, MSG_DONTWAIT); });
    }
    const not_blocking for_now(fd);
    return patiently(fd, POLLIN, limit(timeout), [=] { return read(fd, buf, nbyte); });
}

ssize_t mt_write(int fd, const void *buf, size_t nbyte, int timeout) {
    if (is_socket(fd)) return mt_send(fd, buf, nbyte, 0, timeout);
    const not_blocking for_now(fd);
    const char *data = static_cast<const char *>(buf);
    return wholly(fd, nbyte, timeout,
                  [=](size_t done) { return write(fd, data + done, nbyte - done); });
}

int mt_recv(int fd, void *buf, int len, int flags, int timeout) {
    const size_t size = static_cast<size_t>(std::max(len, 0));
    return static_cast<int>(patiently(
        fd, POLLIN, limit(timeout), [=] { return recv(fd, buf, size, flags | MSG_DONTWAIT); }));
}

ssize_t mt_send(int fd, const void *buf, size_t nbyte, int flags, int timeout) {
    const char *data = static_cast<const char *>(buf);
    return wholly(fd, nbyte, timeout, [=](size_t done) {
        return send(fd, data + done, nbyte - done, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    });
}

int mt_wait_events(int fd, int events, int timeout) {
    const limit end(timeout);
    // A wait may end before its time, and nothing has come.
    for (;;) {
        const int found = wait_fd(fd, events, end.left_ms());
        if (found != 0 || end.left_ms() == 0) return found;
    }
}

void *mt_get_keep_conn(struct sockaddr_in *addr, int *sock) {
    if (addr == nullptr || sock == nullptr) return nullptr;
    int fd = take_kept(*addr);
    int code = NET_OK;
    if (fd < 0) fd = connect_to(*addr, limit(CONNECT_MS), code);
    if (fd < 0) return nullptr;
    lent *one = new (std::nothrow) lent;
    if (one == nullptr) {
        close(fd);
        return nullptr;
    }
    one->peer = *addr;
    one->fd = fd;
    *sock = fd;
    return one;
}

void mt_free_keep_conn(void *conn, bool force_free) {
    lent *one = static_cast<lent *>(conn);
    if (one == nullptr) return;
    if (force_free) {
        close(one->fd);
    } else {
        keep(one->peer, one->fd);
    }
    delete one;
}

}  // namespace NS_MICRO_THREAD

// An exchange: a connection, a request, an answer, in one time for all of it.
//
//   take_kept ─► send ─► receive until `check` says that it is whole ─► keep
//       │ none               │ it had died before, and nothing has come
//       ▼                    ▼
//   connect_to ─► send ─► receive ─► keep, if nothing else came; else close
//
// All sockets are non-blocking: each operation is tried, and only what is not ready is waited for.
// A connection that is refused or reset ends the wait at once: the kernel reports it as ready.

#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "kept.h"
#include "monitor.h"
#include "runtime.h"

namespace msec {
namespace compat {

namespace {

/// What a buffer begins with, and is doubled from.
const size_t FIRST_BYTES = 64 << 10;

/// Closed when it goes, unless it was released.
class socket_guard {
public:
    explicit socket_guard(int fd) : fd_(fd) {}
    ~socket_guard() {
        if (fd_ < 0) return;
        const int error = errno;
        close(fd_);
        errno = error;
    }
    socket_guard(const socket_guard &) = delete;
    socket_guard &operator=(const socket_guard &) = delete;
    int fd() const { return fd_; }
    int release() {
        const int fd = fd_;
        fd_ = -1;
        return fd;
    }

private:
    int fd_;
};

/// Waits for `events`; 0, or -1 with errno, which is ETIME if there is no time left.
int ready(int fd, int events, const limit &end) {
    const int found = wait_fd(fd, events, end.left_ms());
    if (found > 0) return 0;
    if (found == 0) errno = ETIME;
    return -1;
}

/// Sends all of it; 0, or -1 with errno.
int send_all(int fd, const char *data, size_t size, const limit &end) {
    while (size > 0) {
        const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            data += sent;
            size -= static_cast<size_t>(sent);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (ready(fd, POLLOUT, end) != 0) return -1;
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

/// Receives what is there, at least a byte. Bytes; 0 at the end of the stream; -1 with errno.
ssize_t recv_some(int fd, char *data, size_t size, const limit &end) {
    for (;;) {
        const ssize_t got = recv(fd, data, size, MSG_DONTWAIT);
        if (got >= 0) return got;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (ready(fd, POLLIN, end) != 0) return -1;
        } else if (errno != EINTR) {
            return -1;
        }
    }
}

/// What a connection has told of an answer.
struct received {
    /// Bytes that came.
    size_t size;
    /// Nothing else has come after the answer, so the next one will be in step.
    bool in_step;
};

int failed(int code, int error) {
    errno = error;
    return code;
}

/// Counts a failure where the original counted it; the code.
int counted(int code) {
    const int error = errno;
    if (code == NET_CONNECT) attribute_add("frm.mt ", "connect failed", 1);
    if (code == NET_SEND) attribute_add("frm.mt ", "send failed", 1);
    if (code == NET_RECV) attribute_add("frm.mt ", "recv failed", 1);
    errno = error;
    return code;
}

/// Receives into `answer` until it is whole, which is what it is cut to.
int recv_answer(int fd, std::string &answer, check_length check, const limit &end,
                size_t answer_max, received &so_far) {
    answer.resize(std::min(FIRST_BYTES, answer_max));
    for (;;) {
        if (so_far.size == answer.size()) {
            if (answer.size() >= answer_max) return failed(NET_TOO_SMALL, EMSGSIZE);
            answer.resize(std::min(answer.size() * 2, answer_max));
        }
        const ssize_t got =
            recv_some(fd, &answer[so_far.size], answer.size() - so_far.size, end);
        if (got < 0) return NET_RECV;
        if (got == 0) return failed(NET_CLOSED, ECONNABORTED);
        so_far.size += static_cast<size_t>(got);
        const int told = check(&answer[0], static_cast<int>(so_far.size));
        if (told < 0) return failed(NET_CHECK, EBADMSG);
        const size_t whole = static_cast<size_t>(told);
        if (whole > answer_max) return failed(NET_TOO_SMALL, EMSGSIZE);
        if (whole != 0 && whole <= so_far.size) {
            so_far.in_step = whole == so_far.size;
            answer.resize(whole);
            return NET_OK;
        }
    }
}

/// A request and its answer on one connection.
int on_connection(int fd, const char *data, size_t size, std::string &answer, check_length check,
                  const limit &end, const tcp_manner &manner, received &so_far) {
    if (send_all(fd, data, size, end) != 0) return NET_SEND;
    if (manner.send_only) {
        so_far.in_step = true;
        return NET_OK;
    }
    return recv_answer(fd, answer, check, end, manner.answer_max, so_far);
}

/// Whether an exchange on a kept connection ended in the way of one that had died before.
bool had_died(int code, const received &so_far) {
    if (so_far.size != 0) return false;
    if (code == NET_CLOSED) return true;
    return (code == NET_SEND || code == NET_RECV) && (errno == EPIPE || errno == ECONNRESET);
}

int exchange(const sockaddr_in &peer, const char *data, size_t size, std::string &answer,
             check_length check, const limit &end, const tcp_manner &manner) {
    if (manner.kept) {
        socket_guard old(take_kept(peer));
        received so_far = {0, false};
        if (old.fd() >= 0) {
            const int code =
                on_connection(old.fd(), data, size, answer, check, end, manner, so_far);
            if (code == NET_OK && so_far.in_step) keep(peer, old.release());
            if (!had_died(code, so_far)) return code;
        }
    }
    int code = NET_OK;
    socket_guard fresh(connect_to(peer, end, code));
    if (fresh.fd() < 0) return code;
    received so_far = {0, false};
    code = on_connection(fresh.fd(), data, size, answer, check, end, manner, so_far);
    if (code == NET_OK && so_far.in_step && manner.kept) keep(peer, fresh.release());
    return code;
}

}  // namespace

int64_t monotonic_ms() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

limit::limit(int timeout_ms) : end_ms_(timeout_ms < 0 ? -1 : monotonic_ms() + timeout_ms) {}

int limit::left_ms() const {
    if (end_ms_ < 0) return -1;
    return static_cast<int>(std::max<int64_t>(end_ms_ - monotonic_ms(), 0));
}

int connect_to(const sockaddr_in &peer, const limit &end, int &code) {
    socket_guard fresh(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fresh.fd() < 0) {
        code = NET_SOCKET;
        return -1;
    }
    const int on = 1;
    setsockopt(fresh.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    code = NET_CONNECT;
    if (connect(fresh.fd(), reinterpret_cast<const sockaddr *>(&peer), sizeof peer) != 0) {
        if (errno != EINPROGRESS || ready(fresh.fd(), POLLOUT, end) != 0) return -1;
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(fresh.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0) {
            errno = error;
            return -1;
        }
    }
    code = NET_OK;
    return fresh.release();
}

int tcp_exchange(const sockaddr_in &peer, const char *data, size_t size, std::string &answer,
                 check_length check, int timeout_ms, const tcp_manner &manner) {
    if (data == nullptr || size == 0 || (!manner.send_only && check == nullptr)) {
        return failed(NET_ARGUMENTS, EINVAL);
    }
    try {
        return counted(exchange(peer, data, size, answer, check, limit(timeout_ms), manner));
    } catch (const std::bad_alloc &) {
        return failed(NET_NO_MEMORY, ENOMEM);
    }
}

int tcp_call(const sockaddr_in &peer, const char *data, size_t size, std::string &answer,
             check_length check, int timeout_ms) {
    const tcp_manner manner = {true, false, ANSWER_BYTES_MAX};
    return tcp_exchange(peer, data, size, answer, check, timeout_ms, manner);
}

int udp_call(const sockaddr_in &peer, const char *data, size_t size, std::string &answer,
             int timeout_ms, size_t answer_max) {
    const limit end(timeout_ms);
    socket_guard fresh(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fresh.fd() < 0) return NET_SOCKET;
    // Connected, it takes nothing from strangers, and hears that nobody listens there.
    if (connect(fresh.fd(), reinterpret_cast<const sockaddr *>(&peer), sizeof peer) != 0 ||
        send_all(fresh.fd(), data, size, end) != 0) {
        return counted(NET_SEND);
    }
    answer.resize(std::min<size_t>(answer_max, 65536));
    const ssize_t got = recv_some(fresh.fd(), &answer[0], answer.size(), end);
    if (got < 0) return counted(NET_RECV);
    answer.resize(static_cast<size_t>(got));
    return NET_OK;
}

}  // namespace compat
}  // namespace msec

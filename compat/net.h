// Old code's own sockets: one request, one answer, on connections that are kept for the next one.

#ifndef MSEC_COMPAT_NET_H
#define MSEC_COMPAT_NET_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include <string>

namespace msec {
namespace compat {

/// What an exchange ends with. errno says more: what the kernel said; ETIME when the time is over,
/// EBADMSG (NET_CHECK), EMSGSIZE (NET_TOO_SMALL), ECONNABORTED (NET_CLOSED).
enum {
    NET_OK = 0,
    NET_SOCKET = -1,
    NET_SEND = -2,
    NET_RECV = -3,
    NET_CONNECT = -4,
    NET_CHECK = -5,
    NET_TOO_SMALL = -6,
    NET_CLOSED = -7,
    NET_ARGUMENTS = -10,
    NET_NO_MEMORY = -11
};

/// Says how long a whole answer is that begins with these bytes: 0 if more are needed to tell,
/// negative if this is none.
typedef int (*check_length)(void *data, int size);

/// How an exchange by TCP is done.
struct tcp_manner {
    /// On a connection that is kept; else on one of its own.
    bool kept;
    /// The answer is not waited for.
    bool send_only;
    /// Bytes of the longest answer; NET_TOO_SMALL if it says that it is longer.
    size_t answer_max;
};

/// Bytes of an answer that nobody has made a buffer for.
const size_t ANSWER_BYTES_MAX = 100 << 20;

/// Sends `size` bytes at `data`, and waits until `check` says that the answer is whole. `answer`
/// becomes that, without what came after its end. `timeout_ms` is for all of it, and negative
/// forever. Suspends a coroutine, blocks another thread.
///
/// A connection that is kept may have died while nobody looked: then the request is sent once
/// more, on a new one.
int tcp_exchange(const sockaddr_in &peer, const char *data, size_t size, std::string &answer,
                 check_length check, int timeout_ms, const tcp_manner &manner);

/// As tcp_exchange, on a connection that is kept, with an answer of up to ANSWER_BYTES_MAX.
int tcp_call(const sockaddr_in &peer, const char *data, size_t size, std::string &answer,
             check_length check, int timeout_ms);

/// Sends a datagram, and waits for one from the same peer, of which `answer` becomes up to
/// `answer_max` bytes. Suspends a coroutine, blocks another thread.
int udp_call(const sockaddr_in &peer, const char *data, size_t size, std::string &answer,
             int timeout_ms, size_t answer_max = 65536);

/// A time on the monotonic clock, in milliseconds.
int64_t monotonic_ms();

/// When something is over that may take so long; negative: never.
class limit {
public:
    explicit limit(int timeout_ms);
    /// What is left, never less than 0; -1 if it never ends.
    int left_ms() const;

private:
    int64_t end_ms_;
};

}  // namespace compat
}  // namespace msec

#endif

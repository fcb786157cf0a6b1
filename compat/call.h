// One call on the engine, in the words of old code.

#ifndef MSEC_COMPAT_CALL_H
#define MSEC_COMPAT_CALL_H

#include <stdint.h>

#include <string>

namespace msec {
namespace compat {

/// What to call, and how.
struct wanted {
    /// A service, `ip:port`, or `ip:port@udp`.
    std::string target;
    std::string method;
    std::string body;
    /// In milliseconds, more than 0.
    int32_t timeout_ms;
    bool dyed;
    /// The name that the callee sees; empty: that of this service.
    std::string caller;
    /// Whether a call that took too long ends with -12; else with -13, as the rest that goes wrong
    /// on the way does.
    bool tells_timeouts;
};

/// How it ended.
struct answer {
    /// 0, or a code.
    int32_t code;
    /// Whether the code is the callee's own, and one that old code knows.
    bool answered;
    /// What the method returned.
    int32_t result;
    std::string body;
    /// What went wrong.
    std::string text;
};

/// Calls, and waits: suspends the coroutine, or blocks a plain thread.
///
/// The engine knows more kinds of failures than old code does. -101, -104, -108 and -109 are -13 to
/// it, -102 and -103 are -12 or -13, whoever says so; and so are -11 and -10, unless they are the
/// callee's answer.
answer call(const wanted &asked);

}  // namespace compat
}  // namespace msec

#endif

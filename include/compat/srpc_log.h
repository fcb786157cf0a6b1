// The log of old code: printf-style lines, each with the options of the request that it is about.
//
// There is one stream of records, which the engine writes (and from where it is collected). So
// LLOG_ (local), RLOG_ (remote) and NGLOG_ (both) do the same thing. A record has FileLine,
// Function and Level, and by itself ReqID, ClientIP, ServerIP, RPCName, Caller, ServiceName and,
// of a coloured request, Coloring.
//
// The arguments are evaluated only if the record is kept: if its level passes, or the request is
// coloured. From any thread of control; never waits.

#ifndef MSEC_COMPAT_SRPC_LOG_H
#define MSEC_COMPAT_SRPC_LOG_H

#include <stdarg.h>
#include <stdint.h>

#include <string>
#include <utility>
#include <vector>

namespace srpc {

/// What all records of a request say, beside what they say by themselves. Up to 16 keys; a second
/// value for a key replaces the first. If colouring waits for a key and its value ([COLOR] of
/// config.ini), the request is coloured.
class CLogOption {
public:
    CLogOption() : changes_(0) {}

    void Set(const char *key, const char *value);
    void Set(const char *key, const std::string &value) { Set(key, value.c_str()); }
    void Set(const char *key, int value) { Set(key, static_cast<long long>(value)); }
    void Set(const char *key, unsigned value) { Set(key, static_cast<long long>(value)); }
    void Set(const char *key, long value) { Set(key, static_cast<long long>(value)); }
    void Set(const char *key, unsigned long value) {
        Set(key, static_cast<unsigned long long>(value));
    }
    void Set(const char *key, long long value);
    void Set(const char *key, unsigned long long value);

    /// Has the running thread of control, which has seen so many changes, know the others.
    unsigned Apply(unsigned seen) const;
    /// How many changes there were.
    unsigned Changes() const { return changes_; }

private:
    std::vector<std::pair<std::string, std::string> > pairs_;
    unsigned changes_;
};

}  // namespace srpc

namespace msec {
namespace compat {

/// The levels as configuration and old code have them.
enum { LEVEL_TRACE = 0, LEVEL_DEBUG = 1, LEVEL_INFO = 2, LEVEL_ERROR = 3, LEVEL_FATAL = 4 };

/// Where a record is logged. NULL for what is not known.
struct place {
    const char *file;
    int line;
    const char *function;
};

inline place place_of(const char *file, int line, const char *function) {
    const place here = {file, line, function};
    return here;
}

/// Whether a record of that level would be kept here.
bool log_is_on(int level);

/// Logs a record, whatever its level.
void log_write(int level, const place &where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void log_write_list(int level, const place &where, const char *format, va_list arguments);

/// The options of the request that is worked for; outside of any, of the thread of control.
srpc::CLogOption &log_options();

}  // namespace compat
}  // namespace msec

#define MSEC_COMPAT_LOG(level, ...)                                               \
    do {                                                                          \
        if (::msec::compat::log_is_on(level)) {                                   \
            ::msec::compat::log_write(level, MSEC_COMPAT_HERE, __VA_ARGS__);      \
        }                                                                         \
    } while (0)
#define MSEC_COMPAT_HERE ::msec::compat::place_of(__FILE__, __LINE__, __func__)

#define NGLOG_DEBUG(...) MSEC_COMPAT_LOG(::msec::compat::LEVEL_DEBUG, __VA_ARGS__)
#define NGLOG_INFO(...) MSEC_COMPAT_LOG(::msec::compat::LEVEL_INFO, __VA_ARGS__)
#define NGLOG_ERROR(...) MSEC_COMPAT_LOG(::msec::compat::LEVEL_ERROR, __VA_ARGS__)
#define NGLOG_FATAL(...) MSEC_COMPAT_LOG(::msec::compat::LEVEL_FATAL, __VA_ARGS__)

#define RLOG_DEBUG(...) NGLOG_DEBUG(__VA_ARGS__)
#define RLOG_INFO(...) NGLOG_INFO(__VA_ARGS__)
#define RLOG_ERROR(...) NGLOG_ERROR(__VA_ARGS__)
#define RLOG_FATAL(...) NGLOG_FATAL(__VA_ARGS__)

#define LLOG_DEBUG(...) NGLOG_DEBUG(__VA_ARGS__)
#define LLOG_INFO(...) NGLOG_INFO(__VA_ARGS__)
#define LLOG_ERROR(...) NGLOG_ERROR(__VA_ARGS__)
#define LLOG_FATAL(...) NGLOG_FATAL(__VA_ARGS__)

#define NGLOG_SET_OPTION(key, value) ::msec::compat::log_options().Set(key, value)
#define RLOG_SET_OPTION(key, value) NGLOG_SET_OPTION(key, value)

#endif

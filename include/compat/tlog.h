// The log of the server, as plugins of old write to it: base->log_.LOG_P_FILE(LOG_INFO, "...", n).
//
// There is one log, that of srpc_log.h, and its records have all that the flags could ask for:
// time, level, file and line. So the macros do the same thing. Their arguments are evaluated only
// if the record is kept.

#ifndef MSEC_COMPAT_TLOG_H
#define MSEC_COMPAT_TLOG_H

#include "srpc_log.h"

namespace spp {
namespace comm {

enum {
    LOG_TRACE = ::msec::compat::LEVEL_TRACE,
// Where syslog.h was included, its numbers have these names, and are understood.
#ifndef LOG_DEBUG
    LOG_DEBUG = ::msec::compat::LEVEL_DEBUG,
#endif
#ifndef LOG_INFO
    LOG_INFO = ::msec::compat::LEVEL_INFO,
#endif
    LOG_ERROR = ::msec::compat::LEVEL_ERROR,
    LOG_FATAL = ::msec::compat::LEVEL_FATAL,
    LOG_NONE = 5
};

/// The log of the server.
class CTLog {
public:
    /// Logs a record, if its level is on. `flag` has no effect.
    void log_i(int flag, int level, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

    /// Whether records of that level are not kept here.
    bool is_off(int level) const {
        return level == LOG_NONE || !::msec::compat::log_is_on(level);
    }
};

}  // namespace comm
}  // namespace spp

#define LOG_P(level, ...) \
    is_off(level) ? (void)0 : ::msec::compat::log_write(level, MSEC_COMPAT_HERE, __VA_ARGS__)
#define LOG_P_PID(level, ...) LOG_P(level, __VA_ARGS__)
#define LOG_P_LEVEL(level, ...) LOG_P(level, __VA_ARGS__)
#define LOG_P_FILE(level, ...) LOG_P(level, __VA_ARGS__)
#define LOG_P_ALL(level, ...) LOG_P(level, __VA_ARGS__)
#define LOG_P_NOTIME(level, ...) LOG_P(level, __VA_ARGS__)

#endif

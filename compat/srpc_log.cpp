#include "srpc_log.h"

#include <stdarg.h>
#include <stdio.h>

#include <msec.h>

#include "request.h"

namespace srpc {

namespace {

/// As many as the engine keeps of a coroutine.
const size_t OPTIONS_MAX = 16;

}  // namespace

void CLogOption::Set(const char *key, const char *value) {
    if (key == nullptr || value == nullptr) return;
    size_t at = 0;
    while (at < pairs_.size() && pairs_[at].first != key) at++;
    if (at == pairs_.size()) {
        if (at == OPTIONS_MAX) return;
        pairs_.push_back(std::make_pair(std::string(key), std::string()));
    }
    if (pairs_[at].second == value) return;
    pairs_[at].second = value;
    changes_++;
    msec::compat::expect_options();
    // At once, since the request may be coloured by it, and so may what it calls.
    msec::compat::apply_options();
}

void CLogOption::Set(const char *key, long long value) {
    Set(key, std::to_string(value).c_str());
}

void CLogOption::Set(const char *key, unsigned long long value) {
    Set(key, std::to_string(value).c_str());
}

unsigned CLogOption::Apply(unsigned seen) const {
    if (seen == changes_) return seen;
    for (size_t i = 0; i < pairs_.size(); i++) {
        msec_log_option(pairs_[i].first.c_str(), pairs_[i].second.c_str());
    }
    return changes_;
}

}  // namespace srpc

namespace msec {
namespace compat {

namespace {

/// LOG_INFO and LOG_DEBUG of syslog.h, which takes the names for itself where it is included.
enum { SYSLOG_INFO = 6, SYSLOG_DEBUG = 7 };

/// Between INFO and ERROR the engine has one more.
uint32_t level_of(int level) {
    switch (level) {
        case LEVEL_TRACE: return MSEC_LOG_TRACE;
        case LEVEL_DEBUG:
        case SYSLOG_DEBUG: return MSEC_LOG_DEBUG;
        case LEVEL_INFO:
        case SYSLOG_INFO: return MSEC_LOG_INFO;
        case LEVEL_ERROR: return MSEC_LOG_ERROR;
        default: return MSEC_LOG_FATAL;
    }
}

/// A record is a line; what old code ends its lines with is not part of it.
size_t without_line_end(const char *text, size_t size) {
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r')) size--;
    return size;
}

}  // namespace

bool log_is_on(int level) {
    apply_options();
    return msec_log_is_on(level_of(level));
}

void log_write(int level, const place &where, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    log_write_list(level, where, format, arguments);
    va_end(arguments);
}

void log_write_list(int level, const place &where, const char *format, va_list arguments) {
    char few[512];
    va_list again;
    va_copy(again, arguments);
    const int needed = vsnprintf(few, sizeof few, format, arguments);
    std::string many;
    const char *text = few;
    if (needed >= static_cast<int>(sizeof few)) {
        many.resize(static_cast<size_t>(needed) + 1);
        vsnprintf(&many[0], many.size(), format, again);
        text = many.c_str();
    }
    va_end(again);
    if (needed < 0) return;
    std::string source;
    if (where.file != nullptr) source = std::string(where.file) + ":" + std::to_string(where.line);
    const msec_field function = {"Function", where.function};
    msec_log(level_of(level), source.c_str(), text,
             without_line_end(text, static_cast<size_t>(needed)), &function,
             where.function == nullptr ? 0 : 1);
}

srpc::CLogOption &log_options() { return current_request().options; }

}  // namespace compat
}  // namespace msec

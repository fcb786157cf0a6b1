// Records, and notes about the request that is being served.

#ifndef MSEC_LOG_HPP
#define MSEC_LOG_HPP

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "../msec.h"
#include "error.hpp"

namespace msec {

/// Logs a record, if its level is on. `source` is the place in the program.
inline void log(uint32_t level, const char *source, std::string_view text,
                std::initializer_list<msec_field> fields = {}) {
    msec_log(level, source, text.data(), text.size(), fields.begin(), fields.size());
}

/// Notes something in the span of the request that the calling code works for.
inline void annotate(std::string_view text) { msec_annotate(text.data(), text.size()); }

/// Adds a field to all further records of the request that is being served.
inline void log_option(const std::string &key, const std::string &value) {
    error::check(msec_log_option(key.c_str(), value.c_str()));
}

}  // namespace msec

#define MSEC_TEXT_OF_(line) #line
#define MSEC_TEXT_OF(line) MSEC_TEXT_OF_(line)
/// Logs with the place that it stands at, and makes the text only if the level is on:
/// MSEC_LOG_AT(MSEC_LOG_INFO, "order " + id + " placed", {{"pieces", "3"}, {"city", "Koeln"}}).
#define MSEC_LOG_AT(level, ...)                                                                   \
    do {                                                                                          \
        if (msec_log_is_on(level)) {                                                              \
            ::msec::log((level), __FILE__ ":" MSEC_TEXT_OF(__LINE__), __VA_ARGS__);               \
        }                                                                                         \
    } while (false)

#endif

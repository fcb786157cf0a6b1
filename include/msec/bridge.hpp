// What all of msec.hpp needs on the way to C and back: slices, times, handles, exceptions. Not for
// programs.

#ifndef MSEC_BRIDGE_HPP
#define MSEC_BRIDGE_HPP

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <string_view>
#include <utility>

#include "../msec.h"
#include "error.hpp"

namespace msec {

using std::chrono::milliseconds;

namespace detail {

inline std::string_view view(msec_slice slice) {
    return slice.data == nullptr ? std::string_view() : std::string_view(slice.data, slice.size);
}

/// A time limit in the form of C: 0 is none, so no time at all becomes the shortest there is.
inline uint32_t limit(milliseconds time) {
    if (time == milliseconds::max()) return 0;
    if (time.count() <= 0) return 1;
    return time.count() < UINT32_MAX ? static_cast<uint32_t>(time.count()) : UINT32_MAX;
}

template <class T, void (*Free)(T *)>
struct freeing {
    void operator()(T *handle) const noexcept { Free(handle); }
};
template <class T, void (*Free)(T *)>
using handle = std::unique_ptr<T, freeing<T, Free>>;

using reply = handle<msec_reply, msec_reply_free>;
using text = handle<msec_text, msec_text_free>;

/// Tells the log what a handler threw that nobody has caught.
inline void log_thrown(const char *what) noexcept {
    constexpr std::string_view text = "a handler threw an exception";
    const msec_field field = {"what", what};
    msec_log(MSEC_LOG_ERROR, "msec.hpp", text.data(), text.size(), &field, 1);
}

/// Runs a function whose exceptions must not be seen by C; `failed` is told what().
template <class Function, class Failed>
int32_t barrier(Function &&function, Failed &&failed) noexcept {
    try {
        return function();
    } catch (const error &thrown) {
        failed(thrown.what());
        return thrown.status().code();
    } catch (const std::exception &thrown) {
        failed(thrown.what());
    } catch (...) {
        failed("an exception that is no std::exception");
    }
    return MSEC_ESERVICE_FAILED;
}

}  // namespace detail

}  // namespace msec

#endif

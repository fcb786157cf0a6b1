// Calls in protocols that the engine does not know.

#ifndef MSEC_RAW_HPP
#define MSEC_RAW_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "../msec.h"
#include "bridge.hpp"
#include "error.hpp"

namespace msec {

/// Calls a third party: sends bytes to an address and waits for an answer, whose end `length`
/// finds: `int64_t length(std::string_view)` returns its size, 0 for "more", or a negative number.
/// Suspends; only on a coroutine.
template <class Length>
result<std::string> call_third_party(const std::string &address, std::string_view request,
                                     Length length, milliseconds timeout = milliseconds(1000)) {
    const auto measure = [](void *userdata, const char *data, size_t size) noexcept -> int64_t {
        try {
            return (*static_cast<Length *>(userdata))(std::string_view(data, size));
        } catch (...) {
            return -1;
        }
    };
    msec_reply *answer = nullptr;
    const int32_t code = msec_raw_call(address.c_str(), request.data(), request.size(), measure,
                                       &length, detail::limit(timeout), &answer);
    const detail::reply reply(answer);
    if (code != MSEC_OK) return status::last(code);
    return std::string(detail::view(msec_reply_body(reply.get())));
}

}  // namespace msec

#endif

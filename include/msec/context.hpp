// The request that is being served, as its handler sees it.

#ifndef MSEC_CONTEXT_HPP
#define MSEC_CONTEXT_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../msec.h"
#include "bridge.hpp"
#include "error.hpp"

namespace msec {

/// The request that a handler serves. Valid while the handler runs, on its thread.
class context {
public:
    explicit context(msec_context *handle) noexcept : handle_(handle) {}

    std::string_view body() const { return detail::view(msec_context_body(handle_)); }
    std::string_view method() const { return detail::view(msec_context_method(handle_)); }
    std::string_view caller() const { return detail::view(msec_context_caller(handle_)); }
    std::string_view peer() const { return detail::view(msec_context_peer(handle_)); }

    /// The value of a user header; empty if there is none.
    std::string_view header(const std::string &key) const {
        return detail::view(msec_context_header(handle_, key.c_str()));
    }

    /// All user headers, in the order in which they came.
    std::vector<std::pair<std::string_view, std::string_view>> headers() const {
        std::vector<std::pair<std::string_view, std::string_view>> all;
        msec_slice key, value;
        while (msec_context_header_at(handle_, all.size(), &key, &value)) {
            all.emplace_back(detail::view(key), detail::view(value));
        }
        return all;
    }

    /// Who the peer is by its certificate: `what` is MSEC_IDENTITY_..., `index` counts from 0 where
    /// there may be several; empty beyond the last, or without a certificate.
    std::string_view identity(uint32_t what, size_t index = 0) const {
        return detail::view(msec_context_identity(handle_, what, index));
    }

    /// What an HTTP request of the handler's own is to carry as `traceparent`; may be empty.
    std::string_view traceparent() const {
        return detail::view(msec_context_traceparent(handle_));
    }

    /// How long the caller still waits; milliseconds::max() when there is no limit.
    milliseconds remaining() const {
        const int64_t ms = msec_context_remaining_ms(handle_);
        return ms < 0 ? milliseconds::max() : milliseconds(ms);
    }

    bool is_cancelled() const { return msec_context_is_cancelled(handle_); }
    bool is_dyed() const { return msec_context_is_dyed(handle_); }
    bool is_one_way() const { return msec_context_is_one_way(handle_); }
    uint64_t flow_id() const { return msec_context_flow_id(handle_); }
    uint32_t attempt() const { return msec_context_attempt(handle_); }
    /// One of MSEC_PRIORITY_...
    uint32_t priority() const { return msec_context_priority(handle_); }

    /// Sets the business return value that travels in the answer's head.
    void set_result(int32_t result) { msec_context_set_result(handle_, result); }

    /// Sets the body of the answer, for methods of bytes.
    void answer(std::string_view body) {
        error::check(msec_context_answer(handle_, body.data(), body.size()));
    }

    msec_context *handle() const noexcept { return handle_; }

private:
    msec_context *handle_;
};

}  // namespace msec

#endif

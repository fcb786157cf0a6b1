// Calls: a service by name or an address, one call at a time or several.

#ifndef MSEC_CLIENT_HPP
#define MSEC_CLIENT_HPP

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../msec.h"
#include "bridge.hpp"
#include "engine.hpp"
#include "error.hpp"
#include "message.hpp"

namespace msec {

/// What a call may say beyond its method and message.
struct call_options {
    /// Connecting, sending and waiting together; a nested call waits no longer than its request's
    /// caller does.
    milliseconds timeout{1000};
    /// MSEC_CALL_..., or-ed.
    uint32_t flags = 0;
    /// MSEC_PRIORITY_CRITICAL, MSEC_PRIORITY_DEFAULT, MSEC_PRIORITY_SHEDDABLE; 0: inherited.
    uint32_t priority = 0;
    /// Send it a second time, to another instance, if there is no answer after so long; 0: never.
    milliseconds hedge_after{0};
    /// The lane of the connection, 1 to 65535; 0: that which calls share.
    uint32_t lane = 0;
    /// What the call is about, such as a user: calls with one key go to one instance.
    std::string key;
    /// The name that the callee sees as caller; empty: that of the engine.
    std::string caller;
    /// User headers.
    std::vector<std::pair<std::string, std::string>> headers;
};

namespace detail {

/// Options in the form of C, valid as long as both live.
class c_options {
public:
    explicit c_options(const call_options &options) {
        headers_.reserve(options.headers.size());
        for (const auto &[key, value] : options.headers) {
            headers_.push_back(msec_header{key.c_str(), value.data(), value.size()});
        }
        options_.timeout_ms = limit(options.timeout);
        options_.flags = options.flags;
        options_.priority = options.priority;
        options_.lane = options.lane;
        options_.hedge_after_ms = static_cast<uint32_t>(options.hedge_after.count());
        options_.key = options.key.empty() ? nullptr : options.key.data();
        options_.key_size = options.key.size();
        options_.caller = options.caller.empty() ? nullptr : options.caller.c_str();
        options_.headers = headers_.empty() ? nullptr : headers_.data();
        options_.headers_count = headers_.size();
    }
    const msec_call_options *get() const { return &options_; }

private:
    msec_call_options options_ = MSEC_CALL_OPTIONS_INIT;
    std::vector<msec_header> headers_;
};

/// The message in a reply.
template <class Response>
result<Response> parsed(const reply &reply) {
    Response response;
    if (!parse(response, view(msec_reply_body(reply.get())))) {
        return status(MSEC_EINVALID_BODY, "the answer is not the message");
    }
    return response;
}

}  // namespace detail

/// A call under way. Destroyed before get(), it is cancelled.
template <class Response>
class pending {
public:
    explicit pending(msec_pending *handle) noexcept : handle_(handle) {}

    /// Waits for the answer, once. Suspends.
    result<Response> get() {
        msec_reply *answer = nullptr;
        const int32_t code = msec_pending_wait(handle_.release(), &answer);
        const detail::reply reply(answer);
        if (code != MSEC_OK) return status::last(code);
        return detail::parsed<Response>(reply);
    }

    const msec_pending *handle() const noexcept { return handle_.get(); }

private:
    detail::handle<msec_pending, msec_pending_free> handle_;
};

/// Calls one service: `L1.L2`, found in the engine's routes, or an address.
class client {
public:
    client(const engine &engine, const std::string &target) {
        msec_client *made = nullptr;
        error::check(msec_client_new(engine.handle(), target.c_str(), &made));
        handle_.reset(made);
    }

    /// Calls a method and waits for its answer. Suspends.
    template <class Response, class Request>
    result<Response> call(const std::string &method, const Request &request,
                          const call_options &options = {}) const {
        result<detail::reply> answer = send(method, detail::serialized(request), options);
        if (!answer) return answer.status();
        return detail::parsed<Response>(*answer);
    }

    /// Calls with a body of bytes. Suspends.
    result<std::string> call_raw(const std::string &method, std::string_view body,
                                 const call_options &options = {}) const {
        result<detail::reply> answer = send(method, body, options);
        if (!answer) return answer.status();
        return std::string(detail::view(msec_reply_body(answer->get())));
    }

    /// Starts a call, whose answer is waited for later, so that several run at a time.
    template <class Response, class Request>
    pending<Response> start(const std::string &method, const Request &request,
                            const call_options &options = {}) const {
        const std::string body = detail::serialized(request);
        msec_pending *started = nullptr;
        error::check(msec_client_start(handle_.get(), method.c_str(), body.data(), body.size(),
                                       detail::c_options(options).get(), &started));
        return pending<Response>(started);
    }

    /// Calls, and has `done(result<Response>)` called with the answer, once, on a core's loop,
    /// where it must not block.
    template <class Response, class Request, class Done>
    void call_back(const std::string &method, const Request &request, Done done,
                   const call_options &options = {}) const {
        const std::string body = detail::serialized(request);
        auto kept = std::make_unique<Done>(std::move(done));
        error::check(msec_client_call_back(handle_.get(), method.c_str(), body.data(), body.size(),
                                           detail::c_options(options).get(),
                                           told<Response, Done>, kept.get()));
        kept.release();
    }

private:
    template <class Response, class Done>
    static void told(void *userdata, int32_t code, msec_reply *answer) noexcept {
        const std::unique_ptr<Done> done(static_cast<Done *>(userdata));
        const detail::reply reply(answer);
        detail::barrier(
            [&] {
                (*done)(code == MSEC_OK ? detail::parsed<Response>(reply)
                                        : result<Response>(status::last(code)));
                return MSEC_OK;
            },
            [](std::string_view text) {
                msec_log(MSEC_LOG_ERROR, "msec.hpp", text.data(), text.size(), nullptr, 0);
            });
    }

    result<detail::reply> send(const std::string &method, std::string_view body,
                               const call_options &options) const {
        msec_reply *answer = nullptr;
        const int32_t code =
            msec_client_call(handle_.get(), method.c_str(), body.data(), body.size(),
                             detail::c_options(options).get(), &answer);
        if (code != MSEC_OK) return status::last(code);
        return detail::reply(answer);
    }

    detail::handle<msec_client, msec_client_free> handle_;
};

/// Calls a method of a service or an address once; for more than one call keep a client. Suspends.
template <class Response, class Request>
result<Response> call(const engine &engine, const std::string &target, const std::string &method,
                      const Request &request, const call_options &options = {}) {
    return client(engine, target).call<Response>(method, request, options);
}

}  // namespace msec

#endif

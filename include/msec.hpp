// msec for C++17: everything of msec.h as types that clean up after themselves. Header only; link
// libmsec.
//
// A service, with messages of Protocol Buffers:
//
//     msec::engine engine;
//     msec::server server = msec::server::describe()
//         .method<EchoRequest, EchoResponse>("echo.EchoService.Echo",
//             [](msec::context &, const EchoRequest &request, EchoResponse &response) {
//                 response.set_message(request.message());
//                 return msec::status();
//             })
//         .listen("127.0.0.1:7963")
//         .start(engine);
//
// And a call:
//
//     msec::client users(engine, "Demo.users");
//     auto found = users.call<FindResponse>("demo.Users.Find", request);
//     if (!found) return found.status();
//     use(found->name());
//
// Conventions, beside those of msec.h:
//
// * What can fail because of others (a call, a lock with a time limit) returns a msec::status or a
//   msec::result, and throws nothing. What fails because of the program or its machine (an engine
//   that cannot be started, an address that is none) throws msec::error.
// * An exception that leaves a handler ends the request: its caller gets -18 with what().
//   Exceptions may be thrown and caught around anything that suspends: each coroutine has its own.
// * A message is anything with ParseFromArray, ByteSizeLong and SerializeToArray: a generated
//   message of protobuf 3 or later, full or lite. This header includes none of it.
// * Objects of these types may be used from every thread at the same time; they must not be
//   destroyed or moved from meanwhile.

#ifndef MSEC_HPP
#define MSEC_HPP

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "msec.h"

namespace msec {

using std::chrono::milliseconds;

/// How something ended: a code, and a sentence if it is a failure.
class status {
public:
    /// Success.
    status() noexcept = default;

    /// A code of msec.h (or one of the service's own), and what happened, to what, and why.
    status(int32_t code, std::string text) : code_(code), text_(std::move(text)) {}

    /// A code that says it all.
    status(int32_t code) : code_(code) {}

    bool ok() const noexcept { return code_ == MSEC_OK; }
    explicit operator bool() const noexcept { return ok(); }
    int32_t code() const noexcept { return code_; }

    /// The sentence; the general text of the code if there is none.
    std::string text() const { return text_.empty() ? msec_strerror(code_) : text_; }

    /// What the last function of msec.h that failed on this thread had to say.
    static status last(int32_t code) {
        return code == MSEC_OK ? status() : status(code, msec_error_text());
    }

private:
    int32_t code_ = MSEC_OK;
    std::string text_;
};

/// What is thrown where the program or its machine is at fault.
class error : public std::runtime_error {
public:
    explicit error(const msec::status &status)
        : std::runtime_error(status.text()), status_(status) {}
    const msec::status &status() const noexcept { return status_; }

    /// Throws unless the code is 0.
    static void check(int32_t code) {
        if (code != MSEC_OK) throw error(msec::status::last(code));
    }

private:
    msec::status status_;
};

/// A value, or the status that says why there is none.
template <class T>
class result {
public:
    result(T value) : value_(std::make_unique<T>(std::move(value))) {}
    result(msec::status status) : status_(std::move(status)) {}

    bool ok() const noexcept { return value_ != nullptr; }
    explicit operator bool() const noexcept { return ok(); }
    const msec::status &status() const noexcept { return status_; }

    /// The value; throws msec::error if there is none.
    T &value() {
        if (!ok()) throw error(status_);
        return *value_;
    }
    T &operator*() { return value(); }
    T *operator->() { return &value(); }

private:
    msec::status status_;
    std::unique_ptr<T> value_;
};

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

/// Parses what came into a message.
template <class Message>
bool parse(Message &message, std::string_view bytes) {
    return bytes.size() <= INT32_MAX &&
           message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

template <class Message>
std::string serialized(const Message &message) {
    std::string bytes(message.ByteSizeLong(), '\0');
    if (!message.SerializeToArray(bytes.data(), static_cast<int>(bytes.size()))) {
        throw error(status(MSEC_EINVALID_BODY, "the message lacks required fields"));
    }
    return bytes;
}

/// Runs a function whose exceptions must not be seen by C; returns what `failed` makes of them.
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

/// Core threads that servers and clients are put on. Stops when it and all that is on it are gone.
class engine {
public:
    /// Starts an engine as the environment says (`MSEC_CORES`, `MSEC_IO`, …).
    engine() : engine(msec_engine_options MSEC_ENGINE_OPTIONS_INIT) {}

    /// Starts an engine with options; begin with MSEC_ENGINE_OPTIONS_INIT.
    explicit engine(const msec_engine_options &options) {
        msec_engine *started = nullptr;
        error::check(msec_engine_new(&options, &started));
        handle_.reset(started);
    }

    /// An engine that somebody else owns, and that outlives this object.
    static engine borrowed(const msec_engine *handle) {
        return engine(const_cast<msec_engine *>(handle), [](msec_engine *) {});
    }

    /// Reads a file of routes, which holds from the next call on.
    status load_routes(const std::string &path) {
        return status::last(msec_engine_load_routes(handle(), path.c_str()));
    }

    /// Replaces all routes with those of a text that a file of routes could have.
    status set_routes(const std::string &routes) {
        return status::last(msec_engine_set_routes(handle(), routes.c_str()));
    }

    /// As set_routes(), for who watches a registry; the names of the services that stay as they are
    /// until confirm_routes(), one a line.
    result<std::string> push_routes(const std::string &routes) {
        msec_text *held = nullptr;
        const int32_t code = msec_engine_push_routes(handle(), routes.c_str(), &held);
        return text(code, held);
    }

    /// Lets come true what a push said of a service and what was held.
    status confirm_routes(const std::string &service) {
        return status::last(msec_engine_confirm_routes(handle(), service.c_str()));
    }

    /// Why calls go where they go, as JSON. Suspends.
    result<std::string> explain_routes() const {
        msec_text *json = nullptr;
        const int32_t code = msec_engine_explain_routes(handle(), &json);
        return text(code, json);
    }

    /// The value of a setting that is in force, as the page /config shows it.
    result<std::string> config(const std::string &name) const {
        msec_text *value = nullptr;
        const int32_t code = msec_engine_config(handle(), name.c_str(), &value);
        return text(code, value);
    }

    /// Everything that was counted, in the text form of Prometheus. Not on a coroutine.
    result<std::string> metrics() const {
        msec_text *metrics = nullptr;
        const int32_t code = msec_engine_metrics(handle(), &metrics);
        return text(code, metrics);
    }

    /// Puts dye rules in force, with semicolons between them. Not on a coroutine.
    status set_dye_rules(const std::string &rules) {
        return status::last(msec_engine_set_dye_rules(handle(), rules.c_str()));
    }

    /// Reads all files of certificates and keys again, now.
    status reload_tls() { return status::last(msec_engine_reload_tls(handle())); }

    /// "uring" or "epoll".
    std::string_view io() const { return msec_engine_io(handle()); }

    msec_engine *handle() const noexcept { return handle_.get(); }

private:
    static result<std::string> text(int32_t code, msec_text *handed_out) {
        const detail::text text(handed_out);
        if (code != MSEC_OK) return status::last(code);
        return std::string(msec_text_data(text.get()));
    }

    using deleter = void (*)(msec_engine *);
    engine(msec_engine *handle, deleter deleter) : handle_(handle, deleter) {}
    std::unique_ptr<msec_engine, deleter> handle_{nullptr, msec_engine_free};
};

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

/// How a server secures its addresses with `@tls`; see msec_server_tls_options.
struct server_tls {
    /// Files of certificates and of their private keys.
    std::vector<std::pair<std::string, std::string>> certificates;
    /// File of the CAs of one of which those who connect must show a certificate; empty: none.
    std::string client_ca;
    /// MSEC_TLS_IF_SHOWN and MSEC_TLS_ACCEPT_PLAIN, or-ed.
    uint32_t flags = 0;
};

/// A running server. Destroyed, it stops: what is in flight is answered.
class server {
public:
    class builder;

    /// Begins to describe a server.
    static builder describe();

    /// Where it listens: `index` counts the builder's listen() from 0.
    std::string address(size_t index = 0) const {
        const char *address = msec_server_address(handle_.get(), index);
        return address == nullptr ? std::string() : address;
    }

    /// Accepts no more connections and asks peers to leave; connections stay served.
    void drain() { error::check(msec_server_drain(handle_.get())); }

    /// Connections that are open, and requests that are not answered yet.
    std::pair<size_t, size_t> load() const {
        std::pair<size_t, size_t> load;
        error::check(msec_server_load(handle_.get(), &load.first, &load.second));
        return load;
    }

    /// Drains, gives peers time to leave, answers what is in flight, and closes.
    void stop(milliseconds grace) {
        error::check(msec_server_stop(handle_.get(), detail::limit(grace)));
    }

private:
    friend class builder;
    // The handlers outlive the server that calls them: destroyed in the reverse order.
    std::vector<std::shared_ptr<void>> handlers_;
    detail::handle<msec_server, msec_server_free> handle_;
};

/// A server that is being described.
class server::builder {
public:
    builder() : handle_(msec_server_builder_new()) {}

    /// Adds a method with messages. `handler` is called as
    /// `status handler(context &, const Request &, Response &)`, by several threads at a time.
    template <class Request, class Response, class Handler>
    builder &method(const std::string &name, Handler handler,
                    const msec_method_options *options = nullptr) {
        auto serve = [handler = std::move(handler)](context &context) -> status {
            Request request;
            if (!detail::parse(request, context.body())) {
                return status(MSEC_EINVALID_BODY, "request body is not the message");
            }
            Response response;
            status ended = handler(context, std::as_const(request), response);
            if (!ended) return ended;
            const size_t size = response.ByteSizeLong();
            char *place = msec_context_answer_place(context.handle(), size);
            if (place == nullptr) return status(MSEC_ENO_MEMORY);
            if (!response.SerializeToArray(place, static_cast<int>(size))) {
                return status(MSEC_EINVALID_BODY, "the response lacks required fields");
            }
            return ended;
        };
        return raw(name, std::move(serve), options);
    }

    /// Adds a method of bytes: `status handler(context &)`, which reads context.body() and sets
    /// context.answer().
    template <class Handler>
    builder &raw(const std::string &name, Handler handler,
                 const msec_method_options *options = nullptr) {
        auto kept = std::make_shared<Handler>(std::move(handler));
        error::check(msec_server_builder_method(handle_.get(), name.c_str(), serve<Handler>,
                                                kept.get(), options));
        handlers_.push_back(std::move(kept));
        return *this;
    }

    /// Adds a generated service, which it keeps: see `msec gen`.
    template <class Service>
    builder &service(std::shared_ptr<Service> service) {
        service->add_to(*this, service);
        return *this;
    }

    /// Says what the messages look like, so that methods can be called with JSON: a serialized
    /// FileDescriptorSet.
    builder &descriptors(std::string_view set) {
        error::check(msec_server_builder_descriptors(handle_.get(), set.data(), set.size()));
        return *this;
    }

    /// Listens at `ip:port`, `ip:port@udp`, `ip:port@tls` or `unix:/path`; port 0 takes a free one.
    builder &listen(const std::string &address) {
        error::check(msec_server_builder_listen(handle_.get(), address.c_str()));
        return *this;
    }

    /// Serves the built-in pages at this address, and nowhere else.
    builder &admin(const std::string &address) {
        error::check(msec_server_builder_admin(handle_.get(), address.c_str()));
        return *this;
    }

    /// Has `setup(builder &)` describe a server that somebody else starts and frees; returns what
    /// must live as long as that server.
    template <class Setup>
    static std::vector<std::shared_ptr<void>> fill(msec_server_builder *handle, Setup &&setup) {
        builder borrowed{decltype(handle_)(handle)};
        struct giving_back {
            builder &lent;
            ~giving_back() { (void)lent.handle_.release(); }
        } const back{borrowed};
        setup(borrowed);
        return std::move(borrowed.handlers_);
    }

    /// Says who may see those pages: one of MSEC_PAGES_...
    builder &pages(uint32_t who) {
        error::check(msec_server_builder_pages(handle_.get(), who));
        return *this;
    }

    /// Adds a name under which browsers may see those pages.
    builder &host(const std::string &name) {
        error::check(msec_server_builder_host(handle_.get(), name.c_str()));
        return *this;
    }

    /// Lets pages of an origin, or with `*` of all, call methods from browsers.
    builder &cors(const std::string &origin) {
        error::check(msec_server_builder_cors(handle_.get(), origin.c_str()));
        return *this;
    }

    /// Bounds the requests of a caller, by the name that it gives itself.
    builder &quota(const std::string &caller, uint32_t per_second, uint32_t burst) {
        error::check(
            msec_server_builder_quota(handle_.get(), caller.c_str(), per_second, burst));
        return *this;
    }

    /// Bounds the requests of each caller that has no quota of its own.
    builder &quota_for_others(uint32_t per_second, uint32_t burst) {
        error::check(msec_server_builder_quota(handle_.get(), nullptr, per_second, burst));
        return *this;
    }

    /// Secures the addresses with `@tls`.
    builder &tls(const server_tls &tls) {
        std::vector<msec_certificate> certificates;
        for (const auto &[chain, key] : tls.certificates) {
            certificates.push_back(msec_certificate{chain.c_str(), key.c_str()});
        }
        msec_server_tls_options options = MSEC_SERVER_TLS_OPTIONS_INIT;
        options.flags = tls.flags;
        options.certificates = certificates.data();
        options.certificates_count = certificates.size();
        options.client_ca = tls.client_ca.empty() ? nullptr : tls.client_ca.c_str();
        error::check(msec_server_builder_tls(handle_.get(), &options));
        return *this;
    }

    /// Starts the server; the description is used up.
    server start(const engine &engine) {
        server started;
        msec_server *handle = nullptr;
        error::check(msec_server_start(handle_.release(), engine.handle(), &handle));
        started.handlers_ = std::move(handlers_);
        started.handle_.reset(handle);
        return started;
    }

private:
    template <class Handler>
    static int32_t serve(void *userdata, msec_context *handle) noexcept {
        context context(handle);
        const auto failed = [handle](std::string_view text) {
            msec_context_fail_text(handle, text.data(), text.size());
        };
        return detail::barrier(
            [&] {
                status ended = (*static_cast<Handler *>(userdata))(context);
                if (!ended) failed(ended.text());
                return ended.code();
            },
            failed);
    }

    explicit builder(detail::handle<msec_server_builder, msec_server_builder_free> handle)
        : handle_(std::move(handle)) {}

    detail::handle<msec_server_builder, msec_server_builder_free> handle_;
    std::vector<std::shared_ptr<void>> handlers_;
};

inline server::builder server::describe() { return builder(); }

/// Where a plugin runs. Lives as long as the plugin.
class host {
public:
    explicit host(const msec_host *handle)
        : handle_(handle), engine_(engine::borrowed(msec_host_engine(handle))) {}

    /// The engine that the plugin is on, for clients and tasks.
    const msec::engine &engine() const noexcept { return engine_; }

    /// The service that it is, `First.second`.
    std::string_view service() const { return msec_host_service(handle_); }

    /// Which of the service's workers this is, from 0.
    uint32_t worker() const { return msec_host_worker(handle_); }

    /// The text of `[SRPC] conf`.
    std::string_view conf() const { return msec_host_conf(handle_); }

    /// A value of config.ini as it was when the worker started.
    std::string config(const std::string &section, const std::string &key,
                       const std::string &otherwise = {}) const {
        const char *value = msec_host_config(handle_, section.c_str(), key.c_str());
        return value == nullptr ? otherwise : value;
    }

private:
    const msec_host *handle_;
    msec::engine engine_;
};

namespace detail {

/// A plugin whose methods `Setup` adds.
template <void (*Setup)(host &, server::builder &)>
class plugin {
public:
    static msec_plugin describe(const char *name) noexcept {
        msec_plugin told = MSEC_PLUGIN_INIT;
        told.name = name;
        told.init = init;
        told.fini = fini;
        return told;
    }

private:
    struct state {
        std::unique_ptr<msec::host> host;
        std::vector<std::shared_ptr<void>> handlers;
    };
    static state &kept() {
        static state kept;
        return kept;
    }

    static int32_t init(const msec_host *handle, msec_server_builder *builder) noexcept {
        return barrier(
            [&] {
                state &state = kept();
                state.host = std::make_unique<msec::host>(handle);
                state.handlers = server::builder::fill(
                    builder, [&](server::builder &methods) { Setup(*state.host, methods); });
                return MSEC_OK;
            },
            [&](std::string_view text) { msec_host_fail_text(handle, text.data(), text.size()); });
    }

    static void fini() noexcept {
        kept().handlers.clear();
        kept().host.reset();
    }
};

}  // namespace detail

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

/// Suspends the coroutine, or blocks the thread.
inline status sleep(milliseconds time) {
    return status::last(msec_sleep(time.count() <= 0 ? 0 : detail::limit(time)));
}

/// Lets the other coroutines of the core run that are ready.
inline status yield() { return status::last(msec_yield()); }

/// Whether the calling code runs on a coroutine, where it may suspend.
inline bool on_coroutine() noexcept { return msec_on_coroutine(); }

/// A function on a coroutine of its own. Destroyed, it lets the function go on by itself.
class task {
public:
    /// Waits until the function has ended. An exception that left it is rethrown here. Suspends.
    status join(milliseconds timeout = milliseconds::max()) {
        const int32_t code = msec_task_join(handle_.get(), detail::limit(timeout), nullptr);
        if (code == MSEC_ETIMEOUT || code == MSEC_ECANCELLED) return status::last(code);
        // Used up.
        (void)handle_.release();
        if (code == MSEC_OK && *thrown_) std::rethrow_exception(*thrown_);
        return status::last(code);
    }

private:
    template <class Function>
    friend task spawn(const engine &engine, Function function);
    detail::handle<msec_task, msec_task_free> handle_;
    std::shared_ptr<std::exception_ptr> thrown_ = std::make_shared<std::exception_ptr>();
};

/// Runs a function as a coroutine: on the caller's core, or from a plain thread on one of the
/// engine's.
template <class Function>
task spawn(const engine &engine, Function function) {
    struct job {
        Function function;
        std::shared_ptr<std::exception_ptr> thrown;
    };
    task spawned;
    auto kept = std::make_unique<job>(job{std::move(function), spawned.thrown_});
    const auto run = [](void *argument) noexcept -> int32_t {
        const std::unique_ptr<job> owned(static_cast<job *>(argument));
        try {
            owned->function();
        } catch (...) {
            *owned->thrown = std::current_exception();
        }
        return MSEC_OK;
    };
    msec_task *handle = nullptr;
    error::check(msec_spawn(engine.handle(), run, kept.get(), &handle));
    kept.release();
    spawned.handle_.reset(handle);
    return spawned;
}

/// Runs functions at the same time and waits for all of them. The first exception is rethrown.
/// Suspends.
template <class... Functions>
status parallel(const engine &engine, Functions... functions) {
    std::vector<task> tasks;
    tasks.reserve(sizeof...(functions));
    (tasks.push_back(spawn(engine, std::move(functions))), ...);
    status ended;
    std::exception_ptr thrown;
    for (task &task : tasks) {
        try {
            status joined = task.join();
            if (ended && !joined) ended = joined;
        } catch (...) {
            if (thrown == nullptr) thrown = std::current_exception();
        }
    }
    if (thrown != nullptr) std::rethrow_exception(thrown);
    return ended;
}

/// Runs a function on an offload thread, where it may block the thread, and waits for it; returns
/// what it returns, and rethrows what it throws. Suspends. What the function refers to must outlive
/// it: a cancelled caller does not wait.
template <class Function>
auto offload(Function function) -> result<std::conditional_t<
    std::is_void_v<decltype(function())>, std::tuple<>, decltype(function())>> {
    using value = decltype(function());
    using kept = std::conditional_t<std::is_void_v<value>, std::tuple<>, value>;
    struct job {
        Function function;
        std::unique_ptr<kept> returned;
        std::exception_ptr thrown;
    };
    const auto shared = std::make_shared<job>(job{std::move(function), nullptr, nullptr});
    // Its own share of the job, for a caller that has gone.
    auto *argument = new std::shared_ptr<job>(shared);
    const auto run = [](void *argument) noexcept -> int32_t {
        const std::unique_ptr<std::shared_ptr<job>> owned(
            static_cast<std::shared_ptr<job> *>(argument));
        job &job = **owned;
        try {
            if constexpr (std::is_void_v<value>) {
                job.function();
                job.returned = std::make_unique<kept>();
            } else {
                job.returned = std::make_unique<kept>(job.function());
            }
        } catch (...) {
            job.thrown = std::current_exception();
        }
        return MSEC_OK;
    };
    const int32_t code = msec_offload(run, argument, nullptr);
    if (code != MSEC_OK) {
        if (code != MSEC_ECANCELLED) delete argument;
        return status::last(code);
    }
    if (shared->thrown) std::rethrow_exception(shared->thrown);
    return std::move(*shared->returned);
}

/// A mutex that may be held while a coroutine is suspended, for std::lock_guard and the like.
class mutex {
public:
    mutex() : handle_(msec_mutex_new()) {}

    /// Takes it. Suspends. Throws msec::error (-103) when the caller was cancelled.
    void lock() { error::check(msec_mutex_lock(handle_.get(), 0)); }
    /// Takes it within a time. Suspends.
    status lock(milliseconds timeout) {
        return status::last(msec_mutex_lock(handle_.get(), detail::limit(timeout)));
    }
    bool try_lock() noexcept { return msec_mutex_try_lock(handle_.get()) == MSEC_OK; }
    void unlock() noexcept { msec_mutex_unlock(handle_.get()); }

private:
    friend class condition;
    detail::handle<msec_mutex, msec_mutex_free> handle_;
};

/// Waiting until others have changed what a mutex protects.
class condition {
public:
    condition() : handle_(msec_condition_new()) {}

    /// Gives up the mutex, waits, and takes it again; may return without any change. Suspends.
    status wait(mutex &mutex, milliseconds timeout = milliseconds::max()) {
        return status::last(msec_condition_wait(handle_.get(), mutex.handle_.get(),
                                                detail::limit(timeout)));
    }
    void notify_one() noexcept { msec_condition_notify_one(handle_.get()); }
    void notify_all() noexcept { msec_condition_notify_all(handle_.get()); }

private:
    detail::handle<msec_condition, msec_condition_free> handle_;
};

/// Letting in so many at a time.
class semaphore {
public:
    explicit semaphore(size_t permits) : handle_(msec_semaphore_new(permits)) {}

    /// Takes a permit. Suspends.
    status acquire(milliseconds timeout = milliseconds::max()) {
        return status::last(msec_semaphore_acquire(handle_.get(), detail::limit(timeout)));
    }
    bool try_acquire() noexcept { return msec_semaphore_try_acquire(handle_.get()) == MSEC_OK; }
    void release(size_t permits = 1) noexcept { msec_semaphore_release(handle_.get(), permits); }

private:
    detail::handle<msec_semaphore, msec_semaphore_free> handle_;
};

/// A bounded queue between coroutines and threads.
template <class T>
class channel {
public:
    explicit channel(size_t capacity) : handle_(msec_channel_new(capacity)) {}

    ~channel() {
        close();
        // On a plain thread or not, what is in it is there at once.
        while (recv(milliseconds(0))) {
        }
    }
    channel(const channel &) = delete;
    channel &operator=(const channel &) = delete;

    /// Puts a value in. Suspends. Fails with -104 once the channel is closed.
    status send(T value, milliseconds timeout = milliseconds::max()) {
        auto item = std::make_unique<T>(std::move(value));
        const int32_t code = msec_channel_send(handle_.get(), item.get(), detail::limit(timeout));
        if (code == MSEC_OK) item.release();
        return status::last(code);
    }

    /// Takes the oldest value out. Suspends. Fails with -104 once the channel is closed and empty.
    result<T> recv(milliseconds timeout = milliseconds::max()) {
        void *item = nullptr;
        const int32_t code = msec_channel_recv(handle_.get(), detail::limit(timeout), &item);
        if (code != MSEC_OK) return status::last(code);
        const std::unique_ptr<T> owned(static_cast<T *>(item));
        return std::move(*owned);
    }

    /// Takes a value out of the first of several channels that has one: its index, and the value.
    /// Suspends. Fails with -104 once all are closed and empty.
    static result<std::pair<size_t, T>> recv_any(const std::vector<const channel *> &channels,
                                                 milliseconds timeout = milliseconds::max()) {
        std::vector<const msec_channel *> handles;
        for (const channel *one : channels) handles.push_back(one->handle_.get());
        size_t index = 0;
        void *item = nullptr;
        const int32_t code = msec_channel_recv_any(handles.data(), handles.size(),
                                                   detail::limit(timeout), &index, &item);
        if (code != MSEC_OK) return status::last(code);
        const std::unique_ptr<T> owned(static_cast<T *>(item));
        return std::pair<size_t, T>(index, std::move(*owned));
    }

    /// Lets nothing more in.
    void close() noexcept { msec_channel_close(handle_.get()); }

private:
    detail::handle<msec_channel, msec_channel_free> handle_;
};

/// A value that each coroutine has its own of, made when it is first looked at and destroyed with
/// the coroutine. On a plain thread it is the thread's. To be made once, as a static.
template <class T>
class local {
public:
    local() : handle_(msec_local_new(destroy)) {}

    /// The running coroutine's value. Throws msec::error (-2) on the loop of a core.
    T &get() const {
        if (void *known = msec_local_pointer(handle_.get())) return *static_cast<T *>(known);
        auto made = std::make_unique<T>();
        error::check(msec_local_set(handle_.get(), made.get()));
        return *made.release();
    }
    T &operator*() const { return get(); }
    T *operator->() const { return &get(); }

private:
    static void destroy(void *value) noexcept { delete static_cast<T *>(value); }
    detail::handle<msec_local, msec_local_free> handle_;
};

/// Suspends until a descriptor can be read.
inline status readable(int fd, milliseconds timeout = milliseconds::max()) {
    return status::last(msec_wait_fd(fd, MSEC_READABLE, detail::limit(timeout)));
}

/// Suspends until a descriptor can be written.
inline status writable(int fd, milliseconds timeout = milliseconds::max()) {
    return status::last(msec_wait_fd(fd, MSEC_WRITABLE, detail::limit(timeout)));
}

/// What the business reports of itself, in one line and without registering anything.
namespace metric {

/// A key and a value.
using labels = std::initializer_list<msec_label>;

inline void add(const char *name, uint64_t amount = 1, labels labels = {}) {
    msec_metric_add(name, amount, labels.begin(), labels.size());
}
inline void set(const char *name, int64_t value, labels labels = {}) {
    msec_metric_set(name, value, labels.begin(), labels.size());
}
inline void record(const char *name, uint64_t value, labels labels = {}) {
    msec_metric_record(name, value, labels.begin(), labels.size());
}

}  // namespace metric

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

/// The entry of a plugin: MSEC_PLUGIN("Demo.echo", setup), once in the library, outside of any
/// namespace. `void setup(msec::host &, msec::server::builder &)` adds the methods; an exception
/// that leaves it keeps the worker from starting. The name may be nullptr: any service.
#define MSEC_PLUGIN(NAME, SETUP)                                                                  \
    extern "C" __attribute__((visibility("default"))) const msec_plugin *msec_plugin_v1(void) {    \
        static const msec_plugin told = ::msec::detail::plugin<SETUP>::describe(NAME);            \
        return &told;                                                                             \
    }                                                                                             \
    static_assert(true, "a semicolon may follow")

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

// Servers: methods on addresses.
//
// A handler is any callable value. The builder keeps it on the heap and gives C its address, as
// userdata of a function that is made for the handler's type and catches what it throws: in the
// runtime of C++ that it was thrown in, which may not be that of others. start() passes the
// handlers on to the server, which is told to stop before they go.

#ifndef MSEC_SERVER_HPP
#define MSEC_SERVER_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../msec.h"
#include "bridge.hpp"
#include "context.hpp"
#include "engine.hpp"
#include "error.hpp"
#include "message.hpp"
#include "method.hpp"

namespace msec {

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
                    const method_options &options = {}) {
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
                 const method_options &options = {}) {
        auto kept = std::make_shared<Handler>(std::move(handler));
        error::check(msec_server_builder_method(handle_.get(), name.c_str(), serve<Handler>,
                                                kept.get(), options.get()));
        handlers_.push_back(std::move(kept));
        return *this;
    }

    /// Adds a generated service, which it keeps: see `msec gen`. Its class has the struct `options`
    /// with msec::method_options for each method.
    template <class Service>
    builder &service(std::shared_ptr<Service> service,
                     const typename Service::options &options = {}) {
        service->add_to(*this, service, options);
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
        const auto ends = [&]() -> status {
            try {
                return (*static_cast<Handler *>(userdata))(context);
            } catch (const error &thrown) {
                // The status of something else, passed on.
                return thrown.status();
            }
        };
        return detail::barrier(
            [&] {
                const status ended = ends();
                if (!ended) failed(ended.text());
                return ended.code();
            },
            [&](const char *what) {
                failed(what);
                detail::log_thrown(what);
            });
    }

    explicit builder(detail::handle<msec_server_builder, msec_server_builder_free> handle)
        : handle_(std::move(handle)) {}

    detail::handle<msec_server_builder, msec_server_builder_free> handle_;
    std::vector<std::shared_ptr<void>> handlers_;
};

inline server::builder server::describe() { return builder(); }

}  // namespace msec

#endif

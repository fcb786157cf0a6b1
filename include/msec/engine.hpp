// The engine: core threads, and what all servers and clients on them share, such as routes.

#ifndef MSEC_ENGINE_HPP
#define MSEC_ENGINE_HPP

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "../msec.h"
#include "bridge.hpp"
#include "error.hpp"

namespace msec {

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

    /// Where the instance of a service is that is to be called next, by other means than a client.
    result<std::string> pick_route(const std::string &service) const {
        msec_text *address = nullptr;
        const int32_t code = msec_engine_pick_route(handle(), service.c_str(), &address);
        return text(code, address);
    }

    /// Tells what came of such calls: an answer after so long, or so many failures. The instance is
    /// what was picked, or a host without a port, for all instances there.
    status report_route(const std::string &service, const std::string &instance,
                        uint32_t failures_count, std::chrono::microseconds latency) const {
        const auto latency_us = static_cast<uint64_t>(latency.count() < 0 ? 0 : latency.count());
        return status::last(msec_engine_report_route(handle(), service.c_str(), instance.c_str(),
                                                     failures_count, latency_us));
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

}  // namespace msec

#endif

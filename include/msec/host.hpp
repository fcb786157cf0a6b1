// Where a plugin runs: what `msec host` tells it.

#ifndef MSEC_HOST_HPP
#define MSEC_HOST_HPP

#include <cstdint>
#include <string>
#include <string_view>

#include "../msec.h"
#include "engine.hpp"

namespace msec {

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

}  // namespace msec

#endif

// The entry of a plugin, which `msec host` runs.
//
// The worker asks for the symbol msec_plugin_v1, which is all that a plugin has to export. Its
// setup is an argument of a template and no pointer at run time, so that the functions of C that
// are handed out need no userdata; what the plugin keeps, its host and its handlers, lies in a
// static.

#ifndef MSEC_PLUGIN_HPP
#define MSEC_PLUGIN_HPP

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "../msec.h"
#include "bridge.hpp"
#include "host.hpp"
#include "server.hpp"

namespace msec {

namespace detail {

/// A plugin whose methods `Setup` adds.
template <void (*Setup)(host &, server::builder &)>
class plugin {
public:
    static msec_plugin describe(const char *name, const char *build_id) noexcept {
        msec_plugin told = MSEC_PLUGIN_INIT;
        told.name = name;
        told.build_id = build_id;
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

}  // namespace msec

/// Which build of a plugin this is, for `log/host.log`: a string that a build may define, such as
/// -DMSEC_PLUGIN_BUILD='"1.4.2"'.
#ifndef MSEC_PLUGIN_BUILD
#define MSEC_PLUGIN_BUILD nullptr
#endif

/// The entry of a plugin: MSEC_PLUGIN("Demo.echo", setup), once in the library, outside of any
/// namespace. `void setup(msec::host &, msec::server::builder &)` adds the methods; an exception
/// that leaves it keeps the worker from starting. The name may be nullptr: any service.
#define MSEC_PLUGIN(NAME, SETUP)                                                                  \
    extern "C" __attribute__((visibility("default"))) const msec_plugin *msec_plugin_v1(void) {    \
        static const msec_plugin told =                                                           \
            ::msec::detail::plugin<SETUP>::describe(NAME, MSEC_PLUGIN_BUILD);                     \
        return &told;                                                                             \
    }                                                                                             \
    static_assert(true, "a semicolon may follow")

#endif

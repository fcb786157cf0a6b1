// The entry of a plugin: what `msec host` looks for in a service that was written for the original.

#ifndef MSEC_COMPAT_SRPC_PLUGIN_H
#define MSEC_COMPAT_SRPC_PLUGIN_H

#include <msec.h>

extern "C" {
/// Starts the service: `conf` is `[SRPC] conf`, a char *, and `server` a CServerBase. Another
/// result than 0 ends the worker.
int spp_handle_init(void *conf, void *server);
/// Ends it: no request is worked on any more. May be missing.
void spp_handle_fini(void *conf, void *server) __attribute__((weak));
/// Is called every 10 milliseconds while the service runs, on a coroutine. May be missing.
void spp_handle_loop(void *server) __attribute__((weak));
}

namespace msec {
namespace compat {

/// What a plugin of these functions tells of itself.
const msec_plugin *plugin(int (*init)(void *, void *), void (*fini)(void *, void *),
                          void (*loop)(void *));

}  // namespace compat
}  // namespace msec

/// Once in the library, outside of any namespace. The variable tells the host to give the service
/// one core a process, unless config.ini says how many: old code expects that one thread runs it.
#define MSEC_COMPAT_PLUGIN                                                                        \
    extern "C" {                                                                                  \
    extern __attribute__((visibility("default"))) const char msec_plugin_one_core;                \
    const char msec_plugin_one_core = 1;                                                          \
    __attribute__((visibility("default"))) const msec_plugin *msec_plugin_v1(void) {              \
        return ::msec::compat::plugin(spp_handle_init, spp_handle_fini, spp_handle_loop);         \
    }                                                                                             \
    }                                                                                             \
    static_assert(true, "a semicolon may follow")

#endif

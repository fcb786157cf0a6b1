// A plugin in C++ on msec.h alone: nothing but the barrier of MSEC_PLUGIN_INIT catches what its
// handlers throw. Built with -DBARRIER=NULL it has none.

#include <stdexcept>
#include <string>

#include "msec.h"

static std::string body(const msec_context *context) {
    const msec_slice body = msec_context_body(context);
    return std::string(body.data, body.size);
}

static int32_t echo(void *, msec_context *context) {
    const msec_slice body = msec_context_body(context);
    return msec_context_answer(context, body.data, body.size);
}

static int32_t leaks(void *, msec_context *context) { throw std::runtime_error(body(context)); }

static int32_t leaks_a_number(void *, msec_context *) { throw 7; }

// Parks with an exception in its hands, and lets go of it.
static int32_t rethrows(void *, msec_context *context) {
    const std::string own = body(context);
    try {
        throw std::runtime_error(own);
    } catch (const std::runtime_error &) {
        msec_sleep(static_cast<uint32_t>(own.back() % 3));
        throw;
    }
}

static int32_t init(const msec_host *, msec_server_builder *builder) {
    static const struct {
        const char *name;
        msec_handler handler;
    } methods[] = {
        {"echo.EchoService.Echo", echo},
        {"test.Plugin.Leak", leaks},
        {"test.Plugin.LeakNumber", leaks_a_number},
        {"test.Plugin.Rethrow", rethrows},
    };
    for (const auto &method : methods) {
        const int32_t code = msec_server_builder_method(builder, method.name, method.handler,
                                                        nullptr, nullptr);
        if (code != MSEC_OK) return code;
    }
    return MSEC_OK;
}

extern "C" const msec_plugin *msec_plugin_v1(void) {
    static msec_plugin told = MSEC_PLUGIN_INIT;
    told.init = init;
#ifdef BARRIER
    told.barrier = BARRIER;
#endif
    return &told;
}

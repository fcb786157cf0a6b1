// The plugin that the tests of `msec host` run: an echo, and all that a plugin should not do.
//
// config.ini says how it behaves at its start: [TEST] init = throw, crash, block or unready.

#include <pthread.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "msec.hpp"

#ifndef BUILD
#define BUILD "1"
#endif

namespace {

bool unready = false;
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int overflow(volatile char *before, int depth) {
    volatile char frame[4096];
    frame[0] = before == nullptr ? 0 : *before;
    return depth == 0 ? frame[0] : overflow(frame, depth + 1) + frame[0];
}

void misdeeds(msec::host &, msec::server::builder &methods) {
    methods.raw("test.Plugin.Crash", [](msec::context &) {
        *reinterpret_cast<volatile int *>(16) = 1;
        return msec::status();
    });
    methods.raw("test.Plugin.Overflow", [](msec::context &) {
        return msec::status(overflow(nullptr, 1));
    });
    methods.raw("test.Plugin.Throw", [](msec::context &) -> msec::status {
        throw std::runtime_error("thrown on purpose");
    });
    methods.raw("test.Plugin.Exit", [](msec::context &) -> msec::status { _exit(7); });
    methods.raw("test.Plugin.ExitInOrder",
                [](msec::context &) -> msec::status { std::exit(8); });
    methods.raw("test.Plugin.Hang", [](msec::context &) {
        for (;;) pause();
        return msec::status();
    });
    // Parks with a plain mutex: the next one stops the core.
    methods.raw("test.Plugin.Mutex", [](msec::context &) {
        pthread_mutex_lock(&lock);
        msec::status slept = msec::sleep(msec::milliseconds(3000));
        pthread_mutex_unlock(&lock);
        return slept;
    });
}

void setup(msec::host &host, msec::server::builder &methods) {
    const std::string init = host.config("TEST", "init");
    if (init == "throw") throw std::runtime_error("no database");
    if (init == "crash") abort();
    if (init == "block") pause();
    unready = init == "unready";
    methods.raw("echo.EchoService.Echo", [](msec::context &context) {
        context.answer(context.body());
        return msec::status();
    });
    methods.raw("test.Plugin.Build", [](msec::context &context) {
        context.answer(BUILD);
        return msec::status();
    });
    methods.raw("test.Plugin.Where", [&host](msec::context &context) {
        context.answer(std::string(host.service()) + " " + std::to_string(host.worker()) + " " +
                       std::to_string(getpid()) + " " + std::string(host.conf()));
        return msec::status();
    });
    methods.raw("test.Plugin.Slow", [](msec::context &context) {
        context.answer(BUILD);
        return msec::sleep(msec::milliseconds(200));
    });
    // Longer than a reload takes, on a machine that is busy as well.
    methods.raw("test.Plugin.Long", [](msec::context &context) {
        context.answer(BUILD);
        return msec::sleep(msec::milliseconds(8000));
    });
    methods.raw(
        "test.Plugin.Heavy",
        [](msec::context &context) {
            char name[16] = {};
            pthread_getname_np(pthread_self(), name, sizeof name);
            context.answer(name);
            return msec::status();
        },
        msec::method_options().heavy());
    methods.raw(
        "test.Plugin.One",
        [](msec::context &) { return msec::sleep(msec::milliseconds(500)); },
        msec::method_options().requests_max(1));
    methods.raw("test.Plugin.Log", [](msec::context &) {
        MSEC_LOG_AT(MSEC_LOG_DEBUG, "said in detail");
        return msec::status();
    });
    // Calls the address in its body, patiently; what it gets is how long the callee may take.
    methods.raw("test.Plugin.Relay", [&host](msec::context &context) {
        msec::call_options options;
        options.timeout = msec::milliseconds(60000);
        const std::string target(context.body());
        auto left = msec::client(host.engine(), target)
                        .call_raw("test.Plugin.Remaining", "", options);
        if (!left) return left.status();
        context.answer(*left);
        return msec::status();
    });
    methods.raw("test.Plugin.Remaining", [](msec::context &context) {
        context.answer(std::to_string(context.remaining().count()));
        return msec::status();
    });
    misdeeds(host, methods);
}

int32_t ready() { return unready ? 1 : 0; }

}  // namespace

extern "C" __attribute__((visibility("default"))) const msec_plugin *msec_plugin_v1(void) {
    static msec_plugin told = msec::detail::plugin<setup>::describe(nullptr, BUILD);
    told.ready = ready;
#ifdef ABI
    told.abi_min = told.abi_max = ABI;
#endif
    return &told;
}

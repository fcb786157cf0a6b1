// A plugin that holds a mutex while it waits, as one should not.

#include <mutex>
#include <sys/socket.h>
#include <unistd.h>

#include "msec.h"

namespace {

std::mutex shared;
int pair[2];

int32_t hold(void *, msec_context *) {
    std::lock_guard<std::mutex> lock(shared);
    char byte;
    return read(pair[0], &byte, 1) == 1 ? MSEC_OK : MSEC_ESERVICE_FAILED;
}

int32_t lock_only(void *, msec_context *) {
    std::lock_guard<std::mutex> lock(shared);
    return MSEC_OK;
}

/// Unlocks before it waits.
int32_t let_go(void *, msec_context *) {
    { std::lock_guard<std::mutex> lock(shared); }
    usleep(1000);
    return MSEC_OK;
}

/// Has the one who holds go on.
int32_t release(void *, msec_context *) {
    return write(pair[1], "x", 1) == 1 ? MSEC_OK : MSEC_ESERVICE_FAILED;
}

int32_t init(const msec_host *, msec_server_builder *builder) {
    const struct {
        const char *name;
        msec_handler handler;
    } methods[] = {
        {"hook.Locks.Hold", hold},
        {"hook.Locks.Lock", lock_only},
        {"hook.Locks.LetGo", let_go},
        {"hook.Locks.Release", release},
    };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return -1;
    for (const auto &method : methods) {
        int32_t code =
            msec_server_builder_method(builder, method.name, method.handler, nullptr, nullptr);
        if (code != MSEC_OK) return code;
    }
    return MSEC_OK;
}

} // namespace

extern "C" const msec_plugin *msec_plugin_v1() {
    static msec_plugin told = MSEC_PLUGIN_INIT;
    told.init = init;
    return &told;
}

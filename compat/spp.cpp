// The server as plugins of old see it: its log, its counters.

#include <stdarg.h>

#include <array>
#include <mutex>
#include <string>

#include <msec.h>

#include "runtime.h"
#include "serverbase.h"

namespace spp {
namespace comm {

namespace {

const int COMMANDS = 100;
const int CODES = 30;

/// What commands are called. Locked for a look-up.
struct commands {
    std::mutex lock;
    std::array<std::string, COMMANDS> names;
};

/// Lives as long as the process: threads may run while that ends.
commands &all_commands() {
    static commands *const one = new commands;
    return *one;
}

std::string name_of(int cmd) {
    commands &all = all_commands();
    const std::lock_guard<std::mutex> lock(all.lock);
    const std::string &name = all.names[static_cast<size_t>(cmd)];
    return name.empty() ? std::to_string(cmd) : name;
}

}  // namespace

void CTLog::log_i(int, int level, const char *fmt, ...) {
    if (is_off(level)) return;
    va_list arguments;
    va_start(arguments, fmt);
    const ::msec::compat::place nowhere = {nullptr, 0, nullptr};
    ::msec::compat::log_write_list(level, nowhere, fmt, arguments);
    va_end(arguments);
}

int CTStat::init_statobj(const char *name, int type, const char *) {
    if (type != STAT_TYPE_SUM && type != STAT_TYPE_SET) return -1;
    return step0(name, 0, type);
}

int CTStat::step0(const char *name, long value, int type) {
    if (name == nullptr || *name == 0) return -1;
    const std::string whole = std::string("stat.") + name;
    if (type == STAT_TYPE_SET) {
        msec_metric_set(whole.c_str(), value, nullptr, 0);
    } else {
        msec_metric_add(whole.c_str(), value < 0 ? 0 : static_cast<uint64_t>(value), nullptr, 0);
    }
    return 0;
}

int init_stat_item(int cmd, const char *desc) {
    if (cmd < 0 || cmd >= COMMANDS || desc == nullptr) return -1;
    commands &all = all_commands();
    const std::lock_guard<std::mutex> lock(all.lock);
    all.names[static_cast<size_t>(cmd)] = desc;
    return 0;
}

int step_stat_item(int cmd, int code, long cost_ms, const char *desc) {
    if (cmd < 0 || cmd >= COMMANDS || code < 0 || code >= CODES) return -1;
    const std::string command = name_of(cmd), number = std::to_string(code);
    const msec_label labels[] = {
        {"command", command.c_str()},
        {"code", number.c_str()},
        {"description", desc == nullptr ? "" : desc},
    };
    const uint64_t cost = cost_ms < 0 ? 0 : static_cast<uint64_t>(cost_ms);
    msec_metric_record("stat.cost_ms", cost, labels, sizeof labels / sizeof labels[0]);
    return 0;
}

const std::string &CServerBase::servicename() { return ::msec::compat::service_name(); }

}  // namespace comm
}  // namespace spp

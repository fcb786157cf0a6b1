// Calls by plain threads through libmsec: `threads COUNT` has so many of them call an echo of this
// process for two seconds, one call after another, and prints the median of a call as JSON.
//
// servers/src/bin/msec-threads.rs does the same in Rust.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "msec.hpp"

using clock_type = std::chrono::steady_clock;

static msec::engine one_core() {
    msec_engine_options options = MSEC_ENGINE_OPTIONS_INIT;
    options.cores = 1;
    return msec::engine(options);
}

int main(int argc, char **argv) {
    const int count = argc > 1 ? std::atoi(argv[1]) : 1;
    msec::engine serving = one_core();
    msec::engine calling = one_core();
    msec::server server = msec::server::describe()
                              .raw("echo.EchoService.Echo",
                                   [](msec::context &context) {
                                       context.answer(context.body());
                                       return msec::status();
                                   })
                              .listen("127.0.0.1:0")
                              .start(serving);
    const msec::client client(calling, server.address());
    const std::string body(64, 'x');
    std::atomic<bool> stop{false};
    std::vector<std::vector<int64_t>> all(count);
    std::vector<std::thread> threads;
    for (auto &own : all) {
        threads.emplace_back([&] {
            while (!stop.load(std::memory_order_relaxed)) {
                const auto begun = clock_type::now();
                if (!client.call_raw("echo.EchoService.Echo", body)) std::abort();
                own.push_back((clock_type::now() - begun).count());
            }
        });
    }
    std::this_thread::sleep_for(std::chrono::seconds(2));
    stop = true;
    std::vector<int64_t> merged;
    for (int index = 0; index < count; index++) {
        threads[index].join();
        merged.insert(merged.end(), all[index].begin(), all[index].end());
    }
    std::sort(merged.begin(), merged.end());
    std::printf("{\"ns\":%lld}\n", static_cast<long long>(merged[merged.size() / 2]));
    return 0;
}

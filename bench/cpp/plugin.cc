// The echo service as a business plugin in C++: the message is parsed and built by protobuf. And
// the cases of row `original`: an echo after 100 ms, and relays, which ask the service at [BENCH]
// next.

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "echo.pb.h"
#include "msec.hpp"

namespace {

const char *const ECHO = "echo.EchoService.Echo";
const char *const ECHO_LATE = "bench.Original.Echo100ms";

msec::status answer(msec::context &, const echo::EchoRequest &request,
                    echo::EchoResponse &response) {
    response.set_message(request.message());
    return {};
}

// Asks the next service, whose method it is.
class relay {
public:
    relay(std::shared_ptr<const msec::client> next, const char *method)
        : next_(std::move(next)), method_(method) {}

    msec::status operator()(msec::context &context, const echo::EchoRequest &request,
                            echo::EchoResponse &response) const {
        msec::call_options options;
        // What is measured is the rate: nothing is to fail for want of time.
        options.timeout = std::chrono::seconds(10);
        // A server reads so many requests of one connection at a time, 1,024, and here are more.
        options.lane = 1 + static_cast<uint32_t>(context.flow_id() % LANES);
        auto answered = next_->call<echo::EchoResponse>(method_, request, options);
        if (!answered) return answered.status();
        response = std::move(*answered);
        return {};
    }

private:
    static constexpr uint64_t LANES = 16;

    std::shared_ptr<const msec::client> next_;
    const char *method_;
};

void setup(msec::host &host, msec::server::builder &methods) {
    using request = echo::EchoRequest;
    using response = echo::EchoResponse;
    methods.method<request, response>(ECHO, answer);
    methods.method<request, response>(
        ECHO_LATE, [](msec::context &context, const request &in, response &out) {
            const msec::status slept = msec::sleep(msec::milliseconds(100));
            return slept ? answer(context, in, out) : slept;
        });
    const std::string address = host.config("BENCH", "next");
    if (address.empty()) return;
    const auto next = std::make_shared<const msec::client>(host.engine(), address);
    methods.method<request, response>("bench.Original.Relay", relay(next, ECHO));
    methods.method<request, response>("bench.Original.Relay100ms", relay(next, ECHO_LATE));
}

}  // namespace

MSEC_PLUGIN(nullptr, setup);

// A business plugin: an echo service that asks another one for the echo.
//
// It becomes msec.so. Installed as <root>/Demo/plugin/bin/msec.so it is run by
//
//     msec host start Demo.plugin --root <root>
//
// which takes the address of the other service from etc/config.ini: [ECHO] next = 127.0.0.1:7963

#include <memory>
#include <string>

#include "echo.msec.h"

namespace {

class Relay : public echo::EchoService {
public:
    Relay(const msec::engine &engine, const std::string &next) : next_(engine, next) {}

    msec::status Echo(msec::context &context, const echo::EchoRequest &request,
                      echo::EchoResponse &response) override {
        // Blocks this coroutine, and no thread. It inherits the request's deadline, and says here
        // that it may use all of it: without, a call waits for one second at most.
        msec::call_options options;
        options.timeout = context.remaining();
        auto answer = next_.Echo(request, options);
        if (!answer) return answer.status();
        response = std::move(*answer);
        msec::metric::add("echoes");
        return {};
    }

private:
    const echo::EchoServiceClient next_;
};

void setup(msec::host &host, msec::server::builder &methods) {
    const std::string next = host.config("ECHO", "next", "127.0.0.1:7963");
    methods.service(std::make_shared<Relay>(host.engine(), next));
}

}  // namespace

MSEC_PLUGIN(nullptr, setup);

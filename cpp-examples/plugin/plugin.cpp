// A business plugin: an echo service that asks another one for the echo.
//
// It becomes msec.so. Installed as <root>/Demo/plugin/bin/msec.so it is run by
//
//     msec host start Demo.plugin --root <root>
//
// which takes the address of the other service from etc/config.ini: [ECHO] next = 127.0.0.1:7963

#include <memory>

#include <google/protobuf/descriptor.pb.h>

#include "echo.pb.h"
#include "msec.hpp"

namespace {

// What the messages look like, so that the service can be called with JSON, by curl and browsers.
std::string descriptors() {
    google::protobuf::FileDescriptorSet set;
    echo::EchoRequest::descriptor()->file()->CopyTo(set.add_file());
    return set.SerializeAsString();
}

void setup(msec::host &host, msec::server::builder &methods) {
    const std::string next = host.config("ECHO", "next", "127.0.0.1:7963");
    const auto client = std::make_shared<msec::client>(host.engine(), next);
    methods.descriptors(descriptors());
    methods.method<echo::EchoRequest, echo::EchoResponse>(
        "echo.EchoService.Echo",
        [client](msec::context &, const echo::EchoRequest &request, echo::EchoResponse &response) {
            // Blocks this coroutine, and no thread. It inherits the request's deadline.
            auto answer = client->call<echo::EchoResponse>("echo.EchoService.Echo", request);
            if (!answer) return answer.status();
            response = std::move(*answer);
            msec::metric::add("echoes");
            return msec::status();
        });
}

}  // namespace

MSEC_PLUGIN(nullptr, setup);

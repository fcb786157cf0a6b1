// The echo service as a business plugin in C++: the message is parsed and built by protobuf.

#include "echo.pb.h"
#include "msec.hpp"

static void setup(msec::host &, msec::server::builder &methods) {
    methods.method<echo::EchoRequest, echo::EchoResponse>(
        "echo.EchoService.Echo",
        [](msec::context &, const echo::EchoRequest &request, echo::EchoResponse &response) {
            response.set_message(request.message());
            return msec::status();
        });
}

MSEC_PLUGIN(nullptr, setup);

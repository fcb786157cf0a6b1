// What a service says of itself: attributes without registration, and a log that knows its request.
// The log goes to standard error, or to files in MSEC_LOG_FOLDER.

#include <cstdio>
#include <exception>

#include "echo.pb.h"
#include "msec.hpp"

int main() try {
    msec::engine engine;
    msec::server server =
        msec::server::describe()
            .method<echo::EchoRequest, echo::EchoResponse>(
                "echo.EchoService.Echo",
                [](msec::context &, const echo::EchoRequest &request, echo::EchoResponse &) {
                    msec::log_option("tenant", "blue");
                    MSEC_LOG_AT(MSEC_LOG_INFO, "asked for " + request.message(), {{"pieces", "3"}});
                    msec::metric::add("orders", 1, {{"city", "Koeln"}});
                    msec::metric::record("order_bytes", request.message().size());
                    return msec::status();
                })
            .listen("127.0.0.1:0")
            .start(engine);
    const msec::client client(engine, server.address());
    echo::EchoRequest request;
    request.set_message("a lamp");
    client.call<echo::EchoResponse>("echo.EchoService.Echo", request).value();
    std::printf("see http://%s/metrics while it runs\n", server.address().c_str());
    msec_log_flush(1000);
    return 0;
} catch (const std::exception &thrown) {
    std::fprintf(stderr, "reports: %s\n", thrown.what());
    return 1;
}

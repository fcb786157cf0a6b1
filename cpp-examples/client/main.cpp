// Calls the echo service in the ways that there are.
//
//     client 127.0.0.1:7963

#include <cstdio>
#include <exception>
#include <vector>

#include "echo.msec.h"

int main(int argc, char **argv) try {
    msec::engine engine;
    const char *const target = argc > 1 ? argv[1] : "127.0.0.1:7963";
    const echo::EchoServiceClient client(engine, target);
    echo::EchoRequest request;

    // From a plain thread a call blocks the thread.
    request.set_message("hello");
    msec::result<echo::EchoResponse> answer = client.Echo(request);
    if (!answer) {
        std::fprintf(stderr, "client: %s\n", answer.status().text().c_str());
        return 1;
    }
    std::printf("answered: %s\n", answer->message().c_str());

    // Several at a time: all are on their way before the first is waited for.
    std::vector<msec::pending<echo::EchoResponse>> calls;
    for (const char *word : {"one", "two", "three"}) {
        request.set_message(word);
        calls.push_back(client.Echo_start(request));
    }
    for (auto &call : calls) std::printf("answered: %s\n", call.get().value().message().c_str());

    // A failure is a code and a sentence. What is not in the .proto file is called by its name.
    msec::call_options options;
    options.timeout = std::chrono::milliseconds(50);
    const msec::client any(engine, target);
    const auto missing = any.call<echo::EchoResponse>("echo.EchoService.Gone", request, options);
    std::printf("failed: %d %s\n", missing.status().code(), missing.status().text().c_str());
    return 0;
} catch (const std::exception &thrown) {
    std::fprintf(stderr, "client: %s\n", thrown.what());
    return 1;
}

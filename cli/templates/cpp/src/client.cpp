// Calls the service: build/client 127.0.0.1:7963 world

#include <cstdio>
#include <exception>

#include "LEVEL2.msec.h"

int main(int argc, char **argv) try {
    msec::engine engine;
    const char *const target = argc > 1 ? argv[1] : "127.0.0.1:7963";
    const package_name::ClassNameServiceClient service(engine, target);
    package_name::GreetRequest request;
    request.set_name(argc > 2 ? argv[2] : "world");
    auto answer = service.Greet(request);
    if (!answer) {
        std::fprintf(stderr, "client: %s\n", answer.status().text().c_str());
        return 1;
    }
    std::printf("%s\n", answer->text().c_str());
    return 0;
} catch (const std::exception &thrown) {
    std::fprintf(stderr, "client: %s\n", thrown.what());
    return 1;
}

// A service that calls another. The nested call looks as if it blocked; only its coroutine waits.
//
//     relay 127.0.0.1:7964 127.0.0.1:7963

#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include "echo.msec.h"

class Relay : public echo::EchoService {
public:
    Relay(const msec::engine &engine, const std::string &next) : next_(engine, next) {}

    msec::status Echo(msec::context &, const echo::EchoRequest &request,
                      echo::EchoResponse &response) override {
        // It inherits the request's deadline, less the time spent, and its cancellation.
        auto answer = next_.Echo(request);
        if (!answer) return answer.status();
        response = std::move(*answer);
        return {};
    }

private:
    const echo::EchoServiceClient next_;
};

int main(int argc, char **argv) try {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);

    msec::engine engine;
    const auto relay = std::make_shared<Relay>(engine, argc > 2 ? argv[2] : "127.0.0.1:7963");
    msec::server server = msec::server::describe()
                              .service(relay)
                              .listen(argc > 1 ? argv[1] : "127.0.0.1:7964")
                              .start(engine);
    std::printf("relay listens on %s\n", server.address().c_str());
    std::fflush(stdout);
    int signal = 0;
    sigwait(&signals, &signal);
    server.stop(std::chrono::seconds(1));
    return 0;
} catch (const std::exception &thrown) {
    std::fprintf(stderr, "relay: %s\n", thrown.what());
    return 1;
}

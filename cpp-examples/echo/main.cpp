// A service that sends back what it gets.
//
//     echo 127.0.0.1:7963
//
// `msec call` and `msec press` can call it, as any other client can.

#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>

#include "echo.msec.h"

// `msec gen` has made the class of proto/echo.proto: one virtual function a method.
class EchoBack : public echo::EchoService {
public:
    msec::status Echo(msec::context &, const echo::EchoRequest &request,
                      echo::EchoResponse &response) override {
        response.set_message(request.message());
        return {};
    }
};

int main(int argc, char **argv) try {
    // Blocked before any thread is started, so that this one can wait for them.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);

    msec::engine engine;
    msec::server server = msec::server::describe()
                              .service(std::make_shared<EchoBack>())
                              .listen(argc > 1 ? argv[1] : "127.0.0.1:7963")
                              .start(engine);
    std::printf("echo listens on %s\n", server.address().c_str());
    std::fflush(stdout);

    int signal = 0;
    sigwait(&signals, &signal);
    // What is in flight is answered; callers have so long to leave.
    server.stop(std::chrono::seconds(1));
    return 0;
} catch (const std::exception &thrown) {
    std::fprintf(stderr, "echo: %s\n", thrown.what());
    return 1;
}

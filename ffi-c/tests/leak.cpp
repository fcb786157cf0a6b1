// An exception that leaves a handler of C, which none may: there is nobody who could catch it, so
// the process ends, and says where.

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "msec.hpp"

static int32_t leaks(void *, msec_context *) { throw std::runtime_error("leaked on purpose"); }

int main() {
    msec::error::check(msec_process_name_crashes());
    msec::engine engine;
    msec_server_builder *builder = msec_server_builder_new();
    msec::error::check(
        msec_server_builder_method(builder, "leak.Leak.It", leaks, nullptr, nullptr));
    msec::error::check(msec_server_builder_listen(builder, "127.0.0.1:0"));
    msec_server *server = nullptr;
    msec::error::check(msec_server_start(builder, engine.handle(), &server));
    const msec::client client(engine, msec_server_address(server, 0));
    const msec::result<std::string> answer = client.call_raw("leak.Leak.It", "");
    std::printf("the caller got %d: %s\n", static_cast<int>(answer.status().code()),
                answer.status().text().c_str());
    std::_Exit(3);
}

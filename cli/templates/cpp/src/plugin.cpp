// The service LEVEL1.LEVEL2. `msec host` loads it, and runs each request as a coroutine.

#include <memory>
#include <string>
#include <utility>

#include "LEVEL2.msec.h"

namespace {

class ClassName : public package_name::ClassNameService {
public:
    explicit ClassName(std::string greeting) : greeting_(std::move(greeting)) {}

    // Called by several threads at a time. A call to another service looks as if it blocked here;
    // only this request waits.
    msec::status Greet(msec::context &, const package_name::GreetRequest &request,
                       package_name::GreetResponse &response) override {
        if (request.name().empty()) {
            return {MSEC_EINVALID_PARAMETER, "there is nobody to greet: the name is empty"};
        }
        response.set_text(greeting_ + ", " + request.name() + "!");
        return {};
    }

private:
    const std::string greeting_;
};

// Runs once, before the first request.
void setup(msec::host &host, msec::server::builder &methods) {
    methods.service(std::make_shared<ClassName>(host.config("service", "greeting", "Hello")));
}

}  // namespace

MSEC_PLUGIN("LEVEL1.LEVEL2", setup);

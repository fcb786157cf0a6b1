// Implements and calls every service of the golden files, by the generated classes alone: that it
// compiles says that names are right, that it runs says that methods meet.

#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>

#include "bare.msec.h"
#include "cpp/names.msec.h"
#include "shop.msec.h"

namespace names = shop::msec::inner;
using word = names::class_;

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                  \
            std::exit(1);                                                                         \
        }                                                                                         \
    } while (false)

// Two services in one class.
class Both : public names::Names, public names::operator_ {
public:
    msec::status Names_(msec::context &, const word &request, word &response) override {
        response.set_text("names " + request.text());
        return {};
    }
    msec::status NamesClient_(msec::context &context, const word &, word &response) override {
        response.set_text(std::string(context.method()));
        return {};
    }
    msec::status class_(msec::context &, const word &, names::Outer::Inner &inner) override {
        (*inner.mutable_counts())["a"] = 3;
        return {};
    }
    msec::status requires_(msec::context &, const names::Outer::Inner &request,
                           names::Outer &response) override {
        *response.add_inner() = request;
        return {};
    }
    msec::status add_to_(msec::context &, const names::Outer_Part &,
                         google::protobuf::Empty &) override {
        return {MSEC_EINVALID_PARAMETER, "nothing to add"};
    }
    msec::status client__(msec::context &, const names::Outer &,
                          shop::orders::Order &response) override {
        response.set_card("4711");
        return {};
    }
    msec::status context(msec::context &, const google::protobuf::Empty &,
                         shop::Money &response) override {
        response.set_cents(5);
        return {};
    }
    msec::status service(msec::context &, const names::Outer &request,
                         names::Outer &response) override {
        response = request;
        return {};
    }
    msec::status request(msec::context &context, const names::Outer &request,
                         names::Outer &response) override {
        return service(context, request, response);
    }
    msec::status done(msec::context &context, const names::Outer &request,
                      names::Outer &response) override {
        return service(context, request, response);
    }
    msec::status msec(::msec::context &context, const names::Outer &request,
                      names::Outer &response) override {
        return service(context, request, response);
    }
    msec::status options_(msec::context &context, const names::Outer &request,
                          names::Outer &response) override {
        return service(context, request, response);
    }
    ::msec::status Echo(::msec::context &, const word &request, word &response) override {
        response = request;
        return {};
    }
};

// Its class within is not its own.
class Options : public names::options_ {
public:
    msec::status options__(msec::context &, const names::Outer &request,
                           names::Outer &response) override {
        response = request;
        return {};
    }
};

class Book : public shop::orders::order_book {
public:
    msec::status PutOrder(msec::context &, const shop::orders::Order &request,
                          shop::orders::Result &response) override {
        response.set_code(static_cast<int>(request.blob().size()));
        return {};
    }
    msec::status New(msec::context &, const google::protobuf::Empty &,
                     shop::orders::Order &response) override {
        response.set_blob("new");
        return {};
    }
    msec::status Type(msec::context &, const shop::orders::Order &request,
                      shop::orders::Order &response) override {
        response = request;
        return {};
    }
    msec::status clone(msec::context &, const shop::orders::Result &,
                       shop::Money &response) override {
        response.set_currency(shop::CURRENCY_EUR);
        return {};
    }
    msec::status HTTPGet(msec::context &, const shop::orders::Order &,
                         shop::orders::Result &) override {
        throw std::runtime_error("not kept");
    }
};

// Says where it runs, and stays there as long as it is told to.
class Told : public Book {
public:
    msec::semaphore entered{0}, leave{0};

    msec::status New(msec::context &, const google::protobuf::Empty &,
                     shop::orders::Order &response) override {
        response.set_blob(thread());
        // Blocks the thread, which a core's must not be.
        return msec::on_coroutine() ? msec::status(-1) : msec::sleep(msec::milliseconds(1));
    }
    msec::status Type(msec::context &, const shop::orders::Order &,
                      shop::orders::Order &response) override {
        response.set_blob(thread());
        return msec::sleep(msec::milliseconds(1)) ? msec::status(-1) : msec::status();
    }
    msec::status clone(msec::context &, const shop::orders::Result &, shop::Money &) override {
        entered.release();
        return leave.acquire();
    }
    msec::status PutOrder(msec::context &, const shop::orders::Order &,
                          shop::orders::Result &) override {
        return msec::on_coroutine() ? msec::status() : msec::status(-1);
    }

private:
    static std::string thread() {
        char name[16] = {};
        pthread_getname_np(pthread_self(), name, sizeof name);
        return name;
    }
};

class Nothing : public shop::orders::Nothing {};

class PingBack : public Pinger {
public:
    msec::status Ping(msec::context &, const ::Ping &request, ::Ping &response) override {
        response = request;
        return {};
    }
};

static void call_names(const msec::engine &engine, const std::string &address) {
    const names::NamesClient client(engine, address);
    word said;
    said.set_text("a");
    CHECK(client.Names_(said)->text() == "names a");
    CHECK(client.NamesClient_(said)->text() == "shop.msec.inner.Names.NamesClient");
    auto inner = client.class_(said);
    CHECK(inner->counts().at("a") == 3);
    CHECK(client.requires_(*inner)->inner_size() == 1);
    const auto refused = client.add_to_(names::Outer_Part());
    CHECK(refused.status().code() == MSEC_EINVALID_PARAMETER);
    CHECK(refused.status().text().find("nothing to add") != std::string::npos);
    CHECK(client.client__(names::Outer())->card() == "4711");
    CHECK(client.context(google::protobuf::Empty())->cents() == 5);
    names::Outer outer;
    outer.set_right("r");
    for (const auto &answer : {client.service(outer).value(), client.request(outer).value(),
                               client.done(outer).value(), client.msec(outer).value(),
                               client.options_(outer).value()}) {
        CHECK(answer.right() == "r");
    }
    const names::operatorClient other(engine, address);
    CHECK(other.Echo(said)->text() == "a");
}

static void call_book(const msec::engine &engine, const std::string &address) {
    const shop::orders::order_bookClient client(engine, address);
    shop::orders::Order order;
    order.set_blob("four");
    msec::call_options options;
    options.timeout = std::chrono::seconds(10);
    CHECK(client.PutOrder(order, options)->code() == 4);
    auto first = client.PutOrder_start(order), second = client.PutOrder_start(order, options);
    CHECK(first.get()->code() + second.get()->code() == 8);
    CHECK(client.New(google::protobuf::Empty())->blob() == "new");
    CHECK(client.Type(order)->blob() == "four");
    CHECK(client.clone(shop::orders::Result())->currency() == shop::CURRENCY_EUR);
    std::promise<std::string> told;
    client.HTTPGet_call_back(order, [&told](const msec::result<shop::orders::Result> &answer) {
        told.set_value(answer.status().text());
    });
    CHECK(told.get_future().get().find("not kept") != std::string::npos);
}

static void options_hold(const msec::engine &engine) {
    const auto told = std::make_shared<Told>();
    Told::options how;
    how.New.callback().heavy();
    how.Type.callback();
    how.clone.requests_max(1).adaptive_limit(false);
    const msec::server server =
        msec::server::describe().service(told, how).listen("127.0.0.1:0").start(engine);
    const shop::orders::order_bookClient client(engine, server.address());
    CHECK(client.New(google::protobuf::Empty())->blob().find("msec-offload") == 0);
    CHECK(client.Type(shop::orders::Order())->blob().find("msec-core") == 0);
    CHECK(client.PutOrder(shop::orders::Order()).ok());
    msec::call_options patient;
    patient.timeout = std::chrono::seconds(20);
    for (int round = 0; round < 2; round++) {
        auto first = client.clone_start(shop::orders::Result(), patient);
        CHECK(told->entered.acquire(std::chrono::seconds(10)).ok());
        CHECK(client.clone(shop::orders::Result()).status().code() == MSEC_EOVERLOADED);
        told->leave.release();
        CHECK(first.get().ok());
    }
}

int main() try {
    msec::engine engine;
    const auto both = std::make_shared<Both>();
    msec::server::builder methods = msec::server::describe();
    names::Names::add_to(methods, both);
    names::operator_::add_to(methods, both, {});
    msec::server server = methods.service(std::make_shared<Book>())
                              .service(std::make_shared<Nothing>())
                              .service(std::make_shared<PingBack>())
                              .service(std::make_shared<Options>())
                              .listen("127.0.0.1:0")
                              .start(engine);
    call_names(engine, server.address());
    call_book(engine, server.address());
    options_hold(engine);
    names::Outer outer;
    outer.set_right("r");
    CHECK(names::optionsClient(engine, server.address()).options__(outer)->right() == "r");
    Ping ping;
    ping.set_body("ping");
    CHECK(PingerClient(engine, server.address()).Ping(ping)->body() == "ping");
    std::printf("everything works\n");
    return 0;
} catch (const std::exception &thrown) {
    std::fprintf(stderr, "%s\n", thrown.what());
    return 1;
}

// Uses msec.hpp as a program would, and says what went wrong where. Its messages are made by hand,
// so that it can be compiled with every standard library.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string>

#include "msec.hpp"

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            std::fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #condition,      \
                         msec_error_text());                                                      \
            std::exit(1);                                                                         \
        }                                                                                         \
    } while (0)

using namespace std::chrono_literals;

// What a generated message has to have.
struct text {
    std::string value;
    bool ParseFromArray(const void *data, int size) {
        value.assign(static_cast<const char *>(data), static_cast<size_t>(size));
        return value != "no message";
    }
    size_t ByteSizeLong() const { return value.size(); }
    bool SerializeToArray(void *data, int size) const {
        std::memcpy(data, value.data(), static_cast<size_t>(size));
        return true;
    }
};

static const char *const ECHO = "text.Text.Echo";

static msec::server serve(const msec::engine &engine) {
    return msec::server::describe()
        .method<text, text>(ECHO, [](msec::context &, const text &request, text &response) {
            response.value = request.value;
            return msec::status();
        })
        .method<text, text>("text.Text.Refuse", [](msec::context &, const text &, text &) {
            return msec::status(-7001, "no such article");
        })
        .method<text, text>("text.Text.Throw", [](msec::context &, const text &request, text &)
                                                   -> msec::status {
            if (request.value == "int") throw 7;
            throw std::runtime_error("thrown: " + request.value);
        })
        .raw("text.Text.Facts", [](msec::context &context) {
            CHECK(context.remaining() <= 300ms && context.is_dyed() && context.flow_id() != 0);
            const auto headers = context.headers();
            CHECK(headers.size() == 2 && headers[0].first == "tenant");
            CHECK(context.priority() == MSEC_PRIORITY_SHEDDABLE);
            CHECK(context.traceparent().size() == 55 && context.identity(0).empty());
            msec::annotate("seen");
            const std::string caller(context.caller());
            context.answer(caller + " " + std::string(context.header("tenant")));
            return msec::status();
        })
        .listen("127.0.0.1:0")
        .start(engine);
}

static void operation(msec::engine &engine, const msec::server &server) {
    CHECK(*engine.config("cores") == "2" && engine.config("cheese").status().code() < 0);
    const std::string instance = "[[service.instance]]\naddress = \"" + server.address() + "\"\n";
    const std::string table = "[[service]]\nname = \"Demo.text\"\n" + instance;
    CHECK(engine.set_routes(table).ok());
    CHECK(msec::call<text>(engine, "Demo.text", ECHO, text{"named"})->value == "named");
    CHECK(engine.explain_routes()->find("\"Demo.text\"") != std::string::npos);
    CHECK(engine.pick_route("Demo.text")->find(':') != std::string::npos);
    CHECK(engine.report_route("Demo.text", "127.0.0.1", 0, std::chrono::milliseconds(1)).ok());
    CHECK(engine.pick_route("Demo.none").status().code() == MSEC_ENO_ROUTE);
    CHECK(engine.set_routes("[[service]]\nnam = 1").text().find("routes:") != std::string::npos);
    CHECK(*engine.push_routes("") == "Demo.text\n" && engine.confirm_routes("Demo.text").ok());
    CHECK(engine.set_dye_rules("uin=7 for=1m").ok() && !engine.set_dye_rules("percent=x").ok());
    CHECK(engine.metrics()->find("text.Text.Echo") != std::string::npos);
    CHECK(engine.reload_tls().ok() && server.load().first > 0);
}

// With certificates of MSEC_TEST_TLS, both sides.
static void tls() {
    const std::string folder = std::getenv("MSEC_TEST_TLS");
    const std::string ca = folder + "/ca.pem", chain = folder + "/client.pem",
                      key = folder + "/client.key";
    const msec_certificate shown = {chain.c_str(), key.c_str()};
    msec_client_tls_options trusted = MSEC_CLIENT_TLS_OPTIONS_INIT;
    trusted.ca = ca.c_str();
    trusted.certificate = &shown;
    msec_engine_options options = MSEC_ENGINE_OPTIONS_INIT;
    options.cores = 1;
    options.tls = &trusted;
    const msec::engine engine(options);
    const msec::server server =
        msec::server::describe()
            .raw("text.Text.Who",
                 [](msec::context &context) {
                     context.answer(context.identity(MSEC_IDENTITY_COMMON_NAME));
                     return msec::status();
                 })
            .tls({{{folder + "/server.pem", folder + "/server.key"}}, ca, 0})
            .pages(MSEC_PAGES_NOBODY)
            .host("text.example")
            .cors("https://shop.example")
            .quota("Demo.greedy", 1, 1)
            .quota_for_others(1000, 1000)
            .listen("127.0.0.1:0@tls")
            .start(engine);
    const msec::client client(engine, server.address());
    CHECK(*client.call_raw("text.Text.Who", "") == "ann");
}

static void calls(const msec::engine &engine, const msec::client &client,
                  const std::string &address) {
    CHECK(client.call<text>(ECHO, text{"hello"}).value().value == "hello");
    CHECK(msec::call<text>(engine, address, ECHO, text{"once"})->value == "once");
    CHECK(client.call<text>(ECHO, text{""})->value.empty());

    msec::result<text> refused = client.call<text>("text.Text.Refuse", text{"x"});
    CHECK(!refused && refused.status().code() == -7001);
    CHECK(refused.status().text().find("no such article") != std::string::npos);
    CHECK(!refused.status().retryable() && msec::status(MSEC_EOVERLOADED).retryable());
    try {
        refused.value();
        CHECK(!"a value of a failure");
    } catch (const msec::error &thrown) {
        CHECK(thrown.status().code() == -7001);
    }
    msec::result<text> thrown = client.call<text>("text.Text.Throw", text{"it"});
    CHECK(thrown.status().code() == MSEC_ESERVICE_FAILED);
    CHECK(thrown.status().text().find("thrown: it") != std::string::npos);
    CHECK(client.call<text>("text.Text.Throw", text{"int"}).status().code() ==
          MSEC_ESERVICE_FAILED);
    CHECK(client.call<text>(ECHO, text{"no message"}).status().code() == MSEC_EINVALID_BODY);

    msec::call_options options;
    options.timeout = 300ms;
    options.flags = MSEC_CALL_DYED;
    options.caller = "Demo.caller";
    options.priority = MSEC_PRIORITY_SHEDDABLE;
    options.lane = 3;
    options.headers = {{"tenant", "blue"}};
    CHECK(*client.call_raw("text.Text.Facts", "", options) == "Demo.caller blue");

    auto first = client.start<text>(ECHO, text{"1"});
    auto second = client.start<text>(ECHO, text{"2"});
    CHECK(second.get()->value == "2" && first.get()->value == "1");
    client.start<text>(ECHO, text{"given up"});

    msec::semaphore told(0);
    client.call_back<text>(ECHO, text{"back"}, [&told](msec::result<text> answer) {
        CHECK(answer->value == "back");
        told.release();
    });
    CHECK(told.acquire(5s).ok());
    CHECK(told.acquire(1ms).code() == MSEC_ETIMEOUT);
}

// Each of many coroutines sleeps within a catch block and then rethrows: its own exception.
static void exceptions_stay_apart(const msec::engine &engine) {
    std::vector<msec::task> tasks;
    for (int number = 0; number < 32; number++) {
        tasks.push_back(msec::spawn(engine, [number] {
            for (int round = 0; round < 20; round++) {
                const int thrown = number * 100 + round;
                try {
                    try {
                        throw std::runtime_error(std::to_string(thrown));
                    } catch (const std::runtime_error &) {
                        CHECK(msec::sleep(std::chrono::milliseconds((number + round) % 3)).ok());
                        CHECK(std::uncaught_exceptions() == 0);
                        throw;
                    }
                } catch (const std::runtime_error &again) {
                    CHECK(again.what() == std::to_string(thrown));
                }
            }
        }));
    }
    for (msec::task &task : tasks) CHECK(task.join(20s).ok());
}

static void tools(const msec::engine &engine) {
    CHECK(!msec::on_coroutine());
    int total = 0;
    msec::mutex mutex;
    const auto add = [&] {
        CHECK(msec::on_coroutine());
        for (int count = 0; count < 100; count++) {
            std::lock_guard<msec::mutex> held(mutex);
            const int before = total;
            CHECK(msec::yield().ok());
            total = before + 1;
        }
    };
    CHECK(msec::parallel(engine, add, add, add).ok() && total == 300);
    try {
        (void)msec::parallel(engine, [] {}, [] { throw std::runtime_error("from a task"); });
        CHECK(!"an exception gets lost");
    } catch (const std::runtime_error &thrown) {
        CHECK(std::string(thrown.what()) == "from a task");
    }

    msec::channel<std::string> channel(2);
    msec::task producer = msec::spawn(engine, [&channel] {
        for (int number = 0; number < 10; number++) {
            CHECK(channel.send(std::to_string(number)).ok());
        }
        channel.close();
    });
    for (int number = 0; number < 10; number++) CHECK(*channel.recv() == std::to_string(number));
    CHECK(channel.recv().status().code() == MSEC_EDRAINING && producer.join().ok());

    msec::channel<int> one(1), other(1);
    CHECK(other.send(77).ok());
    auto first = msec::channel<int>::recv_any({&one, &other});
    CHECK(first->first == 1 && first->second == 77);
    CHECK(msec::channel<int>::recv_any({&one, &other}, 1ms).status().code() == MSEC_ETIMEOUT);

    static const msec::local<std::string> mine;
    const auto own = [] {
        CHECK(mine->empty());
        *mine = "a value that is too long to be stored without memory of its own";
        CHECK(msec::yield().ok() && mine->size() > 50);
    };
    CHECK(msec::parallel(engine, own, own).ok() && mine->empty());

    msec::condition condition;
    bool ready = false;
    msec::task notifier = msec::spawn(engine, [&] {
        std::lock_guard<msec::mutex> held(mutex);
        ready = true;
        condition.notify_all();
    });
    mutex.lock();
    while (!ready) CHECK(condition.wait(mutex, 5s).ok());
    mutex.unlock();
    CHECK(notifier.join().ok());

    msec::task offloader = msec::spawn(engine, [] {
        CHECK(*msec::offload([] { return msec::on_coroutine() ? 1 : 2; }) == 2);
        CHECK(msec::offload([] {}).ok());
        try {
            (void)msec::offload([] { throw std::runtime_error("from a thread"); });
            CHECK(!"an exception gets lost");
        } catch (const std::runtime_error &thrown) {
            CHECK(std::string(thrown.what()) == "from a thread");
        }
        const auto line = [](std::string_view bytes) {
            const size_t end = bytes.find('\n');
            return end == bytes.npos ? int64_t{0} : static_cast<int64_t>(end) + 1;
        };
        CHECK(msec::call_third_party("127.0.0.1:1", "PING\r\n", line).status().code() ==
              MSEC_ENETWORK);
    });
    CHECK(offloader.join(10s).ok());

    msec::metric::add("orders", 1, {{"city", "Koeln"}});
    msec::metric::set("stock", -17);
    msec::metric::record("order_bytes", 640);
    MSEC_LOG_AT(MSEC_LOG_INFO, "order placed", {{"pieces", "3"}});
    MSEC_LOG_AT(MSEC_LOG_TRACE, "never seen");
}

// What tasks of scopes have said that were cancelled together.
static std::atomic<int> cancelled_count{0};
static msec::semaphore scope_opened(0), scope_left(0);

// Opens a scope for a caller who then gives up.
static msec::status opens_a_scope(const msec::engine &engine) {
    int ended = 0;
    {
        msec::scope scope(engine);
        for (int number = 0; number < 3; number++) {
            scope.spawn([&ended] {
                if (msec::sleep(30s).code() == MSEC_ECANCELLED) cancelled_count++;
                ended++;
            });
        }
        scope_opened.release();
        (void)msec::sleep(30s);
    }
    CHECK(ended == 3);
    scope_left.release();
    return {};
}

static void scopes(const msec::engine &engine) {
    std::atomic<int> ended{0};
    {
        msec::scope scope(engine);
        for (int number = 0; number < 10; number++) {
            scope.spawn([&ended] {
                CHECK(msec::sleep(5ms).ok());
                ended++;
            });
        }
    }
    CHECK(ended == 10);
    msec::task within = msec::spawn(engine, [&engine] {
        int mine = 0;
        try {
            msec::scope scope(engine);
            scope.spawn([&mine] {
                CHECK(msec::sleep(10ms).ok());
                mine = 1;
            });
            throw std::runtime_error("leaves");
        } catch (const std::runtime_error &) {
            CHECK(mine == 1 && std::uncaught_exceptions() == 0);
        }
        msec::scope scope(engine);
        scope.spawn([] { throw std::runtime_error("from a task"); });
        scope.spawn([&mine] {
            CHECK(msec::sleep(10ms).ok());
            mine = 2;
        });
        try {
            (void)scope.join();
            CHECK(!"an exception gets lost");
        } catch (const std::runtime_error &thrown) {
            CHECK(std::string(thrown.what()) == "from a task" && mine == 2);
        }
        scope.spawn([&mine] { mine = 3; });
        CHECK(scope.join().ok() && mine == 3);
    });
    CHECK(within.join(20s).ok());

    const msec::server server =
        msec::server::describe()
            .raw("text.Text.Scope", [&engine](msec::context &) { return opens_a_scope(engine); })
            .raw("text.Text.Ping", [](msec::context &) { return msec::status(); })
            .listen("127.0.0.1:0")
            .start(engine);
    msec::call_options options;
    options.timeout = 60s;
    const msec::client client(engine, server.address());
    // Cancels are sent to who has shown that he knows them.
    CHECK(client.call_raw("text.Text.Ping", "").ok());
    {
        const auto given_up = client.start<text>("text.Text.Scope", text{""}, options);
        CHECK(scope_opened.acquire(20s).ok());
    }
    CHECK(scope_left.acquire(20s).ok() && cancelled_count == 3);
}

// One thing after the other comes first; on a thread, and on a coroutine.
static void selects(const msec::engine &engine, const msec::client &client) {
    msec::channel<int> numbers(2);
    msec::channel<std::string> words(2);
    std::string seen;
    const auto number = msec::on(numbers, [&](int number) { seen = std::to_string(number); });
    const auto word = msec::on(words, [&](std::string word) { seen = std::move(word); });
    CHECK(msec::select(number, word, msec::after(1ms, [&] { seen = "time"; })).ok());
    CHECK(seen == "time");
    CHECK(words.send("news").ok() && numbers.send(7).ok());
    CHECK(msec::select(number, word).ok() && seen == "7");
    CHECK(msec::select(number, word).ok() && seen == "news");
    CHECK(msec::select(msec::after(20s, [&] { seen = "late"; }), number,
                       msec::after(2ms, [&] { seen = "soon"; }))
              .ok());
    CHECK(seen == "soon");

    auto call = client.start<text>(ECHO, text{"answer"});
    const auto answer = msec::on(call, [&](msec::result<text> answer) { seen = answer->value; });
    CHECK(msec::select(number, answer).ok() && seen == "answer");
    call = client.start<text>("text.Text.Refuse", text{"x"});
    CHECK(msec::select(msec::on(call, [&](const msec::result<text> &answer) {
              seen = std::to_string(answer.status().code());
          })).ok());
    CHECK(seen == "-7001");

    msec::task task = msec::spawn(engine, [] { CHECK(msec::sleep(5ms).ok()); });
    CHECK(msec::select(word, msec::on(task, [&] { seen = "ended"; })).ok() && seen == "ended");
    CHECK(task.join(1ms).ok());

    msec::task sender = msec::spawn(engine, [&] {
        CHECK(msec::sleep(5ms).ok());
        CHECK(words.send("late").ok());
        words.close();
    });
    CHECK(msec::select(word, number).ok() && seen == "late" && sender.join().ok());
    numbers.close();
    CHECK(msec::select(word, number).code() == MSEC_EDRAINING && seen == "late");
    CHECK(msec::select(msec::after(1ms, [&] { seen = "alone"; })).ok() && seen == "alone");
}

int main() {
    msec_engine_options options = MSEC_ENGINE_OPTIONS_INIT;
    options.cores = 2;
    msec::engine engine(options);
    msec::server server = serve(engine);
    const msec::client client(engine, server.address());
    calls(engine, client, server.address());
    operation(engine, server);
    tls();
    exceptions_stay_apart(engine);
    tools(engine);
    scopes(engine);
    selects(engine, client);
    CHECK(msec::spawn(engine, [&] { selects(engine, client); }).join(30s).ok());
    try {
        msec::client nowhere(engine, "nowhere at all");
        CHECK(!"a client of nothing");
    } catch (const msec::error &thrown) {
        CHECK(thrown.status().code() == MSEC_EINVALID_ENDPOINT);
    }
    server.stop(100ms);
    CHECK(client.call<text>(ECHO, text{"late"}).status().code() == MSEC_ENETWORK);
    std::puts("everything works");
}

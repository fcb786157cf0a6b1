// Work on several coroutines at a time, and what they share.

#include <cstdio>
#include <exception>
#include <mutex>

#include "msec.hpp"

using namespace std::chrono_literals;

int main() try {
    msec::engine engine;
    msec::mutex mutex;
    int total = 0;
    const auto add = [&](int amount) {
        return [&, amount] {
            // Holding it while the coroutine sleeps is what this mutex is for.
            const std::lock_guard<msec::mutex> held(mutex);
            const int before = total;
            msec::sleep(1ms);
            total = before + amount;
        };
    };
    msec::parallel(engine, add(1), add(2), add(3));
    std::printf("total %d\n", total);

    msec::channel<int> squares(4);
    msec::task producer = msec::spawn(engine, [&squares] {
        for (int number = 1; number <= 5; number++) squares.send(number * number);
        squares.close();
    });
    while (msec::result<int> square = squares.recv()) std::printf("square %d\n", *square);
    producer.join();

    // What blocks its thread or computes for long must not hold up a core.
    msec::task worker = msec::spawn(engine, [] {
        const msec::result<int> sum = msec::offload([] {
            int sum = 0;
            for (int number = 0; number < 1000; number++) sum += number;
            return sum;
        });
        std::printf("offloaded %d\n", sum.ok());
    });
    worker.join();

    // Tasks that have ended when the block has, and so may use what lives in it.
    msec::channel<int> news(1);
    const auto wait = [&news] {
        msec::select(msec::on(news, [](int number) { std::printf("news %d\n", number); }),
                     msec::after(20ms, [] { std::printf("no news\n"); }));
    };
    wait();
    {
        msec::scope scope(engine);
        scope.spawn([&news] { news.send(7); });
    }
    wait();
    return 0;
} catch (const std::exception &thrown) {
    std::fprintf(stderr, "parallel: %s\n", thrown.what());
    return 1;
}

// Scopes: tasks that all have ended when the scope does, so that they may use what is on the stack
// of who opened it.
//
// A cancellation does not cut the wait short: tasks that were spawned on a coroutine are cancelled
// as well, and end by it. (Those that it gave to another engine notice when they next wake.) On the
// loop of a core, as in a callback method, nothing can be waited for: a scope with tasks that have
// not ended ends the program there.

#ifndef MSEC_SCOPE_HPP
#define MSEC_SCOPE_HPP

#include <exception>
#include <utility>
#include <vector>

#include "engine.hpp"
#include "error.hpp"
#include "task.hpp"

namespace msec {

/// Tasks that all end before it does. To be used by who made it alone. Its end suspends, also when
/// an exception leaves the block.
///
///     msec::scope scope(engine);
///     scope.spawn([&] { stock = stocks.Count(request); });
///     scope.spawn([&] { price = prices.Of(request); });
///     scope.join();
class scope {
public:
    explicit scope(const engine &engine) noexcept : engine_(&engine) {}
    scope(const scope &) = delete;
    scope &operator=(const scope &) = delete;

    /// Waits for all tasks. What they have thrown is told by join() only.
    ~scope() {
        for (task &task : tasks_) (void)task.end();
    }

    /// Runs a function as a coroutine of the scope: on the caller's core, or from a plain thread on
    /// one of the engine's.
    template <class Function>
    void spawn(Function function) {
        // Room for it first: once it runs, it must be waited for.
        tasks_.emplace_back();
        try {
            tasks_.back() = msec::spawn(*engine_, std::move(function));
        } catch (...) {
            tasks_.pop_back();
            throw;
        }
    }

    /// Waits for all tasks, after which it may have new ones. The first failure in the order of
    /// spawning, after all have ended: an exception is rethrown, -101 is a task for which no stack
    /// was left. Suspends.
    status join() {
        status ended;
        std::exception_ptr thrown;
        for (task &task : tasks_) {
            status joined = task.end();
            if (thrown == nullptr && ended) {
                ended = std::move(joined);
                thrown = *task.thrown_;
            }
        }
        tasks_.clear();
        if (thrown != nullptr) std::rethrow_exception(thrown);
        return ended;
    }

private:
    const engine *engine_;
    std::vector<task> tasks_;
};

/// Runs functions at the same time and waits for all of them, as a scope does. The first exception
/// is rethrown. Suspends.
template <class... Functions>
status parallel(const engine &engine, Functions... functions) {
    scope scope(engine);
    (scope.spawn(std::move(functions)), ...);
    return scope.join();
}

}  // namespace msec

#endif

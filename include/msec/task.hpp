// Coroutines: sleeping, giving way, and functions that run beside each other.
//
// A function is moved to the heap and its pointer given to C, which runs it once and so frees it
// once. What it throws is kept for whoever joins it.

#ifndef MSEC_TASK_HPP
#define MSEC_TASK_HPP

#include <cstdint>
#include <exception>
#include <memory>
#include <utility>

#include "../msec.h"
#include "bridge.hpp"
#include "engine.hpp"
#include "error.hpp"

namespace msec {

/// Suspends the coroutine, or blocks the thread.
inline status sleep(milliseconds time) {
    return status::last(msec_sleep(time.count() <= 0 ? 0 : detail::limit(time)));
}

/// Lets the other coroutines of the core run that are ready.
inline status yield() { return status::last(msec_yield()); }

/// Whether the calling code runs on a coroutine, where it may suspend.
inline bool on_coroutine() noexcept { return msec_on_coroutine(); }

/// A function on a coroutine of its own. Destroyed, it lets the function go on by itself.
class task {
public:
    /// Waits until the function has ended. An exception that left it is rethrown here. Suspends.
    status join(milliseconds timeout = milliseconds::max()) {
        const int32_t code = msec_task_join(handle_.get(), detail::limit(timeout), nullptr);
        if (code != MSEC_OK && code != MSEC_EOVERLOADED) return status::last(code);
        // Used up.
        (void)handle_.release();
        if (code == MSEC_OK && *thrown_) std::rethrow_exception(*thrown_);
        return status::last(code);
    }

    msec_task *handle() const noexcept { return handle_.get(); }

private:
    friend class scope;

    /// Waits until the function has ended, whatever becomes of the caller.
    status end() {
        if (handle_.get() == nullptr) return {};
        const int32_t code = msec_task_join_uncancelled(handle_.get(), nullptr);
        // Who cannot wait must not go on as if it had ended.
        if (code != MSEC_OK && code != MSEC_EOVERLOADED) std::terminate();
        // Used up.
        (void)handle_.release();
        return status::last(code);
    }

    template <class Function>
    friend task spawn(const engine &engine, Function function);
    detail::handle<msec_task, msec_task_free> handle_;
    std::shared_ptr<std::exception_ptr> thrown_ = std::make_shared<std::exception_ptr>();
};

/// Runs a function as a coroutine: on the caller's core, or from a plain thread on one of the
/// engine's.
template <class Function>
task spawn(const engine &engine, Function function) {
    struct job {
        Function function;
        std::shared_ptr<std::exception_ptr> thrown;
    };
    task spawned;
    auto kept = std::make_unique<job>(job{std::move(function), spawned.thrown_});
    const auto run = [](void *argument) noexcept -> int32_t {
        const std::unique_ptr<job> owned(static_cast<job *>(argument));
        try {
            owned->function();
        } catch (...) {
            *owned->thrown = std::current_exception();
        }
        return MSEC_OK;
    };
    msec_task *handle = nullptr;
    error::check(msec_spawn(engine.handle(), run, kept.get(), &handle));
    kept.release();
    spawned.handle_.reset(handle);
    return spawned;
}

}  // namespace msec

#endif

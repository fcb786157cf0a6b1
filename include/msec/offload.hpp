// Work that blocks a thread, such as a library that knows nothing of coroutines: it runs on a
// thread for such things while the coroutine waits.

#ifndef MSEC_OFFLOAD_HPP
#define MSEC_OFFLOAD_HPP

#include <cstdint>
#include <exception>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "../msec.h"
#include "error.hpp"

namespace msec {

/// Runs a function on an offload thread, where it may block the thread, and waits for it; returns
/// what it returns, and rethrows what it throws. Suspends. What the function refers to must outlive
/// it: a cancelled caller does not wait.
template <class Function>
auto offload(Function function) -> result<std::conditional_t<
    std::is_void_v<decltype(function())>, std::tuple<>, decltype(function())>> {
    using value = decltype(function());
    using kept = std::conditional_t<std::is_void_v<value>, std::tuple<>, value>;
    struct job {
        Function function;
        std::unique_ptr<kept> returned;
        std::exception_ptr thrown;
    };
    const auto shared = std::make_shared<job>(job{std::move(function), nullptr, nullptr});
    // Its own share of the job, for a caller that has gone.
    auto *argument = new std::shared_ptr<job>(shared);
    const auto run = [](void *argument) noexcept -> int32_t {
        const std::unique_ptr<std::shared_ptr<job>> owned(
            static_cast<std::shared_ptr<job> *>(argument));
        job &job = **owned;
        try {
            if constexpr (std::is_void_v<value>) {
                job.function();
                job.returned = std::make_unique<kept>();
            } else {
                job.returned = std::make_unique<kept>(job.function());
            }
        } catch (...) {
            job.thrown = std::current_exception();
        }
        return MSEC_OK;
    };
    const int32_t code = msec_offload(run, argument, nullptr);
    if (code != MSEC_OK) {
        if (code != MSEC_ECANCELLED) delete argument;
        return status::last(code);
    }
    if (shared->thrown) std::rethrow_exception(shared->thrown);
    return std::move(*shared->returned);
}

}  // namespace msec

#endif

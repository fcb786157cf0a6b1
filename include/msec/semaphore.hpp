// A semaphore for coroutines and threads.

#ifndef MSEC_SEMAPHORE_HPP
#define MSEC_SEMAPHORE_HPP

#include <cstddef>

#include "../msec.h"
#include "bridge.hpp"
#include "error.hpp"

namespace msec {

/// Letting in so many at a time.
class semaphore {
public:
    explicit semaphore(size_t permits) : handle_(msec_semaphore_new(permits)) {}

    /// Takes a permit. Suspends.
    status acquire(milliseconds timeout = milliseconds::max()) {
        return status::last(msec_semaphore_acquire(handle_.get(), detail::limit(timeout)));
    }
    bool try_acquire() noexcept { return msec_semaphore_try_acquire(handle_.get()) == MSEC_OK; }
    void release(size_t permits = 1) noexcept { msec_semaphore_release(handle_.get(), permits); }

private:
    detail::handle<msec_semaphore, msec_semaphore_free> handle_;
};

}  // namespace msec

#endif

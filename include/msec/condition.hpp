// A condition variable for coroutines and threads.

#ifndef MSEC_CONDITION_HPP
#define MSEC_CONDITION_HPP

#include "../msec.h"
#include "bridge.hpp"
#include "error.hpp"
#include "mutex.hpp"

namespace msec {

/// Waiting until others have changed what a mutex protects.
class condition {
public:
    condition() : handle_(msec_condition_new()) {}

    /// Gives up the mutex, waits, and takes it again; may return without any change. Suspends.
    status wait(mutex &mutex, milliseconds timeout = milliseconds::max()) {
        return status::last(msec_condition_wait(handle_.get(), mutex.handle_.get(),
                                                detail::limit(timeout)));
    }
    void notify_one() noexcept { msec_condition_notify_one(handle_.get()); }
    void notify_all() noexcept { msec_condition_notify_all(handle_.get()); }

private:
    detail::handle<msec_condition, msec_condition_free> handle_;
};

}  // namespace msec

#endif

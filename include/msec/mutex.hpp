// A mutex for coroutines and threads.

#ifndef MSEC_MUTEX_HPP
#define MSEC_MUTEX_HPP

#include "../msec.h"
#include "bridge.hpp"
#include "error.hpp"

namespace msec {

/// A mutex that may be held while a coroutine is suspended, for std::lock_guard and the like.
class mutex {
public:
    mutex() : handle_(msec_mutex_new()) {}

    /// Takes it. Suspends. Throws msec::error (-103) when the caller was cancelled.
    void lock() { error::check(msec_mutex_lock(handle_.get(), 0)); }
    /// Takes it within a time. Suspends.
    status lock(milliseconds timeout) {
        return status::last(msec_mutex_lock(handle_.get(), detail::limit(timeout)));
    }
    bool try_lock() noexcept { return msec_mutex_try_lock(handle_.get()) == MSEC_OK; }
    void unlock() noexcept { msec_mutex_unlock(handle_.get()); }

private:
    friend class condition;
    detail::handle<msec_mutex, msec_mutex_free> handle_;
};

}  // namespace msec

#endif

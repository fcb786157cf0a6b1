// A variable of the coroutine, as thread_local is one of the thread.

#ifndef MSEC_LOCAL_HPP
#define MSEC_LOCAL_HPP

#include <memory>

#include "../msec.h"
#include "bridge.hpp"
#include "error.hpp"

namespace msec {

/// A value that each coroutine has its own of, made when it is first looked at and destroyed with
/// the coroutine. On a plain thread it is the thread's. To be made once, as a static.
template <class T>
class local {
public:
    local() : handle_(msec_local_new(destroy)) {}

    /// The running coroutine's value. Throws msec::error (-2) on the loop of a core.
    T &get() const {
        if (void *known = msec_local_pointer(handle_.get())) return *static_cast<T *>(known);
        auto made = std::make_unique<T>();
        error::check(msec_local_set(handle_.get(), made.get()));
        return *made.release();
    }
    T &operator*() const { return get(); }
    T *operator->() const { return &get(); }

private:
    static void destroy(void *value) noexcept { delete static_cast<T *>(value); }
    detail::handle<msec_local, msec_local_free> handle_;
};

}  // namespace msec

#endif

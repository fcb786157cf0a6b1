// Waiting for a descriptor that another library owns.

#ifndef MSEC_READINESS_HPP
#define MSEC_READINESS_HPP

#include "../msec.h"
#include "bridge.hpp"
#include "error.hpp"

namespace msec {

/// Suspends until a descriptor can be read.
inline status readable(int fd, milliseconds timeout = milliseconds::max()) {
    return status::last(msec_wait_fd(fd, MSEC_READABLE, detail::limit(timeout)));
}

/// Suspends until a descriptor can be written.
inline status writable(int fd, milliseconds timeout = milliseconds::max()) {
    return status::last(msec_wait_fd(fd, MSEC_WRITABLE, detail::limit(timeout)));
}

}  // namespace msec

#endif

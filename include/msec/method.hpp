// How a method is run: on a coroutine, unless these options say otherwise.

#ifndef MSEC_METHOD_HPP
#define MSEC_METHOD_HPP

#include <cstdint>

#include "../msec.h"

namespace msec {

/// How a method is run: `msec::method_options().heavy().requests_max(8)`. Of generated services
/// each method has such options in the struct `options` of its class.
class method_options {
public:
    /// On an offload thread: for work that burns CPU for milliseconds and would hold up its core.
    /// The handler may block; it then holds the thread.
    method_options &heavy() { return kind(MSEC_METHOD_HEAVY); }

    /// On the core's loop, without a coroutine. The handler must answer at once: what suspends
    /// fails in it.
    method_options &callback() { return kind(MSEC_METHOD_CALLBACK); }

    /// Bounds the requests of this method in flight in this process; more are answered with -101.
    /// 0: no such bound.
    method_options &requests_max(uint32_t count) {
        options_.requests_max = count;
        return *this;
    }

    /// Whether requests of this method are refused with -101 when those in flight queue up for
    /// something scarce, so that most are too late; default yes.
    method_options &adaptive_limit(bool on) {
        options_.flags &= ~uint32_t{MSEC_METHOD_FIXED};
        if (!on) options_.flags |= MSEC_METHOD_FIXED;
        return *this;
    }

    /// In the form of C, valid as long as this object.
    const msec_method_options *get() const noexcept { return &options_; }

private:
    method_options &kind(uint32_t flag) {
        options_.flags &= ~uint32_t{MSEC_METHOD_HEAVY | MSEC_METHOD_CALLBACK};
        options_.flags |= flag;
        return *this;
    }

    msec_method_options options_ = MSEC_METHOD_OPTIONS_INIT;
};

}  // namespace msec

#endif

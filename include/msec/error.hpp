// How things end: a status, a value or a status, and what is thrown.
//
// What can fail because of others returns a status or a result. What fails because of the program
// or its machine throws an error. A status is a code of msec.h, or one of the service's own, and a
// sentence; where a function of msec.h has failed, the sentence is what it left on its thread, so a
// status is made before anything else is called.

#ifndef MSEC_ERROR_HPP
#define MSEC_ERROR_HPP

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "../msec.h"

namespace msec {

/// How something ended: a code, and a sentence if it is a failure.
class status {
public:
    /// Success.
    status() noexcept = default;

    /// A code of msec.h (or one of the service's own), and what happened, to what, and why.
    status(int32_t code, std::string text) : code_(code), text_(std::move(text)) {}

    /// A code that says it all.
    status(int32_t code) : code_(code) {}

    bool ok() const noexcept { return code_ == MSEC_OK; }
    explicit operator bool() const noexcept { return ok(); }
    int32_t code() const noexcept { return code_; }

    /// The sentence; the general text of the code if there is none.
    std::string text() const { return text_.empty() ? msec_strerror(code_) : text_; }

    /// Whether a call that ended so surely did not run, and another attempt, elsewhere or later,
    /// may do better.
    bool retryable() const noexcept { return msec_error_retryable(code_); }

    /// What the last function of msec.h that failed on this thread had to say.
    static status last(int32_t code) {
        return code == MSEC_OK ? status() : status(code, msec_error_text());
    }

private:
    int32_t code_ = MSEC_OK;
    std::string text_;
};

/// What is thrown where the program or its machine is at fault.
class error : public std::runtime_error {
public:
    explicit error(const msec::status &status)
        : std::runtime_error(status.text()), status_(status) {}
    const msec::status &status() const noexcept { return status_; }

    /// Throws unless the code is 0.
    static void check(int32_t code) {
        if (code != MSEC_OK) throw error(msec::status::last(code));
    }

private:
    msec::status status_;
};

/// A value, or the status that says why there is none.
template <class T>
class result {
public:
    result(T value) : value_(std::make_unique<T>(std::move(value))) {}
    result(msec::status status) : status_(std::move(status)) {}

    bool ok() const noexcept { return value_ != nullptr; }
    explicit operator bool() const noexcept { return ok(); }
    const msec::status &status() const noexcept { return status_; }

    /// The value; throws msec::error if there is none.
    T &value() {
        if (!ok()) throw error(status_);
        return *value_;
    }
    T &operator*() { return value(); }
    T *operator->() { return &value(); }

private:
    msec::status status_;
    std::unique_ptr<T> value_;
};

}  // namespace msec

#endif

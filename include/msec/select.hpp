// Select: the first of several things that may come, and what is done about it.
//
//     msec::status come = msec::select(
//         msec::on(orders, [&](order next) { accept(std::move(next)); }),
//         msec::on(price, [&](msec::result<PriceResponse> answer) { ... }),
//         msec::after(100ms, [&] { give_up(); }));

#ifndef MSEC_SELECT_HPP
#define MSEC_SELECT_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "../msec.h"
#include "bridge.hpp"
#include "channel.hpp"
#include "client.hpp"
#include "error.hpp"
#include "task.hpp"

namespace msec {

namespace detail {

template <class T, class Then>
struct on_channel {
    const channel<T> &source;
    Then then;
    msec_wait wait() const { return {source.handle(), nullptr, nullptr}; }
    void run(void *item) {
        const std::unique_ptr<T> owned(static_cast<T *>(item));
        then(std::move(*owned));
    }
};

template <class Response, class Then>
struct on_answer {
    pending<Response> &source;
    Then then;
    msec_wait wait() const { return {nullptr, source.handle(), nullptr}; }
    void run(void *) { then(source.get()); }
};

template <class Then>
struct on_end {
    task &source;
    Then then;
    msec_wait wait() const { return {nullptr, nullptr, source.handle()}; }
    void run(void *) { then(); }
};

template <class Then>
struct on_time {
    milliseconds time;
    Then then;
};

/// What select() was given, with the wait for C that each has but a time.
class selection {
public:
    explicit selection(msec_wait *waits) : waits_(waits) {}

    template <class Case>
    void add(const Case &one) {
        waits_[count_++] = one.wait();
    }
    template <class Then>
    void add(const on_time<Then> &one) {
        time_ = std::min(time_, one.time);
    }

    status wait() {
        code_ = msec_select(waits_, count_, limit(time_), &index_, &item_);
        const bool is_time = code_ == MSEC_ETIMEOUT && time_ != milliseconds::max();
        return is_time ? status() : status::last(code_);
    }

    /// Runs it if it is the one that came. In the order of add().
    template <class Case>
    void run(Case &one) {
        if (code_ == MSEC_OK && looked_at_++ == index_) one.run(item_);
    }
    template <class Then>
    void run(on_time<Then> &one) {
        if (code_ != MSEC_ETIMEOUT || one.time != time_) return;
        // Of two with the same time the first counts.
        code_ = MSEC_OK;
        index_ = SIZE_MAX;
        one.then();
    }

private:
    msec_wait *waits_;
    size_t count_ = 0;
    milliseconds time_ = milliseconds::max();
    int32_t code_ = MSEC_OK;
    size_t index_ = SIZE_MAX;
    size_t looked_at_ = 0;
    void *item_ = nullptr;
};

}  // namespace detail

/// For select(): the next value of a channel, as `then(T)`. A channel that is closed and empty is
/// passed over.
template <class T, class Then>
detail::on_channel<T, Then> on(const channel<T> &channel, Then then) {
    return {channel, std::move(then)};
}

/// For select(): the answer of a call, as `then(result<Response>)`. It is used up then.
template <class Response, class Then>
detail::on_answer<Response, Then> on(pending<Response> &call, Then then) {
    return {call, std::move(then)};
}

/// For select(): the end of a task, as `then()`, which may join it without waiting.
template <class Then>
detail::on_end<Then> on(task &task, Then then) {
    return {task, std::move(then)};
}

/// For select(): so much time without anything else, as `then()`.
template <class Then>
detail::on_time<Then> after(milliseconds time, Then then) {
    return {time, std::move(then)};
}

/// Waits for the first of several things and does what it has been told to do about it; if several
/// have come, about the first in the list. Others are left as they were. What `then` throws goes
/// on. Suspends. Fails with -104 when all that are there are channels that are closed and empty,
/// -103 when the caller was cancelled; nothing is done then.
template <class... Cases>
status select(Cases... cases) {
    msec_wait waits[sizeof...(cases) + 1];
    detail::selection selection(waits);
    (selection.add(cases), ...);
    status ended = selection.wait();
    if (ended) (selection.run(cases), ...);
    return ended;
}

}  // namespace msec

#endif

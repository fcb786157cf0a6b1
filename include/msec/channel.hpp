// A channel between coroutines and threads. C sees pointers: a value is on the heap while it waits.

#ifndef MSEC_CHANNEL_HPP
#define MSEC_CHANNEL_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "../msec.h"
#include "bridge.hpp"
#include "error.hpp"

namespace msec {

/// A bounded queue between coroutines and threads.
template <class T>
class channel {
public:
    explicit channel(size_t capacity) : handle_(msec_channel_new(capacity)) {}

    ~channel() {
        close();
        // On a plain thread or not, what is in it is there at once.
        while (recv(milliseconds(0))) {
        }
    }
    channel(const channel &) = delete;
    channel &operator=(const channel &) = delete;

    /// Puts a value in. Suspends. Fails with -104 once the channel is closed.
    status send(T value, milliseconds timeout = milliseconds::max()) {
        auto item = std::make_unique<T>(std::move(value));
        const int32_t code = msec_channel_send(handle_.get(), item.get(), detail::limit(timeout));
        if (code == MSEC_OK) item.release();
        return status::last(code);
    }

    /// Takes the oldest value out. Suspends. Fails with -104 once the channel is closed and empty.
    result<T> recv(milliseconds timeout = milliseconds::max()) {
        void *item = nullptr;
        const int32_t code = msec_channel_recv(handle_.get(), detail::limit(timeout), &item);
        if (code != MSEC_OK) return status::last(code);
        const std::unique_ptr<T> owned(static_cast<T *>(item));
        return std::move(*owned);
    }

    /// Takes a value out of the first of several channels that has one: its index, and the value.
    /// Suspends. Fails with -104 once all are closed and empty.
    static result<std::pair<size_t, T>> recv_any(const std::vector<const channel *> &channels,
                                                 milliseconds timeout = milliseconds::max()) {
        std::vector<const msec_channel *> handles;
        for (const channel *one : channels) handles.push_back(one->handle_.get());
        size_t index = 0;
        void *item = nullptr;
        const int32_t code = msec_channel_recv_any(handles.data(), handles.size(),
                                                   detail::limit(timeout), &index, &item);
        if (code != MSEC_OK) return status::last(code);
        const std::unique_ptr<T> owned(static_cast<T *>(item));
        return std::pair<size_t, T>(index, std::move(*owned));
    }

    /// Lets nothing more in.
    void close() noexcept { msec_channel_close(handle_.get()); }

    const msec_channel *handle() const noexcept { return handle_.get(); }

private:
    detail::handle<msec_channel, msec_channel_free> handle_;
};

}  // namespace msec

#endif

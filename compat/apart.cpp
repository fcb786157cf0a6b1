// Who begins what belongs to no request.
//
//   a request's coroutine ── order ──► the starter, a coroutine of nobody's ── msec_spawn ──► it
//
// A coroutine that a request's spawns has its deadline, is cancelled with it and logs its ReqID:
// right for mt_exec_all_task, wrong for what outlives the request.

#include "apart.h"

#include <atomic>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>

#include "runtime.h"

namespace msec {
namespace compat {

namespace {

/// A coroutine that was ordered, for who waits for its handle.
struct begun {
    msec_task *task;
    std::atomic<bool> is_there;
};

/// What a coroutine wants to have begun that does not belong to its request.
struct order {
    msec_task_function function;
    void *argument;
    /// NULL: nobody waits.
    begun *place;
};

/// Orders that wait at most.
const size_t ORDERS_MAX = 65536;

/// Begins what is ordered: what a coroutine spawns is its request's, and is cancelled with it, and
/// this one has none. Orders are given without waiting, as no request that was cancelled could.
struct starter {
    std::mutex lock;
    std::deque<order> orders;
    msec_semaphore *const waiting;

    starter() : waiting(msec_semaphore_new(0)) {}

    bool give(const order &one) {
        {
            const std::lock_guard<std::mutex> locked(lock);
            if (orders.size() >= ORDERS_MAX) return false;
            orders.push_back(one);
        }
        return msec_semaphore_release(waiting, 1) == MSEC_OK;
    }

    order take() {
        const std::lock_guard<std::mutex> locked(lock);
        const order one = orders.front();
        orders.pop_front();
        return one;
    }

    static int32_t run(void *self) {
        starter &one = *static_cast<starter *>(self);
        while (msec_semaphore_acquire(one.waiting, 0) == MSEC_OK) {
            const order next = one.take();
            msec_task **task = next.place == nullptr ? nullptr : &next.place->task;
            msec_spawn(engine(), next.function, next.argument, task);
            if (next.place != nullptr) next.place->is_there.store(true, std::memory_order_release);
        }
        return 0;
    }
};

/// The one of the process; NULL if no thread can be had. What a thread spawns that is no core's
/// belongs to nobody, so one is made for that, once.
starter *the_starter() {
    static starter *const one = []() -> starter * {
        starter *made = new starter;
        int32_t code = MSEC_ESYSTEM_ERROR;
        try {
            std::thread([&] { code = msec_spawn(engine(), starter::run, made, nullptr); }).join();
        } catch (const std::system_error &) {
        }
        return code == MSEC_OK ? made : nullptr;
    }();
    return one;
}

}  // namespace

int32_t spawn_apart(msec_task_function function, void *argument, msec_task **task) {
    const msec_engine *on = engine();
    if (on == nullptr) return MSEC_ESYSTEM_ERROR;
    if (!msec_on_coroutine()) return msec_spawn(on, function, argument, task);
    starter *const all = the_starter();
    if (all == nullptr) return MSEC_ESYSTEM_ERROR;
    begun place = {nullptr, {false}};
    if (!all->give(order{function, argument, task == nullptr ? nullptr : &place})) {
        return MSEC_EOVERLOADED;
    }
    if (task == nullptr) return MSEC_OK;
    while (!place.is_there.load(std::memory_order_acquire)) step_aside();
    *task = place.task;
    return MSEC_OK;
}

}  // namespace compat
}  // namespace msec

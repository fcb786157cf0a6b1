#include "request.h"

#include <atomic>

#include <msec.h>

namespace msec {
namespace compat {

namespace {

std::atomic<bool> has_options(false);

/// What a coroutine has of its own, to which nobody gave a request.
struct alone {
    request whom;
    work at;

    alone() : at{&whom, 0} {}
};

void end_alone(void *pointer) { delete static_cast<alone *>(pointer); }

/// The `work` of a works_for.
const msec_local *given() {
    static const msec_local *const one = msec_local_new(nullptr);
    return one;
}

/// An `alone`.
const msec_local *owned() {
    static const msec_local *const one = msec_local_new(end_alone);
    return one;
}

/// What the running thread of control is at.
work &current() {
    void *found = msec_local_pointer(given());
    if (found != nullptr) return *static_cast<work *>(found);
    found = msec_local_pointer(owned());
    if (found != nullptr) return static_cast<alone *>(found)->at;
    alone *own = new alone;
    if (msec_local_set(owned(), own) == MSEC_OK) return own->at;
    // The loop of a core, or a thread at its end: nothing can be theirs alone.
    delete own;
    static thread_local alone of_thread;
    return of_thread.at;
}

}  // namespace

request &current_request() { return *current().whom; }

void expect_options() { has_options.store(true, std::memory_order_relaxed); }

void apply_options() {
    if (!has_options.load(std::memory_order_relaxed)) return;
    work &at = current();
    if (at.applied != at.whom->options.Changes()) {
        at.applied = at.whom->options.Apply(at.applied);
    }
}

works_for::works_for(request &whom)
    : work_{&whom, 0}, before_(msec_local_pointer(given())) {
    msec_local_set(given(), &work_);
}

works_for::~works_for() { msec_local_set(given(), before_); }

}  // namespace compat
}  // namespace msec

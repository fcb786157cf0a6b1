// The request that a thread of control works for: what its sub-threads see, too.
//
//     the request's coroutine ── works_for ──► request ◄── works_for ── tasks of mt_exec_all_task
//
// A thread of mt_start_thread, and a coroutine that nobody said anything of, has one of its own.

#ifndef MSEC_COMPAT_REQUEST_H
#define MSEC_COMPAT_REQUEST_H

#include "srpc_log.h"

namespace msec {
namespace compat {

/// What all that work for one request share.
struct request {
    /// A CSyncMsg, where there is one.
    void *message;
    /// What mt_set_msg_private has set.
    void *private_data;
    /// What its records say.
    srpc::CLogOption options;

    request() : message(nullptr), private_data(nullptr) {}
};

/// The one that the running thread of control works for.
request &current_request();

/// An option was set, of whatever request; before, nobody need look for his.
void expect_options();

/// Has the engine know, of the running thread of control, what others have set who work for the
/// same request.
void apply_options();

/// What a thread of control is at.
struct work {
    request *whom;
    /// How many changes of its options the engine knows here.
    unsigned applied;
};

/// As long as one lives, the running coroutine, or other thread, works for that request. Ended in
/// the reverse order, where they were begun.
class works_for {
public:
    explicit works_for(request &whom);
    ~works_for();
    works_for(const works_for &) = delete;
    works_for &operator=(const works_for &) = delete;

private:
    work work_;
    void *before_;
};

}  // namespace compat
}  // namespace msec

#endif

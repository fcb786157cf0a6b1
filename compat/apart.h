// Coroutines that belong to no request, though it may be one that begins them.

#ifndef MSEC_COMPAT_APART_H
#define MSEC_COMPAT_APART_H

#include <msec.h>

namespace msec {
namespace compat {

/// Runs a function as a coroutine that belongs to no request, whoever calls. MSEC_OK; -2 there is
/// no engine, or no thread; -101 too many wait to be begun. `task` may be NULL; if it is not, a
/// coroutine that calls this is suspended.
int32_t spawn_apart(msec_task_function function, void *argument, msec_task **task);

}  // namespace compat
}  // namespace msec

#endif

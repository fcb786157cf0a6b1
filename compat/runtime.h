// What old code runs on: the engine of its process, and how its threads of control wait.
//
// In a plugin the engine is that of `msec host`. In another program it is one with a single core,
// opened when it is first needed, as the environment says (MSEC_ROUTES, MSEC_SERVICE, ...).
//
// Old code was written for a scheduler that ran everything on one system thread: what it shares
// between its threads of control it guards with nothing, and expects to be left alone until it
// waits. A plugin keeps that by having one core a process. A program has a thread of its own beside
// the core's, so there a baton goes round: who runs has it, and who waits gives it away.

#ifndef MSEC_COMPAT_RUNTIME_H
#define MSEC_COMPAT_RUNTIME_H

#include <string>

#include <msec.h>

namespace msec {
namespace compat {

/// Has the plugin run on the engine of its host.
void adopt(const msec_host *host);

/// The host of a plugin; NULL in other programs.
const msec_host *host();

/// The engine; NULL if it cannot be opened, and msec_error_text() says why. From any thread.
const msec_engine *engine();

/// The service that this is, `First.second`: as the host says, MSEC_SERVICE, or the working
/// directory if it is /msec/First/second/bin; else `default.default`.
const std::string &service_name();

/// A thread of control of old code, while it runs on a coroutine: has the baton.
class running {
public:
    running();
    ~running();
    running(const running &) = delete;
    running &operator=(const running &) = delete;
};

/// As long as one lives, its thread of control waits, and others may run. Put round everything
/// that suspends.
class waiting {
public:
    waiting();
    ~waiting();
    waiting(const waiting &) = delete;
    waiting &operator=(const waiting &) = delete;

private:
    bool gave_;
};

/// Waits until a descriptor is ready for `events`, POLLIN, POLLOUT or both, for at most
/// `timeout_ms`, forever if that is negative. Those that it is ready for, POLLERR and POLLHUP
/// included; 0 when the time is over; -1 with errno: ECANCELED if nobody waits for the answer of
/// the request any more. Suspends a coroutine, blocks another thread.
int wait_fd(int fd, int events, int timeout_ms);

/// Lets `ms` milliseconds pass, or others run if that is 0: also for a request that was cancelled,
/// which old code knows nothing of. Suspends a coroutine, blocks another thread.
void sleep_ms(int ms);

/// Lets others of the core run, also if the caller was cancelled, which no wait of the engine does
/// each time.
void step_aside();

/// Has coroutines get stacks of so many bytes, 64 KiB to 64 MiB. Before the engine of a program is
/// opened; a plugin's stacks are those of its host.
void set_stack_size(unsigned bytes);

}  // namespace compat
}  // namespace msec

#endif

//! libmsec_hook: what a handler calls that blocks parks its coroutine instead of its core, also
//! where the caller is a library that has never heard of coroutines.
//!
//! ```text
//!   handler ─► libmariadb ─► poll() ─┬─ a coroutine ──► table.wait ──► libmsec parks it
//!                                    │  (here)
//!                                    └─ any other thread, no engine ──► the C library's poll()
//! ```
//!
//! The library defines names of the C library, in front of it: by `LD_PRELOAD`, or linked before
//! it. As long as no engine has attached itself ([`engine`]), and on every thread that runs no
//! coroutine, all calls go straight on. So it does nothing to a process that is none of ours, to a
//! child after fork, and to a JVM, whose libmsec_jni does not attach.
//!
//! How a call waits: the operation itself is tried first, in a way that does not block
//! (`MSG_DONTWAIT`). Nothing more happens if it succeeds. If it would block, and the descriptor is
//! one that blocks, the coroutine parks until it is ready, or until its `SO_RCVTIMEO` or
//! `SO_SNDTIMEO` is over, and tries again. Results and errno are those of the kernel, but for two:
//!
//! * ECANCELED: the request was cancelled, and everything that would wait in it fails at once;
//! * EBADF: the descriptor was closed during the wait ([`watch`]).
//!
//! Standard input, output and error never park: too much holds locks while it writes there. What is
//! called by the engine itself on a coroutine never blocks, or is a system call by number.
//!
//! What it never does: hook a mutex (`locks/` watches them, as another library), keep a descriptor
//! of the caller's beyond a wait, or change what a call on a plain thread does.

mod close;
mod connect;
mod engine;
mod errno;
mod file;
mod next;
mod pieces;
mod poll;
mod real;
mod receive;
mod resolve;
mod select;
mod send;
mod sleep;
mod table;
mod wait;
mod watch;

//! libmsec: the engine for C and for whatever can call C.
//!
//! ```text
//!   a C or C++ program, a plugin ──► include/msec.h ──► ffi-c ──► core
//!                                       (generated         (checks, one call,
//!                                        from here)          converts)
//! ```
//!
//! Nothing is decided here. Each export checks its pointers, makes one call to the engine and
//! converts what comes back; the header is generated from these signatures and comments, so what
//! stands here is read by people who write C. One noun, one file, as in the engine.
//!
//! What every export keeps to:
//!
//! * **No panic and no exception crosses.** The body of an export that can fail stands in
//!   [`guard!`](guard): a panic becomes `MSEC_EPANIC`. Foreign functions that are called from here
//!   are declared `extern "C"`; what they throw must be caught on their side, as msec.hpp does, and
//!   the barrier of a plugin ([`server::msec_barrier`]).
//! * **Outputs are written on success only**, after everything that can fail.
//! * **Handles are boxes.** `_new` or `_start` gives one away, `_free` takes it back; NULL is freed
//!   without effect. A handle is used from any thread unless its comment says otherwise.
//! * **Structs of options begin with their size**, so that a program compiled against an older or a
//!   newer header is understood ([`options`]).

#![warn(missing_docs)]

#[macro_use]
mod guard;
mod carried;
mod channel;
mod client;
mod condition;
mod config;
mod context;
mod dye;
mod engine;
mod error;
mod hook;
mod host;
mod identity;
mod local;
mod log;
mod metric;
mod mutex;
mod offload;
mod options;
mod pages;
mod pending;
mod plugin;
mod process;
mod quota;
mod raw;
mod readiness;
mod reply;
mod report;
mod route;
mod select;
mod semaphore;
mod server;
mod slice;
mod task;
mod text;
mod tls;
mod version;

// Refuses to compile where C would lay a struct out otherwise; written by xtask.
#[rustfmt::skip]
#[path = "../tests/generated/layout.rs"]
mod layout;

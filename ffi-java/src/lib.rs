//! libmsec_jni: the engine for Java.
//!
//! ```text
//!   core 0 ─┐  requests,              ┌───────── the poller, a thread of Java's ─────────┐
//!   core 1 ─┴► results ─► mailboxes ──┤ poll(): answers in, a batch of records out       │
//!     ▲                               └───────┬──────────────────────────────────────────┘
//!     │                                       ▼ handlers: on it, an executor, virtual threads
//!     └──────── mailbox of the core ◄── answer(), call(): one short downcall from any thread
//! ```
//!
//! Java pulls. No core thread is ever known to the JVM, and no Java code runs on a coroutine: its
//! stack is nothing that a JVM could walk. What goes over is copied into and out of buffers that
//! Java owns and one thread of it fills; so cores and Java have no memory in common, and nothing of
//! a request can be used after its end. Bodies of many KiB stay here until Java asks for them, by
//! numbers that carry a generation.
//!
//! What every export keeps to:
//!
//! * **No panic crosses**: [`guard::run`] makes each, and each error, an `org.msec.MsecException`.
//! * **Handles are numbers** that were given out once ([`registry`]). One that is closed is an
//!   error, whoever uses it, whenever.
//! * **Texts are UTF-8 in byte arrays**, several in one ([`fields`]): the JVM's own form of strings
//!   is another one.
//!
//! The records of a batch are told once, in [`batch`]; the constants in Java are generated from it.

#![warn(missing_docs)]

mod batch;
mod buffers;
mod call;
mod client;
mod engine;
mod fields;
mod guard;
mod host;
mod log;
mod metric;
mod options;
mod poller;
mod raw;
mod registry;
mod request;
mod route;
mod server;
mod slots;
mod version;

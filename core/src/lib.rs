//! msec: a service engine. You write business methods as plain blocking code; the engine runs each
//! request as a coroutine on io_uring, and carries calls between services.
//!
//! ```
//! use msec::{CallOptions, Client, Engine, Server};
//!
//! let engine = Engine::start()?;
//! let server = Server::builder()
//!     .raw("demo.Text.Upper", |context| Ok(context.body().to_ascii_uppercase()))
//!     .listen("127.0.0.1:0")
//!     .start(&engine)?;
//!
//! let client = Client::new(&engine, &server.addresses()[0])?;
//! let reply = client.call_raw("demo.Text.Upper", b"hello", &CallOptions::new())?;
//! assert_eq!(&reply.body[..], b"HELLO");
//! # Ok::<(), msec::Error>(())
//! ```
//!
//! Most services are not written with [`ServerBuilder::raw`] but with a `.proto` file:
//! `msec-codegen` in a build script makes messages, a trait for the service and a client of it.
//!
//! # Where code runs
//!
//! A handler runs on a coroutine of a core thread. What blocks there has to be the engine's: calls,
//! [`sleep`], the tools in [`sync`]; a blocking system call, a `std::sync::Mutex` held for long or
//! a computation of many milliseconds holds up every other request of that core ([`offload`] is for
//! those, and methods marked [`heavy`](MethodOptions::heavy)). A coroutine never moves to another
//! thread. The same functions work on plain threads where that makes sense; each says so.

mod accepted;
mod after_turn;
mod answer;
mod append;
mod budget;
mod call;
mod cancel;
mod client;
mod closed;
mod coding;
#[doc(hidden)]
pub mod compress;
mod config;
mod connection;
mod connections;
mod context;
mod datagram;
mod deadline;
mod deferred;
mod descriptors;
pub mod dye;
mod engine;
mod error;
mod flight;
mod frame_memory;
mod future;
mod gather;
mod handed;
mod http;
#[doc(hidden)]
pub mod json;
mod listen;
mod local;
pub mod log;
pub mod machine;
#[doc(hidden)]
pub mod mailbox;
mod method;
pub mod metric;
pub mod naming;
mod offload;
mod options;
mod overload;
mod pages;
mod pending;
mod polled;
mod pool;
pub mod process;
mod quota;
pub mod raw;
mod readiness;
pub mod report;
mod request;
mod retry;
mod route;
mod running;
mod serve;
mod server;
mod shard;
mod sleep;
mod small_body;
mod spares;
mod spawn;
mod subject;
pub mod sync;
mod task;
#[doc(hidden)]
pub mod timer;
mod tls;
pub mod trace;
mod vain;
mod vitals;

pub use after_turn::after_turn;
pub use answer::Reply;
pub use client::{CallOptions, Client, TIMEOUT_DEFAULT};
pub use compress::Compress;
pub use config::{Config, Io, Pin};
pub use context::Context;
pub use deferred::{Answers, Deferred};
pub use engine::Engine;
pub use error::{Error, Result};
pub use future::{block_on, block_on_timeout, block_on_uncancelled};
pub use handed::Handed;
pub use local::Local;
pub use method::{MethodOptions, Methods, Service};
#[doc(hidden)]
pub use msec_protocol::status;
pub use msec_protocol::{Address, Code, Counters, Histogram, Limits, Priority, Side};
#[doc(hidden)]
pub use msec_sys::coroutine;
pub use msec_sys::{clock, cpu};
pub use offload::offload;
pub use pages::Pages;
pub use pending::Pending;
pub use prost;
pub use readiness::{readable, readable_timeout, writable, writable_timeout};
#[doc(hidden)]
pub use running::{coroutine_number, method_name};
pub use server::{Load, MethodReport, Server, ServerBuilder};
pub use sleep::{sleep, sleep_until, yield_now};
pub use spawn::{JoinHandle, Scope, scope, spawn};
pub use tls::{ClientTls, Identity, ServerTls};
pub use trace::annotate;
#[doc(hidden)]
pub use vitals::{heap_bytes, trim_heap};

use task::Inherited;

/// Whether this thread is a core's, which must not wait for the cores.
#[doc(hidden)]
pub fn on_core() -> bool {
    engine::on_core()
}

/// Whether somebody has called exit(3) on this core's thread: its loop never goes on, and what the
/// program's destructors do now must not wait for it.
#[doc(hidden)]
pub fn exits_on_core() -> bool {
    engine::on_core() && shard::current().is_none()
}

/// What the code that runs now works for.
pub(crate) fn inherited() -> Inherited {
    if let Some(shard) = shard::current() {
        return match shard.tasks.current() {
            Some(task) => task.inherited(),
            None => shard.on_loop.borrow().as_ref().map(|it| it.inherited()).unwrap_or_default(),
        };
    }
    offload::inherited().unwrap_or_default()
}

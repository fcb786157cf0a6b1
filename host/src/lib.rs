//! The host of a business plugin: a supervisor, and the workers that it starts.
//!
//! ```text
//!   msec host start Demo.echo
//!        │
//!    supervisor ── owns the listening sockets, starts and watches ──► msec-worker (1..procnum)
//!        ▲                                                               │ opens libmsec.so
//!        └── ready, alive, why it failed ◄── a socket ───────────────────┘ loads bin/msec.so
//! ```
//!
//! The supervisor has no engine in it and takes no call; it is small so that it does not fail. It
//! opens the sockets once and hands them to every worker that it starts, so that a worker which is
//! replaced, because it crashed or because the plugin is new, leaves nobody waiting in a queue that
//! is gone. Workers have the engine and the plugin. What the two say to each other is in `line.rs`,
//! what an operator says to the supervisor in `control.rs`.

mod arguments;
pub mod control;
mod crash;
mod crew;
mod followed;
mod hearing;
pub mod hook;
pub mod ini;
mod jvm;
mod line;
mod notice;
mod place;
mod plugin;
pub mod post;
mod process;
mod runner;
pub mod settings;
mod sockets;
mod start;
mod supervisor;
pub mod worker;

pub use place::{Place, ROOT};
pub use sockets::Address;
pub use start::{Programs, Start};

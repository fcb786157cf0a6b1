//! The engine.

mod budget;
#[doc(hidden)]
pub mod mailbox;
#[doc(hidden)]
pub mod timer;

//! The engine.

#[doc(hidden)]
pub mod mailbox;
#[doc(hidden)]
pub mod timer;

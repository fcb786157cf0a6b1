//! The engine.

#[doc(hidden)]
pub mod timer;

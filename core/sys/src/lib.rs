//! The machine under msec: the kernel's sockets, stacks and clocks behind safe functions.
//!
//! This is the only crate below the ABI that says `unsafe`. It knows descriptors, memory and time,
//! and nothing of frames, services or routes. Everything outward is safe: if a safe caller can
//! break memory through it, that is a bug of this crate.

pub mod buffer;
pub mod clock;
pub mod coroutine;
pub mod cpu;
pub mod datagram;
pub mod library;
pub mod output;
pub mod process;
pub mod readable;
pub mod ring;
pub mod socket;
mod stack;
pub mod stderr;

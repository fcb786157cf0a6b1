//! Reports: how did it go?
//!
//! Plain numbers that one core owns and bumps, without a lock or an atomic, for every call. A
//! snapshot takes them out ([`core::mem::take`]) and adds them to others': everything here merges
//! exactly, in any order, so that what the console shows for a thousand processes is what they
//! counted.

pub mod counters;
pub mod histogram;

pub use counters::{Counters, Outcome};
pub use histogram::Histogram;

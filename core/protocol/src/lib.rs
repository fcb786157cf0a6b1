//! The decisions of msec without any I/O.
#![no_std]
extern crate alloc;

//! Values local to a coroutine.

use std::any::Any;

/// The values that one job has stored, by the key's address.
#[derive(Default)]
pub(crate) struct Locals {
    pub(crate) values: Vec<(usize, Box<dyn Any>)>,
}

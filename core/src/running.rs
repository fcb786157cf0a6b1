//! The code that runs now, for who is called by it and has no context: libraries that stand between
//! a handler and the C library.

use crate::method::Name;
use crate::shard;

/// The coroutine that runs on this thread and may be suspended, by a number that no other one of
/// this process has while it lives, and that is not 0. `None` on other threads, on the loop of a
/// core, and while a panic unwinds the stack.
#[doc(hidden)]
pub fn coroutine_number() -> Option<u64> {
    let shard = shard::current()?;
    let task = shard.tasks.current()?;
    let number = task.id(shard.index).number();
    (!std::thread::panicking()).then_some(number)
}

/// The method that the running coroutine serves, or that has spawned it; empty if there is none.
#[doc(hidden)]
pub fn method_name() -> &'static str {
    let Some(shard) = shard::current() else { return "" };
    shard.tasks.line().find_map(|task| task.name()).map_or("", Name::text)
}

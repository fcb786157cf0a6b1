//! What the tests of tasks and of the tools in `msec::sync` share.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use msec::{Code, Config, Engine, Io, Result};

/// Longer than anything here takes, shorter than a test run's patience.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const MOMENT: Duration = Duration::from_millis(5);

pub(crate) fn engine(io: Io) -> Engine {
    Engine::with(Config::from_env().unwrap().cores(1).io(io)).unwrap()
}

pub(crate) fn on_each_back_end(test: impl Fn(&Engine)) {
    [Io::Uring, Io::Epoll].into_iter().for_each(|io| test(&engine(io)));
}

/// Runs a test as a coroutine, on each back end.
pub(crate) fn run(test: fn() -> Result<()>) {
    on_each_back_end(|engine| engine.run(test).unwrap().unwrap());
}

pub(crate) fn code<T>(result: Result<T>) -> Code {
    result.map_or_else(|error| error.code(), |_| Code::OK)
}

/// Lets others run until it is so.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) -> Result<()> {
    let end_ns = msec::clock::now_ns() + PATIENCE.as_nanos() as u64;
    while !is_so() {
        assert!(msec::clock::now_ns() < end_ns, "it never came to be");
        msec::yield_now()?;
    }
    Ok(())
}

//! What a core does last in a turn of its loop: wake other threads, once for all that the turn had
//! for them, instead of at the first of it. Where cores and those threads share CPUs, whoever is
//! woken earlier runs at once, and for one thing at a time.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::request::panic_text;
use crate::shard;

/// The functions that wait for the end of the turn.
#[derive(Default)]
pub(crate) struct AfterTurn(RefCell<Vec<Box<dyn FnOnce()>>>);

impl AfterTurn {
    /// Whether one is there.
    pub(crate) fn has_some(&self) -> bool {
        !self.0.borrow().is_empty()
    }

    /// Runs those that are there.
    pub(crate) fn run(&self) {
        if self.0.borrow().is_empty() {
            return;
        }
        for function in self.0.take() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(function)) {
                let text = panic_text(payload.as_ref());
                crate::log::error("panic", format_args!("a function after a turn: {text}"));
            }
        }
    }
}

/// Runs a function at the end of this turn of the core's loop, on the loop, where it must not
/// block; on a thread that is no core's, at once.
pub fn after_turn(function: impl FnOnce() + 'static) {
    match shard::current() {
        Some(shard) => shard.after_turn.0.borrow_mut().push(Box::new(function)),
        None => function(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::{Config, Engine};

    #[test]
    fn it_runs_after_the_turn_on_a_core_and_at_once_elsewhere() {
        let engine = Engine::with(Config::new().cores(1)).unwrap();
        let ran = engine.run(|| {
            let ran = Rc::new(Cell::new(0));
            let counts = ran.clone();
            after_turn(|| panic!("on purpose"));
            after_turn(move || counts.set(counts.get() + 1));
            let before = ran.get();
            crate::yield_now().unwrap();
            (before, ran.get())
        });
        assert_eq!(ran.unwrap(), (0, 1));
        let ran = Rc::new(Cell::new(false));
        let notes = ran.clone();
        after_turn(move || notes.set(true));
        assert!(ran.get());
    }
}

//! What this machine gives an engine, found out by trying it.
//!
//! A kernel's version says little: distributions port features back and break them, containers
//! forbid them. So what is answered here was done a moment ago, on the calling thread, and undone
//! again. No engine is started for it. Made for whoever explains a machine to its operator, as
//! `msec doctor` does.

use std::io;

use msec_sys::coroutine::{Guard, Pool};
use msec_sys::ring::{Choice, Features, Ring};

use crate::config::Config;

/// A feature of io_uring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// As `MSEC_IO_WITHOUT` calls it.
    pub name: &'static str,
    /// Whether an engine of that configuration uses it here.
    pub on: bool,
}

/// Sets a ring up as an engine of that configuration would, whichever back end it asks for, and
/// says which features the kernel granted.
///
/// # Errors
/// The kernel's own: ENOSYS, EPERM, ENOMEM, EMFILE; see io_uring_setup(2).
pub fn io_uring(config: &Config) -> io::Result<Vec<Feature>> {
    let (ring, _) = Ring::open(Choice::Uring, config.io_features())?;
    let granted = ring.features().expect("a ring of io_uring, for nothing else was asked for");
    let features = Features::NAMES.map(|name| {
        let mut without = granted;
        without.without(name);
        Feature { name, on: without != granted }
    });
    Ok(features.to_vec())
}

/// Whether the guards of coroutine stacks cost no mapping of their own (`MADV_GUARD_INSTALL`).
/// Where they do, a third of `vm.max_map_count` bounds the stacks of a process.
///
/// # Errors
/// When there is no memory for a stack.
pub fn guards_cost_nothing(config: &Config) -> io::Result<bool> {
    let pool = Pool::new(config.stacks());
    let stack = pool.take().map_err(io::Error::other)?;
    pool.give_back(stack);
    Ok(pool.guard() == Guard::Madvise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_switched_off_is_off_and_every_feature_is_named() {
        let Ok(all) = io_uring(&Config::new()) else { return };
        assert_eq!(all.iter().map(|feature| feature.name).collect::<Vec<_>>(), Features::NAMES);
        let less = io_uring(&Config::new().without("multishot").without("defer")).expect("a ring");
        for (all, less) in all.iter().zip(&less) {
            let expect = all.on && !["multishot", "defer"].contains(&less.name);
            assert_eq!(less.on, expect, "{less:?}");
        }
    }

    #[test]
    fn guards_that_are_made_by_mprotect_cost_mappings() {
        let config = Config::new().without("guard");
        assert!(!guards_cost_nothing(&config).expect("a stack"));
    }
}

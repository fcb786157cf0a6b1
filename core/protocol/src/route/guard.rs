//! The guard against pushes that take most of a service away.
//!
//! Whoever pushes tables may itself be wrong: a registry that lost its data, a network in halves.
//! What it says of single instances is believed. That a service has lost more than half of its
//! instances within ten seconds, or all of them, is held back until somebody confirms it: the
//! instances that are truly gone cost little, since callers eject them by themselves, and those
//! that are not are the service. An operator's own edit is not asked about, the last instance
//! included.
//!
//! Held is the one service; the rest of the push goes through. A later push that gives the service
//! back ends the hold by itself.
use super::table::{Service, Table};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Over which time a shrinking adds up, in nanoseconds.
pub const SHRINK_WINDOW_NS: u64 = 10_000_000_000;

/// Watches what pushes take away.
#[derive(Debug, Default)]
pub struct ShrinkGuard {
    /// By service: the most instances that were up within the window, and since when it runs.
    seen: BTreeMap<String, Seen>,
    /// By service: what it would be if somebody confirmed it; `None` is gone.
    held: BTreeMap<String, Option<Arc<Service>>>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    most: usize,
    since_ns: u64,
}

impl ShrinkGuard {
    /// Holding nothing.
    pub const fn new() -> ShrinkGuard {
        ShrinkGuard { seen: BTreeMap::new(), held: BTreeMap::new() }
    }

    /// The table that a push makes of the current one: with the services that shrink too much as
    /// they are now.
    pub fn handle_push(&mut self, current: &Table, pushed: Table, now_ns: u64) -> Table {
        let mut taken = pushed.clone();
        let window = |seen: &Seen| now_ns.saturating_sub(seen.since_ns) <= SHRINK_WINDOW_NS;
        self.seen.retain(|_, seen| window(seen));
        self.held.clear();
        for old in current.iter() {
            let new = pushed.find(&old.name);
            let (before, after) = (old.up_count(), new.map_or(0, |new| new.up_count()));
            let fresh = Seen { most: before, since_ns: now_ns };
            let most = self.seen.get(&old.name).map_or(before, |seen| seen.most.max(before));
            if after >= before {
                continue;
            }
            if after * 2 < most {
                self.held.insert(old.name.clone(), new.cloned());
                taken.set(&old.name, Some(Arc::clone(old)));
            } else {
                self.seen.entry(old.name.clone()).or_insert(fresh).most = most;
            }
        }
        taken
    }

    /// The table that an operator's own edit makes: it is as the operator says.
    pub fn handle_edit(&mut self, edited: Table) -> Table {
        self.seen.clear();
        self.held.clear();
        edited
    }

    /// The table with what is held of a service; `None` if nothing is.
    pub fn confirm(&mut self, current: &Table, name: &str) -> Option<Table> {
        let service = self.held.remove(name)?;
        self.seen.remove(name);
        let mut table = current.clone();
        table.set(name, service);
        Some(table)
    }

    /// The names of the services that are held as they are, with how many instances they would
    /// have.
    pub fn held(&self) -> Vec<(String, usize)> {
        let count = |service: &Option<Arc<Service>>| service.as_ref().map_or(0, |s| s.up_count());
        self.held.iter().map(|(name, service)| (name.clone(), count(service))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{Instance, State};
    use super::*;
    use alloc::borrow::ToOwned;
    use std::{format, vec};

    fn table(counts: &[(&str, usize)]) -> Table {
        let mut table = Table::new();
        for (name, count) in counts {
            let instance = |n| Instance::new(format!("10.0.0.{n}:1").parse().unwrap());
            let instances = (0..*count).map(instance).collect();
            table.add(Service::new(*name, instances)).unwrap();
        }
        table
    }

    fn count(table: &Table, name: &str) -> Option<usize> {
        table.find(name).map(|service| service.up_count())
    }

    #[test]
    fn half_may_go_at_once_and_more_is_held_while_the_rest_goes_through() {
        let mut guard = ShrinkGuard::new();
        let now = table(&[("a.half", 10), ("a.most", 10), ("a.all", 3), ("a.gone", 1)]);
        let pushed = table(&[("a.half", 5), ("a.most", 4), ("a.all", 0), ("a.new", 1)]);
        let taken = guard.handle_push(&now, pushed, 0);
        let counts = ["a.half", "a.most", "a.all", "a.gone", "a.new"].map(|n| count(&taken, n));
        assert_eq!(counts, [Some(5), Some(10), Some(3), Some(1), Some(1)]);
        let held = [("a.all", 0), ("a.gone", 0), ("a.most", 4)];
        assert_eq!(guard.held(), held.map(|(name, count)| (name.to_owned(), count)));
    }

    #[test]
    fn shrinking_adds_up_for_ten_seconds() {
        let mut guard = ShrinkGuard::new();
        let mut now = table(&[("a.b", 10)]);
        let mut push = |count: usize, at_ns| {
            now = guard.handle_push(&now, table(&[("a.b", count)]), at_ns);
            now.find("a.b").unwrap().up_count()
        };
        let second = 1_000_000_000;
        assert_eq!(push(8, 0), 8);
        assert_eq!(push(5, 5 * second), 5);
        assert_eq!(push(4, 10 * second), 5, "ten have become four within ten seconds");
        assert_eq!(push(4, 10 * second + 1), 4, "the ten are forgotten");
    }

    #[test]
    fn a_confirmed_push_is_taken_and_one_that_is_taken_back_is_forgotten() {
        let mut guard = ShrinkGuard::new();
        let now = table(&[("a.b", 4), ("a.c", 4)]);
        let pushed = table(&[("a.b", 0)]);
        let now = guard.handle_push(&now, pushed, 0);
        assert_eq!(guard.confirm(&now, "a.none"), None);
        let now = guard.confirm(&now, "a.b").unwrap();
        assert_eq!((count(&now, "a.b"), count(&now, "a.c")), (Some(0), Some(4)));
        let now = guard.confirm(&now, "a.c").unwrap();
        assert_eq!(count(&now, "a.c"), None);
        let four = table(&[("a.b", 4)]);
        guard.handle_push(&four, table(&[("a.b", 1)]), 1);
        assert_eq!(guard.held().len(), 1);
        guard.handle_push(&four, four.clone(), 2);
        assert_eq!(guard.held(), vec![]);
    }

    #[test]
    fn an_operators_edit_may_take_the_last_one() {
        let mut guard = ShrinkGuard::new();
        let now = table(&[("a.b", 4)]);
        guard.handle_push(&now, table(&[("a.b", 1)]), 0);
        let edited = guard.handle_edit(table(&[("a.b", 0)]));
        assert_eq!((count(&edited, "a.b"), guard.held().len()), (Some(0), 0));
    }

    #[test]
    fn an_instance_that_is_down_counts_as_gone() {
        let now = table(&[("a.b", 2)]);
        let mut service = Service::clone(now.find("a.b").unwrap());
        service.instances.iter_mut().for_each(|instance| instance.state = State::Down);
        let mut pushed = Table::new();
        pushed.add(service).unwrap();
        let taken = ShrinkGuard::new().handle_push(&now, pushed, 0);
        assert_eq!(count(&taken, "a.b"), Some(2));
    }
}

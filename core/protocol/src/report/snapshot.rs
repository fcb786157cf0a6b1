//! Snapshots: everything that a process has counted, at one moment.
//!
//! A snapshot is cumulative: it holds all that was counted since the process began. That makes
//! collecting simple and exact. Whoever collects remembers the last snapshot of a process and takes
//! the difference ([`Snapshot::since`]). One that is lost costs nothing, for the next one holds it
//! as well; one that comes twice or late is known by its [`Origin`] and left out; and a process
//! that was restarted begins anew under another epoch. So every call is counted exactly once, with
//! nothing to be acknowledged.
//!
//! Rows are ordered by what they are called, so that two snapshots of the same numbers are the same
//! bytes. There are at most [`SNAPSHOT_ROWS_MAX`] of each sort; what comes beyond is merged into
//! rows named `__other__`.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::attribute::{Attributes, Kind, OTHER, Value};
use super::counters::Counters;
use crate::limits::SNAPSHOT_ROWS_MAX;

/// Which end of a call counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The one that called.
    #[default]
    Client,
    /// The one that was called.
    Server,
}

/// What kind of call some counters are of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallKey {
    /// Who counted.
    pub role: Role,
    /// The calling service, as it names itself; may be empty.
    pub caller: String,
    /// The service that is called; a client that calls an address knows only that.
    pub callee: String,
    /// The full name of the method.
    pub method: String,
}

/// What an attribute is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttributeKey {
    /// The name.
    pub name: String,
    /// Keys and values, in the order of the keys.
    pub labels: Vec<(String, String)>,
    /// What becomes of its values.
    pub kind: Kind,
}

/// Whose snapshot it is, and which of that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Drawn at random when the process began; never 0.
    pub epoch: u64,
    /// Greater for each snapshot of that process.
    pub sequence: u64,
    /// The time of day at which it was taken, in ns since 1970; for people.
    pub wall_ns: u64,
    /// The service that the process belongs to; may be empty.
    pub service: String,
    /// Which instance of it: where it listens first; may be empty.
    pub instance: String,
}

impl Origin {
    /// Whether a snapshot of this origin has news for somebody who has seen `last`.
    pub fn is_news_after(&self, last: &Origin) -> bool {
        self.epoch != last.epoch || self.sequence > last.sequence
    }
}

/// Everything that was counted until a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose it is; of a merged one, whose the first was.
    pub origin: Origin,
    /// What was counted of calls.
    pub calls: BTreeMap<CallKey, Counters>,
    /// What else was reported.
    pub attributes: BTreeMap<AttributeKey, Value>,
}

impl Snapshot {
    /// Adds what another process has counted. Of values that were set the sum is taken.
    pub fn merge(&mut self, other: &Snapshot) {
        for (key, counters) in &other.calls {
            self.add_calls(key.clone(), counters);
        }
        for (key, value) in &other.attributes {
            self.add_attribute(key.clone(), value);
        }
    }

    /// What was counted since `earlier`, an older snapshot of the same process; of another process,
    /// or of its life before, it is everything. What was set is as it is now.
    pub fn since(&self, earlier: &Snapshot) -> Snapshot {
        if earlier.origin.epoch != self.origin.epoch {
            return self.clone();
        }
        let origin = self.origin.clone();
        let mut since = Snapshot { origin, calls: BTreeMap::new(), attributes: BTreeMap::new() };
        for (key, counters) in &self.calls {
            let fresh = match earlier.calls.get(key) {
                Some(before) => counters.since(before),
                None => counters.clone(),
            };
            if fresh != Counters::new() {
                since.calls.insert(key.clone(), fresh);
            }
        }
        for (key, value) in &self.attributes {
            let fresh = match (value, earlier.attributes.get(key)) {
                (Value::Sum(now), Some(Value::Sum(before))) if now == before => continue,
                (Value::Sum(now), Some(Value::Sum(before))) => {
                    Value::Sum(now.wrapping_sub(*before))
                }
                (Value::Spread(now), Some(Value::Spread(before))) if now == before => continue,
                (Value::Spread(now), Some(Value::Spread(before))) => {
                    Value::Spread(now.since(before))
                }
                (Value::Sum(_) | Value::Last(_) | Value::Spread(_), _) => value.clone(),
            };
            since.attributes.insert(key.clone(), fresh);
        }
        since
    }

    /// Adds to the row of some calls, or to the one for what has no room.
    pub fn add_calls(&mut self, mut key: CallKey, counters: &Counters) {
        if self.calls.len() >= SNAPSHOT_ROWS_MAX && !self.calls.contains_key(&key) {
            key.caller = OTHER.into();
            if self.calls.len() >= 2 * SNAPSHOT_ROWS_MAX && !self.calls.contains_key(&key) {
                (key.callee, key.method) = (OTHER.into(), OTHER.into());
            }
        }
        self.calls.entry(key).or_default().merge(counters);
    }

    pub(crate) fn add_attribute(&mut self, key: AttributeKey, value: &Value) {
        let key = self.row_of(key);
        let Some(known) = self.attributes.get_mut(&key) else {
            self.attributes.insert(key, value.clone());
            return;
        };
        match (known, value) {
            (Value::Sum(mine), Value::Sum(theirs)) => *mine = mine.wrapping_add(*theirs),
            (Value::Last(mine), Value::Last(theirs)) => *mine = mine.saturating_add(*theirs),
            (Value::Spread(mine), Value::Spread(theirs)) => mine.merge(theirs),
            // The key says the kind, so the two are of one.
            (Value::Sum(_) | Value::Last(_) | Value::Spread(_), _) => {}
        }
    }

    /// The row that an attribute goes to.
    fn row_of(&self, mut key: AttributeKey) -> AttributeKey {
        if self.attributes.len() >= SNAPSHOT_ROWS_MAX && !self.attributes.contains_key(&key) {
            key.labels.iter_mut().for_each(|(_, value)| *value = OTHER.into());
            let is_full = self.attributes.len() >= 2 * SNAPSHOT_ROWS_MAX;
            if is_full && !self.attributes.contains_key(&key) {
                (key.name, key.labels) = (OTHER.into(), Vec::new());
            }
        }
        key
    }
}

/// Brings together what the threads of one process have counted.
#[derive(Debug)]
pub struct Folder {
    snapshot: Snapshot,
    /// When the values were set that were set last.
    set_ns: BTreeMap<AttributeKey, u64>,
}

impl Folder {
    /// Nothing yet.
    pub fn new(origin: Origin) -> Folder {
        let snapshot = Snapshot { origin, ..Snapshot::default() };
        Folder { snapshot, set_ns: BTreeMap::new() }
    }

    /// Adds what a thread has counted of some calls.
    pub fn calls(&mut self, key: CallKey, counters: &Counters) {
        self.snapshot.add_calls(key, counters);
    }

    /// Adds what was reported on a thread. Of two values of one attribute that was set the later
    /// one counts.
    pub fn attributes(&mut self, table: &Attributes) {
        for attribute in table.each() {
            let labels = attribute.labels.iter();
            let mut labels: Vec<(String, String)> =
                labels.map(|(key, value)| ((**key).into(), (**value).into())).collect();
            labels.sort();
            let (name, kind) = (attribute.name.into(), attribute.value.kind());
            let key = AttributeKey { name, labels, kind };
            match &attribute.value {
                Value::Last(value) => self.set(key, *value, attribute.at_ns),
                Value::Sum(_) | Value::Spread(_) => {
                    self.snapshot.add_attribute(key, &attribute.value);
                }
            }
        }
    }

    fn set(&mut self, key: AttributeKey, value: i64, at_ns: u64) {
        let key = self.snapshot.row_of(key);
        let set_ns = self.set_ns.entry(key.clone()).or_insert(0);
        if at_ns >= *set_ns {
            *set_ns = at_ns;
            self.snapshot.attributes.insert(key, Value::Last(value));
        }
    }

    /// Sets a number that the process itself tells of itself; `labels` in the order of their keys.
    pub fn gauge(&mut self, name: &str, labels: &[(&str, &str)], value: i64) {
        self.put(name, labels, Value::Last(value));
    }

    /// As [`Folder::gauge`] for a number that only grows.
    pub fn counter(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.put(name, labels, Value::Sum(value));
    }

    fn put(&mut self, name: &str, labels: &[(&str, &str)], value: Value) {
        let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let key = AttributeKey { name: name.into(), labels, kind: value.kind() };
        self.snapshot.add_attribute(key, &value);
    }

    /// The snapshot.
    pub fn finish(self) -> Snapshot {
        self.snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;
    use crate::status::Code;
    use std::format;

    fn key(caller: &str, method: &str) -> CallKey {
        let (caller, method) = (caller.into(), method.into());
        CallKey { role: Role::Server, caller, callee: "Demo.b".into(), method }
    }

    fn counters(count: u64) -> Counters {
        let mut counters = Counters::new();
        for call in 0..count {
            counters.begin();
            let code = if call % 4 == 0 { Code::TIMEOUT } else { Code::OK };
            counters.end(&Outcome { code, latency_ns: call * 1000, ..Outcome::default() });
        }
        counters
    }

    fn folder(epoch: u64, sequence: u64) -> Folder {
        Folder::new(Origin { epoch, sequence, ..Origin::default() })
    }

    #[test]
    fn threads_are_folded_and_processes_are_merged() {
        let process = |epoch| {
            let mut folder = folder(epoch, 1);
            for core in 0..2u64 {
                let mut table = Attributes::new(core);
                let sum = table.slot(Kind::Sum, "orders", &[("b", "2"), ("a", "1")]);
                table.add(sum, 5);
                let last = table.slot(Kind::Last, "stock", &[]);
                table.set(last, core as i64 + 10, 100 - core);
                let spread = table.slot(Kind::Spread, "bytes", &[]);
                table.record(spread, 64);
                folder.attributes(&table);
                folder.calls(key("Demo.a", "m"), &counters(8));
            }
            folder.finish()
        };
        let mut both = process(1);
        both.merge(&process(2));
        let labels = [("a", "1"), ("b", "2")];
        let labels = labels.map(|(key, value)| (key.into(), value.into())).to_vec();
        let of = |name: &str, labels, kind| AttributeKey { name: name.into(), labels, kind };
        assert_eq!(both.attributes[&of("orders", labels, Kind::Sum)], Value::Sum(20));
        // Core 0 has set it later; each process adds what it has set.
        assert_eq!(both.attributes[&of("stock", Vec::new(), Kind::Last)], Value::Last(20));
        let Value::Spread(bytes) = &both.attributes[&of("bytes", Vec::new(), Kind::Spread)] else {
            panic!("a spread stays one")
        };
        assert_eq!(bytes.count(), 4);
        assert_eq!(both.calls[&key("Demo.a", "m")].ended(), 32);
        assert_eq!(both.calls[&key("Demo.a", "m")].ended_with(Code::TIMEOUT), 8);
    }

    #[test]
    fn differences_of_snapshots_count_everything_once_whichever_are_lost() {
        let mut table = Attributes::new(1);
        let sum = table.slot(Kind::Sum, "orders", &[]);
        let mut collected = Snapshot::default();
        let mut last = Snapshot::default();
        let mut now = Snapshot::default();
        for sequence in 1..=10 {
            table.add(sum, sequence);
            let mut folder = folder(7, sequence);
            folder.attributes(&table);
            folder.calls(key("a", "m"), &counters(sequence * 10));
            now = folder.finish();
            if sequence % 3 == 0 {
                // Lost on its way.
                continue;
            }
            assert!(now.origin.is_news_after(&last.origin));
            collected.merge(&now.since(&last));
            last = now.clone();
            assert!(!now.origin.is_news_after(&last.origin), "twice");
        }
        assert_eq!(collected.calls, now.calls);
        assert_eq!(collected.attributes, now.attributes);
        // Started again: everything is new, although the numbers are smaller.
        let mut folder = folder(8, 1);
        folder.calls(key("a", "m"), &counters(4));
        let again = folder.finish();
        assert!(again.origin.is_news_after(&last.origin));
        assert_eq!(again.since(&last), again);
    }

    #[test]
    fn rows_beyond_the_bound_are_merged_into_others_and_none_is_lost() {
        let mut snapshot = Snapshot::default();
        let one = counters(1);
        for caller in 0..SNAPSHOT_ROWS_MAX + 100 {
            snapshot.add_calls(key(&format!("c{caller}"), "m"), &one);
            let mut table = Attributes::new(1);
            let number = format!("{caller}");
            let slot = table.slot(Kind::Sum, "n", &[("l", &number)]);
            table.add(slot, 1);
            let mut folder = folder(1, 1);
            folder.attributes(&table);
            snapshot.merge(&folder.finish());
        }
        assert_eq!(snapshot.calls.len(), SNAPSHOT_ROWS_MAX + 1);
        assert_eq!(snapshot.calls[&key(OTHER, "m")].ended(), 100);
        assert_eq!(snapshot.attributes.len(), SNAPSHOT_ROWS_MAX + 1);
        let labels = alloc::vec![("l".into(), OTHER.into())];
        let others = AttributeKey { name: "n".into(), labels, kind: Kind::Sum };
        assert_eq!(snapshot.attributes[&others], Value::Sum(100));
    }
}

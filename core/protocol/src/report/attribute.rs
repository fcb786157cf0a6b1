//! Attributes: what a business reports of itself, in one line and without registering anything.
//!
//! An attribute is a name, some labels and one of three kinds of value:
//!
//! | kind | reported | shows | of several processes |
//! |---|---|---|---|
//! | [`Kind::Sum`] | add | all that was added | the sum |
//! | [`Kind::Last`] | set | what was set last | the sum of what each has set last |
//! | [`Kind::Spread`] | record | how often which size came | all together, exactly |
//!
//! One name may be reported in several kinds; they are told apart.
//!
//! Labels are what makes a table grow: a user's id as a label makes a row for each user. So a table
//! has a bound ([`ATTRIBUTES_MAX`]). Beyond it a new combination of labels is counted in a row of
//! the same name whose labels all say `__other__`, and where even names are made up, in one row
//! that is named so. No report is lost, none costs memory that grows.
//!
//! A table belongs to one thread, or to a few that share a lock; [`Snapshot`](super::Snapshot)
//! brings tables together.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Histogram;
use super::index::{Hash, Index};
use crate::limits::{
    ATTRIBUTE_LABELS_MAX, ATTRIBUTE_NAME_BYTES_MAX, ATTRIBUTE_TEXT_BYTES_MAX, ATTRIBUTES_MAX,
};

/// What stands where a table's bound has left no room.
pub const OTHER: &str = "__other__";

/// What becomes of the values of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// They are added up.
    Sum,
    /// The last one counts.
    Last,
    /// They are counted by size.
    Spread,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// What was added, in all.
    Sum(u64),
    /// What was set last.
    Last(i64),
    /// How often which size was recorded.
    Spread(Histogram),
}

impl Value {
    /// The kind of the attribute that has it.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Sum(_) => Kind::Sum,
            Value::Last(_) => Kind::Last,
            Value::Spread(_) => Kind::Spread,
        }
    }
}

/// What a table knows of one attribute.
#[derive(Clone, Debug)]
struct Row {
    kind: Kind,
    /// Of a sum; of the last value its bits.
    word: u64,
    /// When the last value was set.
    at_ns: u64,
    spread: Histogram,
    name: Box<str>,
    labels: Vec<(Box<str>, Box<str>)>,
}

/// The place of an attribute in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

/// What has been reported on one thread.
#[derive(Clone, Debug)]
pub struct Attributes {
    seed: u64,
    index: Index,
    rows: Vec<Row>,
    /// What was reported last from a place in the program, by the place's number; see
    /// [`Attributes::slot_of_site`].
    sites: Vec<u32>,
}

/// A place in the program that has not reported yet.
const UNKNOWN: u32 = u32::MAX;

/// As much of a text as is kept.
#[inline]
fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max { text } else { &text[..text.floor_char_boundary(bytes_max)] }
}

impl Attributes {
    /// An empty table. `seed` should be hard to guess where labels come from strangers.
    pub const fn new(seed: u64) -> Attributes {
        let index = Index::EMPTY;
        Attributes { seed, index, rows: Vec::new(), sites: Vec::new() }
    }

    /// Where an attribute is kept: in a row of its own, or in one that it shares with others when
    /// the table is full. Names and labels are cut at their bounds, and labels beyond
    /// [`ATTRIBUTE_LABELS_MAX`] are left out.
    pub fn slot(&mut self, kind: Kind, name: &str, labels: &[(&str, &str)]) -> Slot {
        let name = cut(name, ATTRIBUTE_NAME_BYTES_MAX);
        let labels = &labels[..labels.len().min(ATTRIBUTE_LABELS_MAX)];
        let hash = self.hash(kind, name, labels);
        let is = |row: u32| self.rows[row as usize].is(kind, name, labels);
        match self.index.find(hash, is) {
            Some(row) => Slot(row),
            None => self.admit(hash, kind, name, labels),
        }
    }

    /// As [`Attributes::slot`] for an attribute that is reported from one place of a program, where
    /// kind, name and the keys of the labels are always the same: `site` is the place's number,
    /// small and its own. Quick if the labels have the values that they had the last time.
    #[inline]
    pub fn slot_of_site(
        &mut self,
        site: usize,
        kind: Kind,
        name: &str,
        labels: &[(&str, &str)],
    ) -> Slot {
        if let Some(&row) = self.sites.get(site)
            && let Some(known) = self.rows.get(row as usize)
            && known.labels.len() == labels.len()
            && known.labels.iter().zip(labels).all(|(mine, theirs)| *mine.1 == *theirs.1)
        {
            return Slot(row);
        }
        self.learn_site(site, kind, name, labels)
    }

    #[cold]
    fn learn_site(&mut self, site: usize, kind: Kind, name: &str, labels: &[(&str, &str)]) -> Slot {
        let slot = self.slot(kind, name, labels);
        // A program has only so many lines.
        if self.sites.len() <= site && site < ATTRIBUTES_MAX * 4 {
            self.sites.resize(site + 1, UNKNOWN);
        }
        if let Some(known) = self.sites.get_mut(site) {
            *known = slot.0;
        }
        slot
    }

    #[cold]
    fn admit(&mut self, hash: u64, kind: Kind, name: &str, labels: &[(&str, &str)]) -> Slot {
        if self.rows.len() < ATTRIBUTES_MAX {
            return self.insert(hash, kind, name, labels);
        }
        // A row for the rest of each name, as long as names are not made up as well.
        let others: Vec<(&str, &str)> = labels.iter().map(|(key, _)| (*key, OTHER)).collect();
        let room = self.rows.len() < ATTRIBUTES_MAX * 2;
        let mut find = |name: &str, labels: &[(&str, &str)], room: bool| {
            let hash = self.hash(kind, name, labels);
            let is = |row: u32| self.rows[row as usize].is(kind, name, labels);
            let found = self.index.find(hash, is).map(Slot);
            found.or_else(|| room.then(|| self.insert(hash, kind, name, labels)))
        };
        let named = find(name, &others, room);
        named.or_else(|| find(OTHER, &[], true)).expect("there is always room for this one row")
    }

    fn insert(&mut self, hash: u64, kind: Kind, name: &str, labels: &[(&str, &str)]) -> Slot {
        let kept = |text: &str| Box::from(cut(text, ATTRIBUTE_TEXT_BYTES_MAX));
        let number = self.rows.len() as u32;
        self.rows.push(Row {
            kind,
            word: 0,
            at_ns: 0,
            spread: Histogram::new(),
            name: name.into(),
            labels: labels.iter().map(|(key, value)| (kept(key), kept(value))).collect(),
        });
        let Attributes { seed, index, rows, .. } = self;
        index.insert(hash, number, |row| rows[row as usize].hash(*seed));
        Slot(number)
    }

    fn hash(&self, kind: Kind, name: &str, labels: &[(&str, &str)]) -> u64 {
        let mut hash = Hash::new(self.seed ^ kind as u64).bytes(name.as_bytes());
        for (key, value) in labels {
            hash = hash.bytes(cut(key, ATTRIBUTE_TEXT_BYTES_MAX).as_bytes());
            hash = hash.bytes(cut(value, ATTRIBUTE_TEXT_BYTES_MAX).as_bytes());
        }
        hash.end()
    }

    /// Adds to a sum.
    #[inline]
    pub fn add(&mut self, slot: Slot, amount: u64) {
        let word = &mut self.rows[slot.0 as usize].word;
        *word = word.wrapping_add(amount);
    }

    /// Sets a value; of two that are set at one time the one that comes later counts.
    #[inline]
    pub fn set(&mut self, slot: Slot, value: i64, now_ns: u64) {
        let row = &mut self.rows[slot.0 as usize];
        (row.word, row.at_ns) = (value as u64, now_ns);
    }

    /// Counts a value by its size.
    #[inline]
    pub fn record(&mut self, slot: Slot, value: u64) {
        self.rows[slot.0 as usize].spread.record(value);
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Every attribute: its name, its labels, its value, and when that was set.
    pub(crate) fn each(&self) -> impl Iterator<Item = Attribute<'_>> {
        self.rows.iter().map(|row| Attribute {
            name: &row.name,
            labels: &row.labels,
            at_ns: row.at_ns,
            value: match row.kind {
                Kind::Sum => Value::Sum(row.word),
                Kind::Last => Value::Last(row.word as i64),
                Kind::Spread => Value::Spread(row.spread.clone()),
            },
        })
    }
}

/// An attribute of a table, to be looked at.
pub(crate) struct Attribute<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: &'a [(Box<str>, Box<str>)],
    pub(crate) at_ns: u64,
    pub(crate) value: Value,
}

impl Row {
    fn is(&self, kind: Kind, name: &str, labels: &[(&str, &str)]) -> bool {
        let same = |mine: &(Box<str>, Box<str>), theirs: &(&str, &str)| {
            *mine.0 == *cut(theirs.0, ATTRIBUTE_TEXT_BYTES_MAX)
                && *mine.1 == *cut(theirs.1, ATTRIBUTE_TEXT_BYTES_MAX)
        };
        self.kind == kind
            && *self.name == *name
            && self.labels.len() == labels.len()
            && self.labels.iter().zip(labels).all(|(mine, theirs)| same(mine, theirs))
    }

    fn hash(&self, seed: u64) -> u64 {
        let hash = Hash::new(seed ^ self.kind as u64).bytes(self.name.as_bytes());
        let labels = self.labels.iter();
        labels
            .fold(hash, |hash, (key, value)| hash.bytes(key.as_bytes()).bytes(value.as_bytes()))
            .end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;

    fn sum(table: &Attributes, name: &str, label: &str) -> u64 {
        let is = |row: &&Row| {
            *row.name == *name && row.labels.first().is_none_or(|(_, value)| **value == *label)
        };
        table.rows.iter().filter(is).map(|row| row.word).sum()
    }

    #[test]
    fn an_attribute_is_its_name_its_labels_and_its_kind() {
        let mut table = Attributes::new(1);
        let plain = table.slot(Kind::Sum, "orders", &[]);
        let blue = table.slot(Kind::Sum, "orders", &[("tenant", "blue")]);
        let red = table.slot(Kind::Sum, "orders", &[("tenant", "red")]);
        let last = table.slot(Kind::Last, "orders", &[]);
        let spread = table.slot(Kind::Spread, "orders", &[]);
        assert_eq!(table.count(), 5);
        for (slot, amount) in [(plain, 1), (blue, 2), (red, 4), (blue, 8)] {
            table.add(slot, amount);
        }
        table.set(last, -5, 1);
        table.record(spread, 7);
        let again = table.slot(Kind::Sum, "orders", &[("tenant", "blue")]);
        assert_eq!(again, blue);
        let values: Vec<Value> = table.each().map(|attribute| attribute.value).collect();
        assert_eq!(values[..4], [Value::Sum(1), Value::Sum(10), Value::Sum(4), Value::Last(-5)]);
        assert_eq!(values[4].kind(), Kind::Spread);
    }

    #[test]
    fn a_hundred_thousand_labels_stay_bounded_and_none_is_lost() {
        let mut table = Attributes::new(1);
        for user in 0..100_000 {
            let slot = table.slot(Kind::Sum, "logins", &[("user", &format!("u{user}"))]);
            table.add(slot, 1);
        }
        assert_eq!(table.count(), ATTRIBUTES_MAX + 1);
        assert_eq!(sum(&table, "logins", "u17"), 1);
        assert_eq!(sum(&table, "logins", OTHER), 100_000 - ATTRIBUTES_MAX as u64);
    }

    #[test]
    fn names_that_are_made_up_share_one_row_at_last() {
        let mut table = Attributes::new(1);
        for number in 0..100_000 {
            let slot = table.slot(Kind::Sum, &format!("name{number}"), &[]);
            table.add(slot, 1);
        }
        assert!(table.count() <= ATTRIBUTES_MAX * 2 + 1);
        assert_eq!(sum(&table, OTHER, ""), 100_000 - 2 * ATTRIBUTES_MAX as u64);
    }

    #[test]
    fn a_long_name_is_cut_at_a_character_and_found_again() {
        let mut table = Attributes::new(1);
        let long = "é".repeat(100);
        let first = table.slot(Kind::Sum, &long, &[(&long, &long)]);
        assert_eq!(table.slot(Kind::Sum, &long, &[(&long, &long)]), first);
        let kept = String::from(&*table.rows[0].name);
        assert_eq!(kept, "é".repeat(64));
        let many = [("k", "v"); 20];
        table.slot(Kind::Sum, "many", &many);
        assert_eq!(table.rows[1].labels.len(), ATTRIBUTE_LABELS_MAX);
    }

    #[test]
    fn a_place_of_the_program_remembers_its_slot() {
        let mut table = Attributes::new(1);
        let mut at = |site, name| table.slot_of_site(site, Kind::Sum, name, &[]);
        let slot = at(3, "orders");
        assert_eq!(at(3, "orders"), slot);
        assert_eq!(at(0, "orders"), slot, "another line, one name");
        assert_ne!(at(1, "others"), slot);
        assert_eq!(at(usize::MAX, "orders"), slot, "never learnt");
        let mut at = |city| table.slot_of_site(7, Kind::Sum, "orders", &[("city", city)]);
        let (one, two) = (at("Bonn"), at("Köln"));
        assert!(one != two && one != slot);
        assert_eq!([at("Köln"), at("Köln"), at("Bonn")], [two, two, one]);
    }
}

//! Attributes: what the business reports of itself, in one line and without registering anything.
//!
//! ```
//! # let (city, bytes) = ("Köln", 640);
//! msec::metric!("orders", 1);                          // adds
//! msec::metric!("orders", 1; city = city);             // adds, by label
//! msec::metric!(set "stock", 17);                      // the last value counts
//! msec::metric!(record "order_bytes", bytes);          // counts by size
//! ```
//!
//! Names are free text of up to 128 bytes, labels up to eight. A name or a label that is made up
//! for each user does no harm: beyond a bound they share rows named `__other__`.
//!
//! A report is an addition in a table of this core, which nobody else touches; threads that are no
//! core's share a few tables, each under a lock that is held for the addition. Nothing is sent, and
//! nothing is written, before somebody asks ([`Engine::snapshot`](crate::Engine::snapshot)).

use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use msec_protocol::report::{Attributes, Folder, Kind, Slot};
use msec_sys::clock;

use crate::shard;

/// Tables that threads share which are no core's.
const TABLES_COUNT: usize = 8;
/// Of threads that are no core's. Locked for a look-up and an addition.
static TABLES: [Mutex<Option<Attributes>>; TABLES_COUNT] =
    [const { Mutex::new(None) }; TABLES_COUNT];

thread_local! {
    /// Which of the tables is this thread's.
    static TABLE: usize = {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) as usize % TABLES_COUNT
    };
}

/// An empty table, with a seed that nobody outside can know.
pub(crate) fn table() -> Attributes {
    Attributes::new(RandomState::new().hash_one(0))
}

/// Reports into this thread's table.
#[inline]
fn report(put: impl Fn(&mut Attributes, u64)) {
    let on_core = shard::with_current(|shard| {
        put(&mut shard.reporter.attributes.borrow_mut(), shard.now_ns());
    });
    if on_core.is_none() {
        elsewhere(&put);
    }
}

/// On a thread that is no core's.
#[cold]
fn elsewhere(put: &impl Fn(&mut Attributes, u64)) {
    // At the end of a thread the number may be gone.
    let number = TABLE.try_with(|number| *number).unwrap_or(0);
    let mut table = TABLES[number].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    put(table.get_or_insert_with(self::table), clock::coarse_ns());
}

/// Adds what threads have reported that are no core's; of the whole process.
pub(crate) fn fold_others(folder: &mut Folder) {
    for table in &TABLES {
        let table = table.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(table) = &*table {
            folder.attributes(table);
        }
    }
}

/// Adds to a sum.
///
/// `name` is cut at 128 bytes. From any thread; never suspends.
pub fn add(name: &str, amount: u64) {
    add_with(name, amount, &[]);
}

/// As [`add`], by labels: up to eight pairs of key and value.
pub fn add_with(name: &str, amount: u64, labels: &[(&str, &str)]) {
    report(|table, _| {
        let slot = table.slot(Kind::Sum, name, labels);
        table.add(slot, amount);
    });
}

/// Sets a value: the last one counts, and of several processes their sum.
///
/// `name` is cut at 128 bytes. From any thread; never suspends.
pub fn set(name: &str, value: i64) {
    set_with(name, value, &[]);
}

/// As [`set`], by labels: up to eight pairs of key and value.
pub fn set_with(name: &str, value: i64, labels: &[(&str, &str)]) {
    report(|table, now_ns| {
        let slot = table.slot(Kind::Last, name, labels);
        table.set(slot, value, now_ns);
    });
}

/// Counts a value by its size, in a histogram whose buckets are an eighth as wide as their values.
///
/// `name` is cut at 128 bytes. From any thread; never suspends.
pub fn record(name: &str, value: u64) {
    record_with(name, value, &[]);
}

/// As [`record`], by labels: up to eight pairs of key and value.
pub fn record_with(name: &str, value: u64, labels: &[(&str, &str)]) {
    report(|table, _| {
        let slot = table.slot(Kind::Spread, name, labels);
        table.record(slot, value);
    });
}

/// A place in a program that reports one attribute: what [`metric!`](crate::metric!) makes, so that
/// its name is looked up once.
#[doc(hidden)]
#[derive(Debug)]
pub struct Site {
    name: &'static str,
    /// From 1; 0 until it is first used.
    number: AtomicU32,
}

impl Site {
    #[doc(hidden)]
    pub const fn new(name: &'static str) -> Site {
        Site { name, number: AtomicU32::new(0) }
    }

    #[inline]
    fn slot(&self, kind: Kind, table: &mut Attributes, labels: &[(&str, &str)]) -> Slot {
        let number = match self.number.load(Ordering::Relaxed) {
            0 => self.draw(),
            number => number,
        };
        table.slot_of_site(number as usize, kind, self.name, labels)
    }

    #[cold]
    fn draw(&self) -> u32 {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let mine = NEXT.fetch_add(1, Ordering::Relaxed);
        // Of several threads one wins; the numbers of the others are never used.
        let drawn = self.number.compare_exchange(0, mine, Ordering::Relaxed, Ordering::Relaxed);
        drawn.map_or_else(|theirs| theirs, |_| mine)
    }

    #[doc(hidden)]
    #[inline]
    pub fn add(&self, amount: u64) {
        report(|table, _| {
            let slot = self.slot(Kind::Sum, table, &[]);
            table.add(slot, amount);
        });
    }

    #[doc(hidden)]
    pub fn add_with(&self, amount: u64, labels: &[(&str, &str)]) {
        report(|table, _| {
            let slot = self.slot(Kind::Sum, table, labels);
            table.add(slot, amount);
        });
    }

    #[doc(hidden)]
    #[inline]
    pub fn set(&self, value: i64) {
        report(|table, now_ns| {
            let slot = self.slot(Kind::Last, table, &[]);
            table.set(slot, value, now_ns);
        });
    }

    #[doc(hidden)]
    pub fn set_with(&self, value: i64, labels: &[(&str, &str)]) {
        report(|table, now_ns| {
            let slot = self.slot(Kind::Last, table, labels);
            table.set(slot, value, now_ns);
        });
    }

    #[doc(hidden)]
    #[inline]
    pub fn record(&self, value: u64) {
        report(|table, _| {
            let slot = self.slot(Kind::Spread, table, &[]);
            table.record(slot, value);
        });
    }

    #[doc(hidden)]
    pub fn record_with(&self, value: u64, labels: &[(&str, &str)]) {
        report(|table, _| {
            let slot = self.slot(Kind::Spread, table, labels);
            table.record(slot, value);
        });
    }
}

/// Reports an attribute: adds an amount, or with `set` or `record` in front sets a value or counts
/// it by its size. The name is a constant; labels follow a semicolon as `key = value`, where a
/// value is anything that is a `&str` by [`AsRef`].
///
/// ```
/// msec::metric!("orders", 1; city = "Köln", kind = String::from("express"));
/// ```
///
/// For names that are put together there are [`metric::add`](crate::metric::add()) and its like.
/// From any thread; never suspends.
#[macro_export]
macro_rules! metric {
    (@ $verb:ident $with:ident, $name:expr, $value:expr) => {{
        static SITE: $crate::metric::Site = $crate::metric::Site::new($name);
        SITE.$verb($value)
    }};
    (@ $verb:ident $with:ident, $name:expr, $value:expr; $($key:ident = $label:expr),+) => {{
        static SITE: $crate::metric::Site = $crate::metric::Site::new($name);
        SITE.$with(
            $value,
            &[$((::core::stringify!($key), ::core::convert::AsRef::<str>::as_ref(&$label))),+],
        )
    }};
    (set $name:expr, $value:expr $(; $($key:ident = $label:expr),+ $(,)?)?) => {
        $crate::metric!(@ set set_with, $name, $value $(; $($key = $label),+)?)
    };
    (record $name:expr, $value:expr $(; $($key:ident = $label:expr),+ $(,)?)?) => {
        $crate::metric!(@ record record_with, $name, $value $(; $($key = $label),+)?)
    };
    ($name:expr, $value:expr $(; $($key:ident = $label:expr),+ $(,)?)?) => {
        $crate::metric!(@ add add_with, $name, $value $(; $($key = $label),+)?)
    };
}

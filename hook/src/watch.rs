//! Descriptors that somebody waits for, so that whoever closes one wakes him.
//!
//! The kernel itself leaves him waiting: he holds the file, and the number is given to the next
//! file that is opened. A coroutine that went on with the number would read what is another's. So
//! each number has a generation, which closing counts up: who finds another one than at the
//! beginning of his call ends with EBADF.
//!
//! ```text
//!   who waits                               who closes
//!   notes the generation                    counts it up
//!   tries, would block                      closes
//!   counts himself in                       somebody is counted in? rings his bell
//!   listens to the bell,
//!   looks at the generation, parks
//! ```
//!
//! All steps are of one total order, so that either the one sees the count or the other the
//! generation. Numbers beyond the table are not watched.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine;
use crate::table::BELLS_COUNT;

/// As many as a process may have (fs.nr_open, by default); pages of it come when they are touched.
const DESCRIPTORS_MAX: usize = 1 << 20;
/// Of one descriptor: its generation, how many wait for it alone, and how many for it and others.
static DESCRIPTORS: [AtomicU64; DESCRIPTORS_MAX] = [const { AtomicU64::new(0) }; DESCRIPTORS_MAX];

const GENERATION: u64 = 1 << 32;
const ALONE: u64 = 1;
const AMONG_OTHERS: u64 = 1 << 16;
/// Of those who wait for several descriptors. The others stand for numbers of descriptors.
const BELL_OF_SEVERAL: u32 = BELLS_COUNT as u32 - 1;

fn entry(fd: c_int) -> Option<&'static AtomicU64> {
    DESCRIPTORS.get(usize::try_from(fd).ok()?)
}

fn bell(fd: c_int) -> u32 {
    fd as u32 % BELL_OF_SEVERAL
}

/// A descriptor as it was at the beginning of a call.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    fd: c_int,
    generation: u64,
}

impl Seen {
    /// The descriptor of that number.
    pub(crate) fn now(fd: c_int) -> Seen {
        let generation = entry(fd).map_or(0, |entry| entry.load(Ordering::SeqCst) / GENERATION);
        Seen { fd, generation }
    }

    /// Whether it was closed meanwhile.
    pub(crate) fn is_closed(self) -> bool {
        Seen::now(self.fd).generation != self.generation
    }
}

/// Has those descriptors watched until it is dropped.
pub(crate) struct Watch<'a> {
    seen: &'a [Seen],
    count: u64,
}

impl<'a> Watch<'a> {
    pub(crate) fn of(seen: &'a [Seen]) -> Watch<'a> {
        let count = if seen.len() == 1 { ALONE } else { AMONG_OTHERS };
        let watch = Watch { seen, count };
        watch.entries().for_each(|entry| {
            entry.fetch_add(count, Ordering::SeqCst);
        });
        watch
    }

    fn entries(&self) -> impl Iterator<Item = &'static AtomicU64> {
        self.seen.iter().filter_map(|seen| entry(seen.fd))
    }

    /// The bell that is rung when one of them is closed.
    pub(crate) fn bell(&self) -> u32 {
        match self.seen {
            [one] => bell(one.fd),
            _ => BELL_OF_SEVERAL,
        }
    }

    /// For [`crate::table::Request::argument`].
    pub(crate) fn argument(&self) -> *const c_void {
        std::ptr::from_ref(self).cast()
    }

    /// For [`crate::table::Request::is_over`].
    ///
    /// # Safety
    /// The argument is one of [`Watch::argument`], and the watch lives.
    pub(crate) unsafe extern "C" fn is_over(argument: *const c_void) -> bool {
        // SAFETY: the caller's promise.
        let watch = unsafe { &*argument.cast::<Watch<'_>>() };
        watch.seen.iter().any(|seen| seen.is_closed())
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.entries().for_each(|entry| {
            entry.fetch_sub(self.count, Ordering::SeqCst);
        });
    }
}

/// Runs what closes a descriptor, and wakes those who wait for it. From any thread.
pub(crate) fn closing(fd: c_int, close: impl FnOnce() -> c_int) -> c_int {
    let Some((engine, entry)) = engine::engine().zip(entry(fd)) else { return close() };
    entry.fetch_add(GENERATION, Ordering::SeqCst);
    let result = close();
    let counts = entry.load(Ordering::SeqCst) % GENERATION;
    let (alone_count, among_others_count) = (counts % AMONG_OTHERS, counts / AMONG_OTHERS);
    if alone_count > 0 {
        (engine.ring)(bell(fd));
    }
    if among_others_count > 0 {
        (engine.ring)(BELL_OF_SEVERAL);
    }
    result
}

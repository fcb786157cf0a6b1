//! select and pselect, which are poll with other lists.

use std::ffi::c_int;
use std::mem::size_of;

use libc::{fd_set, pollfd, sigset_t, timespec, timeval};

use crate::engine::Coroutine;
use crate::poll::{Waited, deadline, until};
use crate::real::{self, SECOND_NS};
use crate::table::Table;

/// # Safety
/// As select(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn select(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    timeout: *mut timeval,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    let really = || unsafe { real::select(count, read, write, except, timeout) };
    // SAFETY: NULL or a time, by the caller's promise.
    let time_ns = match unsafe { timeout.as_ref() } {
        Some(time) => real::nanoseconds(time.tv_sec, time.tv_usec.saturating_mul(1000)),
        None => Some(u64::MAX),
    };
    let time_ns = time_ns.filter(|time_ns| *time_ns > 0);
    let Some((coroutine, time_ns)) = Coroutine::running().zip(time_ns) else { return really() };
    // SAFETY: NULL or sets of that size, by the caller's promise.
    let sets = unsafe { Sets::of(count, [read, write, except]) };
    let ask = || {
        let mut at_once = timeval { tv_sec: 0, tv_usec: 0 };
        sets.put_back();
        // SAFETY: the caller's promise, handed on.
        unsafe { real::select(count, read, write, except, &mut at_once) }
    };
    let begin = std::cell::Cell::new(None);
    let deadline = |table: &Table| {
        let end_ns = deadline(table, time_ns);
        begin.set(Some((table.now_ns, end_ns)));
        end_ns
    };
    match until(coroutine, "select", || sets.list(), ask, deadline) {
        Waited::With(result) => {
            // SAFETY: NULL or a time, by the caller's promise.
            if let (Some(left), Some((now_ns, end_ns))) = (unsafe { timeout.as_mut() }, begin.get())
            {
                let left_ns = end_ns.saturating_sub(now_ns());
                left.tv_sec = (left_ns / SECOND_NS) as _;
                left.tv_usec = (left_ns % SECOND_NS / 1000) as _;
            }
            result
        }
        Waited::NotOurs => {
            sets.put_back();
            really()
        }
    }
}

/// # Safety
/// As pselect(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pselect(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    let really = |timeout| unsafe { real::pselect(count, read, write, except, timeout, mask) };
    // SAFETY: NULL or a time, by the caller's promise.
    let time_ns = match unsafe { timeout.as_ref() } {
        Some(time) => real::nanoseconds(time.tv_sec, time.tv_nsec),
        None => Some(u64::MAX),
    };
    let time_ns = time_ns.filter(|time_ns| *time_ns > 0);
    let Some((coroutine, time_ns)) = Coroutine::running().zip(time_ns) else {
        return really(timeout);
    };
    // SAFETY: NULL or sets of that size, by the caller's promise.
    let sets = unsafe { Sets::of(count, [read, write, except]) };
    let at_once = timespec { tv_sec: 0, tv_nsec: 0 };
    let ask = || {
        sets.put_back();
        really(&raw const at_once)
    };
    let deadline = |table: &Table| deadline(table, time_ns);
    match until(coroutine, "pselect", || sets.list(), ask, deadline) {
        Waited::With(result) => result,
        Waited::NotOurs => {
            sets.put_back();
            really(timeout)
        }
    }
}

/// The bits of a word.
const WORD_BITS: usize = u64::BITS as usize;

/// What was asked for. The kernel writes its answer over it.
struct Sets {
    /// To read, to write, and for what is exceptional: where they are, and what stood there. Sets
    /// may be larger than the type says, which people make use of.
    asked: [(*mut u64, Vec<u64>); 3],
}

impl Sets {
    /// # Safety
    /// Each is NULL or has as many bits, to the word.
    unsafe fn of(count: c_int, sets: [*mut fd_set; 3]) -> Sets {
        const { assert!(size_of::<fd_set>().is_multiple_of(size_of::<u64>())) };
        let words = usize::try_from(count).unwrap_or(0).div_ceil(WORD_BITS);
        let asked = sets.map(|set| {
            let place = set.cast::<u64>();
            let stood = match place.is_null() {
                true => Vec::new(),
                // SAFETY: the caller's promise.
                false => unsafe { std::slice::from_raw_parts(place, words) }.to_vec(),
            };
            (place, stood)
        });
        Sets { asked }
    }

    fn put_back(&self) {
        for (place, stood) in self.asked.iter().filter(|(place, _)| !place.is_null()) {
            // SAFETY: so many words are there, by the promise that this was made with.
            unsafe { place.copy_from_nonoverlapping(stood.as_ptr(), stood.len()) };
        }
    }

    fn list(&self) -> Vec<pollfd> {
        let events = [libc::POLLIN, libc::POLLOUT, libc::POLLPRI];
        let mut list = Vec::new();
        for ((_, stood), events) in self.asked.iter().zip(events) {
            for (index, word) in stood.iter().enumerate() {
                let bits = (0..WORD_BITS).filter(|bit| word >> bit & 1 == 1);
                let wanted =
                    |bit| pollfd { fd: (index * WORD_BITS + bit) as c_int, events, revents: 0 };
                list.extend(bits.map(wanted));
            }
        }
        list
    }
}

//! Coroutine-locals: a pointer that each coroutine has its own of.
//!
//! The engine knows a value by the address of a static of Rust; a program of C makes its keys as it
//! runs. So all pointers of a coroutine are one such value: a short list, by the numbers of their
//! keys, which are never used again.
//!
//! ```text
//!   coroutine ──► core/local.rs ──► POINTERS: [(key 3, pointer, end), (key 7, pointer, end)]
//!                                     dropped with the coroutine: each end is called, last first
//! ```
//!
//! The list is not borrowed while a program's function runs: that may look at other values, or
//! suspend.

use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::free;
use crate::guard;

/// A key to a pointer that each coroutine has its own of. Usable from every thread.
#[allow(non_camel_case_types)]
pub struct msec_local {
    number: u64,
    end: msec_local_end,
}

/// Is given a pointer that a coroutine does not have any more, never NULL. Runs on that coroutine,
/// where it may suspend. No C++ exception may leave it.
pub type msec_local_end = Option<unsafe extern "C" fn(pointer: *mut c_void)>;

/// A pointer of a coroutine. Dropped, it is given to its end.
struct Held {
    number: u64,
    pointer: *mut c_void,
    end: msec_local_end,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            // SAFETY: the header asks for a function that can be called so.
            unsafe { end(self.pointer) };
        }
    }
}

/// The pointers of one coroutine, oldest first.
#[derive(Default)]
struct Pointers(RefCell<Vec<Held>>);

impl Drop for Pointers {
    fn drop(&mut self) {
        while let Some(last) = self.0.get_mut().pop() {
            drop(last);
        }
    }
}

msec::local! {
    static POINTERS: Pointers = Pointers::default();
}

/// A key, for which every coroutine has NULL at first. `end`, if not NULL, is given each pointer
/// that was set, when another one takes its place or its coroutine ends: the last set comes first.
/// To be given back with `msec_local_free`.
#[unsafe(no_mangle)]
pub extern "C" fn msec_local_new(end: msec_local_end) -> *mut msec_local {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    guard::or(ptr::null_mut(), || {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Box::into_raw(Box::new(msec_local { number, end }))
    })
}

/// Frees a key. Pointers that coroutines have by it are given to its end as before. NULL is freed
/// without effect.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_local_free(local: *mut msec_local) {
    // SAFETY: NULL, or what `msec_local_new` gave away.
    guard::or((), || unsafe { free(local) });
}

/// Sets the pointer of the running coroutine; NULL takes it away. Tasks that it spawns do not
/// inherit it. On a thread that is no core's the pointer is the thread's and ends with it, though
/// not surely with the main thread; in a function of msec_offload it is the function's.
///
/// Errors: -1; -2 on the loop of a core (callback methods, callbacks), or late in the end of a
/// thread. The pointer is then still the caller's.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_local_set(local: *const msec_local, pointer: *mut c_void) -> i32 {
    guard!([local] {
        // SAFETY: not NULL, so live.
        let msec_local { number, end } = *unsafe { &*local };
        let before = POINTERS.try_with(|pointers| {
            let mut list = pointers.0.borrow_mut();
            let place = list.iter().position(|held| held.number == number);
            let before = place.map(|place| list.remove(place));
            match before {
                // The same again: it stays, and its end is not called.
                Some(before) if before.pointer == pointer => {
                    list.push(before);
                    None
                }
                before => {
                    if !pointer.is_null() {
                        list.push(Held { number, pointer, end });
                    }
                    before
                }
            }
        })?;
        // A program's function, with nothing borrowed.
        drop(before);
        Ok(())
    })
}

/// The pointer of the running coroutine, or of the thread; NULL where none was set, and on the loop
/// of a core.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_local_pointer(local: *const msec_local) -> *mut c_void {
    // SAFETY: NULL or live.
    let Some(local) = (unsafe { local.as_ref() }) else { return ptr::null_mut() };
    guard::or(ptr::null_mut(), || {
        let found = POINTERS.try_with(|pointers| {
            let list = pointers.0.borrow();
            list.iter().find(|held| held.number == local.number).map(|held| held.pointer)
        });
        found.ok().flatten().unwrap_or(ptr::null_mut())
    })
}

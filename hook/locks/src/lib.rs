//! libmsec_hook_locks: names the mutexes that are held while a coroutine waits. For diagnosis
//! only, beside libmsec_hook, by `[SRPC] hook=diagnose`.
//!
//! A mutex of pthreads belongs to the thread, and all coroutines of a core are one thread. Whoever
//! locks one and waits with it has the next coroutine that locks it block the core, and so for
//! ever: the first can go on only on that core.
//!
//! ```text
//!   test.Shop.Buy: lock(m) ─► read() parks          the core goes on with others
//!   test.Shop.Sell:            lock(m) blocks the core ─► Buy never goes on, nor unlocks
//! ```
//!
//! So each mutex that a coroutine locks is noted with its method, per thread. libmsec_hook asks
//! before each wait ([`msec_hook_locks_park`]), and what is held then is told in the log, once for
//! each method and call that waits. A lock that cannot be had because of it is told as well, before
//! the core stops.
//!
//! What it does not see: reader-writer locks, locks made of futexes (those of Rust), and what the C
//! library locks within. It decides nothing: each call goes on to the real one.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::mem::size_of;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use libc::{clockid_t, pthread_mutex_t, timespec};
use table::{Table, Text};

#[path = "../../src/next.rs"]
mod next;
#[path = "../../src/table.rs"]
mod table;

static TABLE: AtomicPtr<Table> = AtomicPtr::new(ptr::null_mut());

/// Mutexes that coroutines of a thread hold at a time, as far as they are noted.
const HELD_MAX: usize = 64;
/// Places that are told; who mends them sees the others.
const PLACES_MAX: usize = 64;

/// A mutex that a coroutine has locked.
#[derive(Clone, Copy)]
struct Held {
    /// Its address; 0: no mutex.
    mutex: usize,
    coroutine: u64,
    method: &'static str,
    /// What the coroutine waited in last, with it.
    call: &'static str,
}

const NOTHING: Held = Held { mutex: 0, coroutine: 0, method: "", call: "" };

thread_local! {
    /// Of this thread. Without anything that would have to be dropped at its end, when others are
    /// gone already.
    static HELD: UnsafeCell<[Held; HELD_MAX]> = const { UnsafeCell::new([NOTHING; HELD_MAX]) };
}

/// The places that were told: method and call, as one number. 0: none.
static TOLD: [AtomicU64; PLACES_MAX] = [const { AtomicU64::new(0) }; PLACES_MAX];

/// Takes what libmsec offers, from libmsec_hook. 0, or -1 for a table of another version.
///
/// # Safety
/// The table lives as long as the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_hook_locks_attach(table: *const Table) -> c_int {
    // SAFETY: the two fields that every version begins with.
    let (version, size) = unsafe { ((*table).version, (*table).size) };
    if version != table::VERSION || size as usize != size_of::<Table>() {
        return -1;
    }
    TABLE.store(table.cast_mut(), Ordering::Release);
    0
}

/// Tells what this coroutine holds, which is about to wait in `call`.
///
/// # Safety
/// The text lives as long as the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_hook_locks_park(call: Text) {
    let Some((table, coroutine)) = running() else { return };
    // SAFETY: the caller's promise.
    let call: &'static str = unsafe { call.text() };
    let mut told = None;
    with_held(|held| {
        for held in held.iter_mut().filter(|it| it.mutex != 0 && it.coroutine == coroutine) {
            held.call = call;
            told = Some(*held);
        }
    });
    if let Some(held) = told.filter(|held| is_new(held.method, call)) {
        warn(
            table,
            &format!(
                "the mutex {:#x} is held by {} while it waits in {call}: another coroutine of this \
                 core that locks it stops the core; unlock it before, or use msec_mutex",
                held.mutex,
                of(held.method)
            ),
        );
    }
}

/// The engine and the coroutine that calls, if one does.
fn running() -> Option<(&'static Table, u64)> {
    // SAFETY: NULL, or a table that lives as long as the process.
    let table = unsafe { TABLE.load(Ordering::Acquire).as_ref() }?;
    let coroutine = (table.coroutine)();
    (coroutine != 0).then_some((table, coroutine))
}

fn with_held(look: impl FnOnce(&mut [Held; HELD_MAX])) {
    // SAFETY: this thread's own, and nothing that runs meanwhile locks or waits.
    let _ = HELD.try_with(|held| look(unsafe { &mut *held.get() }));
}

/// Whether a place is told for the first time.
fn is_new(method: &str, call: &str) -> bool {
    // Both are static texts, known by where they lie.
    let place = (method.as_ptr() as u64).rotate_left(32) ^ call.as_ptr() as u64;
    for told in &TOLD {
        match told.compare_exchange(0, place, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(known) if known == place => return false,
            Err(_) => {}
        }
    }
    false
}

fn of(method: &str) -> &str {
    if method.is_empty() { "a coroutine" } else { method }
}

fn warn(table: &Table, text: &str) {
    // SAFETY: a text that lives for the call.
    unsafe { (table.warn)(Text::of(text)) };
}

fn note(table: &Table, coroutine: u64, mutex: *mut pthread_mutex_t) {
    // SAFETY: names of methods live as long as the process.
    let method: &'static str = unsafe { (table.method)().text() };
    with_held(|held| {
        if let Some(free) = held.iter_mut().find(|held| held.mutex == 0) {
            *free = Held { mutex: mutex as usize, coroutine, method, call: "" };
        }
    });
}

/// Of a lock that cannot be had now: whether it ever can.
fn tell_if_stuck(table: &Table, coroutine: u64, mutex: *mut pthread_mutex_t) {
    let mut holder = None;
    with_held(|held| {
        let is_it = |it: &&Held| it.mutex == mutex as usize && it.coroutine != coroutine;
        holder = held.iter().find(is_it).copied();
    });
    let Some(Held { method, call, .. }) = holder else { return };
    // SAFETY: names of methods live as long as the process.
    let locks = unsafe { (table.method)().text() };
    let (locks, holds) = (of(locks), of(method));
    warn(
        table,
        &format!(
            "{locks} locks the mutex {mutex:p}, which {holds} holds on the same core and waits in \
             {call}: this core does not go on"
        ),
    );
}

/// Locks by `lock`, after a look whether it can be had, and notes it.
fn locking(mutex: *mut pthread_mutex_t, lock: impl Fn() -> c_int) -> c_int {
    let Some((table, coroutine)) = running() else { return lock() };
    // SAFETY: the caller's mutex.
    let mut code = unsafe { real::pthread_mutex_trylock(mutex) };
    if code == libc::EBUSY {
        tell_if_stuck(table, coroutine, mutex);
        code = lock();
    }
    // Locked is also what its last owner has died with.
    if matches!(code, 0 | libc::EOWNERDEAD) {
        note(table, coroutine, mutex);
    }
    code
}

/// # Safety
/// As pthread_mutex_lock(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_mutex_lock(mutex: *mut pthread_mutex_t) -> c_int {
    // SAFETY: the caller's promise, handed on.
    locking(mutex, || unsafe { real::pthread_mutex_lock(mutex) })
}

/// # Safety
/// As pthread_mutex_timedlock(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_mutex_timedlock(
    mutex: *mut pthread_mutex_t,
    end: *const timespec,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    locking(mutex, || unsafe { real::pthread_mutex_timedlock(mutex, end) })
}

/// # Safety
/// As pthread_mutex_clocklock(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_mutex_clocklock(
    mutex: *mut pthread_mutex_t,
    clock: clockid_t,
    end: *const timespec,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    locking(mutex, || unsafe { real::pthread_mutex_clocklock(mutex, clock, end) })
}

/// # Safety
/// As pthread_mutex_trylock(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_mutex_trylock(mutex: *mut pthread_mutex_t) -> c_int {
    // SAFETY: the caller's promise, handed on.
    let code = unsafe { real::pthread_mutex_trylock(mutex) };
    if let Some((table, coroutine)) = running().filter(|_| matches!(code, 0 | libc::EOWNERDEAD)) {
        note(table, coroutine, mutex);
    }
    code
}

/// # Safety
/// As pthread_mutex_unlock(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_mutex_unlock(mutex: *mut pthread_mutex_t) -> c_int {
    if !TABLE.load(Ordering::Relaxed).is_null() {
        with_held(|held| {
            // One that is locked twice is noted twice.
            if let Some(held) = held.iter_mut().rfind(|held| held.mutex == mutex as usize) {
                held.mutex = 0;
            }
        });
    }
    // SAFETY: the caller's promise, handed on.
    unsafe { real::pthread_mutex_unlock(mutex) }
}

/// The functions of the C library.
mod real {
    use super::{c_int, clockid_t, pthread_mutex_t, timespec};
    use crate::next::real;

    real! {
        fn pthread_mutex_lock(mutex: *mut pthread_mutex_t) -> c_int;
        fn pthread_mutex_trylock(mutex: *mut pthread_mutex_t) -> c_int;
        fn pthread_mutex_unlock(mutex: *mut pthread_mutex_t) -> c_int;
        fn pthread_mutex_timedlock(mutex: *mut pthread_mutex_t, end: *const timespec) -> c_int;
        fn pthread_mutex_clocklock(
            mutex: *mut pthread_mutex_t, clock: clockid_t, end: *const timespec
        ) -> c_int;
    }
}

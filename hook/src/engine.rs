//! The engine of this process, once there is one, and the coroutine that calls us, if it is one.

use std::ffi::c_int;
use std::mem::size_of;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};
use std::{mem, ptr};

use crate::table::{self, Table, Text};

static TABLE: AtomicPtr<Table> = AtomicPtr::new(ptr::null_mut());
/// The process that has attached its engine. A child of it has the table, too, and no engine.
static PROCESS: AtomicI32 = AtomicI32::new(0);
/// Is told before each wait, if mutexes are watched.
static PARKS: AtomicPtr<libc::c_void> = AtomicPtr::new(ptr::null_mut());

/// The function of the library that watches mutexes: this coroutine is about to wait in this call.
type Parks = unsafe extern "C" fn(call: Text);

/// Takes what libmsec offers: from now on its coroutines park. 0, or -1 for a table of another
/// version. Again has no effect.
///
/// # Safety
/// The table lives as long as the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_hook_attach(table: *const Table) -> c_int {
    // SAFETY: the two fields that every version begins with.
    let (version, size) = unsafe { ((*table).version, (*table).size) };
    if version != table::VERSION || size as usize != size_of::<Table>() {
        return -1;
    }
    // SAFETY: takes nothing and cannot fail.
    PROCESS.store(unsafe { libc::getpid() }, Ordering::Relaxed);
    watch_locks(table);
    TABLE.store(table.cast_mut(), Ordering::Release);
    0
}

/// Hands the table on to the library that watches mutexes, if that is there.
fn watch_locks(table: *const Table) {
    // SAFETY: looks for names among what is loaded.
    let (attach, parks) = unsafe {
        let attach = libc::dlsym(libc::RTLD_DEFAULT, table::ATTACH_LOCKS.as_ptr());
        (attach, libc::dlsym(libc::RTLD_DEFAULT, c"msec_hook_locks_park".as_ptr()))
    };
    if attach.is_null() || parks.is_null() {
        return;
    }
    // SAFETY: that library alone has this name, for a function of this form.
    let attach = unsafe { mem::transmute::<*mut libc::c_void, table::Attach>(attach) };
    // SAFETY: the table lives as long as the process.
    if unsafe { attach(table) } == 0 {
        PARKS.store(parks, Ordering::Relaxed);
    }
}

/// The engine, on whatever thread; `None` as long as there is none, and in a child of its process.
pub(crate) fn engine() -> Option<&'static Table> {
    // SAFETY: NULL, or a table that lives as long as the process.
    let table = unsafe { TABLE.load(Ordering::Acquire).as_ref() }?;
    is_ours().then_some(table)
}

/// Whether this is the process of the engine. After vfork the child has our memory as well.
fn is_ours() -> bool {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getpid() == PROCESS.load(Ordering::Relaxed) }
}

/// The coroutine that calls.
#[derive(Clone, Copy)]
pub(crate) struct Coroutine {
    table: &'static Table,
}

impl Coroutine {
    /// The one that runs on this thread, if one does. In a child it may be none: see
    /// [`Coroutine::parks`].
    pub(crate) fn running() -> Option<Coroutine> {
        // SAFETY: NULL, or a table that lives as long as the process.
        let table = unsafe { TABLE.load(Ordering::Acquire).as_ref() }?;
        ((table.coroutine)() != 0).then_some(Coroutine { table })
    }

    /// To be asked before it waits in `call`: the engine to wait with. `None` in a child, whose
    /// thread looks like a coroutine.
    pub(crate) fn parks(self, call: &'static str) -> Option<&'static Table> {
        if !is_ours() {
            return None;
        }
        let parks = PARKS.load(Ordering::Relaxed);
        if !parks.is_null() {
            // SAFETY: found under the name that functions of this form have.
            let parks = unsafe { mem::transmute::<*mut libc::c_void, Parks>(parks) };
            // SAFETY: a text that lives for the call.
            unsafe { parks(Text::of(call)) };
        }
        Some(self.table)
    }
}

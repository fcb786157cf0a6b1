//! Coroutines: plain blocking code that gives its thread away while it waits.
//!
//! A coroutine here is a stack that runs *job after job*. It is switched to, runs a job, and when
//! the job returns it waits at its root for the next one; a job that waits in the middle
//! [`suspend`]s and is resumed later, always on the same thread. So a job costs two switches (a few
//! nanoseconds) and neither an allocation nor the creation of anything.
//!
//! ```text
//!            Pool::take                   start               suspend
//!   (pool) ------------> idle coroutine -------> running job ---------> suspended job
//!      ^                   |        ^              |    ^                  |   |
//!      +-------------------+        +--------------+    +------------------+   | drop
//!            give_back           returned or panicked        resume            v
//!                                                                      leaked, counted
//! ```
//!
//! * **Everything about a coroutine lies on its own stack**: the control block at the high end,
//!   the frames right below it, in one page. A [`Coroutine`] is one pointer to that block, the list
//!   of idle ones runs through the blocks, and a parked job costs the pages it touched and no more.
//!   The blocks do not all start at the same offset in their page, or else the hot lines of all
//!   stacks would compete for the same few sets of the first-level cache.
//! * **Panics end at the root.** Unwinding never crosses a switch: the payload is handed to
//!   whoever resumed, and the coroutine goes on with the next job.
//! * **Never force-unwound.** Foreign frames (a C++ `catch (...)`, a `noexcept` function) do not
//!   survive it, so a suspended job that is given up keeps its stack for ever. That is counted, and
//!   it is also what makes dropping safe: references into that stack stay valid.
//! * **errno belongs to the job**: other jobs run between suspension and resumption, and a C
//!   caller may look at errno after both. So do the exceptions of C++ (`coroutine/exceptions.rs`).
//! * **Never between threads.** Neither pool nor coroutine is `Send`, so thread-local values stay
//!   what they were across a suspension. The one thing to keep in mind is the end of the thread: a
//!   job suspended within `LocalKey::with` must not be resumed by destructors that run after that
//!   key's own.
//!
//! What a switch does to registers is `corosensei`'s (its src/arch/x86_64.rs is worth reading). Its
//! coroutine ends with its function; ours never returns from it, which is how one is used again.

use std::any::Any;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::ptr::{self, NonNull};

use corosensei::stack::valgrind::ValgrindStackRegistration;
use corosensei::{CoroutineResult, Yielder};

use crate::stack::{Slot, Stacks};

mod exceptions;

pub use exceptions::{keep_exceptions, keeps_exceptions};

pub use crate::stack::{
    Exhausted, Guard, STACK_BYTES_DEFAULT, STACK_BYTES_MAX, STACK_BYTES_MIN, StackConfig,
};

/// How a job came back to whoever started or resumed it.
#[derive(Debug)]
#[must_use = "a job that suspended and is not resumed is lost"]
pub enum Outcome {
    /// It called [`suspend`] and waits for [`Coroutine::resume`].
    Suspended,
    /// It returned; the coroutine is idle.
    Finished,
    /// It panicked with this payload; the coroutine is idle and as good as new.
    Panicked(Box<dyn Any + Send>),
}

/// What a running pool looks like, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Coroutines taken and not given back, without the leaked ones.
    pub taken: usize,
    /// Coroutines that wait in the pool for a job.
    pub idle: usize,
    /// Suspended coroutines that were dropped; each holds its stack until the process ends.
    pub leaked: usize,
    /// The deepest use of any stack seen so far, in bytes, to the page. Jobs that stay in the
    /// first 16 KiB are looked at only now and then.
    pub high_water_bytes: usize,
}

/// Coroutines of one thread, reused last in, first out.
///
/// Grows on demand and keeps what it has: idle coroutines are reused while their stacks are still
/// in the cache. Dropping the pool returns all address space if no coroutine is alive or leaked,
/// else it stays mapped for good. Not `Send`: a pool lives and dies on its thread.
pub struct Pool {
    /// On the heap, because the control blocks point to it; freed with the slabs.
    shared: NonNull<Shared>,
}

/// What a pool and its coroutines share.
struct Shared {
    stacks: RefCell<Stacks>,
    /// The list of idle coroutines, through `Control::next_idle`.
    idle: Cell<Option<NonNull<Control>>>,
    idle_count: Cell<usize>,
    taken: Cell<usize>,
    leaked: Cell<usize>,
    high_water_bytes: Cell<usize>,
    /// The errno of the pool's thread, which is the thread of all its coroutines.
    errno: *mut libc::c_int,
}

/// A coroutine that is idle or holds a suspended job.
///
/// Drop it (or [`Pool::give_back`]) when idle to return it to its pool. Dropped with a suspended
/// job, it leaks its stack on purpose and is counted in [`Pool::leaked`].
pub struct Coroutine {
    control: NonNull<Control>,
    /// Bound to its thread: stack, errno and thread-locals of the job are that thread's.
    not_send: PhantomData<*mut ()>,
}

/// The control block at the high end of a stack. Fields in the order of heat: the first cache line
/// is all that a switch touches.
#[repr(C, align(64))]
struct Control {
    /// corosensei's half. Never dropped: its drop would unwind the root.
    fiber: UnsafeCell<ManuallyDrop<Fiber>>,
    /// The way back to the resumer. Null until the coroutine first runs.
    yielder: Cell<*const Yielder<(), Signal>>,
    errno: *mut libc::c_int,
    /// Whether a job is suspended in here; false means idle. While the job runs it keeps the
    /// value it was resumed with, and nobody can look: `resume` borrows the coroutine mutably.
    suspended: Cell<bool>,
    /// How often this coroutine may still be given back before an exact look at its stack.
    uses_left: Cell<u16>,
    entry: Cell<fn(usize)>,
    argument: Cell<usize>,
    /// The payload of a panic, between the root and `Outcome::Panicked`.
    payload: Cell<Option<Box<dyn Any + Send>>>,
    shared: NonNull<Shared>,
    next_idle: Cell<Option<NonNull<Control>>>,
    slot: Slot,
}

#[cfg(not(feature = "sanitizer"))]
const _: () = assert!(
    mem::offset_of!(Control, uses_left) + size_of::<u16>() <= 64 && size_of::<Control>() == 128,
    "what a switch touches fits the first cache line, and the rest the second"
);

type Fiber = corosensei::Coroutine<(), Signal, (), Ground>;

/// What travels with a switch back: `Outcome` without the payload, so that it fits a register.
#[derive(Clone, Copy)]
enum Signal {
    Suspended,
    Finished,
    Panicked,
}

/// The part of a slot that corosensei may use: all below the control block.
struct Ground {
    base: NonZeroUsize,
    limit: NonZeroUsize,
}

// SAFETY: base and limit bound a slot with a guard at its low end and far more than 4 KiB of
// writable memory above it (STACK_BYTES_MIN); the base is aligned as a Control is, to 64.
unsafe impl corosensei::stack::Stack for Ground {
    #[inline]
    fn base(&self) -> NonZeroUsize {
        self.base
    }

    #[inline]
    fn limit(&self) -> NonZeroUsize {
        self.limit
    }
}

thread_local! {
    /// The coroutine that this thread is on, or null. Never destroyed, so that it may be read at
    /// any time, from a signal handler too.
    static CURRENT: Cell<*const Control> = const { Cell::new(ptr::null()) };
}

/// Uses of a stack between exact looks at it: 1.5 µs each, so that they add 1.5 ns to a use.
const USES_BETWEEN_LOOKS: u16 = 1024;

/// Offsets of the control block in its page: 16 of them, a cache line apart.
const COLOURS: usize = 16;

/// Gives the thread back to whoever started or resumed the running coroutine.
///
/// Returns when the coroutine is resumed. Only on a coroutine, and never while the thread is
/// panicking: a destructor that suspended in mid-unwind would make every other job on the thread
/// look as if it panicked (`std::thread::panicking`). The caller checks; debug builds assert.
///
/// # Panics
/// When the calling code does not run on a coroutine.
#[inline]
pub fn suspend() {
    let control = CURRENT.get();
    assert!(!control.is_null(), "suspend() was called outside of a coroutine");
    debug_assert!(!std::thread::panicking(), "suspend() was called while panicking");
    // SAFETY: CURRENT is non-null only between the switch into a coroutine and the switch back, in
    // `Coroutine::switch`, and points to the control block of the stack this code runs on.
    let control = unsafe { &*control };
    // SAFETY: the location of this thread's errno; coroutines never leave their thread.
    let errno = unsafe { control.errno.read() };
    let exceptions = exceptions::take();
    // SAFETY: the root stored the yielder before it ran any job, and it lives as long as the root.
    unsafe { &*control.yielder.get() }.suspend(Signal::Suspended);
    exceptions::put(exceptions);
    // SAFETY: as for the read.
    unsafe { control.errno.write(errno) };
}

/// Whether the calling code runs on a coroutine, where it may [`suspend`].
#[inline]
pub fn on_coroutine() -> bool {
    !CURRENT.get().is_null()
}

/// The stack that the calling code runs on, if it is a coroutine's: its guard and its size.
///
/// Async-signal-safe: reads a thread-local without destructor and the control block.
pub(crate) fn current_stack() -> Option<(Range<usize>, usize)> {
    let control = CURRENT.get();
    if control.is_null() {
        return None;
    }
    // SAFETY: as in `suspend`.
    let slot = unsafe { (*control).slot };
    Some((slot.guard(), slot.bytes()))
}

impl Pool {
    /// An empty pool for the calling thread; maps nothing yet.
    ///
    /// # Panics
    /// When `config.stack_bytes` is out of its bounds.
    pub fn new(config: StackConfig) -> Pool {
        exceptions::find();
        let shared = Shared {
            stacks: RefCell::new(Stacks::new(config)),
            idle: Cell::new(None),
            idle_count: Cell::new(0),
            taken: Cell::new(0),
            leaked: Cell::new(0),
            high_water_bytes: Cell::new(0),
            // SAFETY: always returns the valid address of the calling thread's errno.
            errno: unsafe { libc::__errno_location() },
        };
        Pool { shared: NonNull::from(Box::leak(Box::new(shared))) }
    }

    /// An idle coroutine: the one given back last, else one on a fresh stack.
    ///
    /// A reused one costs a few nanoseconds; a fresh one a system call and two page faults.
    #[inline]
    pub fn take(&self) -> Result<Coroutine, Exhausted> {
        let shared = self.shared();
        let control = match shared.idle.get() {
            Some(control) => {
                // SAFETY: blocks on the idle list belong to mapped slots of this pool.
                shared.idle.set(unsafe { control.as_ref() }.next_idle.get());
                shared.idle_count.set(shared.idle_count.get() - 1);
                control
            }
            None => self.create()?,
        };
        shared.taken.set(shared.taken.get() + 1);
        Ok(Coroutine { control, not_send: PhantomData })
    }

    /// Takes a coroutine back. With a suspended job in it, this is the deliberate leak.
    ///
    /// If its stack was looked at, which it is after a job that went deep and else once in 1,024
    /// uses: the deepest use in bytes, to the page. Beyond 16 KiB that is the last job's; up to
    /// there it may be that of any job since the coroutine was made.
    ///
    /// # Panics
    /// When the coroutine is another pool's.
    #[inline]
    pub fn give_back(&self, coroutine: Coroutine) -> Option<usize> {
        assert!(coroutine.control().shared == self.shared, "a coroutine of another pool");
        ManuallyDrop::new(coroutine).release()
    }

    /// How many suspended coroutines were dropped, each holding its stack for good.
    pub fn leaked(&self) -> usize {
        self.shared().leaked.get()
    }

    /// The pool in numbers.
    pub fn stats(&self) -> PoolStats {
        let shared = self.shared();
        PoolStats {
            taken: shared.taken.get(),
            idle: shared.idle_count.get(),
            leaked: shared.leaked.get(),
            high_water_bytes: shared.high_water_bytes.get(),
        }
    }

    /// How the guards of this pool are made; [`Guard::Auto`] until the first stack has decided.
    pub fn guard(&self) -> Guard {
        self.shared().stacks.borrow().guard()
    }

    #[inline]
    fn shared(&self) -> &Shared {
        // SAFETY: freed by the pool's own drop alone.
        unsafe { self.shared.as_ref() }
    }

    /// Builds a coroutine on a slot that has never been used.
    #[cold]
    fn create(&self) -> Result<NonNull<Control>, Exhausted> {
        let mut stacks = self.shared().stacks.borrow_mut();
        let colour = stacks.slots_count() % COLOURS;
        let slot = stacks.fresh()?;
        let offset = size_of::<Control>() + colour * align_of::<Control>();
        let control = slot.high().wrapping_sub(offset).cast::<Control>();
        let control = NonNull::new(control).expect("the high end of a mapping is not page zero");
        let exposed = |address: *mut u8| {
            NonZeroUsize::new(address.expose_provenance()).expect("a slot is not at page zero")
        };
        let ground =
            Ground { base: exposed(control.as_ptr().cast()), limit: exposed(slot.low().as_ptr()) };
        // Tells valgrind, when it watches, that this is a stack; nothing otherwise. The stack is
        // never taken back from it: an unmapped one is not switched to any more.
        mem::forget(ValgrindStackRegistration::new(slot.low().as_ptr(), slot.bytes()));
        let root = move |yielder: &Yielder<(), Signal>, ()| run_jobs(control, yielder);
        let block = Control {
            fiber: UnsafeCell::new(ManuallyDrop::new(Fiber::with_stack(ground, root))),
            yielder: Cell::new(ptr::null()),
            errno: self.shared().errno,
            suspended: Cell::new(false),
            uses_left: Cell::new(USES_BETWEEN_LOOKS),
            entry: Cell::new(|_| ()),
            argument: Cell::new(0),
            payload: Cell::new(None),
            shared: self.shared,
            next_idle: Cell::new(None),
            slot,
        };
        // SAFETY: the address lies at the high end of a mapped writable slot with room for a
        // Control, 64-aligned since slots end on page boundaries, and nothing lives there.
        unsafe { control.write(block) };
        Ok(control)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let shared = self.shared();
        if shared.taken.get() + shared.leaked.get() > 0 {
            // Stacks with live frames stay mapped, and `Shared` with them: coroutines that outlive
            // their pool still find it. A bounded leak at the end of a thread.
            return;
        }
        // SAFETY: made by Box::leak in `new`; no coroutine is left to point to it, and the pool
        // itself goes away with this call.
        let shared = unsafe { Box::from_raw(self.shared.as_ptr()) };
        // SAFETY: no coroutine is taken or leaked: all are idle at their roots, whose frames hold
        // nothing that needs a drop (payloads are taken out by `switch`).
        unsafe { shared.stacks.borrow_mut().unmap() };
    }
}

impl Coroutine {
    /// Runs `entry(argument)` as this coroutine's next job until it suspends or returns.
    ///
    /// A plain function and a word, so that nothing is boxed. A panic in `entry` is caught.
    ///
    /// # Panics
    /// When the previous job is still suspended in it, or when called on a coroutine.
    #[inline]
    pub fn start(&mut self, entry: fn(usize), argument: usize) -> Outcome {
        let control = self.control();
        assert!(!control.suspended.get(), "the last job of this coroutine is still suspended");
        control.entry.set(entry);
        control.argument.set(argument);
        self.switch()
    }

    /// Goes on with the suspended job until it suspends again or returns.
    ///
    /// # Panics
    /// When no job is suspended in this coroutine, or when called on a coroutine.
    #[inline]
    pub fn resume(&mut self) -> Outcome {
        assert!(self.control().suspended.get(), "no job is suspended in this coroutine");
        self.switch()
    }

    /// Whether a job is suspended in this coroutine; otherwise it is idle.
    #[inline]
    pub fn is_suspended(&self) -> bool {
        self.control().suspended.get()
    }

    /// Whether a job on this coroutine has used more than the first 16 KiB since it was last in
    /// the pool. Costs sixteen loads; may miss a job that left only zeroes in the 4 KiB it watches.
    #[inline]
    pub fn went_deep(&self) -> bool {
        self.control().slot.went_deep()
    }

    /// The deepest use of this stack in bytes, to the page, since deep pages last went back.
    ///
    /// A system call (1.5 µs): ask after one job in many, or when [`Coroutine::went_deep`].
    /// Pages of the first 16 KiB are never given back, so that below it this is the mark of all
    /// jobs that ever ran here. Zero when the kernel is too short of memory to tell.
    pub fn high_water_bytes(&self) -> usize {
        self.control().slot.used_bytes().unwrap_or(0)
    }

    /// Puts it back into its pool; see [`Pool::give_back`].
    #[inline]
    fn release(&mut self) -> Option<usize> {
        let control = self.control();
        // SAFETY: `Shared` outlives every coroutine of the pool, see `Pool::drop`.
        let shared = unsafe { control.shared.as_ref() };
        shared.taken.set(shared.taken.get() - 1);
        if control.suspended.get() {
            shared.leaked.set(shared.leaked.get() + 1);
            return None;
        }
        control.uses_left.set(control.uses_left.get() - 1);
        let mut used_bytes = None;
        if control.uses_left.get() == 0 || control.slot.went_deep() {
            used_bytes = settle(control, shared);
        }
        control.next_idle.set(shared.idle.get());
        shared.idle.set(Some(self.control));
        shared.idle_count.set(shared.idle_count.get() + 1);
        used_bytes
    }

    #[inline]
    fn control(&self) -> &Control {
        // SAFETY: the slot stays mapped while a coroutine is taken; shared references only are
        // made to the block, all its mutable parts being cells.
        unsafe { self.control.as_ref() }
    }

    #[inline]
    fn switch(&mut self) -> Outcome {
        let control = self.control();
        assert!(CURRENT.get().is_null(), "a coroutine may not run another one");
        CURRENT.set(control);
        // SAFETY: the fiber is reached here alone. `&mut self` makes this the only switch into
        // this coroutine, and code on the coroutine reaches other fields of the block only.
        let result = unsafe { (*control.fiber.get()).resume(()) };
        CURRENT.set(ptr::null());
        let CoroutineResult::Yield(signal) = result else {
            unreachable!("the root of a coroutine never returns");
        };
        control.suspended.set(matches!(signal, Signal::Suspended));
        match signal {
            Signal::Suspended => Outcome::Suspended,
            Signal::Finished => Outcome::Finished,
            Signal::Panicked => Outcome::Panicked(
                control.payload.take().expect("the root stores the payload before it signals"),
            ),
        }
    }
}

impl Drop for Coroutine {
    #[inline]
    fn drop(&mut self) {
        let _ = self.release();
    }
}

/// Notes how deep an idle stack was used, and gives its deep pages back if there are any. `None`
/// when the kernel is too short of memory to tell.
#[cold]
fn settle(control: &Control, shared: &Shared) -> Option<usize> {
    control.uses_left.set(USES_BETWEEN_LOOKS);
    let used_bytes = control.slot.used_bytes()?;
    shared.high_water_bytes.set(shared.high_water_bytes.get().max(used_bytes));
    if used_bytes > control.slot.kept_bytes() {
        // SAFETY: called between jobs, when the only frames are the root's, in the first page.
        unsafe { control.slot.release_deep() };
    }
    Some(used_bytes)
}

/// The root of every coroutine: runs the job in the control block, reports, waits for the next.
fn run_jobs(control: NonNull<Control>, yielder: &Yielder<(), Signal>) {
    // SAFETY: the block lies above this very stack and lives as long as it; cells only.
    let control = unsafe { control.as_ref() };
    control.yielder.set(yielder);
    loop {
        let (entry, argument) = (control.entry.get(), control.argument.get());
        // Nothing that the job broke is seen by anybody afterwards but through its own cells,
        // which is what catching a panic at the root of a thread rests on, too.
        let signal = match panic::catch_unwind(AssertUnwindSafe(|| entry(argument))) {
            Ok(()) => Signal::Finished,
            Err(payload) => {
                control.payload.set(Some(payload));
                Signal::Panicked
            }
        };
        yielder.suspend(signal);
    }
}

//! Stacks for coroutines: where they lie, what guards them, and how they give memory back.
//!
//! Address space is plenty and memory is not, so a stack is a large reservation of which only the
//! touched pages exist. Slots are cut from slabs of 1,024; a slab is one `mmap`, so that a million
//! stacks are a thousand system calls and, with guards that need no mapping of their own, one
//! mapping in the kernel's tree.
//!
//! ```text
//!  low                                                                            high
//!   +--------------+------------------------------------------+---------------------+
//!   | guard 16 KiB | deep part: given back after a deep job   | kept 16 KiB         |
//!   +--------------+------------------------------------------+---------------------+
//!    touched: SIGSEGV                                  probe^   ^frames    control^
//! ```
//!
//! * **Guard.** Running off the low end must kill the process, not corrupt the neighbour. Code
//!   with stack probes (Rust, and C built with `-fstack-clash-protection`) touches every page and
//!   would need one page of guard; other C code may jump over as much as one frame, so the guard is
//!   16 KiB. From Linux 6.13 it is `MADV_GUARD_INSTALL`, which costs page-table entries that exist
//!   anyway. Before, it is `mprotect`, which splits the mapping in two for each stack: the number
//!   of stacks is then bounded by a third of `vm.max_map_count` for the whole process, because
//!   running into that limit fails unrelated `mmap` calls of the program.
//! * **Growth on demand.** A guard is installed when its slot is first used. A fresh slab costs
//!   nothing but address space.
//! * **Giving back.** A page that a deep job touched stays resident under the next jobs, which do
//!   not need it. The first 16 KiB are kept: they are what ordinary jobs use, and returning them
//!   would cost a fault a job. Below lies the *probe*, sixteen words over one page that read zero
//!   until a deep job has written there. Zero, and not a magic number, because writing a number
//!   would make the page resident, 4 KiB a stack, while a read of an untouched page maps the
//!   kernel's shared zero page, which is nobody's memory and always in the cache. A job may jump
//!   over the page, or write zeroes alone; so every 1,024th use of a stack is followed by an exact
//!   look at what is resident (`mincore`).
//! * **Never returned while in use.** A suspended job owns its stack for ever: the slot of a
//!   coroutine dropped in mid-job is leaked on purpose, and its slab with it.

use std::error;
use std::fmt;
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::process;

/// Stack size when nobody says otherwise: deep enough for C++ with its iostreams.
pub const STACK_BYTES_DEFAULT: usize = 256 << 10;

/// The smallest stack: guard, kept part, and as much again below it.
pub const STACK_BYTES_MIN: usize = 64 << 10;

/// The largest stack: a slab of them is 64 GiB of the 128 TiB that a process may map.
pub const STACK_BYTES_MAX: usize = 64 << 20;

/// Slots in one slab: large enough that a million stacks need a thousand `mmap` calls.
const SLAB_SLOTS: usize = 1024;

/// The guard at the low end; the largest frame of unprobed C code that cannot jump over it.
const GUARD_BYTES: usize = 16 << 10;

/// The high end of a stack that stays resident between jobs.
const KEPT_BYTES: usize = 16 << 10;

/// The probe lies in the 4 KiB at the high end of the deep part.
const PROBE_BYTES: usize = 4096;

/// The probe's words are this far apart: farther than the zeroes of one ordinary frame reach.
const PROBE_STRIDE_BYTES: usize = 256;

/// `MADV_GUARD_INSTALL`, Linux 6.13 and later (include/uapi/asm-generic/mman-common.h).
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// `vm.max_map_count` of an untouched kernel, for when /proc cannot say.
const MAP_COUNT_MAX_DEFAULT: usize = 65_530;

const _: () = assert!(GUARD_BYTES + KEPT_BYTES + PROBE_BYTES < STACK_BYTES_MIN);
const _: () = assert!(STACK_BYTES_MIN <= STACK_BYTES_DEFAULT);

/// How the guard at the low end of a stack is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// `Madvise` where the kernel has it, else `Mprotect`.
    Auto,
    /// `MADV_GUARD_INSTALL` or nothing: where it is refused no stack is handed out.
    Madvise,
    /// `mprotect(PROT_NONE)`, with the bound on the number of stacks that comes with it.
    Mprotect,
}

/// The shape of the stacks of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackConfig {
    /// Bytes of address space a stack, guard included: a multiple of the page size between
    /// [`STACK_BYTES_MIN`] and [`STACK_BYTES_MAX`].
    pub stack_bytes: usize,
    /// How the guard is made.
    pub guard: Guard,
}

impl Default for StackConfig {
    fn default() -> StackConfig {
        StackConfig { stack_bytes: STACK_BYTES_DEFAULT, guard: Guard::Auto }
    }
}

/// Why there is no further stack. The request that wanted one is refused; the process goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// The kernel maps no further slab: address space, overcommit policy or an rlimit.
    Memory {
        /// The errno of mmap(2).
        errno: i32,
    },
    /// Guards by `mprotect` use two mappings a stack, and the process has its share of them.
    Mappings {
        /// How many such stacks this process may have.
        stacks_max: usize,
    },
    /// The kernel refuses the kind of guard that was asked for.
    Guard {
        /// The errno of madvise(2) or mprotect(2).
        errno: i32,
    },
}

impl fmt::Display for Exhausted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Exhausted::Memory { errno } => {
                let error = io::Error::from_raw_os_error(errno);
                write!(formatter, "no address space for further coroutine stacks: {error}")
            }
            Exhausted::Mappings { stacks_max } => write!(
                formatter,
                "all {stacks_max} coroutine stacks are in use that vm.max_map_count allows on \
                 kernels before 6.13; raise vm.max_map_count"
            ),
            Exhausted::Guard { errno } => {
                let error = io::Error::from_raw_os_error(errno);
                write!(formatter, "the kernel refuses a guard for a coroutine stack: {error}")
            }
        }
    }
}

impl error::Error for Exhausted {}

/// One stack: the address range of a slot whose guard is in place.
///
/// Exists only for slots of a [`Stacks`] that has not been unmapped; the coroutine code keeps that
/// promise by unmapping only when no coroutine is alive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    low: NonNull<u8>,
    bytes: usize,
}

impl Slot {
    /// The lowest address: the start of the guard.
    pub(crate) fn low(&self) -> NonNull<u8> {
        self.low
    }

    /// One past the highest address.
    pub(crate) fn high(&self) -> *mut u8 {
        self.low.as_ptr().wrapping_add(self.bytes)
    }

    /// The size of the slot, guard included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The addresses of the guard.
    pub(crate) fn guard(&self) -> Range<usize> {
        let low = self.low.as_ptr().addr();
        low..low + guard_bytes()
    }

    /// Bytes at the high end that stay resident between jobs.
    pub(crate) fn kept_bytes(&self) -> usize {
        kept_bytes()
    }

    /// Whether a job has written to the probe, below the kept part. Costs sixteen loads.
    #[inline]
    pub(crate) fn went_deep(&self) -> bool {
        let probe = self.high().wrapping_sub(kept_bytes() + PROBE_BYTES);
        // SAFETY: the probe lies inside the slot above its guard (stack_bytes is at least the sum
        // of the three, asserted in `Stacks::new`), is mapped readable, and each word is aligned
        // because slots are page-aligned. No frame lives there: the caller looks between jobs.
        // Volatile, because the last writer was a frame that the compiler knows nothing of here.
        let word =
            |index| unsafe { probe.add(index * PROBE_STRIDE_BYTES).cast::<u64>().read_volatile() };
        (0..PROBE_BYTES / PROBE_STRIDE_BYTES).fold(0, |bits, index| bits | word(index)) != 0
    }

    /// Bytes from the high end to the deepest page that is resident. Exact; a system call for each
    /// MiB of stack. None when the kernel is too short of memory to tell.
    #[cold]
    pub(crate) fn used_bytes(&self) -> Option<usize> {
        let page = page_bytes();
        let floor = self.guard().end;
        let high = self.high().addr();
        let probe_page = high - kept_bytes() - page;
        let mut resident = [0u8; 256];
        let mut start = floor;
        while start < high {
            let bytes = (high - start).min(resident.len() * page);
            // SAFETY: the range lies inside the slot, which is mapped, and starts on a page;
            // `resident` has room for one byte a page of it.
            let result = unsafe {
                libc::mincore(ptr::with_exposed_provenance_mut(start), bytes, resident.as_mut_ptr())
            };
            if result != 0 {
                return None;
            }
            for (index, &state) in resident[..bytes / page].iter().enumerate() {
                let address = start + index * page;
                let touched = state & 1 != 0 && (address != probe_page || !self.probe_is_blank());
                if touched {
                    return Some(high - address);
                }
            }
            start += bytes;
        }
        Some(0)
    }

    /// Whether the page of the probe holds zeroes alone, as it does when only the probe was read.
    fn probe_is_blank(&self) -> bool {
        let page = self.high().wrapping_sub(kept_bytes() + page_bytes()).cast::<u64>();
        let words = page_bytes() / size_of::<u64>();
        // SAFETY: this page is the highest of the deep part: in the slot, above the guard, mapped
        // readable, aligned. No frame lives there, as in `went_deep`.
        (0..words).all(|index| unsafe { page.add(index).read_volatile() } == 0)
    }

    /// Gives the pages of the deep part back to the kernel; they read zero afterwards.
    ///
    /// # Safety
    /// No live frame lies in the deep part: the coroutine is between jobs.
    #[cold]
    pub(crate) unsafe fn release_deep(&self) {
        let floor = self.guard().end;
        let bytes = self.high().addr() - kept_bytes() - floor;
        // SAFETY: the range lies in the slot between guard and kept part, and by the contract of
        // this function nothing there is still needed. The guard lies outside of it.
        let result = unsafe {
            libc::madvise(ptr::with_exposed_provenance_mut(floor), bytes, libc::MADV_DONTNEED)
        };
        // Locked memory is refused (EINVAL); then the pages simply stay.
        debug_assert!(result == 0 || errno() == libc::EINVAL);
    }
}

/// The slabs of one pool, and the next slot that nobody has used yet.
pub(crate) struct Stacks {
    /// Start addresses of the slabs, each `SLAB_SLOTS * stack_bytes` long, all still mapped.
    slabs: Vec<NonNull<u8>>,
    /// Slots of the last slab that have been handed out, at most `SLAB_SLOTS`.
    last_slab_used: usize,
    stack_bytes: usize,
    /// What was asked for, or what `Auto` turned out to mean.
    guard: Guard,
    /// Stacks of this pool that are counted in `MPROTECTED_STACKS`.
    mprotected: usize,
}

/// Stacks in this process whose guard costs mappings; shared by all pools, because the limit is.
static MPROTECTED_STACKS: AtomicUsize = AtomicUsize::new(0);

impl Stacks {
    /// No slab yet.
    ///
    /// # Panics
    /// When the configuration breaks the bounds stated at [`StackConfig::stack_bytes`].
    pub(crate) fn new(config: StackConfig) -> Stacks {
        let StackConfig { stack_bytes, guard } = config;
        assert!(
            (STACK_BYTES_MIN..=STACK_BYTES_MAX).contains(&stack_bytes)
                && stack_bytes.is_multiple_of(page_bytes())
                && stack_bytes >= guard_bytes() + kept_bytes() + page_bytes(),
            "a coroutine stack is {STACK_BYTES_MIN} to {STACK_BYTES_MAX} bytes in whole pages, \
             not {stack_bytes}"
        );
        Stacks { slabs: Vec::new(), last_slab_used: 0, stack_bytes, guard, mprotected: 0 }
    }

    /// Hands out a slot that has never been used, with its guard in place.
    ///
    /// Slots are never taken back here: the pool keeps the used ones in its own list.
    #[cold]
    pub(crate) fn fresh(&mut self) -> Result<Slot, Exhausted> {
        if self.slabs.is_empty() || self.last_slab_used == SLAB_SLOTS {
            let slab = map_slab(SLAB_SLOTS * self.stack_bytes)?;
            self.slabs.push(slab);
            self.last_slab_used = 0;
        }
        let slab = *self.slabs.last().expect("one was pushed above if there was none");
        // SAFETY: the slab is SLAB_SLOTS * stack_bytes long and last_slab_used is below SLAB_SLOTS.
        let low = unsafe { slab.add(self.last_slab_used * self.stack_bytes) };
        self.install_guard(low)?;
        self.last_slab_used += 1;
        Ok(Slot { low, bytes: self.stack_bytes })
    }

    /// How many slots have ever been handed out.
    pub(crate) fn slots_count(&self) -> usize {
        self.slabs.len().saturating_sub(1) * SLAB_SLOTS + self.last_slab_used
    }

    /// How the guards are made: never `Auto` once a slot has been handed out.
    pub(crate) fn guard(&self) -> Guard {
        self.guard
    }

    fn install_guard(&mut self, low: NonNull<u8>) -> Result<(), Exhausted> {
        if self.guard != Guard::Mprotect {
            // SAFETY: the range is the low end of a slot that nobody uses yet.
            let result =
                unsafe { libc::madvise(low.as_ptr().cast(), guard_bytes(), MADV_GUARD_INSTALL) };
            if result == 0 {
                self.guard = Guard::Madvise;
                return Ok(());
            }
            let errno = errno();
            // Short of memory is no reason to change the way for good; EINVAL is: an old kernel,
            // or memory locked by mlockall(2).
            let passing = matches!(errno, libc::ENOMEM | libc::EAGAIN);
            if self.guard == Guard::Madvise || passing {
                return Err(Exhausted::Guard { errno });
            }
            self.guard = Guard::Mprotect;
        }
        lease_mprotected_stack()?;
        // SAFETY: as above; the range is whole pages of a slot that nobody uses yet.
        let result = unsafe { libc::mprotect(low.as_ptr().cast(), guard_bytes(), libc::PROT_NONE) };
        if result != 0 {
            let errno = errno();
            MPROTECTED_STACKS.fetch_sub(1, Ordering::Relaxed);
            return Err(Exhausted::Guard { errno });
        }
        self.mprotected += 1;
        Ok(())
    }

    /// Unmaps every slab.
    ///
    /// # Safety
    /// Nothing in any slot is used afterwards: no coroutine is alive, suspended or leaked.
    pub(crate) unsafe fn unmap(&mut self) {
        for slab in self.slabs.drain(..) {
            // May be refused at the limit of mappings, because the kernel has merged this slab
            // with a neighbour and would have to split them; then the address space stays taken.
            // SAFETY: the range is exactly what `map_slab` mapped, unused by contract.
            unsafe { libc::munmap(slab.as_ptr().cast(), SLAB_SLOTS * self.stack_bytes) };
        }
        MPROTECTED_STACKS.fetch_sub(self.mprotected, Ordering::Relaxed);
        self.mprotected = 0;
        self.last_slab_used = 0;
    }
}

/// Reserves the address space of one slab.
fn map_slab(bytes: usize) -> Result<NonNull<u8>, Exhausted> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing of ours.
    let address = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return Err(Exhausted::Memory { errno: errno() });
    }
    // A huge page would make 2 MiB resident for the first frame. Refused (EINVAL) by kernels
    // without huge pages, which is as good.
    // SAFETY: the range is the mapping just made, and the advice does not change its contents.
    unsafe { libc::madvise(address, bytes, libc::MADV_NOHUGEPAGE) };
    // The slots are used through integers as well (corosensei speaks in addresses).
    address.expose_provenance();
    Ok(NonNull::new(address.cast()).expect("mmap without MAP_FIXED never maps page zero"))
}

/// Counts one more stack with a guard that costs mappings, or says that there are enough.
fn lease_mprotected_stack() -> Result<(), Exhausted> {
    static STACKS_MAX: OnceLock<usize> = OnceLock::new();
    let stacks_max = *STACKS_MAX.get_or_init(|| {
        let map_count_max = process::map_count_max().unwrap_or(MAP_COUNT_MAX_DEFAULT);
        mprotected_stacks_max(map_count_max, process::map_count().unwrap_or(0))
    });
    let below_max = |count| if count < stacks_max { Some(count + 1) } else { None };
    match MPROTECTED_STACKS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below_max) {
        Ok(_) => Ok(()),
        Err(_) => Err(Exhausted::Mappings { stacks_max }),
    }
}

/// A third of the process's mappings as stacks, two mappings each, less what is in use already.
fn mprotected_stacks_max(map_count_max: usize, map_count: usize) -> usize {
    (map_count_max / 3).saturating_sub(map_count)
}

/// The guard in whole pages.
fn guard_bytes() -> usize {
    GUARD_BYTES.next_multiple_of(page_bytes())
}

/// The kept part in whole pages.
#[inline]
fn kept_bytes() -> usize {
    KEPT_BYTES.next_multiple_of(page_bytes())
}

/// The page size: a constant on x86-64, asked for once elsewhere.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn page_bytes() -> usize {
    4096
}

/// The page size: a constant on x86-64, asked for once elsewhere.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn page_bytes() -> usize {
    static PAGE_BYTES: OnceLock<usize> = OnceLock::new();
    // SAFETY: sysconf(3) reads a constant of the system.
    *PAGE_BYTES.get_or_init(|| unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize)
}

/// The errno of the system call that has just failed on this thread.
fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().expect("last_os_error is always an errno")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_by_mprotect_leave_most_mappings_to_the_program() {
        assert_eq!(mprotected_stacks_max(65_530, 43), 21_800);
        assert_eq!(mprotected_stacks_max(300, 100), 0);
        assert_eq!(mprotected_stacks_max(300, 200), 0);
    }

    #[test]
    fn slots_come_in_order_and_a_new_slab_follows_a_full_one() {
        let mut stacks = Stacks::new(StackConfig { stack_bytes: 64 << 10, guard: Guard::Auto });
        let slots: Vec<Slot> =
            (0..SLAB_SLOTS + 1).map(|_| stacks.fresh().expect("address space is free")).collect();
        assert_eq!(stacks.slots_count(), SLAB_SLOTS + 1);
        assert_eq!(stacks.slabs.len(), 2);
        for pair in slots[..SLAB_SLOTS].windows(2) {
            assert_eq!(pair[0].high(), pair[1].low().as_ptr());
        }
        // SAFETY: no coroutine runs on these slots.
        unsafe { stacks.unmap() };
        assert_eq!(stacks.slots_count(), 0);
    }

    #[test]
    fn use_is_measured_to_the_page_and_deep_pages_go_back() {
        for guard in [Guard::Auto, Guard::Mprotect] {
            let mut stacks = Stacks::new(StackConfig { stack_bytes: 256 << 10, guard });
            let slot = stacks.fresh().expect("address space is free");
            assert_eq!((slot.used_bytes(), slot.went_deep()), (Some(0), false));
            // The probe has been read now, and still counts for nothing. A byte next to it does.
            assert_eq!(slot.used_bytes(), Some(0));
            let page = page_bytes();
            let touch = |depth: usize| {
                // SAFETY: the depths used below lie inside the slot and above its guard.
                unsafe { slot.high().sub(depth).write_volatile(7) };
            };
            touch(KEPT_BYTES);
            assert_eq!((slot.used_bytes(), slot.went_deep()), (Some(KEPT_BYTES), false));
            touch(KEPT_BYTES + PROBE_STRIDE_BYTES);
            assert_eq!((slot.used_bytes(), slot.went_deep()), (Some(KEPT_BYTES + page), true));
            touch((256 << 10) - GUARD_BYTES);
            assert_eq!(slot.used_bytes(), Some((256 << 10) - GUARD_BYTES));
            // SAFETY: no coroutine runs on this slot.
            unsafe { slot.release_deep() };
            assert_eq!((slot.used_bytes(), slot.went_deep()), (Some(KEPT_BYTES), false));
            // SAFETY: as above.
            unsafe { stacks.unmap() };
        }
    }

    #[test]
    fn a_size_out_of_bounds_is_refused_loudly() {
        for stack_bytes in [0, STACK_BYTES_MIN - 4096, STACK_BYTES_MAX + 4096, (64 << 10) + 100] {
            let config = StackConfig { stack_bytes, guard: Guard::Auto };
            let refused = std::panic::catch_unwind(|| Stacks::new(config).slots_count());
            assert!(refused.is_err(), "{stack_bytes}");
        }
    }
}

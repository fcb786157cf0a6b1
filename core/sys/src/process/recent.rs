//! The requests that a process took last, kept where another process can read them when it is gone.
//!
//! ```text
//!   worker: each core ──► its ring of entries ─┐
//!                                              ├── one memory file, mapped by both
//!   supervisor: after a crash, all of them  ◄──┘
//! ```
//!
//! An entry is written by its core alone, without a system call, and read only when the writer has
//! died: there is no protocol between them but an entry's number, which is written last. A process
//! that was not given such a memory pays one look at a thread-local.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Cores whose requests are kept apart; with more of them, some share.
const CORES_MAX: usize = 16;
/// Requests of a core.
const ENTRIES_MAX: usize = 32;
/// Method and caller together, cut after that.
const TEXT_BYTES_MAX: usize = 216;

/// A request, in the memory that both processes see.
#[repr(C)]
struct Entry {
    /// Counts the requests of a core from 1; 0: none yet. Written last.
    number: AtomicU64,
    time_ns: u64,
    flow_id: u64,
    body_bytes: u32,
    method_bytes: u16,
    caller_bytes: u16,
    text: [u8; TEXT_BYTES_MAX],
}

/// The entries of a core.
#[repr(C)]
struct Area {
    entries: [Entry; ENTRIES_MAX],
}

const BYTES: usize = size_of::<Area>() * CORES_MAX;

/// Where this process's cores keep their requests; null: nowhere.
static AREAS: AtomicPtr<Area> = AtomicPtr::new(ptr::null_mut());

/// Where the calling thread writes.
#[derive(Clone, Copy)]
struct Place {
    area: NonNull<Area>,
    count: u64,
}

thread_local! {
    static PLACE: Cell<Option<Place>> = const { Cell::new(None) };
}

/// A request that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// When it was taken, by the clock of [`crate::clock::now_ns`], which all processes share.
    pub time_ns: u64,
    /// The id of the request through all services.
    pub flow_id: u64,
    /// Length of its body.
    pub body_bytes: u32,
    /// The method asked for.
    pub method: String,
    /// Who says to have asked.
    pub caller: String,
}

/// The memory, as the process that reads it has it.
pub struct RecentMemory {
    file: OwnedFd,
}

impl RecentMemory {
    /// Makes an empty one.
    pub fn new() -> io::Result<RecentMemory> {
        // SAFETY: a string and flags; returns a new descriptor or an error.
        let fd = unsafe { libc::memfd_create(c"msec-recent".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor for us, and nobody else knows it.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        File::from(file.try_clone()?).set_len(BYTES as u64)?;
        Ok(RecentMemory { file })
    }

    /// To be handed to the process that writes.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// What was written, the newest last. For a writer that has ended; of one that still runs the
    /// newest may be garbled.
    pub fn read(&self) -> io::Result<Vec<Recent>> {
        let memory = map(&self.file)?;
        let mut found = Vec::new();
        for core in 0..CORES_MAX {
            // SAFETY: the mapping has `CORES_MAX` areas, of which any bytes are one.
            let area = unsafe { &*memory.as_ptr().add(core) };
            found.extend(area.entries.iter().filter_map(Entry::read));
        }
        // SAFETY: the whole mapping of above, of which no reference is left.
        unsafe { libc::munmap(memory.as_ptr().cast(), BYTES) };
        found.sort_by_key(|(number, recent)| (recent.time_ns, *number));
        Ok(found.into_iter().map(|(_, recent)| recent).collect())
    }
}

impl Entry {
    fn read(&self) -> Option<(u64, Recent)> {
        let number = self.number.load(Ordering::Acquire);
        let (method, caller) = (usize::from(self.method_bytes), usize::from(self.caller_bytes));
        let text = self.text.get(..method + caller).filter(|_| number > 0)?;
        let (method, caller) = text.split_at_checked(method)?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let recent = Recent {
            time_ns: self.time_ns,
            flow_id: self.flow_id,
            body_bytes: self.body_bytes,
            method: text(method),
            caller: text(caller),
        };
        Some((number, recent))
    }
}

/// From now on the requests of this process are kept in `file`, once each core has said which it
/// is. Once a process, before cores are started.
pub fn keep_recent(file: &OwnedFd) -> io::Result<()> {
    // Mapped as long as the process lives.
    AREAS.store(map(file)?.as_ptr(), Ordering::Release);
    Ok(())
}

/// The calling thread is the core of that index: where it keeps its requests.
pub fn keep_recent_of_core(index: usize) {
    let areas = AREAS.load(Ordering::Acquire);
    // SAFETY: the mapping has that many areas, and stays.
    let area = NonNull::new(areas).map(|areas| unsafe { areas.add(index % CORES_MAX) });
    PLACE.set(area.map(|area| Place { area, count: 0 }));
}

/// Notes a request that this thread takes, if requests are kept.
#[inline]
pub fn note_request(note: impl FnOnce() -> (u64, u64, usize), method: &[u8], caller: &[u8]) {
    if let Some(place) = PLACE.get() {
        write(place, note(), method, caller);
    }
}

fn write(
    place: Place,
    (time_ns, flow_id, body_bytes): (u64, u64, usize),
    method: &[u8],
    caller: &[u8],
) {
    let count = place.count + 1;
    PLACE.set(Some(Place { count, ..place }));
    let entry = place.count as usize % ENTRIES_MAX;
    let method = &method[..method.len().min(TEXT_BYTES_MAX)];
    let caller = &caller[..caller.len().min(TEXT_BYTES_MAX - method.len())];
    // SAFETY: inside of the area, which stays mapped. Cores that share one may garble an entry,
    // all of whose bytes are numbers.
    unsafe {
        let entry = &raw mut (*place.area.as_ptr()).entries[entry];
        (*entry).number.store(0, Ordering::Relaxed);
        (&raw mut (*entry).time_ns).write(time_ns);
        (&raw mut (*entry).flow_id).write(flow_id);
        (&raw mut (*entry).body_bytes).write(body_bytes as u32);
        (&raw mut (*entry).method_bytes).write(method.len() as u16);
        (&raw mut (*entry).caller_bytes).write(caller.len() as u16);
        let text = (&raw mut (*entry).text).cast::<u8>();
        text.copy_from_nonoverlapping(method.as_ptr(), method.len());
        text.add(method.len()).copy_from_nonoverlapping(caller.as_ptr(), caller.len());
        (*entry).number.store(count, Ordering::Release);
    }
}

fn map(file: &OwnedFd) -> io::Result<NonNull<Area>> {
    if File::from(file.try_clone()?).metadata()?.len() < BYTES as u64 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the memory is too small"));
    }
    let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
    // SAFETY: a new mapping at an address of the kernel's choice.
    let memory = unsafe { libc::mmap(ptr::null_mut(), BYTES, protection, libc::MAP_SHARED, fd, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(NonNull::new(memory.cast()).expect("mmap without MAP_FIXED never maps page zero"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_requests_are_read_back_cut_where_they_are_too_long() {
        let memory = RecentMemory::new().expect("memory files are allowed");
        assert_eq!(memory.read().expect("it is mapped"), []);
        // On a thread of its own: what a core is stays.
        std::thread::scope(|scope| {
            let write = || {
                note_request(|| unreachable!("nothing is kept yet"), b"m", b"c");
                keep_recent(&memory.file).expect("it is large enough");
                keep_recent_of_core(3);
                for number in 0..ENTRIES_MAX as u64 + 5 {
                    note_request(|| (1000 + number, number, 7), b"a.B.C", b"Demo.shop");
                }
                note_request(|| (9999, 1, 2), &[b'm'; 300], b"x");
                AREAS.store(ptr::null_mut(), Ordering::Release);
            };
            scope.spawn(write).join().expect("it does not panic");
        });
        let recent = memory.read().expect("it is mapped");
        assert_eq!(recent.len(), ENTRIES_MAX);
        let expect = Recent {
            time_ns: 1006,
            flow_id: 6,
            body_bytes: 7,
            method: "a.B.C".into(),
            caller: "Demo.shop".into(),
        };
        assert_eq!(recent[0], expect);
        let last = &recent[ENTRIES_MAX - 1];
        assert_eq!((last.method.len(), last.caller.as_str()), (TEXT_BYTES_MAX, ""));
    }
}

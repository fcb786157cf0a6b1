//! The writer: the one thread that writes the log of the process.
//!
//! It sleeps until somebody logs; whoever does so first after that wakes it, the others only put
//! their records into queues. Once awake it takes what there is, in the order of time, writes it
//! with one call, and rests a little before it looks again, so that a busy log costs a wake-up and
//! a write a hundred times a second, and not for each record.
//!
//! There is one writer a process, as there is one standard error. It is started by the first engine
//! and ends with the last, which waits until what is queued is written. Without an engine a record
//! goes to standard error at once: no thread is started for it, and no core can be held up.

use std::cell::OnceCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, Weak, mpsc};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use msec_protocol::limits::{LOG_BYTES_WAITING_MAX, LOG_RECORDS_WAITING_MAX};
use msec_protocol::log::{About, Draft, Level, Record};
use msec_sys::{clock, stderr};

use super::files::{Files, Place};
use crate::error::{Error, Result};

/// How long the writer rests between two looks at the queues.
const REST: Duration = Duration::from_millis(10);
/// How long it sleeps when nobody wakes it.
const LOOK_REST: Duration = Duration::from_secs(1);
/// Bytes that are written with one call, about.
const BATCH_BYTES: usize = 256 * 1024;
/// How often a loss is told in the log itself.
const TELL_NS: u64 = 1_000_000_000;
/// How long the end of the last engine waits for the log.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// A record, and when it was made. By the monotonic clock: the time of day, which the record says,
/// may jump, and would then turn the order around.
struct Waiting {
    made_ns: u64,
    record: Vec<u8>,
}

/// Records of one core, or of all threads that are none, on their way to the writer.
struct Queue {
    records: ArrayQueue<Waiting>,
    bytes: AtomicUsize,
}

impl Queue {
    fn new() -> Queue {
        Queue { records: ArrayQueue::new(LOG_RECORDS_WAITING_MAX), bytes: AtomicUsize::new(0) }
    }

    /// False if there is no room.
    fn push(&self, waiting: Waiting) -> bool {
        let bytes = waiting.record.len();
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > LOG_BYTES_WAITING_MAX
            || self.records.push(waiting).is_err()
        {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        true
    }

    fn pop(&self) -> Option<Waiting> {
        let waiting = self.records.pop()?;
        self.bytes.fetch_sub(waiting.record.len(), Ordering::Relaxed);
        Some(waiting)
    }
}

/// What became of records, in numbers.
#[derive(Default)]
pub(crate) struct Tally {
    /// Written.
    pub(crate) written: AtomicU64,
    /// Lost because a queue was full.
    pub(crate) queue: AtomicU64,
    /// Lost because a file could not be written.
    pub(crate) disk: AtomicU64,
    /// Lost because nobody reads standard error.
    pub(crate) stderr: AtomicU64,
}

/// Of this process.
pub(crate) static TALLY: Tally = Tally {
    written: AtomicU64::new(0),
    queue: AtomicU64::new(0),
    disk: AtomicU64::new(0),
    stderr: AtomicU64::new(0),
};

impl Tally {
    /// What was lost, by the reason.
    pub(crate) fn lost(&self) -> [(&'static str, u64); 3] {
        [("queue", &self.queue), ("disk", &self.disk), ("stderr", &self.stderr)]
            .map(|(reason, count)| (reason, count.load(Ordering::Relaxed)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// All queues of this process, those of ended threads until they are empty. Locked to add one, and
/// by the writer to look through them.
static QUEUES: Mutex<Vec<Arc<Queue>>> = Mutex::new(Vec::new());
/// Of threads that are no core's.
static OTHERS: LazyLock<Arc<Queue>> = LazyLock::new(added);
/// Where to write; `None`: standard error. Locked to change it, and for each batch.
static FILES: Mutex<Option<Files>> = Mutex::new(None);
/// There is a place for files.
static HAS_FILES: AtomicBool = AtomicBool::new(false);
/// There is a writer.
static RUNS: AtomicBool = AtomicBool::new(false);
/// The writer sleeps, or is about to.
static SLEEPS: AtomicBool = AtomicBool::new(false);
/// Whom to wake.
static THREAD: Mutex<Option<Thread>> = Mutex::new(None);
/// How many flushes were asked for, and how many were done.
static FLUSHES: Mutex<(u64, u64)> = Mutex::new((0, 0));
static FLUSHED: Condvar = Condvar::new();
/// The writer, while an engine keeps it.
static WRITER: Mutex<Weak<Writer>> = Mutex::new(Weak::new());

thread_local! {
    /// The queue of this thread, if it is a core's.
    static MINE: OnceCell<Arc<Queue>> = const { OnceCell::new() };
}

fn added() -> Arc<Queue> {
    let queue = Arc::new(Queue::new());
    let mut queues = lock(&QUEUES);
    queues.retain(|known| Arc::strong_count(known) > 1 || !known.records.is_empty());
    queues.push(queue.clone());
    queue
}

/// Gives this thread a queue of its own: it is a core's.
pub(crate) fn own_queue() {
    MINE.with(|mine| {
        mine.get_or_init(added);
    });
}

/// Hands a record to the writer, or counts it as lost.
pub(crate) fn submit(record: Vec<u8>) {
    if !RUNS.load(Ordering::Acquire) {
        return write_now(&record);
    }
    // At the end of a thread its own queue may be gone.
    let mine = MINE.try_with(|mine| mine.get().cloned()).ok().flatten();
    let waiting = Waiting { made_ns: clock::now_ns(), record };
    if !mine.as_ref().unwrap_or(&OTHERS).push(waiting) {
        TALLY.queue.fetch_add(1, Ordering::Relaxed);
    }
    wake();
}

/// Whoever logs without an engine.
fn write_now(record: &[u8]) {
    let mut line = String::new();
    // We have just made it.
    if let Ok(record) = Record::decode(record) {
        record.render(&mut line);
    }
    count_stderr(stderr::write_line(line.as_bytes()));
}

fn count_stderr(is_written: bool) {
    let count = if is_written { &TALLY.written } else { &TALLY.stderr };
    count.fetch_add(1, Ordering::Relaxed);
}

/// Puts a line of the engine's own into the files, if there are any.
pub(super) fn own(level: Level, kind: &'static str, text: fmt::Arguments<'_>) {
    if HAS_FILES.load(Ordering::Relaxed) {
        submit(own_record(level, kind, text));
    }
}

fn own_record(level: Level, kind: &'static str, text: fmt::Arguments<'_>) -> Vec<u8> {
    let about = About { wall_ns: clock::wall_ns(), source: "msec", ..About::default() };
    let mut draft = Draft::new(level, &about, text);
    draft.field("kind", format_args!("{kind}"));
    draft.finish()
}

fn wake() {
    if SLEEPS.load(Ordering::SeqCst)
        && SLEEPS.swap(false, Ordering::SeqCst)
        && let Some(thread) = &*lock(&THREAD)
    {
        thread.unpark();
    }
}

/// Waits until what was submitted before is written or lost; false if that takes too long.
pub(crate) fn flush(patience: Duration) -> bool {
    if !RUNS.load(Ordering::Acquire) {
        return true;
    }
    let mut flushes = lock(&FLUSHES);
    flushes.0 += 1;
    let mine = flushes.0;
    drop(flushes);
    wake();
    let flushes = lock(&FLUSHES);
    let waited = FLUSHED.wait_timeout_while(flushes, patience, |flushes| flushes.1 < mine);
    let (flushes, _) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
    flushes.1 >= mine
}

/// The running writer. The last to let go of it ends it.
pub(crate) struct Writer {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Closed when the thread is about to end.
    ended: Mutex<mpsc::Receiver<()>>,
}

/// The writer of the process, started if there is none. With a place, files are kept there from
/// now on; without, nothing changes.
pub(crate) fn start(place: Option<Place>) -> Result<Arc<Writer>> {
    if let Some(place) = place {
        let mut files = lock(&FILES);
        match &mut *files {
            Some(files) if *files.place() == place => files.look_again(),
            Some(_) | None => *files = Some(Files::new(place)),
        }
        HAS_FILES.store(true, Ordering::Relaxed);
    }
    let mut current = lock(&WRITER);
    if let Some(writer) = current.upgrade() {
        return Ok(writer);
    }
    let writer = Arc::new(spawn()?);
    *current = Arc::downgrade(&writer);
    Ok(writer)
}

fn spawn() -> Result<Writer> {
    let ends = Arc::new(AtomicBool::new(false));
    let (alive, ended) = mpsc::channel();
    let theirs = ends.clone();
    let thread = std::thread::Builder::new()
        .name("msec-log".into())
        .spawn(move || {
            run(&theirs);
            drop(alive);
        })
        .map_err(|error| Error::from_io("start the writer of the log", &error))?;
    *lock(&THREAD) = Some(thread.thread().clone());
    RUNS.store(true, Ordering::Release);
    Ok(Writer { ends, thread: Some(thread), ended: Mutex::new(ended) })
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Another one may have been started since nobody holds this one.
        let current = lock(&WRITER);
        if current.strong_count() == 0 {
            RUNS.store(false, Ordering::Release);
        }
        drop(current);
        self.ends.store(true, Ordering::SeqCst);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        // On a disk that hangs the program must end all the same.
        let waited = lock(&self.ended).recv_timeout(END_PATIENCE);
        if waited == Err(mpsc::RecvTimeoutError::Disconnected) {
            // It does not panic.
            let _ = thread.join();
        }
    }
}

/// The writer's thread.
fn run(ends: &AtomicBool) {
    let mut pen = Pen::default();
    loop {
        let ending = ends.load(Ordering::SeqCst);
        let wanted = lock(&FLUSHES).0;
        let mut is_idle = true;
        while pen.write_batch() {
            is_idle = false;
        }
        let mut flushes = lock(&FLUSHES);
        flushes.1 = flushes.1.max(wanted);
        drop(flushes);
        FLUSHED.notify_all();
        if ending {
            return;
        }
        if !is_idle {
            std::thread::park_timeout(REST);
            continue;
        }
        // In this order: who comes after the look finds us asleep, and wakes us.
        SLEEPS.store(true, Ordering::SeqCst);
        let has_work = pen.has_records() || lock(&FLUSHES).0 > wanted;
        if !has_work && !ends.load(Ordering::SeqCst) {
            std::thread::park_timeout(LOOK_REST);
        }
        SLEEPS.store(false, Ordering::SeqCst);
    }
}

/// What the writer remembers.
#[derive(Default)]
struct Pen {
    /// Losses that were told.
    told_lost: [(&'static str, u64); 3],
    told_ns: u64,
    lines: String,
}

impl Pen {
    fn queues(&self) -> Vec<Arc<Queue>> {
        lock(&QUEUES).clone()
    }

    fn has_records(&self) -> bool {
        self.queues().iter().any(|queue| !queue.records.is_empty())
    }

    /// Writes some of what is queued; false if there is nothing.
    fn write_batch(&mut self) -> bool {
        let queues = self.queues();
        let room = BATCH_BYTES / queues.len().max(1);
        let mut batch = Vec::new();
        for queue in queues {
            let mut bytes = 0;
            while bytes < room
                && let Some(waiting) = queue.pop()
            {
                bytes += waiting.record.len();
                batch.push(waiting);
            }
        }
        if batch.is_empty() {
            return false;
        }
        batch.sort_by_key(|waiting| waiting.made_ns);
        // Each was made by a `Draft`.
        let records: Vec<_> =
            batch.iter().filter_map(|waiting| Record::decode(&waiting.record).ok()).collect();
        let now_ns = clock::now_ns();
        let mut files = lock(&FILES);
        match &mut *files {
            Some(files) => self.write_to(files, &records, now_ns),
            None => {
                drop(files);
                for record in records {
                    self.lines.clear();
                    record.render(&mut self.lines);
                    count_stderr(stderr::write_line(self.lines.as_bytes()));
                }
            }
        }
        true
    }

    fn write_to(&mut self, files: &mut Files, records: &[Record<'_>], now_ns: u64) {
        self.lines.clear();
        records.iter().for_each(|record| record.render(&mut self.lines));
        let lost = TALLY.lost();
        let tells = lost != self.told_lost && now_ns >= self.told_ns + TELL_NS;
        if tells {
            tell_lost(&lost, &mut self.lines);
        }
        let count = records.len() as u64;
        match files.write(&self.lines, now_ns) {
            Ok(()) => {
                TALLY.written.fetch_add(count, Ordering::Relaxed);
                if tells {
                    (self.told_lost, self.told_ns) = (lost, now_ns);
                }
            }
            Err(error) => {
                TALLY.disk.fetch_add(count, Ordering::Relaxed);
                let folder = files.place().folder.display();
                super::own::to_stderr(
                    Level::Warn,
                    "log",
                    format_args!("records are lost: cannot write to {folder}: {error}"),
                );
            }
        }
    }
}

/// Says in the log what it lacks.
fn tell_lost(lost: &[(&'static str, u64)], lines: &mut String) {
    let about = About { wall_ns: clock::wall_ns(), source: "msec", ..About::default() };
    let text = format_args!("records of this log were lost since the process began");
    let mut draft = Draft::new(Level::Warn, &about, text);
    for (reason, count) in lost {
        draft.field(reason, format_args!("{count}"));
    }
    let record = draft.finish();
    if let Ok(record) = Record::decode(&record) {
        record.render(lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_bounded_in_number_and_in_bytes() {
        let queue = Queue::new();
        let push = |bytes| queue.push(Waiting { made_ns: 0, record: vec![0; bytes] });
        for _ in 0..LOG_RECORDS_WAITING_MAX {
            assert!(push(10));
        }
        assert!(!push(10), "too many");
        while queue.pop().is_some() {}
        assert_eq!(queue.bytes.load(Ordering::Relaxed), 0);
        let large = LOG_BYTES_WAITING_MAX / 4;
        for _ in 0..4 {
            assert!(push(large));
        }
        assert!(!push(1), "too much");
        assert_eq!(queue.pop().map(|waiting| waiting.record.len()), Some(large));
        assert!(push(1), "there is room again");
    }
}

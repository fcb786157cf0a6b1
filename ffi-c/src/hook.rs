//! What libmsec does for libmsec_hook, if that is in the process: it has coroutines park for calls
//! of the C library.
//!
//! The two share a table of functions ([`table`]), whose layout is in the hook's folder and
//! compiled into both. The hook stands before the C library and knows nothing of the engine; this
//! knows nothing of calls. Everything here is called by code of handlers, on whatever thread.

use std::ffi::c_void;
use std::mem::{self, size_of};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use event_listener::{Event, EventListener};
use msec::log::{self, Level};
use msec::sync::{Awaiting, Current, Readiness, Wait, awaiting, until_readable, until_writable};
use msec::{Code, Error, Result, clock};

use crate::guard;

#[path = "../../hook/src/table.rs"]
mod table;

use table::{BELLS_COUNT, Job, Request, Table, Text};

static TABLE: Table = Table {
    version: table::VERSION,
    size: size_of::<Table>() as u32,
    coroutine,
    now_ns,
    wait,
    sleep,
    ring,
    offload,
    method,
    warn,
};

/// Who waits with which bell.
static BELLS: [Event; BELLS_COUNT] = [const { Event::new() }; BELLS_COUNT];

/// Hands the table to the hook, if it is there; again has no effect.
pub(crate) fn attach() {
    // SAFETY: looks for a name among what is loaded.
    let attach = unsafe { libc::dlsym(libc::RTLD_DEFAULT, table::ATTACH.as_ptr()) };
    if attach.is_null() {
        return;
    }
    // SAFETY: the hook alone has this name, for a function of this form.
    let attach = unsafe { mem::transmute::<*mut c_void, table::Attach>(attach) };
    // SAFETY: a static lives as long as the process: this library is never unloaded, for its
    // threads run in it.
    if unsafe { attach(&raw const TABLE) } != 0 {
        let text = "libmsec_hook.so is of another version than libmsec.so: nothing is hooked";
        log::write(Level::Error, "hook", format_args!("{text}"), &[]);
    }
}

extern "C" fn coroutine() -> u64 {
    guard::or(0, || msec::coroutine_number().unwrap_or(0))
}

extern "C" fn now_ns() -> u64 {
    clock::now_ns()
}

/// The end of a wait as an errno.
fn errno(ended: Result<()>) -> i32 {
    match ended {
        Ok(()) => 0,
        Err(error) if error.code() == Code::TIMEOUT => libc::ETIMEDOUT,
        Err(error) if error.code() == Code::CANCELLED => libc::ECANCELED,
        Err(error) if error.code() == Code::OVERLOADED => libc::EAGAIN,
        Err(error) => cause(&error).unwrap_or(libc::EIO),
    }
}

/// What the kernel said, if it was the kernel.
fn cause(error: &Error) -> Option<i32> {
    std::error::Error::source(error)?.downcast_ref::<std::io::Error>()?.raw_os_error()
}

unsafe extern "C" fn wait(request: *const Request) -> i32 {
    guard::or(libc::EIO, || {
        // SAFETY: the hook's promise.
        let request = unsafe { &*request };
        errno(Watched::new(request).and_then(|watched| {
            let deadline_ns = request.deadline_ns;
            let left_ns = deadline_ns.saturating_sub(clock::now_ns());
            match deadline_ns {
                0 => watched.wait()?,
                _ => watched.wait_timeout(Duration::from_nanos(left_ns))?,
            }
        }))
    })
}

/// A descriptor that somebody waits for, and the bell that ends the wait.
struct Watched<'a> {
    request: &'a Request,
    ready: Readiness,
    bell: Awaiting<EventListener>,
}

impl<'a> Watched<'a> {
    fn new(request: &'a Request) -> Result<Watched<'a>> {
        // SAFETY: the hook's promise.
        let fd = unsafe { BorrowedFd::borrow_raw(request.fd) };
        let ready = if request.is_for_room { until_writable(fd) } else { until_readable(fd) };
        Ok(Watched { request, ready: ready?, bell: listen(request) })
    }
}

fn listen(request: &Request) -> Awaiting<EventListener> {
    awaiting(BELLS[request.bell as usize % BELLS_COUNT].listen())
}

impl Wait for Watched<'_> {
    type Output = Result<()>;

    fn poll(&mut self, current: &Current) -> Option<Result<()>> {
        // Listened to before it is looked, so that no ring falls between.
        while self.bell.poll(current).is_some() {
            self.bell = listen(self.request);
        }
        // SAFETY: the hook's promise.
        if unsafe { (self.request.is_over)(self.request.argument) } {
            return Some(Ok(()));
        }
        self.ready.poll(current)
    }

    fn leave(&mut self) {
        self.ready.leave();
    }
}

extern "C" fn sleep(time_ns: u64) -> i32 {
    guard::or(libc::EIO, || {
        errno(match time_ns {
            0 => msec::yield_now(),
            _ => msec::sleep(Duration::from_nanos(time_ns)),
        })
    })
}

extern "C" fn ring(bell: u32) {
    guard::or((), || {
        BELLS[bell as usize % BELLS_COUNT].notify(usize::MAX);
    });
}

unsafe extern "C" fn offload(job: Job) -> i32 {
    guard::or(libc::EIO, || {
        let owned = Owned(job);
        errno(msec::offload(move || owned.run()))
    })
}

/// A job that is released in any case.
struct Owned(Job);

// SAFETY: the hook asks for it to be run on another thread.
unsafe impl Send for Owned {}

impl Owned {
    fn run(self) {
        // SAFETY: the hook's promise.
        unsafe { (self.0.run)(self.0.argument) };
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the hook's promise; once.
        unsafe { (self.0.release)(self.0.argument) };
    }
}

extern "C" fn method() -> Text {
    guard::or(Text::of(""), || Text::of(msec::method_name()))
}

unsafe extern "C" fn warn(text: Text) {
    guard::or((), || {
        // SAFETY: the hook's promise.
        let text = unsafe { text.text() };
        log::write(Level::Warn, "hook", format_args!("{text}"), &[]);
    });
}

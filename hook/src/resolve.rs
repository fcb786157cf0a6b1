//! Names of hosts: getaddrinfo. It reads files and asks servers in ways that cannot be parked, so
//! it runs on another thread. Addresses in numbers are read right here.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Mutex;

use libc::addrinfo;

use crate::engine::Coroutine;
use crate::table::Job;
use crate::{errno, real};

/// # Safety
/// As getaddrinfo(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    found: *mut *mut addrinfo,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    let really = |hints| unsafe { real::getaddrinfo(node, service, hints, found) };
    let Some(coroutine) = Coroutine::running().filter(|_| !node.is_null()) else {
        return really(hints);
    };
    // SAFETY: NULL or hints, by the caller's promise.
    let mut numeric = unsafe { hints.as_ref() }.copied().unwrap_or_else(no_hints);
    numeric.ai_flags |= libc::AI_NUMERICHOST;
    let code = really(&raw const numeric);
    if code != libc::EAI_NONAME {
        return code;
    }
    let Some(table) = coroutine.parks("getaddrinfo") else { return really(hints) };
    // SAFETY: strings and hints, by the caller's promise.
    let question = Box::new(unsafe { Question::of(node, service, hints) });
    let question = std::sync::Arc::new(*question);
    let argument = std::sync::Arc::into_raw(question.clone()).cast_mut().cast::<c_void>();
    // SAFETY: the job has a share of the question, which it releases.
    let code = unsafe { (table.offload)(Job { run, release, argument }) };
    if code == libc::EAGAIN {
        return libc::EAI_AGAIN;
    }
    if code != 0 {
        errno::set(code);
        return libc::EAI_SYSTEM;
    }
    let Some(answer) = question.lock().take() else { return libc::EAI_FAIL };
    errno::set(answer.errno);
    if answer.code == 0 {
        // SAFETY: a place for the list, by the caller's promise.
        unsafe { found.write(answer.list) };
    }
    let code = answer.code;
    std::mem::forget(answer);
    code
}

/// What is asked, copied: who asked may be gone when it is answered.
struct Question {
    node: CString,
    service: Option<CString>,
    hints: Option<(c_int, c_int, c_int, c_int)>,
    answer: Mutex<Option<Answer>>,
}

struct Answer {
    code: c_int,
    errno: c_int,
    list: *mut addrinfo,
}

// SAFETY: the list is nobody else's, and memory of the C library belongs to no thread.
unsafe impl Send for Answer {}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.list.is_null() {
            // SAFETY: as getaddrinfo has made it, and handed to nobody.
            unsafe { libc::freeaddrinfo(self.list) };
        }
    }
}

impl Question {
    /// # Safety
    /// As getaddrinfo(3).
    unsafe fn of(node: *const c_char, service: *const c_char, hints: *const addrinfo) -> Question {
        // SAFETY: the caller's promise.
        let text = |text: *const c_char| unsafe { CStr::from_ptr(text) }.to_owned();
        // SAFETY: as above.
        let hints = unsafe { hints.as_ref() };
        let numbers = |it: &addrinfo| (it.ai_flags, it.ai_family, it.ai_socktype, it.ai_protocol);
        Question {
            node: text(node),
            service: (!service.is_null()).then(|| text(service)),
            hints: hints.map(numbers),
            answer: Mutex::new(None),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Answer>> {
        self.answer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// # Safety
/// The argument is a live question.
unsafe extern "C" fn run(argument: *mut c_void) {
    // SAFETY: the caller's promise.
    let question = unsafe { &*argument.cast::<Question>() };
    let hints = question.hints.map(|(flags, family, kind, protocol)| addrinfo {
        ai_flags: flags,
        ai_family: family,
        ai_socktype: kind,
        ai_protocol: protocol,
        ..no_hints()
    });
    let service = question.service.as_ref().map_or(ptr::null(), |service| service.as_ptr());
    let hints = hints.as_ref().map_or(ptr::null(), ptr::from_ref);
    let mut list = ptr::null_mut();
    // SAFETY: strings, NULL or hints, and a place for the list.
    let code = unsafe { real::getaddrinfo(question.node.as_ptr(), service, hints, &mut list) };
    let list = if code == 0 { list } else { ptr::null_mut() };
    *question.lock() = Some(Answer { code, errno: errno::get(), list });
}

/// # Safety
/// The argument is a share of a question, which is given back.
unsafe extern "C" fn release(argument: *mut c_void) {
    // SAFETY: the caller's promise.
    drop(unsafe { std::sync::Arc::from_raw(argument.cast::<Question>()) });
}

/// As if there were none.
fn no_hints() -> addrinfo {
    addrinfo {
        // What the C library does without hints (getaddrinfo(3)).
        ai_flags: libc::AI_V4MAPPED | libc::AI_ADDRCONFIG,
        ai_family: libc::AF_UNSPEC,
        ai_socktype: 0,
        ai_protocol: 0,
        ai_addrlen: 0,
        ai_addr: ptr::null_mut(),
        ai_canonname: ptr::null_mut(),
        ai_next: ptr::null_mut(),
    }
}

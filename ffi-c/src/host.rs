//! The host of a plugin, as the plugin sees it.

use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::Mutex;

use ::msec_host::worker::Surroundings;

use crate::engine::msec_engine;
use crate::error::text;
use crate::{guard, slice};

/// Where a plugin runs: what its `init` is given. Usable from every thread.
#[allow(non_camel_case_types)]
pub struct msec_host {
    engine: msec_engine,
    service: CString,
    conf: CString,
    worker: u32,
    /// Section, key and value of config.ini.
    config: Vec<(String, String, CString)>,
    failure: Mutex<String>,
}

impl msec_host {
    pub(crate) fn new(surroundings: &Surroundings) -> Self {
        let string = |text: &str| CString::new(text).unwrap_or_default();
        let entries = surroundings.ini.entries().iter();
        Self {
            engine: msec_engine(surroundings.engine.clone()),
            service: string(&surroundings.service),
            conf: string(&surroundings.conf),
            worker: surroundings.worker as u32,
            config: entries
                .map(|entry| (entry.section.clone(), entry.key.clone(), string(&entry.value)))
                .collect(),
            failure: Mutex::default(),
        }
    }

    /// Why init failed, if it said so.
    pub(crate) fn failure(&self) -> String {
        self.failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

/// The engine that the plugin is on, for clients and tasks. Not to be freed. NULL for NULL.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_host_engine(host: *const msec_host) -> *const msec_engine {
    // SAFETY: NULL or live.
    unsafe { host.as_ref() }.map_or(ptr::null(), |host| &raw const host.engine)
}

/// The service that the plugin is, `First.second`. NULL for NULL.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_host_service(host: *const msec_host) -> *const c_char {
    // SAFETY: NULL or live.
    unsafe { host.as_ref() }.map_or(ptr::null(), |host| host.service.as_ptr())
}

/// The text of `[SRPC] conf`; empty if there is none. NULL for NULL.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_host_conf(host: *const msec_host) -> *const c_char {
    // SAFETY: NULL or live.
    unsafe { host.as_ref() }.map_or(ptr::null(), |host| host.conf.as_ptr())
}

/// Which of the service's workers this process is, from 0.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_host_worker(host: *const msec_host) -> u32 {
    // SAFETY: NULL or live.
    unsafe { host.as_ref() }.map_or(0, |host| host.worker)
}

/// A value of config.ini as it was when the worker started; NULL if there is none.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_host_config(
    host: *const msec_host,
    section: *const c_char,
    key: *const c_char,
) -> *const c_char {
    if host.is_null() || section.is_null() || key.is_null() {
        return ptr::null();
    }
    guard::or(ptr::null(), || {
        // SAFETY: not NULL, so live; strings.
        let (host, section, key) = unsafe { (&*host, text("section", section), text("key", key)) };
        let (Ok(section), Ok(key)) = (section, key) else { return ptr::null() };
        let is_it = |entry: &&(String, String, CString)| entry.0 == section && entry.1 == key;
        host.config.iter().find(is_it).map_or(ptr::null(), |(_, _, value)| value.as_ptr())
    })
}

/// Says why `init` is about to fail. The last text counts. Copied.
///
/// Errors: -1.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_host_fail_text(
    host: *const msec_host,
    data: *const c_char,
    size: usize,
) -> i32 {
    guard!([host, data] {
        // SAFETY: not NULL, so live; the bytes are there for the call.
        let (host, bytes) = unsafe { (&*host, slice::bytes(data, size)) };
        let text = String::from_utf8_lossy(bytes).into_owned();
        *host.failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = text;
        Ok(())
    })
}

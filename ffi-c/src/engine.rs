//! Engines: core threads that servers and clients are put on.

use std::ffi::{c_char, c_void};

use msec::{Config, Engine};

use crate::config::{self, msec_setting};
use crate::error::text;
use crate::options::{self, Options};
use crate::tls::{self, msec_client_tls_options};
use crate::{guard, hook, version};

/// A running engine; servers and clients are put on it. Usable from every thread.
#[allow(non_camel_case_types)]
pub struct msec_engine(pub(crate) Engine);

/// What an engine is started with, beside the environment (`MSEC_CORES`, `MSEC_IO`, …), which
/// decides what is 0 or NULL here. Begin with `MSEC_ENGINE_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct msec_engine_options {
    /// `sizeof(msec_engine_options)`.
    pub size: u32,
    /// The `MSEC_ABI_VERSION` that the program was compiled with.
    pub abi_version: u32,
    /// Core threads, 1 to 255; 0: `MSEC_CORES`, or the CPUs that the process may use.
    pub cores: u32,
    /// Address space of a coroutine's stack in KiB, 64 to 65536; 0: `MSEC_STACK_KB`, or 256.
    pub stack_kb: u32,
    /// The service that this program is or belongs to, `First.second`: what callees see as caller.
    /// Not kept; NULL: `MSEC_SERVICE`, or none.
    pub service: *const c_char,
    /// File of routes, followed while it changes. Not kept; NULL: `MSEC_ROUTES`, or none.
    pub routes: *const c_char,
    /// How calls to addresses with `@tls` are secured. Not kept; NULL: `MSEC_TLS_CA` and the like,
    /// or there are none.
    pub tls: *const msec_client_tls_options,
    /// Whatever else the environment could say, and before it. Not kept; NULL: nothing.
    pub settings: *const msec_setting,
    /// How many.
    pub settings_count: usize,
}

// SAFETY: plain numbers and pointers behind a leading u32; null pointers stand for "not set".
unsafe impl Options for msec_engine_options {
    const NAME: &'static str = "msec_engine_options";
}

/// Starts an engine. `options` may be NULL.
///
/// Threads are started; none is before. Must not be called on a coroutine. To be given back with
/// `msec_engine_free`.
///
/// Errors: -1 an option or a variable of the environment makes no sense; -2 a file, a thread or the
/// kernel's I/O could not be had, or this is a core's thread.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_new(
    options: *const msec_engine_options,
    engine: *mut *mut msec_engine,
) -> i32 {
    guard!([engine] {
        guard::off_core("start an engine")?;
        let mut config = Config::from_env()?;
        // SAFETY: NULL or a struct of options, by the header's conventions.
        if let Some(options) = unsafe { options::read(options) }? {
            version::check(options.abi_version)?;
            // SAFETY: its pointers are NULL or valid.
            config = unsafe { with_options(config, &options) }?;
        }
        keep_exceptions();
        hook::attach();
        let started = Box::into_raw(Box::new(msec_engine(Engine::with(config)?)));
        // SAFETY: not NULL, and a place for a pointer.
        unsafe { engine.write(started) };
        Ok(())
    })
}

/// Stops an engine, once its servers and clients are freed too: until then they keep it. NULL is
/// freed without effect. Must not be called on a coroutine.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_free(engine: *mut msec_engine) {
    // SAFETY: NULL, or what `msec_engine_new` gave away.
    guard::or((), || unsafe { free(engine) });
}

/// How this engine does its I/O: "uring" or "epoll". Lives as long as the process.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_io(engine: *const msec_engine) -> *const c_char {
    // SAFETY: NULL or a live engine.
    match unsafe { engine.as_ref() }.map(|engine| engine.0.io_backend()) {
        Some("uring") => c"uring".as_ptr(),
        Some("epoll") => c"epoll".as_ptr(),
        Some(_) | None => c"none".as_ptr(),
    }
}

/// Drops what a handle owns; NULL is nothing. As the process exits from a core's thread, it is left
/// to the kernel: the core does not go on, so nobody could wait for it.
///
/// # Safety
/// `handle` is NULL or was made by `Box::into_raw`, and is not used again.
pub(crate) unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() && !msec::exits_on_core() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(handle) });
    }
}

/// # Safety
/// The pointers in `options` are NULL or valid.
unsafe fn with_options(config: Config, options: &msec_engine_options) -> msec::Result<Config> {
    // SAFETY: the caller's promise.
    let mut config = unsafe { config::with(config, options.settings, options.settings_count) }?;
    if options.cores != 0 {
        config = config.cores(options.cores as usize);
    }
    if options.stack_kb != 0 {
        config = config.stack_kb(options.stack_kb as usize);
    }
    if !options.service.is_null() {
        // SAFETY: the caller's promise.
        config = config.service(unsafe { text("service", options.service) }?);
    }
    if !options.routes.is_null() {
        // SAFETY: the caller's promise.
        config = config.routes(unsafe { text("routes", options.routes) }?);
    }
    // SAFETY: the caller's promise.
    if let Some(tls) = unsafe { tls::client(options.tls) }? {
        config = config.tls(tls);
    }
    Ok(config)
}

/// Lets coroutines keep their C++ exceptions apart, if the process has C++ in it by now.
fn keep_exceptions() {
    // SAFETY: a lookup by name among what is loaded.
    keep_exceptions_of(unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__cxa_get_globals".as_ptr()) });
}

/// As [`keep_exceptions`], for the runtime of C++ whose `__cxa_get_globals` that is; NULL: none.
pub(crate) fn keep_exceptions_of(finder: *mut c_void) {
    if !finder.is_null() && !msec::coroutine::keeps_exceptions() {
        // SAFETY: the Itanium C++ ABI (§2.2.2) gives this name to that function alone.
        unsafe { msec::coroutine::keep_exceptions(finder) };
    }
}

//! Plugins: business in a shared library, which a worker loads.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};

use ::msec_host::worker::{self, Business, Surroundings};
use msec::{Code, Error, Result, ServerBuilder};

use crate::engine::keep_exceptions_of;
use crate::host::msec_host;
use crate::options::{self, Options};
use crate::server::{msec_barrier, msec_server_builder};
use crate::{guard, hook, version};

/// What a plugin tells of itself. Begin with `MSEC_PLUGIN_INIT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct msec_plugin {
    /// `sizeof(msec_plugin)`.
    pub size: u32,
    /// The oldest `MSEC_ABI_VERSION` that it can work with.
    pub abi_min: u32,
    /// The `MSEC_ABI_VERSION` that it was compiled with.
    pub abi_max: u32,
    /// The service that it is made for, `First.second`; NULL: any.
    pub name: *const c_char,
    /// Which build this is, for people: a line of `log/host.log`. NULL: it does not say.
    pub build_id: *const c_char,
    /// Starts the business and adds its methods to `builder`, which it must neither start nor free.
    /// On the worker's main thread, which it may block; calls are taken after it returned 0.
    /// Another code ends the worker; `msec_host_fail_text` says why. `host` lives until `fini` has
    /// returned. No C++ exception may leave it. Must not be NULL.
    pub init: Option<
        unsafe extern "C" fn(host: *const msec_host, builder: *mut msec_server_builder) -> i32,
    >,
    /// Whether calls can be taken: 0 if so. Asked after `init`, again and again, on the main
    /// thread, for as long as `[SRPC] ready_ms` allows. NULL: at once.
    pub ready: Option<unsafe extern "C" fn() -> i32>,
    /// The end: no handler runs any more. On the main thread. NULL: nothing is to be done.
    pub fini: Option<unsafe extern "C" fn()>,
    /// What its handlers are called through, so that their exceptions are caught by the runtime of
    /// C++ that they were thrown in. `MSEC_PLUGIN_INIT` sets it in C++. A plugin in C that calls
    /// C++ may name a function that does what `msec_plugin_catch` does. NULL: no exception may
    /// leave a handler, and one that does ends the worker.
    pub barrier: msec_barrier,
}

// SAFETY: numbers and pointers behind a leading u32, of which null stands for "not set".
unsafe impl Options for msec_plugin {
    const NAME: &'static str = "msec_plugin";
}

/// The one function that a plugin must export, under the name `msec_plugin_v1`: what it tells of
/// itself, which lives as long as the process.
pub type msec_plugin_entry = Option<unsafe extern "C" fn() -> *const msec_plugin>;

/// What `msec-worker` calls, with its arguments, as `main` has them; for nobody else. Returns the
/// exit status.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_worker_main(count: c_int, arguments: *const *const c_char) -> c_int {
    guard::or(1, || {
        let count = if arguments.is_null() { 0 } else { usize::try_from(count).unwrap_or(0) };
        let text = |index| {
            // SAFETY: the caller's promise.
            let text = unsafe { CStr::from_ptr(*arguments.add(index)) };
            text.to_string_lossy().into_owned()
        };
        let arguments: Vec<_> = (1..count).map(text).collect();
        worker::run(&arguments, load)
    })
}

/// Loads a plugin: for good, since nobody knows what points into it.
fn load(path: &Path) -> Result<Business> {
    let refuse = |text: String| Error::new(Code::INVALID_PARAMETER, text);
    let name = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
    let flags = libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_NODELETE;
    // SAFETY: a string; what its constructors do is the plugin's own business.
    let library = unsafe { libc::dlopen(name.as_ptr(), flags) };
    let Some(library) = NonNull::new(library) else {
        return Err(refuse(format!("the plugin cannot be loaded: {}", loader_error())));
    };
    one_runtime_of_cpp()?;
    // SAFETY: a live handle and a string.
    let entry = unsafe { libc::dlsym(library.as_ptr(), c"msec_plugin_v1".as_ptr()) };
    if entry.is_null() {
        let text = format!("{} is no plugin: it has no msec_plugin_v1", path.display());
        return Err(refuse(text));
    }
    // SAFETY: the header gives this name to functions of this type alone.
    let entry = unsafe { mem::transmute::<*mut c_void, msec_plugin_entry>(entry) };
    let Some(entry) = entry else { return Err(refuse("msec_plugin_v1 is NULL".into())) };
    // SAFETY: as the header asks for: NULL or a struct of options.
    let told = unsafe { options::read(entry()) }?;
    let plugin = told.ok_or_else(|| refuse("msec_plugin_v1 returned NULL".into()))?;
    version::check_range(plugin.abi_min, plugin.abi_max)?;
    if plugin.init.is_none() {
        return Err(refuse("the plugin has no init".into()));
    }
    if !plugin.build_id.is_null() {
        // SAFETY: a string, by the header.
        let build = unsafe { CStr::from_ptr(plugin.build_id) }.to_string_lossy();
        eprintln!("msec-worker: the plugin is build {build}");
    }
    // SAFETY: a live handle and a string.
    let finder = unsafe { libc::dlsym(library.as_ptr(), c"__cxa_get_globals".as_ptr()) };
    keep_exceptions_of(finder);
    hook::attach();
    let (ready, fini) = (plugin.ready, plugin.fini);
    Ok(Business {
        install: Box::new(move |surroundings, builder| install(&plugin, surroundings, builder)),
        // SAFETY: on the main thread, after init, as the header says.
        ready: Box::new(move || ready.is_none_or(|ready| unsafe { ready() } == 0)),
        fini: Box::new(move || {
            if let Some(fini) = fini {
                // SAFETY: on the main thread, when no handler runs, as the header says.
                unsafe { fini() };
            }
        }),
    })
}

fn install(
    plugin: &msec_plugin,
    surroundings: &Surroundings,
    builder: ServerBuilder,
) -> Result<ServerBuilder> {
    if !plugin.name.is_null() {
        // SAFETY: a string, by the header.
        let name = unsafe { CStr::from_ptr(plugin.name) }.to_string_lossy();
        if name != surroundings.service {
            let text = format!("the plugin is {name}, and this is {}", surroundings.service);
            return Err(Error::new(Code::INVALID_PARAMETER, text));
        }
    }
    // It lives as long as the plugin, which is never unloaded.
    let host: &'static msec_host = Box::leak(Box::new(msec_host::new(surroundings)));
    let mut builder = msec_server_builder::of(builder, plugin.barrier);
    let init = plugin.init.ok_or_else(|| Error::new(Code::INVALID_PARAMETER, "no init"))?;
    // SAFETY: on the main thread; both live for the call, and the host for good.
    let code = unsafe { init(ptr::from_ref(host), &raw mut builder) };
    match code {
        0 => Ok(builder.into_inner()),
        code => {
            let text = format!("init of the plugin returned {code}: {}", host.failure());
            Err(Error::new(Code(code), text))
        }
    }
}

/// What the loader says about the last failure on this thread.
fn loader_error() -> String {
    // SAFETY: returns NULL, or a string that lives until the next call on this thread.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "the loader does not say why".into();
    }
    // SAFETY: not NULL, so a string.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Exceptions of one runtime of C++ cannot be caught by the other; with both loaded, somebody will
/// try.
fn one_runtime_of_cpp() -> Result<()> {
    let loaded = RefCell::new(Vec::<String>::new());
    unsafe extern "C" fn note(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        loaded: *mut c_void,
    ) -> c_int {
        // SAFETY: the list that `dl_iterate_phdr` is given below.
        let loaded = unsafe { &*loaded.cast::<RefCell<Vec<String>>>() };
        // SAFETY: the loader hands over live information with a name that is NULL or a string.
        let name = unsafe { (*info).dlpi_name };
        if !name.is_null() {
            // SAFETY: as above.
            loaded.borrow_mut().push(unsafe { CStr::from_ptr(name) }.to_string_lossy().into());
        }
        0
    }
    // SAFETY: the function has the form that is asked for, and the list lives for the call.
    unsafe { libc::dl_iterate_phdr(Some(note), ptr::from_ref(&loaded).cast_mut().cast()) };
    let loaded = loaded.into_inner();
    let has = |part: &str| loaded.iter().find(|name| name.contains(part));
    match (has("/libstdc++.so"), has("/libc++.so")) {
        (Some(one), Some(other)) => {
            let text = format!(
                "the plugin has two runtimes of C++, {one} and {other}: exceptions of one cannot \
                 be caught by the other; build all of it with one compiler's"
            );
            Err(Error::new(Code::INVALID_PARAMETER, text))
        }
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

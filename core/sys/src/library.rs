//! Shared libraries that are loaded while the program runs.
//!
//! To load one is to run it: its constructors do what they like, as a program does that is started.
//! It is never unloaded, for nobody knows what still points into it.

use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::path::Path;

/// C's `main`.
type Main = extern "C" fn(c_int, *const *const c_char) -> c_int;

/// Loads a library and runs the function `name` of it, which has the form of C's `main`; returns
/// what it returns. `path` without a slash is looked for as dlopen(3) does.
///
/// # Errors
/// What the loader says, if the library is not there or none, or has no such function.
pub fn run_main(path: &Path, name: &CStr, arguments: &[CString]) -> io::Result<c_int> {
    let text = CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: a string; the constructors are the library's own business, as the essay says.
    let library = unsafe { libc::dlopen(text.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if library.is_null() {
        return Err(last_error());
    }
    // SAFETY: a live handle and a string.
    let function = unsafe { libc::dlsym(library, name.as_ptr()) };
    if function.is_null() {
        return Err(last_error());
    }
    // SAFETY: the caller names a function of this form; where the library has another one of that
    // name, it is not the library that was meant, as with a program that is no program.
    let main = unsafe { std::mem::transmute::<*mut libc::c_void, Main>(function) };
    let mut pointers: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(std::ptr::null());
    Ok(main(arguments.len() as c_int, pointers.as_ptr()))
}

/// Whether something of that name is to be found in what the program was started with.
pub fn is_there(name: &CStr) -> bool {
    // SAFETY: looks for a string among what is loaded.
    !unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }.is_null()
}

/// What the loader says about the last failure on this thread.
fn last_error() -> io::Error {
    // SAFETY: returns NULL, or a string that lives until the next call on this thread.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return io::Error::other("the loader does not say why");
    }
    // SAFETY: not NULL, so a string.
    io::Error::other(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named() {
        let error = run_main(Path::new("libnone.so.7"), c"main", &[]).expect_err("none");
        assert!(error.to_string().contains("libnone.so.7"), "{error}");
        assert!(is_there(c"getpid") && !is_there(c"no_such_name"));
        let error = run_main(Path::new("libc.so.6"), c"no_such_name", &[]).expect_err("none");
        assert!(error.to_string().contains("no_such_name"), "{error}");
    }
}

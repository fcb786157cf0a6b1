//! libmsec_hook, which has libraries that block suspend a request instead of its core: how workers
//! are started with it.
//!
//! It has to stand before the C library, and that takes `LD_PRELOAD` at the start of the process.
//! The supervisor sets it for workers of plugins alone, and a worker takes its part out again
//! before it does anything else: programs that handlers start are none of the hook's business.

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use msec::{Code, Error, Result};
use msec_sys::{library, process};

use crate::settings::Hook;
use crate::start::Programs;

/// What the loader reads.
pub const VARIABLE: &str = "LD_PRELOAD";

/// The libraries, and a name that each exports.
const HOOK: (&str, &CStr) = ("libmsec_hook.so", c"msec_hook_attach");
const LOCKS: (&str, &CStr) = ("libmsec_hook_locks.so", c"msec_hook_locks_attach");

/// The LD_PRELOAD for workers, with what stood there before; `None`: they are not hooked.
///
/// # Errors
/// -2 a library is not where libmsec is, or where the loader would not find it.
pub(crate) fn preload(programs: &Programs, hook: Hook) -> Result<Option<OsString>> {
    let names: &[&str] = match hook {
        Hook::Off => return Ok(None),
        Hook::On => &[HOOK.0],
        Hook::Diagnose => &[LOCKS.0, HOOK.0],
    };
    let mut list = OsString::new();
    for name in names {
        list.push(find(&programs.worker, name)?);
        list.push(":");
    }
    list.push(&programs.preload);
    Ok(Some(list))
}

/// A library beside `msec-worker`, or where it is when both are installed: where libmsec is.
fn find(worker: &Path, name: &str) -> Result<PathBuf> {
    let refuse = |text| Err(Error::new(Code::SYSTEM_ERROR, text));
    let folder = worker.parent().unwrap_or(Path::new("."));
    let near = [folder.join("../lib").join(name), folder.join(name)];
    let Some(path) = near.iter().find(|path| path.is_file()) else {
        let [installed, built] = near.map(|path| path.display().to_string());
        let text = format!(
            "[SRPC] hook takes {name}, and it is neither at {installed} nor at {built}: install \
             it, or set hook=0"
        );
        return refuse(text);
    };
    if path.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b' ' | b':')) {
        let path = path.display();
        return refuse(format!("{VARIABLE} cannot name {path}: it has a blank or a colon in it"));
    }
    Ok(path.clone())
}

/// For the beginning of a worker: takes the hook out of the environment.
///
/// # Errors
/// -2 the loader has not loaded it, or threads run already.
pub fn begin() -> Result<()> {
    let list = std::env::var_os(VARIABLE).unwrap_or_default();
    let (ours, others) = split(&list);
    if ours.is_empty() {
        return Ok(());
    }
    for (name, exported) in ours {
        if !library::is_there(exported) {
            let text = format!("{name} is in {VARIABLE}, and the loader has not loaded it");
            return Err(Error::new(Code::SYSTEM_ERROR, text));
        }
    }
    let value = (!others.is_empty()).then_some(others.as_os_str());
    process::set_variable(VARIABLE, value)
        .map_err(|error| Error::new(Code::SYSTEM_ERROR, format!("set {VARIABLE}: {error}")))
}

/// Those of a list that are ours, and the others.
fn split(list: &OsStr) -> (Vec<(&'static str, &'static CStr)>, OsString) {
    let (mut ours, mut others) = (Vec::new(), OsString::new());
    // The loader takes both (ld.so(8)).
    for path in list.as_bytes().split(|byte| matches!(byte, b' ' | b':')) {
        let path = OsStr::from_bytes(path);
        let name = Path::new(path).file_name();
        match [HOOK, LOCKS].into_iter().find(|known| name == Some(OsStr::new(known.0))) {
            Some(known) => ours.push(known),
            None if path.is_empty() => {}
            None => {
                others.push(if others.is_empty() { "" } else { ":" });
                others.push(path);
            }
        }
    }
    (ours, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_hands_on_what_is_not_ours() {
        let check = |list: &str, count: usize, others: &str| {
            let split = split(OsStr::new(list));
            assert_eq!((split.0.len(), split.1), (count, others.into()), "{list}");
        };
        check("", 0, "");
        check("/a/libmsec_hook.so:", 1, "");
        check("/a/libmsec_hook_locks.so:/a/libmsec_hook.so:/b/x.so y.so", 2, "/b/x.so:y.so");
        check("/b/notlibmsec_hook.so", 0, "/b/notlibmsec_hook.so");
    }

    #[test]
    fn a_hook_that_is_missing_is_named_with_where_it_was_looked_for() {
        let folder = std::env::temp_dir().join(format!("msec-hook-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let programs = |preload: &str| Programs {
            worker: folder.join("msec-worker"),
            java_home: None,
            path: OsString::new(),
            preload: preload.into(),
        };
        assert_eq!(preload(&programs("x.so"), Hook::Off).unwrap(), None);
        let missing = preload(&programs(""), Hook::On).unwrap_err();
        let built = folder.join("libmsec_hook.so");
        assert!(missing.message().contains(&built.display().to_string()), "{missing}");
        std::fs::write(&built, "").unwrap();
        let list = preload(&programs("x.so"), Hook::On).unwrap().unwrap();
        assert_eq!(list, OsString::from(format!("{}:x.so", built.display())));
        let missing = preload(&programs(""), Hook::Diagnose).unwrap_err();
        assert!(missing.message().contains("libmsec_hook_locks.so"), "{missing}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

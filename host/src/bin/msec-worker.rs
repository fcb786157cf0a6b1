//! The program that a worker is: it opens libmsec and calls its worker, so that the plugin, which
//! links libmsec as well, finds the same one there.

use std::ffi::CString;
use std::path::PathBuf;
use std::process::ExitCode;

/// The name by which programs ask for the library.
const NAME: &str = "libmsec.so.0";

fn main() -> ExitCode {
    let arguments = std::env::args_os().map(|argument| CString::new(argument.into_encoded_bytes()));
    if let Err(error) = msec_host::hook::begin() {
        eprintln!("msec-worker: {error}");
        return ExitCode::from(1);
    }
    // Arguments of a program have no NUL in them.
    let arguments: Vec<_> = arguments.filter_map(Result::ok).collect();
    match msec_sys::library::run_main(&library(), c"msec_worker_main", &arguments) {
        Ok(status) => ExitCode::from(status as u8),
        Err(error) => {
            eprintln!("msec-worker: {error}");
            ExitCode::from(1)
        }
    }
}

/// The library beside this program, or where it is when both are installed; else wherever the
/// loader finds it.
fn library() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let folder = program.parent().map(PathBuf::from).unwrap_or_default();
    let near = [folder.join("../lib").join(NAME), folder.join("libmsec.so")];
    near.into_iter().find(|path| path.is_file()).unwrap_or_else(|| NAME.into())
}

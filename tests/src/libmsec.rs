//! libmsec as programs of C and C++ have it: a folder that linkers look into, real compilers, and
//! the programs that come out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};

use crate::programs::{command, repository, run};

/// The variable that names a libmsec.so which the address sanitizer watches: see `make asan`.
const WATCHED: &str = "MSEC_TEST_WATCHED";

/// A folder with libmsec.so under the names that linkers and programs look for.
pub static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let watched = std::env::var_os(WATCHED).map(PathBuf::from);
    let folder = scratch().join(if watched.is_some() { "lib-watched" } else { "lib" });
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["libmsec.so", "libmsec.so.0"] {
        let library = watched.clone().unwrap_or_else(|| command("libmsec.so"));
        let link = folder.join(name);
        if std::fs::read_link(&link).is_ok_and(|target| target != library) {
            // The folder was copied from elsewhere.
            let _ = std::fs::remove_file(&link);
        }
        // Two tests may be here at a time, in two processes.
        let _ = std::os::unix::fs::symlink(&library, &link);
        assert!(link.exists(), "libmsec.so was not built");
    }
    folder
});

/// A folder for what these tests make, beside the folder of the profile.
pub fn scratch() -> PathBuf {
    command("libmsec.so").ancestors().nth(2).unwrap().join("tmp/ffi_c")
}

/// Compiles a source of the repository with all warnings as errors. `compiler` is a command and its
/// flags.
pub fn compile(compiler: &str, standard: &str, source: &str) -> PathBuf {
    let name = format!("{source}-{compiler}-{standard}").replace(['/', ' ', '='], "-");
    let program = scratch().join(&name);
    // Tests of one process share programs, and none may be written while it runs.
    static COMPILED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if compiled.contains(&name) {
        return program;
    }
    let (compiler, flags) = compiler.split_once(' ').unwrap_or((compiler, ""));
    let mut compiling = Command::new(compiler);
    compiling.args(flags.split_whitespace());
    compiling.current_dir(repository());
    compiling.arg(format!("-std={standard}"));
    compiling.args([
        "-D_GNU_SOURCE",
        "-Wall",
        "-Wextra",
        "-pedantic",
        "-Werror",
        "-g",
        "-Iinclude",
    ]);
    if compiler.ends_with("++") {
        compiling.args(["-x", "c++"]);
    }
    compiling.arg(source).arg("-o").arg(&program);
    run(compiling.arg("-L").arg(&*LIBRARY).args(["-x", "none", "-lmsec", "-pthread"]));
    compiled.insert(name);
    program
}

/// A program that was compiled, about to run: it finds libmsec, and is ended should it hang.
pub fn program(program: &Path, io: &str) -> Command {
    under(&[], program, io)
}

/// As [`program`], run by another one.
pub fn under(runner: &[&str], program: &Path, io: &str) -> Command {
    let mut running = Command::new("timeout");
    running.args(["--kill-after=5", "150"]).args(runner).arg(program);
    running.env("LD_LIBRARY_PATH", &*LIBRARY).env("MSEC_IO", io);
    running
}

/// Whether the address sanitizer watches the library, too. If not, it does not know that the frames
/// of coroutines lie on stacks, either.
pub fn is_watched() -> bool {
    std::env::var_os(WATCHED).is_some()
}

/// A program that was compiled with the address sanitizer, about to run. It sees everything if
/// [`is_watched`]; else what the library is handed and hands out.
pub fn sanitized(compiled: &Path, io: &str) -> Command {
    let options = match is_watched() {
        true => "detect_leaks=1:detect_stack_use_after_return=1",
        false => "detect_leaks=0:detect_stack_use_after_return=0",
    };
    let mut running = program(compiled, io);
    running.env("ASAN_OPTIONS", options);
    running
}

/// What programs say that have found everything as it should be.
pub const WORKS: &str = "everything works\n";

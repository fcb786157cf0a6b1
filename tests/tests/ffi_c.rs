//! libmsec from outside: its interfaces of C and C++ compiled by real compilers, in every standard
//! that their headers promise, and what the library exports and needs.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use msec_tests::programs::{command, repository};

/// A folder with libmsec.so under the name that programs look for.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = scratch().join("lib");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["libmsec.so", "libmsec.so.0"] {
        let link = folder.join(name);
        // Two tests may be here at a time, in two processes.
        let _ = std::os::unix::fs::symlink(command("libmsec.so"), &link);
        assert!(link.exists(), "libmsec.so was not built");
    }
    folder
});

fn scratch() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("ffi_c")
}

/// Runs a command; its output, or a failure with what it said.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// Compiles a source with all warnings as errors. `compiler` is a command and its flags.
fn compile(compiler: &str, standard: &str, source: &str) -> PathBuf {
    let name = format!("{source}-{compiler}-{standard}").replace(['/', ' ', '='], "-");
    let program = scratch().join(name);
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
    program
}

/// The program that uses all of msec.h.
const C: &str = "ffi-c/tests/everything.c";
/// The program that uses all of msec.hpp.
const CPP: &str = "ffi-c/tests/wrapper.cpp";

/// Compiles a program that uses everything, and runs it on both back ends.
fn everything_works(compiler: &str, standard: &str, source: &str) {
    let program = compile(compiler, standard, source);
    for io in ["uring", "epoll"] {
        let mut running = Command::new(&program);
        running.env("LD_LIBRARY_PATH", &*LIBRARY).env("MSEC_IO", io);
        assert_eq!(run(&mut running), "everything works\n");
    }
}

#[test]
fn everything_works_in_c99() {
    everything_works("gcc", "c99", C);
}

#[test]
fn everything_works_in_c11() {
    everything_works("gcc", "c11", C);
}

#[test]
fn everything_works_in_cpp11() {
    everything_works("g++", "c++11", C);
}

#[test]
fn everything_works_in_cpp20() {
    everything_works("g++", "c++20", C);
}

#[test]
fn everything_works_in_c_by_clang() {
    everything_works("clang", "c11", C);
}

#[test]
fn the_wrapper_works_in_cpp17() {
    everything_works("g++", "c++17", CPP);
}

#[test]
fn the_wrapper_works_in_cpp20() {
    everything_works("g++", "c++20", CPP);
}

#[test]
fn the_wrapper_works_by_clang() {
    everything_works("clang++", "c++17", CPP);
}

/// Another C++ runtime, which keeps its exceptions elsewhere.
#[test]
fn the_wrapper_works_with_libcpp() {
    everything_works("clang++ -stdlib=libc++", "c++17", CPP);
}

#[test]
fn valgrind_finds_nothing() {
    let program = compile("gcc", "gnu11", C);
    let mut running = Command::new("valgrind");
    running.args(["--quiet", "--error-exitcode=9"]).arg(program);
    // Valgrind knows no io_uring, and is slow: what stalls under it is no stall.
    running.env("LD_LIBRARY_PATH", &*LIBRARY).env("MSEC_IO", "epoll").env("MSEC_STALL_MS", "60000");
    assert_eq!(run(&mut running), "everything works\n");
}

#[test]
fn the_library_exports_its_interface_and_needs_no_cpp() {
    let library = command("libmsec.so");
    drop(LIBRARY.clone());
    let exported = run(Command::new("nm").args(["-D", "--defined-only"]).arg(&library));
    let names: Vec<&str> = exported.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    let header = std::fs::read_to_string(repository().join("include/msec.h")).unwrap();
    assert!(names.len() > 50, "{names:?}");
    for name in names {
        assert!(header.contains(&format!("{name}(")), "{name} is exported and not in the header");
    }
    let needed = run(Command::new("readelf").arg("-d").arg(&library));
    assert!(needed.contains("[libmsec.so.0]"), "{needed}");
    for line in needed.lines().filter(|line| line.contains("NEEDED")) {
        let known = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"];
        assert!(known.iter().any(|known| line.contains(known)), "{line}");
    }
}

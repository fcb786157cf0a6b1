//! libmsec from outside: its interfaces of C and C++ compiled by real compilers, in every standard
//! that their headers promise, and used whole.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use msec_tests::libmsec::{WORKS, compile, is_watched, program, sanitized, under};
use msec_tests::programs::{repository, run};
use msec_tests::{Authority, Wanted};

/// The programs that use all of msec.h.
const C: &[&str] =
    &["ffi-c/tests/everything.c", "ffi-c/tests/operation.c", "ffi-c/tests/versions.c"];
/// The program that uses all of msec.hpp.
const CPP: &[&str] = &["ffi-c/tests/wrapper.cpp"];

/// Certificates for programs that use TLS: ca, server, client.
fn certificates() -> Authority {
    let authority = Authority::new();
    authority.server();
    let ann = Wanted { common_name: "ann", uri: Some("spiffe://example/ann"), ..Wanted::default() };
    authority.issue("client", &ann);
    authority
}

fn works(compiled: &Path, io: &str) {
    let authority = certificates();
    let folder = authority.path("");
    assert_eq!(run(program(compiled, io).env("MSEC_TEST_TLS", folder)), WORKS);
}

/// Compiles programs that use everything, and runs them on both back ends.
fn everything_works(compiler: &str, standard: &str, sources: &[&str]) {
    for source in sources {
        let compiled = compile(compiler, standard, source);
        works(&compiled, "uring");
        works(&compiled, "epoll");
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
    everything_works("clang", "c99", C);
    everything_works("clang", "c11", C);
}

#[test]
fn everything_works_in_cpp_by_clang() {
    everything_works("clang++", "c++11", C);
    everything_works("clang++", "c++20", C);
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
    everything_works("clang++", "c++20", CPP);
}

/// Another C++ runtime, which keeps its exceptions elsewhere.
#[test]
fn the_wrapper_works_with_libcpp() {
    everything_works("clang++ -stdlib=libc++", "c++17", CPP);
}

/// The headers of include/msec, one noun each.
fn nouns() -> Vec<String> {
    let entries = fs::read_dir(repository().join("include/msec")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() >= 20, "{names:?}");
    names
}

#[test]
fn each_header_of_cpp_compiles_alone() {
    for name in nouns() {
        for compiler in ["g++", "clang++ -stdlib=libc++"] {
            let (compiler, flags) = compiler.split_once(' ').unwrap_or((compiler, ""));
            let mut compiling = Command::new(compiler);
            compiling.current_dir(repository()).args(flags.split_whitespace());
            // Without -I: they find each other, and msec.h, by where they lie.
            compiling.args(["-std=c++17", "-Wall", "-Wextra", "-pedantic", "-Werror"]);
            run(compiling
                .args(["-fsyntax-only", "-include"])
                .arg(format!("include/msec/{name}"))
                .args(["-x", "c++", "/dev/null"]));
        }
    }
}

#[test]
fn the_header_of_cpp_has_every_noun() {
    let whole = fs::read_to_string(repository().join("include/msec.hpp")).unwrap();
    for name in nouns() {
        assert!(whole.contains(&format!("#include \"msec/{name}\"\n")), "{name} is missing");
    }
}

/// Valgrind knows no io_uring, takes ciphertext for memory that nobody has written, and is slow:
/// what stalls under it is no stall.
#[test]
fn valgrind_finds_nothing() {
    for source in C {
        let compiled = compile("gcc", "gnu11", source);
        let mut running = under(&["valgrind", "--quiet", "--error-exitcode=9"], &compiled, "epoll");
        assert_eq!(run(running.env("MSEC_STALL_MS", "60000")), WORKS);
    }
}

#[test]
fn the_address_sanitizer_finds_nothing() {
    let authority = certificates();
    // Of an exception on a stack that it does not know, it believes that it ends the program.
    let cpp = if is_watched() { CPP } else { &[] };
    for (compiler, standard, sources) in
        [("gcc -fsanitize=address", "gnu11", C), ("g++ -fsanitize=address", "gnu++17", cpp)]
    {
        for source in sources {
            let compiled = compile(compiler, standard, source);
            for io in ["epoll", "uring"] {
                let mut running = sanitized(&compiled, io);
                assert_eq!(run(running.env("MSEC_TEST_TLS", authority.path(""))), WORKS);
            }
        }
    }
}

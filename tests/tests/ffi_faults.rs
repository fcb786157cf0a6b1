//! What programs on libmsec do wrong, or at an odd moment. Each story is a process of its own
//! (ffi-c/tests/faults.c), says which code the caller gets, and has somebody else call another
//! server of the same engine meanwhile, who must not notice.

#![allow(clippy::unwrap_used)]

use std::os::unix::process::ExitStatusExt;

use msec_tests::libmsec::{WORKS, compile, program, sanitized};
use msec_tests::programs::{ends, run};

fn story(name: &str) {
    let compiled = compile("gcc", "gnu11", "ffi-c/tests/faults.c");
    for io in ["uring", "epoll"] {
        assert_eq!(run(program(&compiled, io).arg(name)), WORKS);
    }
}

/// -2 for whatever would wait for the cores, on a coroutine; from an offload thread it works.
#[test]
fn a_handler_that_stops_its_own_server_gets_a_code() {
    story("stops_itself");
}

/// A callback starts the next call; what would wait there ends with -2.
#[test]
fn a_callback_may_call_and_may_not_wait() {
    story("calls_back");
}

/// Calls go on, to a stopped server they end with -11, and a second stop has no effect.
#[test]
fn handles_outlive_their_engine_in_any_order() {
    story("goes_on_after_the_end");
}

#[test]
fn the_address_sanitizer_finds_nothing() {
    let compiled = compile("gcc -fsanitize=address", "gnu11", "ffi-c/tests/faults.c");
    let stories =
        ["calls_back", "forks", "goes_on_after_the_end", "keeps_its_thread", "stops_itself"];
    for name in stories {
        for io in ["uring", "epoll"] {
            assert_eq!(run(sanitized(&compiled, io).arg(name)), WORKS, "{name}");
        }
    }
}

/// Children that `_exit` or become another program; the parent's calls go on.
#[test]
fn a_handler_may_fork() {
    story("forks");
}

#[test]
fn a_handler_stays_on_its_thread() {
    story("keeps_its_thread");
}

/// The exit status is what the handler said, at once.
#[test]
fn a_handler_that_exits_ends_the_process() {
    let compiled = compile("gcc", "gnu11", "ffi-c/tests/faults.c");
    for io in ["uring", "epoll"] {
        let (output, out, err) = ends(program(&compiled, io).arg("exits"));
        assert_eq!(output.status.code(), Some(5), "{out}\n{err}");
        assert_eq!((out.as_str(), err.as_str()), ("", ""));
    }
}

/// Whoever finds it first says of what the process dies, the runtime of Rust or that of C++, and
/// the line of the crash in which method.
#[test]
fn an_exception_that_leaks_from_a_handler_of_c_ends_the_process() {
    for compiler in ["g++", "clang++", "clang++ -stdlib=libc++"] {
        let compiled = compile(compiler, "c++17", "ffi-c/tests/leak.cpp");
        // `timeout` dies of the signal that its program died of.
        let (output, out, err) = ends(&mut program(&compiled, "epoll"));
        let aborted = output.status.signal() == Some(6) || output.status.code() == Some(134);
        assert!(aborted, "{compiler}: {}\n{out}\n{err}", output.status);
        let named = ["cannot catch foreign exceptions", "leaked on purpose"];
        assert!(named.iter().any(|what| err.contains(what)), "{compiler}: {err}");
        assert!(err.contains("SIGABRT in method leak.Leak.It"), "{compiler}: {err}");
        assert_eq!(out, "", "{compiler}");
    }
}

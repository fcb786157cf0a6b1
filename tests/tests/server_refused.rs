//! io_uring refused, as containers do it: the engine falls back to epoll and says so, unless it was
//! told to use io_uring, which then is an error that says what was refused and why.
//!
//! The kernel is made to refuse by a seccomp filter in a child process.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use msec::{Config, Engine, Server};
use msec_protocol::Code;
use msec_tests::{Child, ECHO, Level, Peer, Stage, collect_lines, lines};
use seccompiler::{SeccompAction, SeccompFilter};

/// io_uring_setup(2); this number on every architecture.
const IO_URING_SETUP: i64 = 425;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Has the kernel refuse io_uring to this thread and all that it starts.
fn forbid_io_uring(errno: u32) {
    let refused = SeccompFilter::new(
        BTreeMap::from([(IO_URING_SETUP, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: seccompiler::BpfProgram = refused.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// Runs a test of this file once more, in a role.
fn in_a_child(test: &str, role: &str, variables: &[(&str, &str)]) {
    let (status, stderr) = Child::of_test(test, role, variables).wait();
    assert!(status.success(), "as {role}: {stderr}");
}

#[test]
fn refused_io_uring_is_replaced_by_epoll_with_one_line() {
    for (role, errno, why) in [
        ("not permitted", EPERM, "Operation not permitted"),
        ("not there", ENOSYS, "Function not implemented"),
    ] {
        if !Child::is_running(role) {
            continue;
        }
        forbid_io_uring(errno);
        let stage = Stage::with(Config::from_env().unwrap().cores(2), |builder| builder);
        assert_eq!(stage.engine.io_backend(), "epoll");
        let metrics = msec::report::prometheus(&stage.engine.snapshot());
        assert!(metrics.contains("\nmsec_io_backend{backend=\"epoll\"} 1\n"), "{metrics}");
        let found = lines("io", "refused");
        assert_eq!((found.len(), found[0].level), (1, Level::Warn), "{found:?}");
        assert!(found[0].text.contains(why) && found[0].text.contains("epoll"), "{found:?}");
        let mut peer = stage.peer();
        peer.echo(b"by epoll");
        peer.echo(&vec![1; 1_000_000]);
        return;
    }
    let test = "refused_io_uring_is_replaced_by_epoll_with_one_line";
    in_a_child(test, "not permitted", &[]);
    in_a_child(test, "not there", &[("MSEC_IO", "auto")]);
}

#[test]
fn demanded_io_uring_that_is_refused_is_an_error_that_says_why() {
    if Child::is_running("demanded") {
        collect_lines();
        forbid_io_uring(EPERM);
        let error = Engine::start().err().expect("an engine without what was demanded");
        assert_eq!(error.code(), Code::SYSTEM_ERROR);
        let text = error.to_string();
        for part in ["io_uring", "MSEC_IO", "not permitted"] {
            assert!(text.contains(part), "`{text}` does not say `{part}`");
        }
        assert!(lines("io", "epoll").is_empty(), "it must not fall back");
        // The process may go on and try with less.
        let engine = Engine::with(Config::new().io(msec::Io::Epoll)).unwrap();
        let server = Server::builder()
            .raw(ECHO, |context| Ok(context.body_bytes()))
            .listen("127.0.0.1:0")
            .start(&engine)
            .unwrap();
        Peer::connect(&server.addresses()[0]).echo(b"with less");
        return;
    }
    let test = "demanded_io_uring_that_is_refused_is_an_error_that_says_why";
    in_a_child(test, "demanded", &[("MSEC_IO", "uring")]);
}

#[test]
fn a_mistyped_back_end_is_an_error_that_says_what_is_allowed() {
    if Child::is_running("mistyped") {
        let error = Engine::start().err().expect("an engine on a back end that there is none of");
        assert_eq!(error.code(), Code::INVALID_PARAMETER);
        let text = error.to_string();
        assert!(text.contains("MSEC_IO") && text.contains("auto, uring, epoll"), "{text}");
        return;
    }
    let test = "a_mistyped_back_end_is_an_error_that_says_what_is_allowed";
    in_a_child(test, "mistyped", &[("MSEC_IO", "iouring")]);
}

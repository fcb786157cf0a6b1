//! Exceptions of plugins, by each compiler and runtime of C++: their callers are told what was
//! thrown, and nobody else is told anything.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use msec::{CallOptions, Client, Code, Config, Engine};
use msec_tests::hosted::{Hosted, SERVICE, plugin, plugin_of};
use msec_tests::{ECHO, Fleet, wait_until};

/// Compilers, and the runtimes of C++ that theirs is.
const COMPILERS: [&str; 3] = ["g++", "clang++", "clang++ -stdlib=libc++"];

fn engine() -> Engine {
    Engine::with(Config::new().cores(1)).unwrap()
}

fn patient() -> CallOptions {
    CallOptions::new().timeout(Duration::from_secs(30))
}

/// The plugin on msec.h alone.
fn bare(compiler: &str, flags: &[&str]) -> PathBuf {
    plugin_of("ffi-c/tests/bare.cpp", compiler, flags)
}

/// Has a service's methods throw, each a hundred times, while others call; each has a text that its
/// callers get, and the log.
fn throws(plugin: &std::path::Path, methods: &[(&str, &str)]) {
    let hosted = Hosted::start(plugin, "");
    let (engine, others) = (engine(), engine());
    let client = Client::new(&engine, &hosted.address()).unwrap();
    let other = Client::new(&others, &hosted.address()).unwrap();
    let fleet = Fleet::with(&others, &other, ECHO, 4, patient());
    for (method, text) in methods {
        for _ in 0..100 {
            let error = client.call_raw(method, b"thrown on purpose", &patient()).unwrap_err();
            assert_eq!(error.code(), Code::SERVICE_FAILED, "{method}: {error}");
            assert!(error.message().contains(text), "{method}: {error}");
        }
        let log = hosted.folder().join(format!("log/{SERVICE}.log"));
        let is_told = |line: &str| {
            let parts = ["ERROR", "a handler threw an exception", text, method];
            parts.iter().all(|part| line.contains(part))
        };
        wait_until(&format!("`{text}` in {}", log.display()), || {
            std::fs::read_to_string(&log).is_ok_and(|log| log.lines().any(is_told))
        });
    }
    fleet.wait_for_more(100);
    assert_eq!(fleet.failures(), [""; 0]);
    fleet.stop();
    assert_eq!(hosted.workers()[0][4], "0", "no worker was replaced");
    assert!(hosted.reports().is_empty());
}

#[test]
fn an_exception_is_an_answer_and_no_crash() {
    throws(&plugin(&[]), &[("test.Plugin.Throw", "thrown on purpose")]);
}

#[test]
fn an_exception_that_leaves_a_handler_of_c_is_an_answer_too() {
    for compiler in COMPILERS {
        let methods = [
            ("test.Plugin.Leak", "thrown on purpose"),
            ("test.Plugin.LeakNumber", "an exception that is no std::exception"),
        ];
        throws(&bare(compiler, &[]), &methods);
    }
}

/// Sixteen requests at a time park with an exception that is being caught, and throw it again:
/// each its own.
#[test]
fn exceptions_of_requests_that_are_parked_stay_apart() {
    for compiler in COMPILERS {
        let hosted = Hosted::start(&bare(compiler, &[]), "");
        let engine = engine();
        let client = Client::new(&engine, &hosted.address()).unwrap();
        for round in 0..50 {
            let texts: Vec<_> = (0..16).map(|number| format!("own {round} {number}")).collect();
            let start = |text: &String| {
                client.start_body::<()>(
                    "test.Plugin.Rethrow",
                    text.clone().into_bytes(),
                    &patient(),
                )
            };
            let calls: Vec<_> = texts.iter().map(start).collect();
            for (call, text) in calls.into_iter().zip(&texts) {
                let error = call.wait_raw().unwrap_err();
                assert_eq!(error.code(), Code::SERVICE_FAILED, "{compiler}: {error}");
                assert!(error.message().ends_with(text), "{compiler}: {text}: {error}");
            }
        }
        assert_eq!(hosted.workers()[0][4], "0");
    }
}

/// As in a plugin in C, where nobody catches.
#[test]
fn without_a_barrier_it_costs_the_worker_and_the_report_says_what_was_thrown() {
    for compiler in COMPILERS {
        let hosted = Hosted::start(&bare(compiler, &["-DBARRIER=NULL"]), "");
        let engine = engine();
        let client = Client::new(&engine, &hosted.address()).unwrap();
        let body = b"thrown on purpose";
        let error = client.call_raw("test.Plugin.Leak", body, &patient()).unwrap_err();
        assert_eq!(error.code(), Code::NETWORK, "{error}");
        hosted.wait_for_log("ended: SIGABRT in method test.Plugin.Leak (core 0); report");
        let report = hosted.reports().remove(0);
        let said = ["thrown on purpose", "cannot catch foreign exceptions"];
        assert!(said.iter().any(|what| report.contains(what)), "{compiler}: {report}");
        wait_until("it is back", || client.call_raw(ECHO, b"after", &patient()).is_ok());
    }
}

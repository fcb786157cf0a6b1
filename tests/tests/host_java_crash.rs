//! JVMs that die or hang under `msec host`: who called them is told at once, another one takes
//! their place, and a report says what happened and where the JVM says more.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use msec::{CallOptions, Client, Code, Config, Engine};
use msec_tests::hosted::Hosted;
use msec_tests::java::worker;
use msec_tests::{ECHO, Fleet, PATIENCE, now, wait_at_most, wait_until};

/// What a JVM takes to start where others have the processors as well.
const START: Duration = Duration::from_secs(60);

fn engine() -> Engine {
    Engine::with(Config::new().cores(1)).unwrap()
}

fn patient() -> CallOptions {
    CallOptions::new().timeout(Duration::from_secs(60))
}

#[track_caller]
fn started(config: &str) -> Hosted {
    let listen = "[SRPC]\nlisten=127.0.0.1:0/tcp\ncores=1\n";
    let options = "[JAVA]\noptions=-Xmx128m\n[TEST]\ninit=hurry\n";
    let hosted = Hosted::new(Some(&worker("1", "Worker")), &format!("{listen}{config}{options}"));
    let (ok, said) = hosted.host("start");
    assert!(ok, "{said}{}", hosted.log());
    hosted
}

/// Waits for an answer. Who connects while a JVM dies may still have got through to that one.
#[track_caller]
fn is_back(client: &Client) {
    wait_at_most(START, "it is back", || client.call_raw(ECHO, b"after", &patient()).is_ok());
}

/// Calls a method that ends the worker; its caller gets -11, the service is back, and this is the
/// report.
#[track_caller]
fn ends_its_worker(method: &str, config: &str, report: &[&str]) -> String {
    let hosted = started(config);
    let engine = engine();
    let client = Client::new(&engine, &hosted.address()).unwrap();
    client.call_raw(ECHO, b"before", &patient()).unwrap();
    let error = client.call_raw(method, b"", &patient()).unwrap_err();
    assert_eq!(error.code(), Code::NETWORK, "{error}");
    is_back(&client);
    wait_until("the report", || !hosted.reports().is_empty());
    let text = hosted.reports().remove(0);
    for part in report.iter().chain(&[ECHO, method]) {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    wait_at_most(START, "it serves", || hosted.workers()[0][3] == "serving");
    assert_eq!(hosted.workers()[0][4], "1");
    // The JVM's own is beside it as long as the service is.
    if let Some(path) = jvm_report(&text) {
        assert!(Path::new(&path).is_file(), "{path}");
        let own = std::fs::read_to_string(&path).unwrap();
        assert!(own.contains("Worker.crash"), "{own}");
    }
    text
}

/// The file that a report names as the JVM's own.
fn jvm_report(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("see also  "))?;
    Some(line.strip_suffix(", by the JVM").unwrap().to_owned())
}

#[test]
fn a_bad_access_is_reported_with_the_file_that_the_jvm_writes() {
    let parts = ["ended     SIGSEGV (0xb) at pc=", "log/crash/hs_err_pid"];
    let text = ends_its_worker("test.Worker.Crash", "", &parts);
    assert!(jvm_report(&text).is_some(), "{text}");
}

#[test]
fn a_program_that_exits_is_started_again() {
    ends_its_worker("test.Worker.Exit", "", &["it exited (status 7)"]);
}

/// No request comes to Java any more, though the cores do what they should.
#[test]
fn a_poller_that_hangs_costs_its_jvm_and_its_stacks_are_in_the_report() {
    let parts = ["it has shown no sign of life for 2 s", "Full thread dump", "at Worker.hang("];
    ends_its_worker("test.Worker.Hang", "heartbeat=2\n", &parts);
}

#[test]
fn a_jvm_that_is_killed_costs_the_calls_on_it_alone_and_another_one_comes() {
    let hosted = started("");
    let address = hosted.address();
    let engines: Vec<_> = (0..4).map(|_| engine()).collect();
    let clients: Vec<_> = engines.iter().map(|one| Client::new(one, &address).unwrap()).collect();
    let fleets: Vec<_> = engines
        .iter()
        .zip(&clients)
        .map(|(engine, client)| Fleet::with(engine, client, ECHO, 2, patient()))
        .collect();
    let count = || fleets.iter().map(Fleet::count).sum::<usize>();
    let failed = || fleets.iter().map(Fleet::failed_count).sum::<usize>();
    wait_until("the load", || count() > 2000);
    let pid = hosted.workers()[0][2].clone();
    let killed = now();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    wait_until("those on it to be told", || failed() > 0);
    let told = killed.elapsed();
    wait_at_most(START, "another one", || {
        hosted.workers().iter().all(|row| row[3] == "serving" && row[2] != pid)
    });
    let back = killed.elapsed();
    let before = count();
    wait_until("they go on", || count() > before + 2000);
    let failures: Vec<_> = fleets.iter().flat_map(Fleet::failures).collect();
    // Two calls at a time each.
    assert!(failures.len() <= 8, "{failures:?}");
    assert!(failures.iter().all(|text| text.contains("-11")), "{failures:?}");
    assert!(told < PATIENCE / 3, "{told:?}");
    println!("told after {told:?}, the next JVM serves after {back:?}; {} failed", failures.len());
    fleets.into_iter().for_each(Fleet::stop);
    assert!(hosted.reports()[0].contains("signal 9 ended it"), "{:?}", hosted.reports());
}

/// Each time later: a machine has other things to do than to start JVMs.
#[test]
fn a_jvm_that_dies_again_and_again_is_started_ever_later() {
    let hosted = started("");
    let engine = engine();
    let client = Client::new(&engine, &hosted.address()).unwrap();
    for round in 1..=4 {
        client.call_raw("test.Worker.Exit", b"", &patient()).unwrap_err();
        wait_until("the report", || hosted.reports().len() == round);
        is_back(&client);
    }
    wait_until("the restarts to be shown", || hosted.workers()[0][4] == "4");
}

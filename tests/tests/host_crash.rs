//! Workers that die or hang: who called them is told at once, nobody else notices for long, and a
//! report says what happened.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use msec::{CallOptions, Client, Code, Config, Engine};
use msec_tests::hosted::{Hosted, plugin};
use msec_tests::{ECHO, Fleet, PATIENCE, now, wait_until};

fn engine() -> Engine {
    Engine::with(Config::new().cores(1)).unwrap()
}

fn patient() -> CallOptions {
    CallOptions::new().timeout(Duration::from_secs(30))
}

/// Which worker has a client's connection, by its index and its process.
fn worker_of(client: &Client) -> (usize, String) {
    let reply = client.call_raw("test.Plugin.Where", b"", &patient()).unwrap();
    let told = String::from_utf8_lossy(&reply.body).into_owned();
    let words: Vec<_> = told.split(' ').collect();
    (words[1].parse().unwrap(), words[2].to_owned())
}

/// Somebody who calls, whose connection the other one of two workers has.
fn somebody_else(address: &str, index: usize) -> (Engine, Client) {
    let mut found = None;
    wait_until("a connection of the other worker", || {
        let engine = engine();
        let client = Client::new(&engine, address).unwrap();
        found = (worker_of(&client).0 != index).then_some((engine, client));
        found.is_some()
    });
    found.unwrap()
}

/// Calls a method that ends the worker: its caller gets -11, log and report say why, the service is
/// back, and who is served by the other worker does not notice.
#[track_caller]
fn ends_its_worker(method: &str, config: &str, report: &[&str]) {
    let hosted = Hosted::start(&plugin(&[]), &format!("procnum=2\n{config}"));
    let engine = engine();
    let client = Client::new(&engine, &hosted.address()).unwrap();
    client.call_raw(ECHO, b"before", &patient()).unwrap();
    let (index, pid) = worker_of(&client);
    let (others, other) = somebody_else(&hosted.address(), index);
    let (_, others_pid) = worker_of(&other);
    let fleet = Fleet::with(&others, &other, ECHO, 2, patient());
    let error = client.call_raw(method, b"", &patient()).unwrap_err();
    assert_eq!(error.code(), Code::NETWORK, "{error}");
    wait_until("it is back", || client.call_raw(ECHO, b"after", &patient()).is_ok());
    hosted.wait_for_log(&format!("worker {index} (process {pid}) ended: {}", report[0]));
    let text = hosted.reports().remove(0);
    for part in report.iter().chain(&[ECHO, method]) {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    // It answers a moment before its supervisor hears that it is ready.
    wait_until("it serves", || hosted.workers()[index][3] == "serving");
    let restarts = [0, 1].map(|which| usize::from(which == index).to_string());
    assert_eq!([0, 1].map(|which| hosted.workers()[which][4].clone()), restarts);
    fleet.wait_for_more(100);
    assert_eq!(fleet.failures(), [""; 0]);
    assert_eq!(worker_of(&other).1, others_pid, "on the same connection all the time");
    fleet.stop();
}

#[test]
fn a_bad_access_is_reported_with_its_method_and_stack() {
    let parts = ["SIGSEGV at 0x10 in method test.Plugin.Crash (core 0)", "bin/.msec.so.1(+0x"];
    ends_its_worker("test.Plugin.Crash", "", &parts);
}

#[test]
fn a_stack_overflow_is_reported_with_what_to_do() {
    let parts = ["stack overflow in method test.Plugin.Overflow", "raise stack_kb"];
    ends_its_worker("test.Plugin.Overflow", "", &parts);
}

#[test]
fn a_plugin_that_exits_is_started_again() {
    ends_its_worker("test.Plugin.Exit", "", &["it exited (status 7)"]);
}

/// By exit(), which destroys what is static while others still run.
#[test]
fn a_plugin_that_exits_in_order_is_started_again() {
    ends_its_worker("test.Plugin.ExitInOrder", "", &["it exited (status 8)"]);
}

#[test]
fn a_handler_that_blocks_for_ever_costs_its_worker() {
    let parts = [
        "it has shown no sign of life for 1 s",
        "has not looped for",
        "method test.Plugin.Hang runs without a blocking call",
        "SIGABRT in method test.Plugin.Hang (core 0)",
    ];
    ends_its_worker("test.Plugin.Hang", "heartbeat=1\n[ENGINE]\nstall_ms=100\n", &parts);
}

#[test]
fn a_mutex_held_across_a_call_that_parks_is_told_with_both_methods() {
    let hosted = Hosted::start(&plugin(&[]), "heartbeat=1\n[ENGINE]\nstall_ms=100\n");
    let engine = engine();
    let client = Client::new(&engine, &hosted.address()).unwrap();
    let method = "test.Plugin.Mutex";
    let first = client.start_body::<()>(method, Vec::new(), &patient());
    let second = client.start_body::<()>(method, Vec::new(), &patient());
    let told =
        "method test.Plugin.Mutex waits for a lock (futex); parked meanwhile: test.Plugin.Mutex";
    hosted.wait_for_log(told);
    let replaced = "it has shown no sign of life";
    hosted.wait_for_log(replaced);
    let log = hosted.log();
    assert!(log.find(told) < log.find(replaced), "before the worker is replaced: {log}");
    for pending in [first, second] {
        assert_eq!(pending.wait_raw().unwrap_err().code(), Code::NETWORK);
    }
    wait_until("it is back", || client.call_raw(ECHO, b"after", &patient()).is_ok());
    let report = hosted.reports().remove(0);
    assert!(report.contains("SIGABRT in method test.Plugin.Mutex (core 0)"), "{report}");
}

/// The signal goes to the thread that hangs, not to one that could say nothing.
#[test]
fn of_several_cores_the_one_that_hangs_is_named() {
    let listen = "[SRPC]\nlisten=127.0.0.1:0/tcp\ncores=3\nheartbeat=1\n";
    let config = format!("{listen}[ENGINE]\nstall_ms=100\n");
    let hosted = Hosted::new(Some(&plugin(&[])), &config);
    assert!(hosted.host("start").0);
    let engine = engine();
    let client = Client::new(&engine, &hosted.address()).unwrap();
    client.call_raw("test.Plugin.Hang", b"", &patient()).unwrap_err();
    wait_until("the report", || !hosted.reports().is_empty());
    let report = hosted.reports().remove(0);
    assert!(report.contains("SIGABRT in method test.Plugin.Hang (core "), "{report}");
    assert!(!report.contains("outside of any method"), "{report}");
}

#[test]
fn a_worker_that_is_killed_costs_the_calls_on_it_alone_and_is_back_at_once() {
    let config = "procnum=2\n";
    let hosted = Hosted::start(&plugin(&[]), config);
    let address = hosted.address();
    // Each engine has a connection of its own, so that both workers have some.
    let engines: Vec<_> = (0..8).map(|_| engine()).collect();
    let clients: Vec<_> = engines.iter().map(|one| Client::new(one, &address).unwrap()).collect();
    let fleets: Vec<_> = engines
        .iter()
        .zip(&clients)
        .map(|(engine, client)| Fleet::with(engine, client, ECHO, 2, patient()))
        .collect();
    let count = || fleets.iter().map(Fleet::count).sum::<usize>();
    wait_until("the load", || count() > 2000);
    let pid = hosted.workers()[0][2].clone();
    assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let killed = now();
    wait_until("another one", || {
        let workers = hosted.workers();
        workers.iter().all(|row| row[3] == "serving" && row[2] != pid)
    });
    let back = killed.elapsed();
    let before = count();
    wait_until("they go on", || count() > before + 2000);
    let failed: Vec<_> = fleets.iter().flat_map(Fleet::failures).collect();
    // Two calls at a time on each of those connections that the dead worker had.
    assert!(failed.len() <= 16, "{failed:?}");
    assert!(failed.iter().all(|text| text.contains("-11")), "{failed:?}");
    assert!(back < PATIENCE / 3, "{back:?}");
    fleets.into_iter().for_each(Fleet::stop);
}

#[test]
fn workers_without_their_supervisor_end() {
    let hosted = Hosted::start(&plugin(&[]), "drain_max_s=1\n");
    let pid = hosted.workers()[0][2].clone();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let rest = stat.rsplit_once(") ").unwrap().1;
    let supervisor = rest.split(' ').nth(1).unwrap();
    assert!(
        std::process::Command::new("kill").args(["-9", supervisor]).status().unwrap().success()
    );
    let path = format!("/proc/{pid}");
    wait_until("the worker to end", || !std::path::Path::new(&path).exists());
    // The next supervisor does not mind what is left.
    assert!(hosted.host("start").0);
}

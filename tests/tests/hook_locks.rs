//! Mutexes that are held while a coroutine waits, as `hook=diagnose` tells of them.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use msec::{CallOptions, Client, Config, Engine};
use msec_tests::hosted::{Hosted, SERVICE, plugin_of};
use msec_tests::wait_until;

fn patient() -> CallOptions {
    CallOptions::new().timeout(Duration::from_secs(30))
}

/// The lines of the service's log that are about hooks.
fn warnings(hosted: &Hosted) -> Vec<String> {
    let log = hosted.folder().join(format!("log/{SERVICE}.log"));
    let log = std::fs::read_to_string(log).unwrap_or_default();
    log.lines().filter(|line| line.contains("mutex")).map(str::to_owned).collect()
}

#[test]
fn a_mutex_that_is_held_in_a_wait_is_told_with_its_method_once() {
    let plugin = plugin_of("hook/tests/locks.cpp", "c++", &[]);
    let hosted = Hosted::start(&plugin, "hook=diagnose\n");
    let engine = Engine::with(Config::new().cores(1)).unwrap();
    let client = Client::new(&engine, &hosted.address()).unwrap();
    let call = |method: &str| client.call_raw(method, b"", &patient()).map(drop);
    call("hook.Locks.LetGo").unwrap();
    for _ in 0..2 {
        let held = client.start_body::<()>("hook.Locks.Hold", Vec::new(), &patient());
        wait_until("the warning", || !warnings(&hosted).is_empty());
        call("hook.Locks.Release").unwrap();
        held.wait_raw().unwrap();
    }
    call("hook.Locks.Lock").unwrap();
    let said = warnings(&hosted);
    let what = "is held by hook.Locks.Hold while it waits in read";
    assert!(said.len() == 1 && said[0].contains(what), "{said:?}");
}

#[test]
fn a_lock_that_stops_its_core_is_told_with_both_methods() {
    let plugin = plugin_of("hook/tests/locks.cpp", "c++", &[]);
    let hosted = Hosted::start(&plugin, "heartbeat=1\nhook=diagnose\n");
    let engine = Engine::with(Config::new().cores(1)).unwrap();
    let client = Client::new(&engine, &hosted.address()).unwrap();
    let _held = client.start_body::<()>("hook.Locks.Hold", Vec::new(), &patient());
    wait_until("the warning", || !warnings(&hosted).is_empty());
    let error = client.call_raw("hook.Locks.Lock", b"", &patient()).unwrap_err();
    let (locks, holds) = ("hook.Locks.Lock locks the mutex", "which hook.Locks.Hold holds");
    let is_told = |line: &String| {
        let parts = [locks, holds, "waits in read: this core does not go on"];
        parts.iter().all(|part| line.contains(part))
    };
    wait_until(&format!("{locks} in {:?}, after {error}", warnings(&hosted)), || {
        warnings(&hosted).iter().any(is_told)
    });
}

//! The network of one instance fails under load: its packets are lost without a word, until the
//! network is there again. Each story has a network namespace, which takes root to make, be it that
//! of a user namespace.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use msec::naming::Standing;
use msec::{CallOptions, Client, Engine, Io};
use msec_tests::instances::{
    NAME, ROLE, SERVICE, VICTIM, distant_victim, named, serve, standing, table,
};
use msec_tests::{Child, Flow, Namespace, config, on_both, wait_until};

/// Calls a second.
const RATE: f64 = 5000.0;
/// Failed calls that a process may have beyond those in flight.
const FAILED_MAX: usize = 5;

on_both! {
    fn an_instance_that_loses_its_network_costs_those_in_flight_and_returns_with_it(io: Io) {
        if Child::is_running(ROLE) {
            return serve(io);
        }
        Child::as_root(module_path!(), io, || loses_its_network(module_path!(), io));
    }
}

fn loses_its_network(module: &str, io: Io) {
    let namespace = Namespace::new();
    let (a, b) = (named(io, "a"), named(io, "b"));
    let child = distant_victim(module, io, &namespace);
    let address = child.said();
    let engine = Engine::with(config(io)).unwrap();
    engine.set_routes(table(&[a.address(), b.address(), &address]));
    let client = Client::new(&engine, SERVICE).unwrap();
    let options = CallOptions::new().timeout(Duration::from_secs(1));
    let flow = Flow::start(&client, NAME, RATE, &options);
    wait_until("all three are called", || {
        ["a", "b", VICTIM].iter().all(|name| flow.answered_count(name) > 1000)
    });
    assert_eq!(flow.failures(), [""; 0]);
    // Those to the others count, too: who knows which instance a call is for before it fails?
    let in_flight = flow.in_flight_most(|| namespace.disconnect());
    wait_until("it is ejected", || {
        matches!(standing(&engine, &address), Standing::Ejected(_) | Standing::HalfOpen(_))
    });
    flow.wait_for_more(10_000);
    let failed = flow.failures();
    assert!(failed.len() <= in_flight + FAILED_MAX, "{} of {in_flight}", failed.len());
    // They are told what it was, and those of the other instances have nothing to do with it.
    let told = |error: &&String| error.starts_with("-10") && error.contains(&address);
    assert!(failed.iter().all(|error| told(&error)), "{failed:?}");
    namespace.connect();
    wait_until("it has its part of the calls again", || flow.part_of_last(600, VICTIM) > 0.2);
    let failed = &flow.failures()[failed.len()..];
    assert!(failed.len() <= FAILED_MAX, "{failed:?}");
}

//! Calls by name: which instance gets them, and what happens as instances come and go.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use msec::naming::{Instance, Policy, Service, Table};
use msec::{CallOptions, Client, Code, Engine, Io};
use msec_tests::{ECHO, PATIENCE, Stage, config, free_address, on_both, wait_until};

const WHO: &str = "test.Who.Am";

/// A server that answers with its own name.
fn named(io: Io, name: &'static str) -> Stage {
    Stage::with(config(io), move |builder| builder.raw(WHO, move |_| Ok(name)))
}

fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
}

fn table(instances: &[(&str, u32)]) -> Table {
    let instance = |(address, weight): &(&str, u32)| Instance {
        weight: *weight,
        ..Instance::new(address.parse().unwrap())
    };
    let instances = instances.iter().map(instance).collect();
    let mut table = Table::new();
    let service = Service { policy: Policy::Wrr, ..Service::new("Demo.who", instances) };
    table.add(service).unwrap();
    table
}

fn ask(client: &Client) -> msec::Result<String> {
    let body = client.call_raw(WHO, b"", &patient())?.body;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

fn answers(client: &Client, count: usize) -> Vec<String> {
    (0..count).map(|_| ask(client).unwrap()).collect()
}

fn count(answers: &[String], name: &str) -> usize {
    answers.iter().filter(|answer| *answer == name).count()
}

/// A file for one test, removed afterwards.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("msec-{name}-{}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

on_both! {
    fn calls_by_name_take_turns_by_weight(io: Io) {
        let (a, b) = (named(io, "a"), named(io, "b"));
        let engine = Engine::with(config(io).cores(1)).unwrap();
        let text = format!(
            "[[service]]\nname = \"Demo.who\"\npolicy = \"wrr\"\n\
             [[service.instance]]\naddress = \"{}\"\nweight = 300\n\
             [[service.instance]]\naddress = \"{}\"\n",
            a.address(),
            b.address(),
        );
        let file = TestFile::new(&format!("weights-{io:?}"), &text);
        engine.load_routes(&file.0).unwrap();
        let client = Client::new(&engine, "Demo.who").unwrap();
        let answers = answers(&client, 400);
        assert_eq!((count(&answers, "a"), count(&answers, "b")), (300, 100));
        // Smoothly: in each four of them.
        for four in answers.chunks(4) {
            assert_eq!(count(four, "a"), 3, "{four:?}");
        }
    }

    fn every_core_takes_its_own_turns(io: Io) {
        let (a, b) = (named(io, "a"), named(io, "b"));
        let engine = Engine::with(config(io).cores(2)).unwrap();
        engine.set_routes(table(&[(a.address(), 1), (b.address(), 1)]));
        let client = Client::new(&engine, "Demo.who").unwrap();
        // Plain threads are spread over the cores.
        let ask = |_| {
            let client = client.clone();
            std::thread::spawn(move || answers(&client, 100))
        };
        let threads: Vec<_> = (0..8).map(ask).collect();
        let all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!((count(&all, "a"), count(&all, "b")), (400, 400));
    }

    fn an_unknown_name_is_told_and_a_new_table_counts_from_the_next_call(io: Io) {
        let (a, b) = (named(io, "a"), named(io, "b"));
        let engine = Engine::with(config(io)).unwrap();
        let client = Client::new(&engine, "Demo.who").unwrap();
        let error = ask(&client).unwrap_err();
        assert_eq!(error.code(), Code::NO_ROUTE);
        assert!(error.message().contains("Demo.who"), "{error}");
        engine.set_routes(table(&[(a.address(), 100)]));
        assert_eq!(count(&answers(&client, 20), "a"), 20);
        engine.set_routes(table(&[(b.address(), 100)]));
        assert_eq!(count(&answers(&client, 20), "b"), 20);
        engine.set_routes(table(&[]));
        assert_eq!(ask(&client).unwrap_err().code(), Code::NO_ROUTE);
        // An address needs no table.
        let direct = Client::new(&engine, a.address()).unwrap();
        assert_eq!(ask(&direct).unwrap(), "a");
    }

    fn a_bad_file_changes_nothing(io: Io) {
        let a = named(io, "a");
        let engine = Engine::with(config(io)).unwrap();
        engine.set_routes(table(&[(a.address(), 100)]));
        let file = TestFile::new(&format!("bad-{io:?}"), "[[service]]\nname = \"who\"\n");
        let error = engine.load_routes(&file.0).unwrap_err();
        assert_eq!(error.code(), Code::INVALID_PARAMETER);
        let place = format!("{}:2: ", file.0.display());
        assert!(error.message().starts_with(&place), "{error}");
        assert_eq!(ask(&Client::new(&engine, "Demo.who").unwrap()).unwrap(), "a");
    }

    fn an_instance_that_cannot_be_reached_costs_few_calls_and_comes_back(io: Io) {
        let (a, address) = (named(io, "a"), free_address());
        let named_b = || {
            Stage::at(config(io), |builder| builder.raw(WHO, |_| Ok("b")).listen(address.as_str()))
        };
        let b = named_b();
        let engine = Engine::with(config(io).cores(1)).unwrap();
        engine.set_routes(table(&[(a.address(), 100), (&address, 100)]));
        let client = Client::new(&engine, "Demo.who").unwrap();
        assert_eq!(count(&answers(&client, 20), "b"), 10);
        drop(b);
        let before = engine.vitals().dials;
        let failed = (0..500).filter(|_| ask(&client).is_err()).count() as u64;
        // Each failed call is a dial that was refused, or one that was in flight.
        let dials = engine.vitals().dials - before;
        assert!(failed <= dials + 1 && failed < 50, "{failed} calls failed by {dials} dials");
        let again = named_b();
        wait_until("it is called again", || ask(&client).is_ok_and(|name| name == "b"));
        assert_eq!(count(&answers(&client, 20), "b"), 10);
        drop(again);
    }

    fn a_server_that_drains_is_left_without_a_lost_call(io: Io) {
        let (a, b) = (named(io, "a"), named(io, "b"));
        let engine = Engine::with(config(io)).unwrap();
        engine.set_routes(table(&[(a.address(), 100), (b.address(), 100)]));
        let client = Client::new(&engine, "Demo.who").unwrap();
        let go_on = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let load = |_| {
            let (client, go_on) = (client.clone(), go_on.clone());
            std::thread::spawn(move || {
                let mut answers = Vec::new();
                while go_on.load(std::sync::atomic::Ordering::Acquire) {
                    answers.push(ask(&client));
                }
                answers
            })
        };
        let threads: Vec<_> = (0..4).map(load).collect();
        wait_until("both are called", || {
            [&a, &b].iter().all(|stage| stage.server.report().iter().any(|report| {
                report.name == WHO && report.counters.ended() > 20
            }))
        });
        // It restarts elsewhere: the new one is in the table as soon as it listens, the old one
        // out of it later.
        a.server.drain();
        let c = named(io, "c");
        engine.set_routes(table(&[(a.address(), 100), (b.address(), 100), (c.address(), 100)]));
        wait_until("nobody is connected to the one that leaves", || {
            a.server.load().connections_count == 0
        });
        a.stop(PATIENCE);
        engine.set_routes(table(&[(b.address(), 100), (c.address(), 100)]));
        wait_until("the new one is called", || ask(&client).is_ok_and(|name| name == "c"));
        go_on.store(false, std::sync::atomic::Ordering::Release);
        let answers = threads.into_iter().flat_map(|thread| thread.join().unwrap());
        let lost: Vec<_> = answers.filter_map(Result::err).map(|error| error.to_string()).collect();
        assert!(lost.is_empty(), "{} lost, such as {}", lost.len(), lost[0]);
    }

    fn a_single_server_that_restarts_at_its_address_loses_no_call(io: Io) {
        // The new one listens beside the old one (SO_REUSEPORT) before that drains.
        let old = Stage::echo(io);
        let engine = Engine::with(config(io)).unwrap();
        let client = Client::new(&engine, old.address()).unwrap();
        let go_on = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let load = |_| {
            let (client, go_on) = (client.clone(), go_on.clone());
            std::thread::spawn(move || {
                let mut lost = Vec::new();
                while go_on.load(std::sync::atomic::Ordering::Acquire) {
                    lost.extend(client.call_raw(ECHO, b"x", &patient()).err());
                }
                lost
            })
        };
        let threads: Vec<_> = (0..4).map(load).collect();
        wait_until("it is called", || old.server.load().connections_count > 0);
        let new = Stage::at(config(io), |builder| builder.listen(old.address()));
        old.stop(PATIENCE);
        wait_until("the new one is called", || new.server.load().connections_count > 0);
        let calls = |stage: &Stage| stage.server.report()[0].counters.ended();
        wait_until("it serves", || calls(&new) > 100);
        go_on.store(false, std::sync::atomic::Ordering::Release);
        let lost: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert!(lost.is_empty(), "{} lost, such as {}", lost.len(), lost[0]);
        new.stop(Duration::ZERO);
    }
}

//! Attempts beyond the first: where they are made, where never, and how many.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use msec::naming::{HedgeDelay, Instance, Policy, Service, Table};
use msec::{CallOptions, Client, Code, Engine, Io};
use msec_protocol::AnswerHead;
use msec_tests::emulated::{resetting, silent};
use msec_tests::{ECHO, Emulated, PATIENCE, config, on_both, wait_until};

/// What a service may do before its calls have earned any attempt.
const START_COUNT: usize = 10;

fn table(addresses: &[&str], policy: Policy) -> Table {
    let instance = |address: &&str| Instance::new(address.parse().unwrap());
    let instances = addresses.iter().map(instance).collect();
    let mut table = Table::new();
    table.add(Service { policy, ..Service::new("Demo.echo", instances) }).unwrap();
    table
}

/// An engine of one core, so that what a service has earned is in one place.
fn client(io: Io, addresses: &[&str]) -> (Engine, Client) {
    let engine = Engine::with(config(io).cores(1)).unwrap();
    engine.set_routes(table(addresses, Policy::Wrr));
    let client = Client::new(&engine, "Demo.echo").unwrap();
    (engine, client)
}

fn echoing() -> Emulated {
    Emulated::start(|seen, wire| wire.echo(seen))
}

fn refusing(code: Code) -> Emulated {
    Emulated::start(move |seen, wire| {
        let answer = AnswerHead { err: code, ..AnswerHead::to(&seen.head, &seen.head_bytes) };
        wire.answer(&answer, b"");
    })
}

/// How often a body has come to a server.
fn times(server: &Emulated, body: &[u8]) -> usize {
    server.seen().iter().filter(|seen| seen.body == body).count()
}

/// Calls with bodies `0`, `1`, …; the outcomes.
fn call(client: &Client, count: usize, options: &CallOptions) -> Vec<msec::Result<msec::Reply>> {
    (0..count).map(|n| client.call_raw(ECHO, n.to_string().as_bytes(), options)).collect()
}

on_both! {
    fn a_call_that_did_not_get_there_goes_elsewhere(io: Io) {
        let good = echoing();
        let (engine, client) = client(io, &["127.0.0.1:1", &good.address()]);
        for outcome in call(&client, 50, &CallOptions::new()) {
            outcome.unwrap();
        }
        assert!(engine.explain_routes()[0].retries_count > 0);
        // On request not, and with a single instance there is nowhere else.
        engine.set_routes(table(&["127.0.0.1:1"], Policy::Wrr));
        let alone = client.call_raw(ECHO, b"", &CallOptions::new()).unwrap_err();
        assert_eq!(alone.code(), Code::NETWORK);
        assert!(alone.retryable(), "it surely did not run");
    }

    fn a_call_that_was_refused_before_it_started_goes_elsewhere(io: Io) {
        for code in [Code::OVERLOADED, Code::DRAINING] {
            let (full, good) = (refusing(code), echoing());
            let (_engine, client) = client(io, &[&full.address(), &good.address()]);
            let outcomes = call(&client, 20, &CallOptions::new());
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
            assert!(!full.seen().is_empty());
            let again = good.seen().into_iter().find(|seen| times(&full, &seen.body) == 1);
            assert_eq!(again.unwrap().head.attempt, 1, "it says that it is not the first");
            let none = CallOptions::new().retries(0);
            wait_until("a refusal that is not tried again", || {
                call(&client, 10, &none).iter().any(|outcome| {
                    outcome.as_ref().is_err_and(|error| error.code() == code)
                })
            });
        }
    }

    fn a_call_that_may_have_started_is_never_sent_again_unless_it_is_idempotent(io: Io) {
        let (bad, good) = (Emulated::start(resetting), echoing());
        let (_engine, client) = client(io, &[&bad.address(), &good.address()]);
        let outcomes = call(&client, 20, &CallOptions::new());
        let lost: Vec<_> = (0..20).filter(|n| outcomes[*n].is_err()).collect();
        assert!(!lost.is_empty());
        for n in lost {
            assert_eq!(outcomes[n].as_ref().unwrap_err().code(), Code::NETWORK);
            let body = n.to_string();
            assert_eq!(times(&good, body.as_bytes()), 0, "call {n} was sent again");
        }
        let (bad, good) = (Emulated::start(resetting), echoing());
        let (_engine, client) = self::client(io, &[&bad.address(), &good.address()]);
        let outcomes = call(&client, 20, &CallOptions::new().idempotent(true));
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert!(!bad.seen().is_empty());
    }

    fn an_answer_that_is_an_error_of_the_method_is_not_tried_again(io: Io) {
        let (failing, good) = (refusing(Code::SERVICE_FAILED), echoing());
        let (_engine, client) = client(io, &[&failing.address(), &good.address()]);
        let outcomes = call(&client, 4, &CallOptions::new().idempotent(true));
        let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        assert_eq!(failed, failing.seen().len());
        assert!(failed > 0);
    }

    fn attempts_stay_below_a_tenth_of_the_calls_whatever_fails(io: Io) {
        let servers = [(); 3].map(|()| refusing(Code::OVERLOADED));
        let addresses: Vec<_> = servers.iter().map(Emulated::address).collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        let (engine, client) = client(io, &addresses);
        let outcomes = call(&client, 1000, &CallOptions::new());
        assert!(outcomes.iter().all(|outcome| {
            outcome.as_ref().is_err_and(|error| error.code() == Code::OVERLOADED)
        }));
        let seen: usize = servers.iter().map(|server| server.seen().len()).sum();
        assert!(seen > 1000, "some were tried again");
        assert!(seen <= 1000 + 100 + START_COUNT, "{seen} attempts for 1000 calls");
        let service = &engine.explain_routes()[0];
        assert_eq!(service.retries_count as usize, seen - 1000);
        assert!(service.retries_refused_count > 0);
    }

    fn a_hedged_call_is_answered_by_whoever_is_first(io: Io) {
        let (mute, good) = (Emulated::start(silent), echoing());
        let (_engine, client) = client(io, &[&mute.address(), &good.address()]);
        let options = CallOptions::new().timeout(PATIENCE).hedge_after(Duration::from_millis(20));
        let outcomes = call(&client, 8, &options);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        let hedged = mute.seen().len();
        assert!(hedged > 0 && good.seen().len() == 8, "{hedged} had a second attempt");
        // The same by a coroutine, which waits another way.
        let (mute, good) = (Emulated::start(silent), echoing());
        let (engine, client) = self::client(io, &[&mute.address(), &good.address()]);
        let outcomes = engine.run(move || call(&client, 8, &options)).unwrap();
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert!(!mute.seen().is_empty() && good.seen().len() == 8);
    }

    fn hedges_are_bounded_by_the_budget(io: Io) {
        let slow = || Emulated::start(|seen, wire| {
            if seen.head.sequence != 0 {
                // Later than the hedge, long before the deadline.
                let late = msec_tests::now() + Duration::from_millis(8);
                while msec_tests::now() < late {
                    std::thread::yield_now();
                }
                wire.echo(seen);
            }
        });
        let servers = [slow(), slow()];
        let (_engine, client) = client(io, &[&servers[0].address(), &servers[1].address()]);
        let options = CallOptions::new().timeout(PATIENCE).hedge_after(Duration::from_millis(2));
        let outcomes = call(&client, 100, &options);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        wait_until("every attempt has come", || {
            servers.iter().map(|server| server.seen().len()).sum::<usize>() > 100
        });
        let bodies = servers.iter().flat_map(Emulated::seen);
        let attempts = bodies.filter(|seen| !seen.body.is_empty()).count();
        assert!(attempts <= 100 + 10 + START_COUNT, "{attempts} attempts for 100 calls");
    }

    fn a_service_may_say_that_its_idempotent_calls_are_hedged(io: Io) {
        let (mute, good) = (Emulated::start(silent), echoing());
        let (engine, client) = client(io, &[&mute.address(), &good.address()]);
        let hedged = engine.routes().find("Demo.echo").map(|service| Service {
            hedge: Some(HedgeDelay::AfterNs(20_000_000)),
            ..Service::clone(service)
        });
        let mut table = Table::new();
        table.add(hedged.unwrap()).unwrap();
        engine.set_routes(table);
        let options = CallOptions::new().timeout(PATIENCE).idempotent(true);
        let outcomes = call(&client, 4, &options);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert!(!mute.seen().is_empty());
    }

    fn calls_are_hedged_when_they_are_later_than_most(io: Io) {
        let mute = Arc::new(AtomicBool::new(false));
        let now = mute.clone();
        let moody = Emulated::start(move |seen, wire| {
            if !now.load(Ordering::Acquire) {
                wire.echo(seen);
            }
        });
        let good = echoing();
        let (engine, client) = client(io, &[&moody.address(), &good.address()]);
        let service = engine.routes().find("Demo.echo").map(|service| Service {
            hedge: Some(HedgeDelay::P95),
            ..Service::clone(service)
        });
        let mut table = Table::new();
        table.add(service.unwrap()).unwrap();
        engine.set_routes(table);
        let options = CallOptions::new().timeout(PATIENCE).idempotent(true);
        let outcomes = call(&client, 100, &options);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        // Nobody has said how late is late: the calls before have shown it.
        mute.store(true, Ordering::Release);
        let late = client.call_raw(ECHO, b"late", &options);
        let other = client.call_raw(ECHO, b"other", &options);
        assert!(late.is_ok() && other.is_ok(), "{late:?} {other:?}");
        let seen: Vec<_> = [b"late".as_slice(), b"other"].into_iter()
            .filter(|body| times(&moody, body) > 0).collect();
        assert!(!seen.is_empty(), "one of two has its turn there");
        assert!(seen.iter().all(|body| times(&good, body) == 1), "and is answered elsewhere");
    }

    fn calls_with_one_key_go_to_one_instance(io: Io) {
        let servers = [(); 4].map(|()| echoing());
        let addresses: Vec<_> = servers.iter().map(Emulated::address).collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        let engine = Engine::with(config(io)).unwrap();
        engine.set_routes(table(&addresses, Policy::Hash));
        let client = Client::new(&engine, "Demo.echo").unwrap();
        for user in 0..12 {
            let options = CallOptions::new().key(format!("user {user}").as_bytes());
            let body = format!("of {user}");
            for _ in 0..5 {
                client.call_raw(ECHO, body.as_bytes(), &options).unwrap();
            }
            let homes = servers.iter().filter(|server| times(server, body.as_bytes()) > 0);
            assert_eq!(homes.count(), 1, "user {user}");
        }
        let used = servers.iter().filter(|server| !server.seen().is_empty()).count();
        assert!(used > 1, "twelve users have more than one home");
    }
}

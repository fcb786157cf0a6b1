//! Instances that are picked for calls by other means, and what is reported of those.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use msec::naming::Standing;
use msec::{CallOptions, Client, Code, Engine, Io};
use msec_tests::instances::{SERVICE, WHO, named, standing, table};
use msec_tests::{config, free_address, on_both, wait_until};

const LATENCY: Duration = Duration::from_millis(2);

/// Reports nothing but answers, so that there is somebody to compare with.
fn answers(engine: &Engine, address: &str, count: usize) {
    for _ in 0..count {
        engine.report_route(SERVICE, address, 0, LATENCY).unwrap();
    }
}

on_both! {
    fn what_fails_by_other_means_is_not_called_by_the_engine_either_until_it_works_again(io: Io) {
        let (a, b) = (named(io, "a"), named(io, "b"));
        let engine = Engine::with(config(io).cores(2)).unwrap();
        engine.set_routes(table(&[a.address(), b.address()]));
        let client = Client::new(&engine, SERVICE).unwrap();
        let pick = || engine.pick_route(SERVICE).unwrap().to_string();
        let mut picked = [0, 0];
        for _ in 0..100 {
            picked[usize::from(pick() == a.address())] += 1;
        }
        assert!(picked.iter().all(|count| *count > 10), "both are picked: {picked:?}");
        assert!(engine.explain_routes()[0].instances.iter().all(|one| one.in_flight_count == 0));
        answers(&engine, b.address(), 20);
        engine.report_route(SERVICE, a.address(), 4, LATENCY).unwrap();
        assert!(matches!(standing(&engine, a.address()), Standing::Ejected(_)));
        let options = CallOptions::new().timeout(Duration::from_secs(20));
        wait_until("both cores have heard of it", || {
            (0..20).all(|_| client.call_raw(WHO, b"", &options).unwrap().body[..] == b"b"[..])
        });
        // From time to time one is a look at who has failed; a good report and it rises.
        wait_until("it is picked, and rises", || {
            let address = pick();
            let failures = u32::from(address != b.address() && address != a.address());
            engine.report_route(SERVICE, &address, failures, LATENCY).unwrap();
            matches!(standing(&engine, a.address()), Standing::Rising | Standing::Live)
        });
    }

    fn coroutines_pick_and_report_on_their_own_core(io: Io) {
        let (a, b) = (named(io, "a"), named(io, "b"));
        let engine = Engine::with(config(io).cores(1)).unwrap();
        engine.set_routes(table(&[a.address(), b.address()]));
        let (inside, dead) = (engine.clone(), a.address().to_owned());
        let live = b.address().to_owned();
        engine.run(move || {
            answers(&inside, &live, 20);
            inside.report_route(SERVICE, &dead, 5, LATENCY).unwrap();
            assert!((0..50).all(|_| inside.pick_route(SERVICE).unwrap().to_string() == live));
        }).unwrap();
        assert!(matches!(standing(&engine, a.address()), Standing::Ejected(_)));
    }

    fn one_that_never_works_is_left(io: Io) {
        let b = named(io, "b");
        let dead = free_address();
        let engine = Engine::with(config(io).cores(1)).unwrap();
        engine.set_routes(table(&[&dead, b.address()]));
        wait_until("it is left", || {
            let address = engine.pick_route(SERVICE).unwrap().to_string();
            let failures = u32::from(address == dead);
            engine.report_route(SERVICE, &address, failures, LATENCY).unwrap();
            matches!(standing(&engine, &dead), Standing::Ejected(_))
        });
    }

    fn what_cannot_be_picked_says_why(io: Io) {
        let engine = Engine::with(config(io).cores(1)).unwrap();
        let code = |service: &str| engine.pick_route(service).unwrap_err().code();
        assert_eq!((code(SERVICE), code("nonsense")), (Code::NO_ROUTE, Code::INVALID_ENDPOINT));
        assert_eq!(engine.pick_route("127.0.0.1:1@udp").unwrap().to_string(), "127.0.0.1:1@udp");
        let report = |service, instance| engine.report_route(service, instance, 1, LATENCY);
        assert!(report(SERVICE, "127.0.0.1").is_ok(), "nobody is called so any more");
        assert!(report("127.0.0.1:1", "127.0.0.1:1").is_ok());
        for (service, instance) in [(SERVICE, SERVICE), ("nonsense", "127.0.0.1:1")] {
            let error = report(service, instance).unwrap_err();
            assert_eq!(error.code(), Code::INVALID_ENDPOINT, "{error}");
        }
    }
}

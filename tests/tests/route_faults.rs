//! Instances that die, slow down and come back under load, and what their callers notice.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use msec::naming::{Instance, Policy, Service, Standing, Table};
use msec::{CallOptions, Client, Code, Engine, Io};
use msec_tests::fleet::Call;
use msec_tests::instances::{
    NAME, ROLE, SERVICE, VICTIM, WHO, named, serve, standing, table, victim,
};
use msec_tests::{
    Child, Fleet, Flow, PATIENCE, Stage, alone, config, free_address, on_both, wait_until,
};

/// Callers at a time: that many calls may be in flight to whoever dies.
const CALLERS: usize = 8;
/// Failed calls that a process may have beyond those in flight.
const FAILED_MAX: usize = 5;
/// Calls of an instance in a second that only look whether it is as slow as before.
const LOOKS_MAX: usize = 40;
/// Calls a second of a flow, where the machine gives it the time.
const FLOW_RATE: f64 = 20_000.0;
/// How often an instance is killed until the machine is quiet enough to tell what that does.
const ROUNDS_MAX: usize = 8;

/// A machine that is busy is no reason for a call to fail.
fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
}

on_both! {
    fn an_instance_killed_under_load_costs_those_in_flight_and_returns_when_revived(io: Io) {
        if Child::is_running(ROLE) {
            return serve(io);
        }
        let _alone = alone();
        let (a, b) = (named(io, "a"), named(io, "b"));
        let child = victim(module_path!(), io, &free_address());
        let address = child.said();
        let engine = Engine::with(config(io)).unwrap();
        engine.set_routes(table(&[a.address(), b.address(), &address]));
        let client = Client::new(&engine, SERVICE).unwrap();
        let fleet = Fleet::with(&engine, &client, WHO, CALLERS, patient());
        wait_until("all three are called", || {
            ["a", "b", VICTIM].iter().all(|name| fleet.answered_count(name) > 300)
        });
        child.signal("KILL");
        fleet.wait_for_more(5000);
        let failed = fleet.failures();
        assert!(failed.len() <= CALLERS + FAILED_MAX, "{}: {failed:?}", failed.len());
        // Those in flight are told what has happened; none is lost in silence.
        assert!(failed.iter().all(|error| error.contains("-11")), "{failed:?}");
        // The metric tells of it, and why: with the third failure, if no more were in flight.
        let ejected = || {
            let page = msec::report::prometheus(&engine.snapshot());
            let of = |line: &&str| line.starts_with("msec_ejections_total{");
            page.lines().filter(of).map(str::to_owned).collect::<Vec<_>>()
        };
        wait_until("it is out", || ejected().iter().any(|line| !line.ends_with(" 0")));
        let causes = ["unreachable", "failing", "silent"];
        let is_known = |line: &String| causes.iter().any(|cause| {
            line.contains(&format!("reason=\"{cause}\",service=\"Demo.who\""))
        });
        assert!(ejected().iter().all(is_known), "{:?}", ejected());
        let again = victim(module_path!(), io, &address);
        again.said();
        wait_until("it has its part of the calls again", || {
            fleet.part_of_last(600, VICTIM) > 0.2
        });
        let failed = &fleet.failures()[failed.len()..];
        assert!(failed.len() <= FAILED_MAX, "{failed:?}");
        fleet.stop();
    }

    fn an_instance_killed_under_a_flow_costs_the_others_calls_no_time(io: Io) {
        if Child::is_running(ROLE) {
            return serve(io);
        }
        let _alone = alone();
        let (a, b) = (named(io, "a"), named(io, "b"));
        let mut child = victim(module_path!(), io, &free_address());
        let address = child.said();
        let engine = Engine::with(config(io)).unwrap();
        engine.set_routes(table(&[a.address(), b.address(), &address]));
        let client = Client::new(&engine, SERVICE).unwrap();
        let options = CallOptions::new().timeout(Duration::from_secs(1));
        let flow = Flow::start(&client, NAME, FLOW_RATE, &options);
        let mut ratios = Vec::new();
        // What else the machine does comes and goes, and doubles a p99 by itself; what the engine
        // does to the others' calls would be there each time.
        while ratios.iter().all(|ratio| *ratio > 2.0) {
            assert!(ratios.len() < ROUNDS_MAX, "p99 after to p99 before: {ratios:?}");
            wait_until("it has its part", || flow.part_of_last(600, VICTIM) > 0.2);
            let failed_before = flow.failures().len();
            let before = msec_tests::now();
            flow.wait_for_more(FLOW_RATE as usize / 2);
            let killed = msec_tests::now();
            let in_flight = flow.in_flight_most(|| child.signal("KILL"));
            flow.wait_for_more(FLOW_RATE as usize / 2);
            let failed = &flow.failures()[failed_before..];
            assert!(failed.len() <= in_flight + FAILED_MAX, "{} of {in_flight}", failed.len());
            assert!(failed.iter().all(|error| error.starts_with("-11")), "{failed:?}");
            let p99 = |from, until| flow.p99_of_others(from, until, VICTIM).as_secs_f64();
            ratios.push(p99(killed, msec_tests::now()) / p99(before, killed));
            child = victim(module_path!(), io, &address);
            child.said();
        }
    }

    fn an_instance_made_slow_gets_next_to_nothing_within_a_second(io: Io) {
        let _alone = alone();
        let delay_ms = Arc::new(AtomicU64::new(0));
        let slow = delay_ms.clone();
        let c = Stage::with(config(io), move |builder| {
            builder.raw(WHO, move |_| {
                msec::sleep(Duration::from_millis(slow.load(Ordering::Acquire)))?;
                Ok("c")
            })
        });
        let (a, b) = (named(io, "a"), named(io, "b"));
        let engine = Engine::with(config(io)).unwrap();
        engine.set_routes(table(&[a.address(), b.address(), c.address()]));
        let client = Client::new(&engine, SERVICE).unwrap();
        let fleet = Fleet::with(&engine, &client, WHO, CALLERS, patient());
        wait_until("all three are called", || fleet.answered_count("c") > 300);
        delay_ms.store(50, Ordering::Release);
        let slow_since = msec_tests::now();
        let counts = |seconds| {
            let end = slow_since + Duration::from_secs(seconds);
            wait_until("the time of some calls", || msec_tests::now() >= end);
            (fleet.count(), fleet.answered_count("c"))
        };
        let (first, last) = (counts(1), counts(2));
        let (all, of_c) = (last.0 - first.0, last.1 - first.1);
        // Looks at it are made by time, and on a busy machine they are a part of fewer calls.
        assert!(of_c <= all / 20 || of_c <= LOOKS_MAX, "{of_c} of {all} calls");
        delay_ms.store(0, Ordering::Release);
        wait_until("it has its part again", || fleet.part_of_last(600, "c") > 0.2);
        assert_eq!(fleet.failures(), [""; 0]);
        fleet.stop();
    }

    fn of_two_drawn_the_slow_one_is_not_taken(io: Io) {
        let _alone = alone();
        let c = Stage::with(config(io), |builder| {
            builder.raw(WHO, |_| {
                msec::sleep(Duration::from_millis(50))?;
                Ok("c")
            })
        });
        let (a, b) = (named(io, "a"), named(io, "b"));
        let engine = Engine::with(config(io)).unwrap();
        let instance = |stage: &Stage| Instance::new(stage.address().parse().unwrap());
        let service = Service::new(SERVICE, [&a, &b, &c].map(instance).to_vec());
        let mut routes = Table::new();
        routes.add(Service { policy: Policy::P2c, ..service }).unwrap();
        engine.set_routes(routes);
        let client = Client::new(&engine, SERVICE).unwrap();
        let fleet = Fleet::start(&engine, &client, WHO, CALLERS);
        wait_until("the slow one gets less than half of a third", || {
            fleet.count() > 600 && fleet.part_of_last(600, "c") < 0.16
        });
        assert_eq!(fleet.failures(), [""; 0]);
        fleet.stop();
    }

    fn what_one_core_ejects_is_out_on_the_other_one(io: Io) {
        let _alone = alone();
        let fails = Arc::new(AtomicBool::new(false));
        let now = fails.clone();
        let c = Stage::with(config(io), move |builder| {
            builder.raw(WHO, move |_| match now.load(Ordering::Acquire) {
                true => Err(msec::Error::failed("as it was told to")),
                false => Ok("c"),
            })
        });
        let (a, b) = (named(io, "a"), named(io, "b"));
        let engine = Engine::with(config(io).cores(2)).unwrap();
        engine.set_routes(table(&[a.address(), b.address(), c.address()]));
        let client = Client::new(&engine, SERVICE).unwrap();
        let fleet = Fleet::start(&engine, &client, WHO, CALLERS);
        wait_until("both cores call", || engine.explain_routes()[0].cores_count == 2);
        fleet.wait_for_more(300);
        fleet.stop();
        // One core alone makes calls, and sees how it fails.
        fails.store(true, Ordering::Release);
        let failed = engine.run(move || {
            let fails = || client.call_raw(WHO, b"", &patient()).is_err();
            let (mut seen, end) = (0, msec_tests::now() + PATIENCE);
            // It may be called seldom, for having been slow on a busy machine.
            while seen < 3 {
                assert!(msec_tests::now() < end, "it is hardly ever called");
                seen += usize::from(fails());
            }
            (0..200).filter(|_| fails()).count()
        });
        let failed = failed.unwrap();
        // Those that have seen that it still fails.
        assert!(failed < 20, "{failed} of 200 failed");
        wait_until("the other core has it out, too", || {
            let service = engine.explain_routes().remove(0);
            let mut of_c = service.instances.iter();
            let of_c = of_c.find(|one| one.address.to_string() == c.address()).unwrap();
            // The share is the mean of the cores.
            service.cores_count == 2 && of_c.share == 0.0
        });
    }

    fn with_most_gone_the_others_are_protected(io: Io) {
        let a = named(io, "a");
        let engine = Engine::with(config(io)).unwrap();
        engine.set_routes(table(&[a.address(), "127.0.0.1:1", "127.0.0.1:2"]));
        let client = Client::new(&engine, SERVICE).unwrap();
        let fleet = Fleet::start(&engine, &client, WHO, 2);
        wait_until("the two dead are seen", || {
            let service = engine.explain_routes().remove(0);
            service.is_protective && !service.is_all_dead
        });
        fleet.wait_for_more(100);
        assert!(fleet.part_of_last(100, "a") == 1.0);
        fleet.stop();
    }

    fn an_instance_that_stops_answering_is_left_alone_before_its_calls_time_out(io: Io) {
        if Child::is_running(ROLE) {
            return serve(io);
        }
        let _alone = alone();
        let (a, b) = (named(io, "a"), named(io, "b"));
        let child = victim(module_path!(), io, &free_address());
        let address = child.said();
        let engine = Engine::with(config(io)).unwrap();
        engine.set_routes(table(&[a.address(), b.address(), &address]));
        let client = Client::new(&engine, SERVICE).unwrap();
        let fleet = Fleet::start(&engine, &client, WHO, CALLERS);
        wait_until("all three are called", || fleet.answered_count(VICTIM) > 300);
        child.signal("STOP");
        wait_until("it is ejected", || {
            matches!(standing(&engine, &address), Standing::Ejected(_) | Standing::HalfOpen(_))
        });
        wait_until("its calls have timed out", || {
            fleet.failed_count() > 0
        });
        fleet.wait_for_more(3000);
        let failed = fleet.failures();
        assert!(failed.len() <= CALLERS + FAILED_MAX, "{}: {failed:?}", failed.len());
        child.signal("CONT");
        wait_until("it has its part again", || fleet.part_of_last(600, VICTIM) > 0.2);
        fleet.stop();
    }

    fn with_everybody_gone_calls_fail_at_once_and_work_as_soon_as_one_is_back(io: Io) {
        let _alone = alone();
        let address = free_address();
        let a = Stage::at(config(io), |builder| {
            builder.listen(address.as_str()).raw(WHO, |_| Ok("a"))
        });
        let engine = Engine::with(config(io)).unwrap();
        engine.set_routes(table(&[&address, "127.0.0.1:1"]));
        let client = Client::new(&engine, SERVICE).unwrap();
        let fleet = Fleet::start(&engine, &client, WHO, 2);
        wait_until("one of two is called", || fleet.answered_count("a") > 100);
        assert_eq!(fleet.failures(), [""; 0], "what did not get there went elsewhere");
        drop(a);
        wait_until("nobody is live", || engine.explain_routes()[0].is_all_dead);
        fleet.wait_for_more(200);
        let calls = fleet.last(100);
        let quick = calls.iter().filter(|call| call.took < Duration::from_millis(200)).count();
        assert!(quick > 90, "{quick} of 100 failed at once");
        let code = |call: &Call| call.outcome.as_ref().err().map(msec::Error::code);
        assert!(calls.iter().all(|call| code(call) == Some(Code::NETWORK)));
        let _back = Stage::at(config(io), |builder| {
            builder.listen(address.as_str()).raw(WHO, |_| Ok("back"))
        });
        wait_until("it is called", || fleet.part_of_last(50, "back") > 0.8);
        fleet.stop();
    }

    fn calls_that_fail_at_once_in_a_loop_do_not_keep_the_core_to_themselves(io: Io) {
        let engine = Engine::with(config(io).cores(1)).unwrap();
        let nobody = Client::new(&engine, "127.0.0.1:1").unwrap();
        let go_on = Arc::new(AtomicBool::new(true));
        let (stop, inside) = (go_on.clone(), engine.clone());
        let looping = std::thread::spawn(move || {
            inside.run(move || {
                while go_on.load(Ordering::Acquire) {
                    nobody.call_raw(WHO, b"", &CallOptions::new()).unwrap_err();
                }
            })
        });
        assert_eq!(engine.run(|| 7).unwrap(), 7, "another task has its turn");
        stop.store(false, Ordering::Release);
        looping.join().unwrap().unwrap();
    }
}

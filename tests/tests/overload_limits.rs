//! Limits that are not the core's queue: callers' quotas, methods that queue up for something
//! scarce; and methods that merely wait, which no limit may touch.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use msec::sync::Semaphore;
use msec::{CallOptions, Code};
use msec_tests::load::Loader;
use msec_tests::{
    ECHO, Gate, Load, PATIENCE, Stage, alone, config, measured, on_both, wait_on_core, wait_until,
};

const SECOND: Duration = Duration::from_secs(1);

fn from(caller: &str) -> CallOptions {
    CallOptions::new().timeout(2 * SECOND).from_service(caller)
}

const PLACES_COUNT: usize = 8;

thread_local! {
    /// Of the core, of which there is one.
    static PLACES: Semaphore = Semaphore::new(PLACES_COUNT);
}

on_both! {
    fn a_quota_holds_on_two_cores_of_which_one_is_busy(io: msec::Io) {
        measured(|| {
            let stage = Stage::with(config(io), |builder| {
                let builder = builder.quota("Demo.batch", 200, 20).quota_for_others(100_000, 1000);
                builder.raw("test.Work.Hold", |_| {
                    wait_on_core(Duration::from_millis(5));
                    Ok([])
                })
            });
            // Sixteen connections are on both cores, but once in 32,768.
            let loader = Loader::new(stage.address(), 16);
            let load = |method, rate, options| Load { method, rate, options };
            let [batch, web, _busy] = loader
                .run(
                    &[
                        load(ECHO, 1000.0, from("Demo.batch")),
                        load(ECHO, 1000.0, from("Demo.web")),
                        load("test.Work.Hold", 150.0, from("Demo.busy")),
                    ],
                    2 * SECOND,
                )
                .try_into()
                .unwrap();
            let granted = batch.good();
            // Half of it would be 200 and what there is at the begin.
            assert!((300..=425).contains(&granted), "{granted} of 200 a second: {:?}", batch.codes);
            assert_eq!(batch.count(Code::RATE_LIMITED) + granted, batch.made, "{:?}", batch.codes);
            let text = "caller `Demo.batch` is over its quota of 200 a second";
            assert!(batch.texts.keys().all(|said| said.contains(text)), "{:?}", batch.texts);
            assert_eq!(web.good(), web.made, "{:?}", web.codes);
            let report = stage.server.report();
            let echo = report.iter().find(|method| method.name == ECHO).unwrap();
            let counted = echo.counters.ended_with(Code::RATE_LIMITED) as usize;
            assert_eq!(counted, batch.count(Code::RATE_LIMITED));
        });
    }

    fn a_limit_of_a_method_holds_on_two_cores_of_which_one_is_busy(io: msec::Io) {
        let _alone = alone();
        const MOST: usize = 8;
        const CONNECTIONS: u16 = 64;
        let (gate, busy) = (Gate::new(), Arc::new(AtomicBool::new(true)));
        let (inner, is_busy) = (gate.clone(), busy.clone());
        let held = Gate::new();
        let holds = held.clone();
        let stage = Stage::with(config(io), |builder| {
            builder
                .raw("test.Gate.Wait", move |_| inner.pass().map(|()| []))
                .method("test.Gate.Wait", |options| {
                    options.requests_max(MOST as u32);
                })
                .raw("test.Core.Hold", move |_| {
                    holds.arrive();
                    while is_busy.load(Ordering::Acquire) {
                        wait_on_core(Duration::from_millis(1));
                    }
                    Ok([])
                })
        });
        let loader = Loader::new(stage.address(), CONNECTIONS);
        let patient = CallOptions::new().timeout(PATIENCE);
        let start = |method: &str, lane: u16| {
            loader.client().start::<(), ()>(method, &(), &patient.clone().lane(lane))
        };
        // All connections are there before one core is held up.
        for lane in 0..CONNECTIONS {
            start(ECHO, lane).wait().unwrap();
        }
        let hold = start("test.Core.Hold", 0);
        // A core that is held up cannot be asked.
        held.wait_for_arrivals(1);
        let calls: Vec<_> = (0..2 * CONNECTIONS)
            .map(|n| start("test.Gate.Wait", 1 + n % (CONNECTIONS - 1)))
            .collect();
        // The other core alone has all of it: that is the process's, and not its half.
        gate.wait_for_arrivals(MOST);
        busy.store(false, Ordering::Release);
        hold.wait().unwrap();
        let refused = calls.len() - MOST;
        wait_until("all others are refused", || {
            let report = stage.server.report();
            let method = report.iter().find(|method| method.name == "test.Gate.Wait").unwrap();
            method.counters.ended_with(Code::OVERLOADED) as usize == refused
        });
        assert_eq!(gate.arrived_count(), MOST);
        gate.open();
        let good = calls.into_iter().filter_map(|call| call.wait().ok()).count();
        assert_eq!(good, MOST);
    }

    fn five_thousand_that_merely_wait_are_not_limited(io: msec::Io) {
        let _alone = alone();
        let gate = Gate::new();
        let held = gate.clone();
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Gate.Wait", move |_| held.pass().map(|()| [])).raw(
                "test.Work.Sleep",
                |_| {
                    msec::sleep(2 * SECOND)?;
                    Ok([])
                },
            )
        });
        let loader = Loader::new(stage.address(), 8);
        let options = CallOptions::new().timeout(4 * PATIENCE);
        let sleeping: Vec<_> = (0..5000)
            .map(|_| {
                let options = loader.on_next_connection(&options);
                loader.client().start::<(), ()>("test.Gate.Wait", &(), &options)
            })
            .collect();
        gate.wait_for_arrivals(5000);
        let mut bystander = stage.bystander();
        bystander.is_served();
        // More come, which sleep, and they go on coming as the first are done.
        let load = Load { method: "test.Work.Sleep", rate: 500.0, options };
        let opener = std::thread::spawn(move || {
            wait_on_core(SECOND / 2);
            gate.open();
        });
        let tally = loader.run(&[load], SECOND).remove(0);
        opener.join().unwrap();
        assert_eq!(tally.good(), tally.made, "{:?}", tally.codes);
        for call in sleeping {
            call.wait().unwrap();
        }
        bystander.is_served();
    }

    fn where_requests_queue_up_for_something_scarce_most_are_answered_all_the_same(io: msec::Io) {
        measured(|| {
            const HOLD: Duration = Duration::from_millis(20);
            let can = PLACES_COUNT as f64 / HOLD.as_secs_f64();
            let deadline = Duration::from_millis(400);
            let goodput = |adaptive: bool| {
                let stage = Stage::with(config(io).cores(1), |builder| {
                    let builder = builder.raw("test.Scarce.Use", |_| {
                        let _place = PLACES.with(Semaphore::clone).acquire()?;
                        msec::sleep(HOLD)?;
                        Ok([])
                    });
                    builder.method("test.Scarce.Use", move |options| {
                        options.adaptive_limit(adaptive);
                    })
                });
                let loader = Loader::new(stage.address(), 4);
                let options = CallOptions::new().timeout(deadline);
                let load = |times: f64| {
                    let (rate, options) = (times * can, options.clone());
                    [Load { method: "test.Scarce.Use", rate, options }]
                };
                let usual = loader.run(&load(0.6), SECOND).remove(0);
                assert_eq!(usual.good(), usual.made, "{:?}", usual.codes);
                let over = loader.run(&load(3.0), 3 * SECOND).remove(0);
                if adaptive {
                    assert!(over.count(Code::OVERLOADED) > over.made / 4, "{:?}", over.codes);
                    let says = |text: &String| text.contains("queue up");
                    assert!(over.texts.keys().any(says), "{:?}", over.texts);
                }
                over.goodput(SECOND + SECOND / 2, 3 * SECOND)
            };
            let (without, with) = (goodput(false), goodput(true));
            assert!(with > 0.75 * can, "{with:.0} of {can:.0}, {without:.0} without");
            assert!(with > 1.5 * without, "{with:.0} of {can:.0}, {without:.0} without");
        });
    }
}

//! More load than a core can do: who is served, who is told so, and how soon it is over.
//!
//! Handlers here hold up their core by sleeping on its thread, a millisecond each: a server of one
//! core then does less than a thousand requests a second, on any machine.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use msec::{CallOptions, Client, Code, Engine, Priority};
use msec_tests::load::Loader;
use msec_tests::peer::{framed, request};
use msec_tests::{Load, Stage, Tally, alone, config, measured, on_both, wait_on_core};

const HOLD: &str = "test.Work.Hold";
const ONE: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A server of one core with a method that holds it up for a millisecond.
fn stage(io: msec::Io) -> Stage {
    Stage::with(config(io).cores(1), |builder| {
        builder.raw(HOLD, |_| {
            wait_on_core(ONE);
            Ok([])
        })
    })
}

fn hold(rate: f64, priority: Priority, deadline: Duration) -> Load {
    let options = CallOptions::new().timeout(deadline).priority(priority);
    Load { method: HOLD, rate, options }
}

fn default(rate: f64) -> Load {
    hold(rate, Priority::Default, Duration::from_millis(500))
}

/// What the server can do a second: it is never idle and nobody is in a hurry.
fn capacity(loader: &Loader) -> f64 {
    const COUNT: usize = 400;
    let begin = msec_tests::now();
    let options = CallOptions::new().timeout(10 * SECOND);
    let calls: Vec<_> = (0..COUNT)
        .map(|_| loader.client().start::<(), ()>(HOLD, &(), &loader.on_next_connection(&options)))
        .collect();
    for call in calls {
        call.wait().unwrap();
    }
    COUNT as f64 / begin.elapsed().as_secs_f64()
}

/// The same with a few calls at a time, so that heavy ones are not refused.
fn capacity_by_few(loader: &Loader) -> f64 {
    const COUNT: usize = 50;
    const CALLERS: usize = 4;
    let begin = msec_tests::now();
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                let options = CallOptions::new().timeout(10 * SECOND);
                for _ in 0..COUNT {
                    let options = loader.on_next_connection(&options);
                    loader.client().call_raw(HOLD, b"", &options).unwrap();
                }
            });
        }
    });
    (CALLERS * COUNT) as f64 / begin.elapsed().as_secs_f64()
}

/// Every call has an answer, and each that is none of success says why.
#[track_caller]
fn all_are_answered(tally: &Tally) {
    let coded = [Code::OK, Code::OVERLOADED, Code::DEADLINE_EXCEEDED, Code::RATE_LIMITED];
    let codes: Vec<_> = tally.codes.keys().filter(|code| !coded.contains(&Code(**code))).collect();
    let timeouts = tally.count(Code::TIMEOUT);
    assert!(codes.is_empty() || codes == [&Code::TIMEOUT.0], "{:?}", tally.codes);
    assert!(timeouts * 20 < tally.made, "{timeouts} of {} without an answer", tally.made);
}

on_both! {
    fn at_three_times_the_load_goodput_holds_and_is_back_at_once(io: msec::Io) {
        measured(|| {
            let stage = stage(io);
            let loader = Loader::new(stage.address(), 8);
            let peak = capacity(&loader);
            let before = stage.server.report();
            let over = loader.run(&[default(3.0 * peak)], 2 * SECOND).remove(0);
            all_are_answered(&over);
            let goodput = over.goodput(SECOND / 2, 2 * SECOND);
            assert!(goodput > 0.75 * peak, "{goodput:.0} of {peak:.0} a second: {:?}", over.codes);
            assert!(over.count(Code::OVERLOADED) > over.made / 3, "{:?}", over.codes);
            assert!(over.refusal_most < Duration::from_millis(400), "{:?}", over.refusal_most);
            assert!(over.texts.keys().any(|text| text.contains("overloaded")), "{:?}", over.texts);
            // They are in the server's own numbers, and none of them took any time there.
            let after = stage.server.report();
            let refused = |report: &[msec::MethodReport]| {
                let method = report.iter().find(|method| method.name == HOLD).unwrap();
                method.counters.ended_with(Code::OVERLOADED) as usize
            };
            assert_eq!(refused(&after) - refused(&before), over.count(Code::OVERLOADED));

            let calm = loader.run(&[default(0.5 * peak)], SECOND + SECOND / 2).remove(0);
            assert!(calm.refused.iter().all(|at| *at < SECOND / 2), "{:?}", calm.refused);
            let goodput = calm.goodput(SECOND / 2, SECOND + SECOND / 2);
            assert!(goodput > 0.4 * peak, "{goodput:.0} of {:.0} a second", 0.5 * peak);
        });
    }

    fn critical_requests_are_served_before_sheddable_ones(io: msec::Io) {
        measured(|| {
            let stage = stage(io);
            let loader = Loader::new(stage.address(), 8);
            let peak = capacity(&loader);
            let deadline = Duration::from_millis(500);
            let loads = [
                hold(0.3 * peak, Priority::Critical, deadline),
                hold(0.3 * peak, Priority::Default, deadline),
                hold(1.4 * peak, Priority::Sheddable, deadline),
            ];
            // The overload begins, and is then what is measured.
            loader.run(&loads, SECOND / 2);
            let [critical, default, sheddable]: [Tally; 3] =
                loader.run(&loads, 2 * SECOND).try_into().unwrap();
            let share = |tally: &Tally| tally.good() as f64 / tally.made as f64;
            assert!(share(&critical) > 0.9, "{:?}", critical.codes);
            assert!(share(&default) > 0.85, "{:?}", default.codes);
            assert!(share(&sheddable) < 0.5, "{:?}", sheddable.codes);
            assert!(sheddable.texts.keys().any(|text| text.contains("sheddable")));
        });
    }

    fn heavy_methods_are_served_and_refused_as_others_are(io: msec::Io) {
        measured(|| {
            const HEAVY_MS: u64 = 5;
            let stage = Stage::with(config(io).cores(1).offload_threads(2), |builder| {
                let builder = builder.raw(HOLD, |_| {
                    wait_on_core(Duration::from_millis(HEAVY_MS));
                    Ok([])
                });
                builder.method(HOLD, |options| {
                    options.heavy();
                })
            });
            let loader = Loader::new(stage.address(), 8);
            let peak = capacity_by_few(&loader);
            let deadline = Duration::from_millis(500);
            let loads = [
                hold(0.3 * peak, Priority::Critical, deadline),
                hold(2.7 * peak, Priority::Default, deadline),
            ];
            loader.run(&loads, SECOND / 2);
            let tallies = loader.run(&loads, 2 * SECOND);
            let [critical, default]: [Tally; 2] = tallies.try_into().unwrap();
            let good = (critical.good() + default.good()) as f64 / 2.0;
            let codes = [&critical.codes, &default.codes];
            assert!(good > 0.7 * peak, "{good} of {peak}: {codes:?}");
            assert!(critical.good() * 100 > critical.made * 95, "{:?}", critical.codes);
            assert!(default.texts.keys().any(|text| text.contains("offload threads")));
        });
    }

    fn a_burst_and_a_load_that_fits_are_served_whole(io: msec::Io) {
        measured(|| {
            let stage = stage(io);
            let loader = Loader::new(stage.address(), 8);
            // All at once: 400 ms of work, of which nobody is in a hurry.
            let peak = capacity(&loader);
            let steady = loader.run(&[default(0.7 * peak)], 2 * SECOND).remove(0);
            assert_eq!(steady.codes.keys().collect::<Vec<_>>(), [&0], "{:?}", steady.codes);
        });
    }

    fn a_request_whose_deadline_passes_in_the_queue_is_refused_before_it_starts(io: msec::Io) {
        let _alone = alone();
        let started = Arc::new(AtomicUsize::new(0));
        let starts = started.clone();
        let stage = Stage::with(config(io).cores(1), |builder| {
            let builder = builder.raw("test.Work.Long", |_| {
                wait_on_core(Duration::from_millis(60));
                Ok([])
            });
            builder.raw("test.Work.Short", move |_| {
                starts.fetch_add(1, Ordering::Relaxed);
                Ok([])
            })
        });
        let mut peer = stage.peer();
        let mut frames = framed(&request(1, "test.Work.Long"), b"");
        let mut short = request(2, "test.Work.Short");
        short.deadline_ms = 20;
        frames.extend(framed(&short, b""));
        peer.send_bytes(&frames);
        assert_eq!(peer.answer().code(), Code::OK);
        let refused = peer.answer();
        assert_eq!((refused.head.sequence, refused.code()), (2, Code::DEADLINE_EXCEEDED));
        assert!(refused.err_msg.contains("before it started"), "{}", refused.err_msg);
        assert_eq!(started.load(Ordering::Relaxed), 0);
        let report = stage.server.report();
        let method = report.iter().find(|method| method.name == "test.Work.Short").unwrap();
        assert_eq!(method.counters.ended_with(Code::DEADLINE_EXCEEDED), 1);
        assert_eq!(method.counters.latency_ns().count(), 0, "a refusal took no time");
    }

    fn nested_calls_inherit_the_priority(io: msec::Io) {
        let inner = Stage::with(config(io), |builder| {
            builder.raw("test.Inner.Priority", |context| Ok(context.priority().name()))
        });
        let address = inner.address().to_owned();
        let relay: Arc<Mutex<Option<Client>>> = Arc::default();
        let to = relay.clone();
        let outer = Stage::with(config(io), move |builder| {
            builder.raw("test.Outer.Relay", move |_| {
                let client = to.lock().unwrap().clone().unwrap();
                let reply = client.call_raw("test.Inner.Priority", b"", &CallOptions::new())?;
                Ok(reply.body)
            })
        });
        *relay.lock().unwrap() = Some(Client::new(&outer.engine, &address).unwrap());
        let engine = Engine::with(config(io).cores(1)).unwrap();
        let client = Client::new(&engine, outer.address()).unwrap();
        for priority in Priority::ALL {
            let options = CallOptions::new().priority(priority);
            let reply = client.call_raw("test.Outer.Relay", b"", &options).unwrap();
            assert_eq!(&reply.body[..], priority.name().as_bytes());
        }
        // A client of the engine goes with it.
        relay.lock().unwrap().take();
    }
}

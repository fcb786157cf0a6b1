//! The time of day jumps, as it does when an operator or NTP sets it. Nothing but what people read
//! may depend on it: deadlines, the order of the log, spans and the end of dye rules hold.
//!
//! The step is the process's, so these tests are a program of their own, and take turns.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use msec::clock::step_wall_for_tests;
use msec::{CallOptions, Client, Code, Context, Io, log};
use msec_tests::{ECHO, PATIENCE, Stage, config, now, on_both, wait_until};

const HOUR_NS: i64 = 3_600_000_000_000;
/// Forth, back beyond where it began, and home.
const STEPS_NS: [i64; 4] = [HOUR_NS, -HOUR_NS, 2 * HOUR_NS, 0];

static TURN: Mutex<()> = Mutex::new(());

/// The right to step the time of day; right again when this is dropped.
struct Steps(#[expect(dead_code, reason = "held, not looked at")] MutexGuard<'static, ()>);

impl Steps {
    fn begin() -> Self {
        Steps(TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        step_wall_for_tests(0);
    }
}

fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
}

/// Answers after as many milliseconds as it is told.
fn rest(context: &Context) -> msec::Result<Vec<u8>> {
    let ms = String::from_utf8_lossy(context.body()).parse().unwrap();
    msec::sleep(Duration::from_millis(ms))?;
    Ok(Vec::new())
}

on_both! {
    fn deadlines_hold_whatever_the_time_of_day(io: Io) {
        let _steps = Steps::begin();
        let stage = Stage::with(config(io), |builder| builder.raw("test.Clock.Rest", rest));
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        let long = PATIENCE.as_millis().to_string();
        for step_ns in STEPS_NS {
            let begin = now();
            let short = CallOptions::new().timeout(Duration::from_millis(100));
            let late = client.start_body::<()>("test.Clock.Rest", long.clone().into(), &short);
            let answered = client.start_body::<()>("test.Clock.Rest", b"100".into(), &patient());
            step_wall_for_tests(step_ns);
            assert_eq!(late.wait_raw().unwrap_err().code(), Code::TIMEOUT);
            let took = begin.elapsed();
            assert!(took >= Duration::from_millis(99) && took < PATIENCE / 2, "{took:?}");
            answered.wait_raw().unwrap();
            assert!(begin.elapsed() >= Duration::from_millis(100));
            client.call_raw(ECHO, b"", &patient()).unwrap();
        }
        // Nothing was counted as if it had lasted an hour.
        let snapshot = stage.engine.snapshot();
        let longest = snapshot.calls.values().map(|counters| counters.latency_ns().max()).max();
        assert!(longest.unwrap() < PATIENCE.as_nanos() as u64, "{longest:?}");
    }

    fn the_log_is_in_the_order_in_which_it_was_written(io: Io) {
        let _steps = Steps::begin();
        let folder = std::env::temp_dir().join(format!("msec-clock-{}", std::process::id()));
        let config = config(io).service("Demo.clock").log_folder(&folder);
        let stage = Stage::with(config, |builder| {
            builder.raw("test.Clock.Log", |context| {
                msec::info!("record {}", String::from_utf8_lossy(context.body()));
                Ok(Vec::new())
            })
        });
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        // By turns on a core and on this thread, each after the one before.
        for number in 0..200 {
            step_wall_for_tests(STEPS_NS[number % STEPS_NS.len()]);
            if number % 2 == 0 {
                let body = number.to_string();
                client.call_raw("test.Clock.Log", body.as_bytes(), &patient()).unwrap();
            } else {
                msec::info!("record {number}");
            }
        }
        assert!(log::flush(PATIENCE));
        let text = fs::read_to_string(folder.join("Demo.clock.log")).unwrap();
        let numbers: Vec<usize> = text
            .lines()
            .filter_map(|line| line.split_once(" record ")?.1.split(' ').next()?.parse().ok())
            .collect();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
        fs::remove_dir_all(&folder).unwrap();
    }

    fn spans_last_as_long_as_they_did_and_stay_in_their_order(io: Io) {
        let _steps = Steps::begin();
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Clock.Step", |_| {
                step_wall_for_tests(-HOUR_NS);
                msec::sleep(Duration::from_millis(20))?;
                msec::annotate("stepped back");
                step_wall_for_tests(HOUR_NS);
                Ok(Vec::new())
            })
        });
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        client.call_raw("test.Clock.Step", b"", &patient().dyed(true)).unwrap();
        let mut spans = Vec::new();
        wait_until("both spans", || {
            spans = stage.engine.spans(&Default::default()).0;
            spans.len() == 2
        });
        let [client, server] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(server.parent_id, client.span_id, "the caller's is the first");
        let longest_ns = PATIENCE.as_nanos() as u64;
        for span in &spans {
            assert!((20_000_000..longest_ns).contains(&span.duration_ns), "{span:?}");
        }
        // Shown by the time of day as it is when one looks.
        let since_ns = msec::clock::wall_ns() - client.start_wall_ns;
        assert!(since_ns >= client.duration_ns && since_ns < longest_ns, "{since_ns}");
        assert!(server.start_wall_ns - client.start_wall_ns < longest_ns);
        let [(at_ns, _)] = &server.annotations[..] else { panic!("{server:?}") };
        assert!((20_000_000..longest_ns).contains(at_ns), "{at_ns}");
    }

    fn dye_rules_end_when_they_should(io: Io) {
        let _steps = Steps::begin();
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Clock.Dyed", |context| Ok(context.is_dyed().to_string()))
        });
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        let is_dyed = || {
            client.call_raw("test.Clock.Dyed", b"", &patient()).unwrap().body[..] == *b"true"
        };
        stage.engine.set_dye_rules(vec!["method=test.Clock.* for=1h".parse().unwrap()]);
        step_wall_for_tests(2 * HOUR_NS);
        assert!(is_dyed(), "an hour has not passed");
        stage.engine.set_dye_rules(vec!["method=test.Clock.* for=1s".parse().unwrap()]);
        step_wall_for_tests(-2 * HOUR_NS);
        wait_until("the rule to end after a second", || !is_dyed());
    }
}

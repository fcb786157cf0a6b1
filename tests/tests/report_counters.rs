//! What was counted is what was called: by caller, callee, method and code, and by attribute.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use msec::report::{AttributeKey, CallKey, Kind, Role, Snapshot, Value};
use msec::{CallOptions, Client, Code, Config, Counters, Engine, Error, Io};
use msec_protocol::limits::{ATTRIBUTES_MAX, CALLERS_MAX};
use msec_tests::{ECHO, PATIENCE, Stage, config, on_both, wait_until};

const FAIL: &str = "test.Shop.Fail";
const CALL: &str = "test.Shop.Call";

fn named(io: Io, service: &str) -> Config {
    config(io).service(service)
}

fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
}

/// The counters of the calls of a method that have that end and that caller.
fn of<'a>(snapshot: &'a Snapshot, role: Role, caller: &str, method: &str) -> &'a Counters {
    let is = |key: &CallKey| key.role == role && key.caller == caller && key.method == method;
    let found = snapshot.calls.iter().find(|(key, _)| is(key));
    found.unwrap_or_else(|| panic!("{caller} {method} in {:?}", snapshot.calls.keys())).1
}

fn attribute(snapshot: &Snapshot, name: &str, label: Option<&str>, kind: Kind) -> Option<Value> {
    let labels = label.map(|value| ("city".to_owned(), value.to_owned()));
    let (name, labels) = (name.to_owned(), labels.into_iter().collect());
    snapshot.attributes.get(&AttributeKey { name, labels, kind }).cloned()
}

fn sum(engine: &Engine, name: &str, label: Option<&str>) -> u64 {
    match attribute(&engine.snapshot(), name, label, Kind::Sum) {
        Some(Value::Sum(sum)) => sum,
        Some(Value::Last(_) | Value::Spread(_)) | None => 0,
    }
}

on_both! {
    fn both_ends_count_each_call_once_by_its_code(io: Io) {
        let stage = Stage::with(named(io, "Demo.shop"), |builder| {
            builder.raw(FAIL, |_| Err::<Vec<u8>, _>(Error::failed("on purpose")))
        });
        let engine = Engine::with(named(io, "Demo.web")).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        for call in 0..60 {
            let (method, options) = match call % 6 {
                0 => (FAIL, patient()),
                1 => ("test.Shop.Missing", patient()),
                2 => (ECHO, patient().from_service("Demo.other")),
                _ => (ECHO, patient()),
            };
            drop(client.call_raw(method, b"0123456789", &options));
        }
        // One whose caller is a coroutine, and one that is begun and given up.
        let (inner, options) = (client.clone(), patient());
        engine.run(move || inner.call_raw(ECHO, b"", &options).unwrap()).unwrap();
        let called = engine.snapshot();
        let web = of(&called, Role::Client, "Demo.web", ECHO);
        assert_eq!((web.ended(), web.failed(), web.in_flight()), (31, 0, 0));
        assert_eq!(of(&called, Role::Client, "Demo.other", ECHO).ended_with(Code::OK), 10);
        let fail = of(&called, Role::Client, "Demo.web", FAIL);
        assert_eq!((fail.ended(), fail.ended_with(Code::SERVICE_FAILED)), (10, 10));
        let missing = of(&called, Role::Client, "Demo.web", "test.Shop.Missing");
        assert_eq!(missing.ended_with(Code::INVALID_METHOD), 10);
        let served = stage.engine.snapshot();
        for (caller, method, code, count) in [
            ("Demo.web", ECHO, Code::OK, 31),
            ("Demo.other", ECHO, Code::OK, 10),
            ("Demo.web", FAIL, Code::SERVICE_FAILED, 10),
            ("Demo.web", "__other__", Code::INVALID_METHOD, 10),
        ] {
            let counters = of(&served, Role::Server, caller, method);
            assert_eq!(counters.ended_with(code), count, "{caller} {method}");
            assert_eq!((counters.ended(), counters.in_flight()), (count, 0));
        }
        // What the one has sent the other has received, frame by frame.
        let shop = of(&served, Role::Server, "Demo.web", ECHO);
        assert!(web.request_bytes() > 30 * 10 && web.answer_bytes() > 30 * 10);
        assert_eq!(shop.request_bytes(), web.request_bytes());
        assert_eq!(shop.answer_bytes(), web.answer_bytes());
        assert_eq!(web.latency_ns().count(), 31);
        assert!(served.calls.keys().all(|key| key.callee == "Demo.shop"));
        assert_eq!(served.origin.service, "Demo.shop");
        assert_eq!(served.origin.instance, stage.address());
    }

    fn calls_that_get_nowhere_and_calls_that_are_given_up_are_counted(io: Io) {
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Shop.Slow", |_| {
                msec::sleep(PATIENCE).map(|()| Vec::new())
            })
        });
        let engine = Engine::with(config(io)).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        let nobody = Client::new(&engine, "Demo.nobody").unwrap();
        assert!(nobody.call_raw(ECHO, b"", &patient()).is_err());
        let short = CallOptions::new().timeout(Duration::from_millis(30));
        assert!(client.call_raw("test.Shop.Slow", b"", &short).is_err());
        let pending = client.start_body::<()>("test.Shop.Slow", Vec::new(), &patient());
        let slow = |engine: &Engine| {
            of(&engine.snapshot(), Role::Client, "", "test.Shop.Slow").clone()
        };
        wait_until("the call to be in flight", || slow(&engine).in_flight() == 1);
        drop(pending);
        wait_until("the call to be given up", || slow(&engine).in_flight() == 0);
        let slow = slow(&engine);
        assert_eq!((slow.ended_with(Code::TIMEOUT), slow.ended_with(Code::CANCELLED)), (1, 1));
        assert_eq!(of(&engine.snapshot(), Role::Client, "", ECHO).ended_with(Code::NO_ROUTE), 1);
    }

    fn differences_of_snapshots_count_each_call_once(io: Io) {
        let stage = Stage::echo(io);
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        let mut collected = Snapshot::default();
        let mut last = Snapshot::default();
        for round in 0..5 {
            for _ in 0..=round {
                client.call_raw(ECHO, b"", &patient()).unwrap();
            }
            let now = stage.engine.snapshot();
            assert!(now.origin.is_news_after(&last.origin));
            let mut bytes = Vec::new();
            now.since(&last).encode(&mut bytes);
            collected.merge(&Snapshot::decode(&bytes).unwrap());
            last = now;
        }
        assert_eq!(collected.calls, last.calls);
        assert_eq!(of(&collected, Role::Server, "", ECHO).ended(), 15);
    }

    fn what_a_stopped_server_has_counted_stays(io: Io) {
        let stage = Stage::echo(io);
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        client.call_raw(ECHO, b"", &patient()).unwrap();
        stage.stop(Duration::ZERO);
        assert_eq!(of(&stage.engine.snapshot(), Role::Server, "", ECHO).ended(), 1);
    }

    fn callers_that_make_names_up_share_a_row(io: Io) {
        let stage = Stage::with(config(io).cores(1), |builder| builder);
        let engine = Engine::with(config(io).cores(1)).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        let count = CALLERS_MAX + 50;
        for number in 0..count {
            let options = patient().from_service(&format!("Made.up{number}"));
            client.call_raw(ECHO, b"", &options).unwrap();
        }
        let served = stage.engine.snapshot();
        assert_eq!(of(&served, Role::Server, "Made.up7", ECHO).ended(), 1);
        assert_eq!(of(&served, Role::Server, "__other__", ECHO).ended(), 50);
        let methods = stage.server.report();
        let echo = methods.iter().find(|method| method.name == ECHO).unwrap();
        assert_eq!(echo.counters.ended(), count as u64);
    }

    fn without_reporting_methods_are_counted_and_callers_are_not(io: Io) {
        let stage = Stage::with(config(io).reporting(false), |builder| builder);
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        client.call_raw(ECHO, b"", &patient().from_service("Demo.web")).unwrap();
        let snapshot = stage.engine.snapshot();
        assert_eq!(of(&snapshot, Role::Server, "", ECHO).ended(), 1);
        assert!(snapshot.calls.keys().all(|key| key.role == Role::Server));
        assert_eq!(stage.engine.spans(&Default::default()).0, []);
    }

    fn an_attribute_is_reported_in_one_line_from_anywhere(io: Io) {
        let name = match io {
            Io::Epoll => "anywhere.epoll",
            Io::Auto | Io::Uring => "anywhere.uring",
        };
        let stage = Stage::with(config(io), move |builder| {
            let report = move || {
                msec::metric::add(name, 1);
                msec::metric::add_with(name, 10, &[("city", "Köln")]);
                msec::metric::set(name, 7);
                msec::metric::record(name, 640);
                msec::metric!("anywhere.site", 1; city = "Bonn");
                Ok::<_, Error>(Vec::new())
            };
            builder
                .raw("test.Shop.Coroutine", move |_| report())
                .raw("test.Shop.Loop", move |_| report())
                .raw("test.Shop.Heavy", move |_| report())
                .method("test.Shop.Loop", |options| { options.callback(); })
                .method("test.Shop.Heavy", |options| { options.heavy(); })
        });
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        for kind in ["Coroutine", "Loop", "Heavy"] {
            client.call_raw(&format!("test.Shop.{kind}"), b"", &patient()).unwrap();
        }
        msec::metric::add(name, 100);
        let snapshot = stage.engine.snapshot();
        assert_eq!(sum(&stage.engine, name, None), 103);
        assert_eq!(sum(&stage.engine, name, Some("Köln")), 30);
        assert_eq!(attribute(&snapshot, name, None, Kind::Last), Some(Value::Last(7)));
        let Some(Value::Spread(spread)) = attribute(&snapshot, name, None, Kind::Spread) else {
            panic!("a spread stays one")
        };
        assert_eq!((spread.count(), spread.sum()), (3, 3 * 640));
        assert!(sum(&stage.engine, "anywhere.site", Some("Bonn")) >= 3);
    }

    fn a_hundred_thousand_labels_stay_bounded_and_hold_nobody_up(io: Io) {
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Shop.Label", |context| {
                let first: usize = String::from_utf8_lossy(context.body()).parse().unwrap();
                for user in first..first + 1000 {
                    msec::metric!("many.labels", 1; city = user.to_string());
                }
                Ok(format!("{:?}", std::thread::current().id()))
            })
        });
        let mut bystander = stage.bystander();
        let clients = [0, 1].map(|_| Client::new(&stage.engine, stage.address()).unwrap());
        let mut cores = std::collections::BTreeSet::new();
        for round in 0..100 {
            let first = (round * 1000).to_string();
            let options = patient().lane(round as u16);
            let reply = clients[round % 2].call_raw("test.Shop.Label", first.as_bytes(), &options);
            cores.insert(String::from_utf8_lossy(&reply.unwrap().body).into_owned());
            if round % 20 == 0 {
                bystander.is_served();
            }
        }
        bystander.is_served();
        assert_eq!(cores.len(), 2, "both cores have had their part: {cores:?}");
        let snapshot = stage.engine.snapshot();
        let rows = snapshot.attributes.iter().filter(|(key, _)| key.name == "many.labels");
        let sums: Vec<u64> = rows
            .map(|(_, value)| match value {
                Value::Sum(sum) => *sum,
                Value::Last(_) | Value::Spread(_) => 0,
            })
            .collect();
        assert_eq!(sums.iter().sum::<u64>(), 100_000, "none is lost");
        // Each core has a table of its own.
        assert!(sums.len() <= 2 * (ATTRIBUTES_MAX + 1), "{}", sums.len());
        assert!(sum(&stage.engine, "many.labels", Some("__other__")) >= 90_000);
    }

    fn prometheus_likes_the_page_of_a_busy_engine(io: Io) {
        let stage = Stage::with(named(io, "Demo.shop"), |builder| {
            builder.raw(FAIL, |_| Err::<Vec<u8>, _>(Error::failed("on purpose")))
        });
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        for method in [ECHO, FAIL, CALL] {
            drop(client.call_raw(method, b"", &patient()));
        }
        msec::metric::add_with("usr.orders \"paid\"", 1, &[("city", "Köln\n")]);
        let page = msec::report::prometheus(&stage.engine.snapshot());
        for line in [
            "msec_server_calls_total{caller=\"Demo.shop\",service=\"Demo.shop\",\
             method=\"echo.EchoService.Echo\",code=\"OK\"} 1",
            "msec_attribute_total{attribute=\"usr.orders \\\"paid\\\"\",city=\"Köln\\n\"} ",
            "msec_core_cpu_seconds_total{core=\"1\"} ",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool is missing: apt-get install prometheus");
        promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

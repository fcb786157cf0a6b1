//! A calls B, B calls C: what travels on, and what travels back.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use msec::{CallOptions, Client, Code, Context, Engine, Error, Io, Result};
use msec_protocol::AnswerHead;
use msec_tests::emulated::old_cpp;
use msec_tests::{ECHO, Emulated, Gate, PATIENCE, Stage, config, now, on_both, wait_until};

const HELD: &str = "test.C.Held";
const TELL: &str = "test.C.Tell";
const RELAY: &str = "test.B.Relay";
const SLOW: &str = "test.B.Slow";
const PARALLEL: &str = "test.B.Parallel";

/// Codes that B's nested calls ended with.
type Codes = Arc<Mutex<Vec<Code>>>;

/// Three engines: A's client, B which relays, C which holds or tells what it sees.
struct Relay {
    client: Client,
    b: Stage,
    c: Stage,
    gate: Gate,
    /// What B's nested calls ended with.
    ended: Codes,
}

impl Relay {
    fn new(io: Io) -> Self {
        let gate = Gate::new();
        let held = gate.clone();
        let c = Stage::with(config(io), move |builder| {
            builder.raw(TELL, tell).raw(HELD, move |context| {
                held.pass()?;
                Ok(context.body_bytes())
            })
        });
        let engine = Engine::with(config(io)).unwrap();
        let to_c = Client::new(&engine, c.address()).unwrap();
        let ended = Codes::default();
        let b = relay(&engine, to_c, ended.clone());
        let client = Client::new(&Engine::with(config(io)).unwrap(), b.address()).unwrap();
        let relay = Self { client, b, c, gate, ended };
        // Both learn that the next one understands cancels.
        assert_eq!(relay.client.call_raw(RELAY, ECHO.as_bytes(), &patient()).unwrap().result, 0);
        relay.ended.lock().unwrap().clear();
        relay
    }

    #[track_caller]
    fn wait_for_ends(&self, count: usize) -> Vec<Code> {
        let ended = || self.ended.lock().unwrap().clone();
        wait_until("B's calls to have ended", || ended().len() == count);
        ended()
    }
}

/// What a handler knows of its request, as text.
fn tell(context: &Context) -> Result<String> {
    Ok(format!(
        "{} {} {} {:?} {}",
        context.flow_id(),
        context.is_dyed(),
        context.caller(),
        context.metadata_value("tenant").map(|value| String::from_utf8_lossy(value).into_owned()),
        context.remaining_ms().unwrap_or(u64::MAX),
    ))
}

/// B: calls the method that the body names, in several ways.
fn relay(engine: &Engine, to_c: Client, ended: Codes) -> Stage {
    let note = move |result: Result<Vec<u8>>| {
        let code = result.as_ref().map_or_else(Error::code, |_| Code::OK);
        ended.lock().unwrap().push(code);
        result
    };
    let method = |context: &Context| String::from_utf8(context.body().to_vec()).unwrap();
    // C never answers this one in time: B spends 500 ms before it calls on.
    let spend = |client: &Client| {
        let options = CallOptions::new().timeout(Duration::from_millis(500));
        assert!(client.call_raw(HELD, b"", &options).is_err());
    };
    let patience = |context: &Context| {
        let options = patient();
        match context.metadata_value("tenant") {
            Some(tenant) => options.header("tenant", tenant).unwrap(),
            None => options,
        }
    };
    let (one, two, three) = (to_c.clone(), to_c.clone(), to_c);
    let (note_one, note_two, note_three) = (note.clone(), note.clone(), note);
    let server = msec::Server::builder()
        .raw(RELAY, move |context| {
            let reply = one.call_raw(&method(context), b"", &patience(context));
            note_one(reply.map(|reply| reply.body.to_vec()))
        })
        .raw(SLOW, move |context| {
            spend(&two);
            let reply = two.call_raw(&method(context), b"", &patience(context));
            note_two(reply.map(|reply| reply.body.to_vec()))
        })
        .raw(PARALLEL, move |context| {
            let begin = |_| three.start_body::<()>(&method(context), Vec::new(), &patient());
            let started: Vec<_> = (0..3).map(begin).collect();
            let mut last = Ok(Vec::new());
            for call in started {
                last = note_three(call.wait_raw().map(|reply| reply.body.to_vec()));
            }
            last
        })
        .listen("127.0.0.1:0")
        .start(engine)
        .unwrap();
    Stage { server, engine: engine.clone() }
}

fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
}

fn remaining_ms(told: &[u8]) -> u64 {
    std::str::from_utf8(told).unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

on_both! {
    fn dye_flow_id_and_what_is_passed_on_travel(io: Io) {
        let relay = Relay::new(io);
        let direct = Client::new(&relay.c.engine, relay.c.address()).unwrap();
        let options = patient().dyed(true).header("tenant", b"blue").unwrap();
        let told = relay.client.call_raw(RELAY, TELL.as_bytes(), &options).unwrap().body;
        let told = String::from_utf8(told.to_vec()).unwrap();
        assert!(told.contains(" true ") && told.contains("Some(\"blue\")"), "{told}");
        // Without being dyed and without headers: nothing sticks from the request before.
        let plain = relay.client.call_raw(RELAY, TELL.as_bytes(), &patient()).unwrap().body;
        let plain = String::from_utf8(plain.to_vec()).unwrap();
        assert!(plain.contains(" false ") && plain.contains("None"), "{plain}");
        let flow = |text: &str| text.split(' ').next().unwrap().parse::<u64>().unwrap();
        assert_ne!(flow(&told), flow(&plain));
        let named = patient().from_service("Demo.a");
        let told = direct.call_raw(TELL, b"", &named).unwrap().body;
        assert!(String::from_utf8(told.to_vec()).unwrap().contains(" Demo.a "));
    }

    fn the_flow_id_of_a_request_is_the_same_at_each_hop(io: Io) {
        let seen = Emulated::start(old_cpp);
        let engine = Engine::with(config(io)).unwrap();
        let to_c = Client::new(&engine, &seen.address()).unwrap();
        let b = Stage::with(config(io), move |builder| {
            builder.raw("test.B.Flow", move |context| {
                to_c.call_raw("a.B.C", b"", &patient())?;
                Ok(context.flow_id().to_string())
            })
        });
        let client = Client::new(&engine, b.address()).unwrap();
        let mut flows = Vec::new();
        for _ in 0..10 {
            let told = client.call_raw("test.B.Flow", b"", &patient().dyed(true)).unwrap().body;
            flows.push(String::from_utf8(told.to_vec()).unwrap().parse::<u64>().unwrap());
        }
        let at_c: Vec<_> = seen.seen().iter().map(|seen| seen.head.flow_id).collect();
        assert_eq!(at_c, flows);
        assert!(seen.seen().iter().all(|seen| seen.head.coloring == 1));
        flows.sort_unstable();
        flows.dedup();
        assert_eq!(flows.len(), 10, "each request is a flow of its own");
    }

    fn a_nested_call_inherits_the_deadline_less_the_time_spent(io: Io) {
        let relay = Relay::new(io);
        let options = CallOptions::new().timeout(Duration::from_secs(5));
        let told = relay.client.call_raw(RELAY, TELL.as_bytes(), &options).unwrap().body;
        let left_ms = remaining_ms(&told);
        assert!((2_000..=5_000).contains(&left_ms), "{left_ms}");
        let told = relay.client.call_raw(SLOW, TELL.as_bytes(), &options).unwrap().body;
        let left_ms = remaining_ms(&told);
        assert!((1_500..=4_500).contains(&left_ms), "{left_ms}: 500 ms were spent");
        // A nested call may wait for less, of course.
        assert_eq!(relay.wait_for_ends(2), [Code::OK, Code::OK]);
    }

    fn a_nested_call_ends_with_its_requests_deadline(io: Io) {
        let relay = Relay::new(io);
        let options = CallOptions::new().timeout(Duration::from_millis(400));
        let begin = now();
        let error = relay.client.call_raw(RELAY, HELD.as_bytes(), &options).unwrap_err();
        assert_eq!(error.code(), Code::TIMEOUT);
        // B's own patience was far longer. It is timed out, or learns first that A has given up.
        let code = relay.wait_for_ends(1)[0];
        assert!([Code::TIMEOUT, Code::CANCELLED].contains(&code), "{code:?}");
        assert!(begin.elapsed() < PATIENCE / 3);
        // And C learns it from B.
        assert_eq!(relay.gate.wait_for_failures(1), [Code::CANCELLED]);
        let reply = relay.client.call_raw(RELAY, ECHO.as_bytes(), &patient());
        assert!(reply.is_ok());
    }

    fn time_that_is_spent_is_not_given_to_the_next(io: Io) {
        let relay = Relay::new(io);
        // All of it is spent before B calls on: the nested call is not even made.
        let options = CallOptions::new().timeout(Duration::from_millis(300));
        let error = relay.client.call_raw(SLOW, TELL.as_bytes(), &options).unwrap_err();
        assert_eq!(error.code(), Code::TIMEOUT);
        assert_eq!(relay.gate.wait_for_failures(1), [Code::CANCELLED]);
    }

    fn a_cancel_travels_from_a_over_b_to_c(io: Io) {
        let relay = Relay::new(io);
        let other = relay.client.start_body::<()>(RELAY, HELD.into(), &patient());
        relay.gate.wait_for_arrivals(1);
        let dropped = relay.client.start_body::<()>(RELAY, HELD.into(), &patient());
        relay.gate.wait_for_arrivals(2);
        drop(dropped);
        assert_eq!(relay.gate.wait_for_failures(1), [Code::CANCELLED]);
        assert_eq!(relay.wait_for_ends(1), [Code::CANCELLED]);
        relay.gate.open();
        other.wait_raw().unwrap();
        assert_eq!(relay.wait_for_ends(2), [Code::CANCELLED, Code::OK]);
        relay.b.wait_for_requests(0);
        relay.c.wait_for_requests(0);
    }

    fn a_cancel_ends_every_parallel_call_below(io: Io) {
        let relay = Relay::new(io);
        let dropped = relay.client.start_body::<()>(PARALLEL, HELD.into(), &patient());
        relay.gate.wait_for_arrivals(3);
        drop(dropped);
        assert_eq!(relay.gate.wait_for_failures(3), [Code::CANCELLED; 3]);
        assert_eq!(relay.wait_for_ends(3), [Code::CANCELLED; 3]);
        relay.b.wait_for_requests(0);
        relay.c.wait_for_requests(0);
    }

    fn the_death_of_c_reaches_a_as_its_code(io: Io) {
        let c = Emulated::start(msec_tests::emulated::silent);
        let engine = Engine::with(config(io)).unwrap();
        let to_c = Client::new(&engine, &c.address()).unwrap();
        let b = relay(&engine, to_c, Codes::default());
        let client = Client::new(&Engine::with(config(io)).unwrap(), b.address()).unwrap();
        let begin = now();
        let begun = |_| client.start_body::<()>(RELAY, ECHO.into(), &patient());
        let calls: Vec<_> = (0..20).map(begun).collect();
        c.wait_for(20);
        c.reset_all();
        for call in calls {
            let error = call.wait_raw().unwrap_err();
            assert_eq!(error.code(), Code::NETWORK);
            assert!(error.message().contains(&c.address()), "{error}: it names who died");
        }
        assert!(begin.elapsed() < PATIENCE / 3);
    }

    fn a_refusal_for_being_late_is_told_as_it_is(io: Io) {
        let late = Emulated::start(|seen, wire| {
            let (err, err_msg) = (Code::DEADLINE_EXCEEDED, b"too late for this one");
            let head = AnswerHead::to(&seen.head, &seen.head_bytes);
            wire.answer(&AnswerHead { err, err_msg, ..head }, b"");
        });
        let engine = Engine::with(config(io)).unwrap();
        let to_late = Client::new(&engine, &late.address()).unwrap();
        let b = relay(&engine, to_late.clone(), Codes::default());
        let client = Client::new(&Engine::with(config(io)).unwrap(), b.address()).unwrap();
        for client in [to_late, client] {
            let error = client.call_raw(RELAY, ECHO.as_bytes(), &patient()).unwrap_err();
            assert_eq!(error.code(), Code::DEADLINE_EXCEEDED, "{error}");
            assert!(error.message().contains("too late for this one"), "{error}");
        }
    }

    fn an_old_server_between_does_no_harm(io: Io) {
        // B is old: it copies our head, fields that it does not know and all, into its own call.
        let c = Stage::with(config(io), |builder| builder.raw(TELL, tell));
        let to_c = c.address().to_owned();
        let b = Emulated::start(move |seen, wire| {
            let mut peer = msec_tests::Peer::connect(&to_c);
            let mut head = seen.head_bytes.clone();
            // Its own sequence: the field that is written last counts (Protocol Buffers, encoding).
            head.extend_from_slice(b"\x50\x07");
            peer.send_bytes(&msec_tests::peer::framed_raw(&head, b""));
            let told = peer.answer();
            wire.bytes(&msec_tests::peer::framed_raw(&seen.head_bytes, &told.body));
        });
        let client = Client::new(&Engine::with(config(io)).unwrap(), &b.address()).unwrap();
        let options = CallOptions::new()
            .timeout(Duration::from_secs(9))
            .header("tenant", b"blue")
            .unwrap();
        let told = client.call_raw(TELL, b"", &options).unwrap().body;
        // What was not meant for C is not taken for it: the server's own deadline, no header.
        assert!(remaining_ms(&told) > 9_000, "{told:?}");
        assert!(String::from_utf8(told.to_vec()).unwrap().contains(" None "));
    }
}

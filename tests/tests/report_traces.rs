//! Spans: the calls of a request are one tree, and what is worth keeping is kept.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use msec::naming::{Instance, Policy, Service, Table, Why};
use msec::report::Role;
use msec::trace::{Cursor, Reason, Span, flags};
use msec::{CallOptions, Client, Code, Config, Context, Engine, Error, Io};
use msec_tests::peer::request;
use msec_tests::{
    ECHO, Emulated, PATIENCE, Peer, Stage, config, emulated, now, on_both, wait_until,
};

const RELAY: &str = "test.B.Relay";
const FAIL: &str = "test.C.Fail";
const SLOW: &str = "test.C.Slow";

/// A calls B, B calls C: three engines, as if they were three processes.
struct Chain {
    a: Engine,
    b: Stage,
    c: Stage,
    to_b: Client,
}

fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
}

impl Chain {
    fn new(io: Io, configure: impl Fn(Config) -> Config) -> Self {
        // On a busy machine any call may be slow by accident.
        let named = |name: &str| configure(config(io).slow_ms(60_000)).service(name);
        let c = Stage::with(named("Demo.c"), |builder| {
            builder
                .raw(FAIL, |_| Err::<Vec<u8>, _>(Error::failed("on purpose")))
                .raw(SLOW, |_| msec::sleep(Duration::from_millis(20)).map(|()| Vec::new()))
        });
        let engine = Engine::with(named("Demo.b")).unwrap();
        let to_c = Client::new(&engine, c.address()).unwrap();
        let server = msec::Server::builder()
            .raw(RELAY, move |context: &Context| {
                msec::annotate("relays");
                let method = String::from_utf8(context.body().to_vec()).unwrap();
                // A failure of C is none of B.
                drop(to_c.call_raw(&method, b"", &patient()));
                to_c.call_raw(ECHO, b"", &patient()).map(|reply| reply.body)
            })
            .listen("127.0.0.1:0")
            .start(&engine)
            .unwrap();
        let b = Stage { server, engine };
        let a = Engine::with(named("Demo.a")).unwrap();
        let to_b = Client::new(&a, b.address()).unwrap();
        Chain { a, b, c, to_b }
    }

    fn relay(&self, method: &str, options: &CallOptions) {
        self.to_b.call_raw(RELAY, method.as_bytes(), options).unwrap();
    }

    /// All spans that anybody has kept, by service.
    fn kept(&self) -> [Vec<Span>; 3] {
        [&self.a, &self.b.engine, &self.c.engine].map(|engine| engine.spans(&Cursor::default()).0)
    }
}

/// Everything that all services know of the only request there was.
fn whole(chain: &Chain, flow_id: u64) -> Vec<Span> {
    let engines = [&chain.a, &chain.b.engine, &chain.c.engine];
    engines.iter().flat_map(|engine| engine.trace(flow_id)).collect()
}

fn child<'a>(spans: &'a [Span], parent: &Span, method: &str) -> &'a Span {
    let is = |span: &&Span| span.parent_id == parent.span_id && span.method == method;
    let mut found = spans.iter().filter(is);
    let child = found.next().unwrap_or_else(|| panic!("no child {method} in {spans:#?}"));
    assert!(found.next().is_none(), "one child only");
    child
}

on_both! {
    fn the_spans_of_a_chain_of_calls_are_one_tree(io: Io) {
        let chain = Chain::new(io, |config| config);
        chain.relay(SLOW, &patient().dyed(true));
        let [a, b, c] = chain.kept();
        assert_eq!((a.len(), b.len(), c.len()), (1, 3, 2), "{a:#?}{b:#?}{c:#?}");
        let root = &a[0];
        assert_eq!((root.role, root.parent_id, root.code), (Role::Client, 0, Code::OK));
        assert_eq!((root.service.as_str(), root.method.as_str()), ("Demo.a", RELAY));
        assert_eq!(root.address, chain.b.server.addresses()[0]);
        let server = child(&b, root, RELAY);
        assert_eq!((server.role, server.peer.as_str()), (Role::Server, "Demo.a"));
        assert_eq!(server.annotations[0].1, "relays");
        assert!(server.annotations[0].0 <= server.duration_ns);
        for method in [SLOW, ECHO] {
            let client = child(&b, server, method);
            let callee = child(&c, client, method);
            assert_eq!((client.role, callee.role), (Role::Client, Role::Server));
            assert_eq!(callee.peer, "Demo.b");
            assert!(client.duration_ns <= server.duration_ns);
        }
        assert!(child(&b, server, SLOW).duration_ns >= 20_000_000);
        let spans: Vec<_> = a.iter().chain(&b).chain(&c).collect();
        for span in &spans {
            assert_eq!(span.trace_id, root.trace_id);
            assert_eq!((span.reason, span.flags), (Some(Reason::Dyed), flags::DYED));
        }
        let mut ids: Vec<_> = spans.iter().map(|span| span.span_id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 6);
        assert_eq!(whole(&chain, root.trace_id.low).len(), 6);
    }

    fn a_call_that_fails_is_kept_with_the_request_that_it_was_made_for(io: Io) {
        let chain = Chain::new(io, |config| config);
        chain.relay(ECHO, &patient());
        chain.relay(FAIL, &patient());
        let [a, b, c] = chain.kept();
        assert_eq!(a, [], "A has seen no failure");
        // C keeps the failure, and what it sees of that trace afterwards.
        assert_eq!((c[0].code, c[0].reason), (Code::SERVICE_FAILED, Some(Reason::Failed)));
        assert_eq!((c.len(), c[1].reason), (2, Some(Reason::Related)));
        let of = |reason, method: &str| {
            let is = |span: &&Span| span.reason == Some(reason) && span.method == method;
            b.iter().filter(is).count()
        };
        assert_eq!(of(Reason::Failed, FAIL), 1);
        assert_eq!((of(Reason::Related, RELAY), of(Reason::Related, ECHO)), (1, 1), "{b:#?}");
        assert_eq!(b.len(), 3, "nothing of the request that went well");
        // What was not kept is still known for a while.
        assert_eq!(whole(&chain, c[0].trace_id.low).len(), 6);
    }

    fn what_takes_longer_than_configured_is_kept_as_slow(io: Io) {
        const SLOW_MS: u64 = 15;
        // A request that a busy machine has made slow tells nothing: another one is made.
        let chain = loop {
            let chain = Chain::new(io, |config| config.slow_ms(SLOW_MS));
            let begun = now();
            chain.relay(ECHO, &patient());
            if begun.elapsed() < Duration::from_millis(SLOW_MS) {
                break chain;
            }
        };
        assert!(chain.kept().iter().all(Vec::is_empty));
        chain.relay(SLOW, &patient());
        let [a, b, c] = chain.kept();
        assert_eq!((a[0].reason, c[0].reason), (Some(Reason::Slow), Some(Reason::Slow)));
        assert!(b.iter().any(|span| span.method == RELAY && span.reason == Some(Reason::Slow)));
    }

    fn sampling_is_drawn_where_a_request_begins_and_goes_along(io: Io) {
        let all = Chain::new(io, |config| config.sampled_parts_per_million(1_000_000));
        all.relay(ECHO, &patient());
        let kept = all.kept();
        assert_eq!(kept.each_ref().map(Vec::len), [1, 3, 2]);
        assert!(kept.iter().flatten().all(|span| span.reason == Some(Reason::Sampled)));
        // B and C draw nothing for what A has begun.
        let none = Chain::new(io, |config| config);
        none.relay(ECHO, &patient());
        assert!(none.kept().iter().all(Vec::is_empty));
    }

    fn a_dye_rule_dyes_from_where_it_is_in_force(io: Io) {
        let chain = Chain::new(io, |config| config);
        let rule = "caller=Demo.a tenant=blue".parse().unwrap();
        chain.b.engine.set_dye_rules(vec![rule]);
        chain.relay(ECHO, &patient().header("tenant", b"red").unwrap());
        assert!(chain.kept().iter().all(Vec::is_empty));
        chain.relay(ECHO, &patient().header("tenant", b"blue").unwrap());
        let [a, b, c] = chain.kept();
        assert_eq!((a.len(), b.len(), c.len()), (0, 3, 2), "C keeps what B has dyed");
        assert!(b.iter().chain(&c).all(|span| span.reason == Some(Reason::Dyed)));
        chain.b.engine.set_dye_rules(Vec::new());
        chain.relay(ECHO, &patient().header("tenant", b"blue").unwrap());
        assert_eq!(chain.kept().each_ref().map(Vec::len), [0, 3, 2], "not any more");
    }

    fn a_field_that_the_handler_tells_dyes_what_comes_after_it(io: Io) {
        let quick = || config(io).slow_ms(60_000);
        let c = Stage::with(quick(), |builder| builder);
        let engine = Engine::with(quick().dye_rules(vec!["uin=77".parse().unwrap()])).unwrap();
        let to_c = Client::new(&engine, c.address()).unwrap();
        let server = msec::Server::builder()
            .raw(RELAY, move |context: &Context| {
                to_c.call_raw(ECHO, b"before", &patient())?;
                msec::log::option("uin", std::str::from_utf8(context.body()).unwrap())?;
                to_c.call_raw(ECHO, b"after", &patient()).map(|_| [u8::from(context.is_dyed())])
            })
            .listen("127.0.0.1:0")
            .start(&engine)
            .unwrap();
        let caller = Engine::with(config(io)).unwrap();
        let to_b = Client::new(&caller, &server.addresses()[0]).unwrap();
        assert_eq!(to_b.call_raw(RELAY, b"78", &patient()).unwrap().body[..], [0]);
        assert_eq!(c.engine.spans(&Cursor::default()).0, []);
        assert_eq!(to_b.call_raw(RELAY, b"77", &patient()).unwrap().body[..], [1]);
        let kept = c.engine.spans(&Cursor::default()).0;
        assert_eq!(kept.len(), 1, "the call that came after");
        let mine = engine.spans(&Cursor::default()).0;
        assert_eq!(mine.iter().filter(|span| span.reason == Some(Reason::Dyed)).count(), 2);
    }

    fn a_span_tells_why_its_instance_was_picked(io: Io) {
        let (one, other) = (Stage::echo(io), Stage::echo(io));
        let engine = Engine::with(config(io).cores(1)).unwrap();
        let set = |policy, addresses: &[&str]| {
            let instance = |address: &&str| Instance::new(address.parse().unwrap());
            let service = Service::new("Demo.echo", addresses.iter().map(instance).collect());
            let mut table = Table::new();
            table.add(Service { policy, ..service }).unwrap();
            engine.set_routes(table);
        };
        let why = |client: &Client, options: CallOptions| {
            let (_, seen) = engine.spans(&Cursor::default());
            client.call_raw(ECHO, b"", &options.timeout(PATIENCE).dyed(true)).unwrap();
            let (spans, _) = engine.spans(&seen);
            spans[0].why
        };
        let both = [one.address(), other.address()];
        let service = Client::new(&engine, "Demo.echo").unwrap();
        set(Policy::Wrr, &both);
        assert_eq!(why(&service, CallOptions::new()), Some(Why::Turn));
        set(Policy::Hash, &both);
        assert_eq!(why(&service, CallOptions::new().key(b"ann")), Some(Why::Key));
        set(Policy::Adaptive, &both[..1]);
        assert_eq!(why(&service, CallOptions::new()), Some(Why::Only));
        let address = Client::new(&engine, one.address()).unwrap();
        assert_eq!(why(&address, CallOptions::new()), None, "nothing to choose");
    }

    fn a_cursor_reads_each_span_once(io: Io) {
        let chain = Chain::new(io, |config| config);
        let dyed = patient().dyed(true);
        chain.relay(ECHO, &dyed);
        let engine = &chain.b.engine;
        let (first, cursor) = engine.spans(&Cursor::default());
        assert_eq!(first.len(), 3);
        assert_eq!(engine.spans(&cursor), (Vec::new(), cursor.clone()));
        chain.relay(ECHO, &dyed);
        let (second, _) = engine.spans(&cursor);
        assert_eq!(second.len(), 3);
        assert!(second.iter().all(|span| !first.iter().any(|old| old.span_id == span.span_id)));
    }

    fn a_trace_goes_through_an_old_peer_by_its_flow_id(io: Io) {
        // It answers, and copies nothing but what it knows: the flow id.
        let old = Emulated::start(emulated::old_cpp);
        let engine = Engine::with(config(io)).unwrap();
        let client = Client::new(&engine, &old.address()).unwrap();
        client.call_raw(ECHO, b"", &patient().dyed(true)).unwrap();
        let kept = engine.spans(&Cursor::default()).0;
        let flow_id = kept[0].trace_id.low;
        let stage = Stage::echo(io);
        let mut peer = Peer::connect(stage.address());
        let head = request(1, ECHO);
        peer.send(&msec_protocol::RequestHead { flow_id, ..head }, b"");
        wait_until("the request to be known", || !stage.engine.trace(flow_id).is_empty());
        assert_eq!(stage.engine.trace(flow_id)[0].trace_id, kept[0].trace_id);
    }
}

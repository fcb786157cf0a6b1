//! The generated Rust, held against committed files, compiled and called.
//!
//! `golden/*.proto` have one of everything that has gone wrong in generators: names that are Rust
//! keywords or belong to the prelude, packages inside packages, drawings in comments. What they
//! become lies in `golden/generated`; `cargo xtask gen` rewrites it, and a person reads the change.
//! The stubs are compiled against `msec` below, an engine of a screen which passes bytes from a
//! client straight to a service.

mod common;

use std::collections::BTreeMap;

use common::{Scratch, check_golden, golden};
use msec_codegen::Build;

/// What stubs expect of the crate `msec`.
mod msec {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use prost_types::FileDescriptorSet;

    pub(crate) use ::prost;

    pub(crate) struct Context;

    #[derive(Debug, PartialEq)]
    pub(crate) struct Error(pub(crate) String);

    #[derive(Default)]
    pub(crate) struct CallOptions;

    type Handler = dyn Fn(&[u8]) -> Result<Vec<u8>, Error> + Send + Sync;

    #[derive(Clone, Default)]
    pub(crate) struct Methods(pub(crate) BTreeMap<&'static str, Arc<Handler>>);

    impl Methods {
        pub(crate) fn typed<Q, A, F>(&mut self, name: &'static str, function: F)
        where
            Q: prost::Message + Default,
            A: prost::Message,
            F: Fn(&Context, Q) -> Result<A, Error> + Send + Sync + 'static,
        {
            let handler = move |body: &[u8]| {
                let request = Q::decode(body).map_err(|error| Error(error.to_string()))?;
                Ok(function(&Context, request)?.encode_to_vec())
            };
            self.0.insert(name, Arc::new(handler));
        }

        /// Whatever is known of messages is known of every method of the service.
        pub(crate) fn descriptors(&mut self, set: &'static [u8]) {
            let set = <FileDescriptorSet as prost::Message>::decode(set).expect("it is one");
            assert!(set.file.iter().any(|file| !file.service.is_empty()));
            for file in &set.file {
                assert!(file.source_code_info.is_none(), "comments are of no use at run time");
                let known = |name: &String| set.file.iter().any(|file| file.name() == name);
                assert!(file.dependency.iter().all(known), "an import is missing");
            }
        }
    }

    pub(crate) trait Service {
        const NAME: &'static str;
        fn methods(self, methods: &mut Methods);
    }

    #[derive(Clone)]
    pub(crate) struct Client(pub(crate) Methods);

    impl Client {
        pub(crate) fn call<Q, A>(&self, method: &str, request: &Q) -> Result<A, Error>
        where
            Q: prost::Message,
            A: prost::Message + Default,
        {
            let handler = self.0.0.get(method).ok_or_else(|| Error(format!("no {method}")))?;
            let answer = handler(&request.encode_to_vec())?;
            A::decode(&answer[..]).map_err(|error| Error(error.to_string()))
        }

        pub(crate) fn call_with<Q, A>(
            &self,
            method: &str,
            request: &Q,
            _options: &CallOptions,
        ) -> Result<A, Error>
        where
            Q: prost::Message,
            A: prost::Message + Default,
        {
            self.call(method, request)
        }

        pub(crate) fn start<Q, A>(
            &self,
            method: &str,
            request: &Q,
            _options: &CallOptions,
        ) -> Pending<A>
        where
            Q: prost::Message,
            A: prost::Message + Default,
        {
            Pending(self.call(method, request))
        }
    }

    pub(crate) struct Pending<A>(Result<A, Error>);

    impl<A> Pending<A> {
        pub(crate) fn wait(self) -> Result<A, Error> {
            self.0
        }
    }
}

#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated, and not all of it is called"
)]
mod shop {
    include!("golden/generated/shop.rs");
    pub mod orders {
        include!("golden/generated/shop.orders.rs");
    }
}

#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated, and not all of it is called"
)]
mod bare {
    include!("golden/generated/_.rs");
}

use bare::{Ping, Pinger, PingerClient, PingerServer};
use shop::orders::order::Payment;
use shop::orders::{Order, OrderBook, OrderBookClient, OrderBookServer, Result as Outcome};

fn build_golden() -> Build {
    let files = ["bare.proto", "money.proto", "shop.proto"].map(|name| golden().join(name));
    let mut build = Build::new();
    build.protos(files).include(golden()).crate_path("crate::msec");
    build
}

#[test]
fn the_text_is_the_committed_one() {
    let generated = build_golden().generate().expect("generated");
    check_golden(&generated, &["_.rs", "shop.orders.rs", "shop.rs"]);
}

#[test]
fn compile_writes_the_same_files_and_leaves_unchanged_ones_alone() {
    let scratch = Scratch::new("compile");
    build_golden().out_dir(&scratch.0).compile().expect("compiled");
    for file in build_golden().generate().expect("generated") {
        let text = std::fs::read_to_string(scratch.0.join(&file.name)).expect("written");
        assert_eq!(text, file.text);
    }
    let path = scratch.0.join("shop.rs");
    let modified = || std::fs::metadata(&path).and_then(|file| file.modified()).expect("a time");
    let before = modified();
    build_golden().out_dir(&scratch.0).compile().expect("compiled again");
    assert_eq!(modified(), before);
    std::fs::write(&path, "stale").expect("written");
    build_golden().out_dir(&scratch.0).compile().expect("compiled again");
    assert_ne!(std::fs::read_to_string(&path).expect("text"), "stale");
}

#[test]
fn bytes_are_owned_where_asked_for() {
    let mut build = build_golden();
    let generated = build.bytes(msec_codegen::BytesType::Owned).generate().expect("generated");
    assert!(generated.iter().all(|file| !file.text.contains("::bytes::Bytes")));
}

struct Book;

impl OrderBook for Book {
    fn put_order(&self, _: &msec::Context, request: Order) -> Result<Outcome, msec::Error> {
        Ok(Outcome { code: i32::try_from(request.blob.len()).expect("small") })
    }

    fn new_(&self, _: &msec::Context, (): ()) -> Result<Order, msec::Error> {
        Ok(Order { payment: Some(Payment::Card("4711".into())), ..Order::default() })
    }

    fn r#type(&self, _: &msec::Context, request: Order) -> Result<Order, msec::Error> {
        Ok(request)
    }

    fn clone(&self, _: &msec::Context, request: Outcome) -> Result<shop::Money, msec::Error> {
        Ok(shop::Money { cents: request.code.into(), currency: 1 })
    }

    fn http_get(&self, _: &msec::Context, _: Order) -> Result<Outcome, msec::Error> {
        Err(msec::Error("not kept".into()))
    }
}

fn book() -> msec::Client {
    let mut methods = msec::Methods::default();
    msec::Service::methods(OrderBookServer::new(Book), &mut methods);
    msec::Client(methods)
}

#[test]
fn every_method_is_called_by_its_name_on_the_wire() {
    let names: Vec<_> = book().0.0.into_keys().collect();
    let expect = ["HTTPGet", "New", "PutOrder", "Type", "clone"];
    assert_eq!(names, expect.map(|name| format!("shop.orders.order_book.{name}")));
    assert_eq!(<OrderBookServer<Book> as msec::Service>::NAME, "shop.orders.order_book");
}

#[test]
fn a_client_reaches_the_implementation_whatever_the_method_is_called() {
    let client = OrderBookClient::new(book());
    let order = Order {
        blob: vec![7; 3].into(),
        lines: BTreeMap::from([("a".into(), 1)]).into_iter().collect(),
        ..Order::default()
    };
    assert_eq!(client.put_order(&order), Ok(Outcome { code: 3 }));
    assert_eq!(client.r#type(&order), Ok(order.clone()));
    assert_eq!(client.type_with(&order, &msec::CallOptions), Ok(order.clone()));
    assert_eq!(client.new_(&()).expect("an order").payment, Some(Payment::Card("4711".into())));
    assert!(client.new_with(&(), &msec::CallOptions).is_ok());
    assert_eq!(client.http_get(&order), Err(msec::Error("not kept".into())));
    let money = client.clone(&Outcome { code: 5 }).expect("money");
    assert_eq!((money.cents, money.currency()), (5, shop::Currency::Eur));
}

#[test]
fn a_call_that_was_started_outlives_its_request_and_its_client() {
    let client = OrderBookClient::new(book());
    let pending = {
        let order = Order { blob: vec![7; 4].into(), ..Order::default() };
        client.put_order_start(&order, &msec::CallOptions)
    };
    drop(client);
    assert_eq!(pending.wait(), Ok(Outcome { code: 4 }));
}

#[test]
fn a_file_without_package_has_bare_names() {
    struct Echo;
    impl Pinger for Echo {
        fn ping(&self, _: &msec::Context, request: Ping) -> Result<Ping, msec::Error> {
            Ok(request)
        }
    }
    let mut methods = msec::Methods::default();
    msec::Service::methods(PingerServer::new(Echo), &mut methods);
    assert!(methods.0.contains_key("Pinger.Ping"));
    let ping = Ping { body: vec![1].into() };
    assert_eq!(PingerClient::new(msec::Client(methods)).ping(&ping), Ok(ping));
}

fn error_of(name: &str, lines: &[&str]) -> String {
    common::error_of(name, lines, Build::generate)
}

#[test]
fn a_streaming_method_is_refused_with_its_place() {
    let found = error_of(
        "stream",
        &[
            "message M {}",
            "service S {",
            "  rpc A(M) returns (M);",
            "  rpc B(M) returns (stream M);",
            "}",
        ],
    );
    assert_eq!(found, "a.proto:6: the rpc B streams, which msec does not support yet");
    let found = error_of("upload", &["message M {}", "service S { rpc B(stream M) returns (M); }"]);
    assert_eq!(found, "a.proto:4: the rpc B streams, which msec does not support yet");
}

#[test]
fn methods_that_meet_in_rust_are_refused_with_their_place() {
    let meet = |name: &str, other: &str| {
        let rpc = format!("  rpc {other}(M) returns (M);");
        error_of(name, &["message M {}", "service S {", "  rpc Echo(M) returns (M);", &rpc, "}"])
    };
    let expect = "a.proto:6: the rpcs Echo and echo both become the function echo";
    assert_eq!(meet("same", "echo"), expect);
    let expect = "a.proto:6: the rpcs Echo and EchoWith both become the function echo_with";
    assert_eq!(meet("with", "EchoWith"), expect);
}

#[test]
fn types_that_meet_in_rust_are_refused_with_their_place() {
    let found = error_of("type", &["message S {}", "service S { rpc A(S) returns (S); }"]);
    assert!(found.starts_with("a.proto:"), "{found}");
    let lines = ["message SClient {}", "", "service S { rpc A(SClient) returns (SClient); }"];
    let expect = "a.proto:5: the service S and the type SClient both become the Rust type SClient";
    assert_eq!(error_of("client", &lines), expect);
    let lines = ["enum s_server { ZERO = 0; }", "service S {}"];
    let expect = "a.proto:4: the service S and the type s_server both become the Rust type SServer";
    assert_eq!(error_of("server", &lines), expect);
}

#[test]
fn what_protox_refuses_has_file_and_line_too() {
    let found = error_of("syntax", &["message M {", "  bytes = 1;", "}"]);
    assert!(found.starts_with("a.proto:4: "), "{found}");
    let found = error_of("unknown", &["message M {", "  Missing m = 1;", "}"]);
    assert!(found.starts_with("a.proto:4: ") && found.contains("Missing"), "{found}");
    let found = error_of("import", &["import \"missing.proto\";"]);
    assert!(found.starts_with("a.proto:3: ") && found.contains("missing.proto"), "{found}");
}

#[test]
fn no_file_and_an_absent_file_are_refused() {
    let error = Build::new().generate().expect_err("an error");
    assert_eq!((error.to_string().as_str(), error.line()), ("no .proto file was given", None));
    let error = Build::new().proto(golden().join("absent.proto")).generate().expect_err("an error");
    assert!(error.to_string().contains("absent.proto"), "{error}");
}

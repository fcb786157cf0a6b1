//! Requests that are answered later: their handler is given them to own, and answers from whatever
//! thread it likes.
//!
//! ```text
//!   core ─ take(Deferred) ─► the owner: another runtime's queue, a thread, a table
//!    ▲                              │ answer, once; or drop
//!    └──────── mailbox ◄────────────┘
//! ```
//!
//! This is for bindings to runtimes that have threads of their own. A handler in Rust has no use
//! for it: it blocks, and its coroutine parks.
//!
//! What holds for every request holds here: it counts as in flight until it is answered, its
//! deadline and its cancellation can be seen, and it is settled exactly once, on its own core. One
//! that is dropped without an answer is answered for its owner.

use std::ops::Deref;
use std::sync::Arc;

use msec_protocol::Code;

use crate::context::Context;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::log::request::Known;
use crate::request::{self, Answered};
use crate::serve::Plan;
use crate::shard::Message;

/// Is given the requests of a method. Called on core threads; must not block.
pub(crate) type Take = dyn Fn(Deferred) + Send + Sync;

/// A request whose handler owns it. Everything that can be known of it is in the [`Context`] that
/// it is a pointer to.
pub struct Deferred {
    /// Taken by the answer.
    context: Option<Box<Context>>,
    home: Home,
}

/// Where a request belongs.
#[derive(Clone)]
struct Home {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
}

impl Deferred {
    pub(crate) fn new(context: Box<Context>, plan: &Arc<Plan>, shared: &Arc<Shared>) -> Self {
        let home = Home { plan: plan.clone(), shared: shared.clone() };
        Self { context: Some(context), home }
    }

    /// Answers with a body, or with a failure. From any thread; never blocks for long: on a thread
    /// that is no core's it waits while the mailbox of the request's core is full.
    pub fn answer(self, result: Result<Vec<u8>>) {
        Answers::default().add(self, result);
    }

    /// Runs a function as a part of serving this request: calls that it makes inherit the deadline,
    /// flow id and dye, and its records in the log say whom they are about. For threads that are no
    /// core's.
    pub fn within<R>(&self, function: impl FnOnce() -> R) -> R {
        let known = Known::of(&self.home.shared, self);
        crate::offload::inheriting(self.inherited(), known, function)
    }

    fn end(&mut self, result: Result<Vec<u8>>) -> Option<Answered> {
        let context = self.context.take()?;
        Some(request::answer_deferred(&self.home.plan, context, result))
    }
}

impl Deref for Deferred {
    type Target = Context;

    fn deref(&self) -> &Context {
        self.context.as_ref().expect("only the answer, which ends this, takes it")
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if self.context.is_none() {
            // It is answered, as almost all are: an error for nobody would be memory for nothing.
            return;
        }
        let text = "the handler has let go of the request without an answer";
        let error = Error::new(Code::SERVICE_FAILED, text);
        if let Some(answered) = self.end(Err(error)) {
            let core = answered.core();
            post(&self.home.shared, core, Message::Answered(Box::new(answered)));
        }
    }
}

/// Answers to several requests that go out together, so that each core is woken once for all of
/// them. Dropped, it sends what it has.
#[derive(Default)]
pub struct Answers {
    shared: Option<Arc<Shared>>,
    /// By core.
    waiting: Vec<Vec<Answered>>,
}

impl Answers {
    /// As [`Deferred::answer`], sent with the next [`Answers::send`].
    pub fn add(&mut self, mut request: Deferred, result: Result<Vec<u8>>) {
        let shared = &request.home.shared;
        if self.shared.as_ref().is_none_or(|known| !Arc::ptr_eq(known, shared)) {
            self.send();
            self.shared = Some(shared.clone());
            self.waiting.resize_with(shared.cores.count(), Vec::new);
        }
        if let Some(answered) = request.end(result) {
            self.waiting[answered.core()].push(answered);
        }
    }

    /// Sends what was added.
    pub fn send(&mut self) {
        let Some(shared) = &self.shared else { return };
        for (core, waiting) in self.waiting.iter_mut().enumerate() {
            if !waiting.is_empty() {
                post(shared, core, Message::AllAnswered(std::mem::take(waiting)));
            }
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.send();
    }
}

/// From whatever thread this is.
fn post(shared: &Arc<Shared>, core: usize, message: Message) {
    match crate::shard::current().filter(|shard| Arc::ptr_eq(&shard.shared, shared)) {
        Some(shard) => shard.post(core, message),
        None => shared.cores.post_patiently(core, message),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::{CallOptions, Client, Config, Engine, Server};

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A server that gives its requests to this test, and a client of it.
    struct Stage {
        client: Client,
        given: mpsc::Receiver<Deferred>,
        _server: Server,
        engine: Engine,
    }

    impl Stage {
        fn new() -> Self {
            let engine = Engine::with(Config::new().cores(2)).unwrap();
            let (give, given) = mpsc::channel();
            let take = move |request| give.send(request).expect("the test has the other end");
            let server = Server::builder().deferred("a.B.C", take).listen("127.0.0.1:0");
            let server = server.start(&engine).unwrap();
            let client = Client::new(&engine, &server.addresses()[0]).unwrap();
            Self { client, given, _server: server, engine }
        }

        fn start(&self, body: &str) -> crate::Pending<()> {
            let options = CallOptions::new().timeout(PATIENCE);
            self.client.start_body("a.B.C", body.into(), &options)
        }

        fn given(&self) -> Deferred {
            self.given.recv_timeout(PATIENCE).expect("a request")
        }
    }

    #[test]
    fn a_request_is_answered_by_the_thread_that_owns_it() {
        let stage = Stage::new();
        let (first, second) = (stage.start("first"), stage.start("second"));
        let (one, other) = (stage.given(), stage.given());
        assert!(one.peer().starts_with("127.0.0.1:"), "{}", one.peer());
        for request in [other, one] {
            let body = [request.body(), b" answered"].concat();
            request.set_result(7);
            std::thread::spawn(move || request.answer(Ok(body)));
        }
        let (first, second) = (first.wait_raw().unwrap(), second.wait_raw().unwrap());
        assert_eq!((&first.body[..], first.result), (&b"first answered"[..], 7));
        assert_eq!(&second.body[..], b"second answered");
    }

    #[test]
    fn several_answers_go_out_together_and_failures_among_them() {
        const COUNT: usize = 100;
        let stage = Stage::new();
        let pending: Vec<_> = (0..COUNT).map(|number| stage.start(&number.to_string())).collect();
        let mut answers = Answers::default();
        for _ in 0..COUNT {
            let request = stage.given();
            let number: usize = std::str::from_utf8(request.body()).unwrap().parse().unwrap();
            let failure = Err(Error::new(Code(-77), "odd"));
            answers.add(request, if number < COUNT / 2 { Ok(vec![1; number]) } else { failure });
        }
        answers.send();
        for (number, pending) in pending.into_iter().enumerate() {
            match pending.wait_raw() {
                Ok(reply) => assert_eq!((reply.body.len(), number < COUNT / 2), (number, true)),
                Err(error) => {
                    assert_eq!((error.code(), number < COUNT / 2), (Code(-77), false));
                }
            }
        }
    }

    #[test]
    fn a_request_that_is_let_go_of_is_answered_for_its_owner() {
        let stage = Stage::new();
        let pending = stage.start("");
        drop(stage.given());
        assert_eq!(pending.wait_raw().unwrap_err().code(), Code::SERVICE_FAILED);
        while stage.engine.vitals().flights != 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn its_owner_sees_that_nobody_waits_any_more() {
        let stage = Stage::new();
        // By its first answer a server tells that it understands a cancel.
        let first = stage.start("");
        stage.given().answer(Ok(Vec::new()));
        first.wait_raw().unwrap();
        let pending = stage.start("");
        let request = stage.given();
        assert!(!request.is_cancelled());
        drop(pending);
        while !request.is_cancelled() {
            std::thread::yield_now();
        }
        assert!(request.remaining_ms() > Some(0), "the deadline had it, not the cancel");
        request.answer(Ok(Vec::new()));
    }

    #[test]
    fn calls_within_a_request_inherit_what_is_left_of_its_time() {
        let stage = Stage::new();
        let options = CallOptions::new().timeout(PATIENCE / 2);
        let outer = stage.client.start_body::<()>("a.B.C", Vec::new(), &options);
        let request = stage.given();
        let inner = request.within(|| stage.start("inner"));
        let nested = stage.given();
        assert_eq!(nested.flow_id(), request.flow_id());
        let most_ms = PATIENCE.as_millis() as u64 / 2;
        assert!(nested.remaining_ms().is_some_and(|left_ms| left_ms <= most_ms));
        nested.answer(Ok(b"well".to_vec()));
        assert_eq!(&inner.wait_raw().unwrap().body[..], b"well");
        request.answer(Ok(Vec::new()));
        assert!(outer.wait_raw().is_ok());
    }

    #[test]
    fn a_taker_that_panics_is_answered_for() {
        let engine = Engine::with(Config::new().cores(1)).unwrap();
        let take = |_: Deferred| panic!("on purpose");
        let server = Server::builder().deferred("a.B.C", take).listen("127.0.0.1:0");
        let server = server.start(&engine).unwrap();
        let client = Client::new(&engine, &server.addresses()[0]).unwrap();
        let options = CallOptions::new().timeout(PATIENCE);
        let error = client.call_raw("a.B.C", b"", &options).unwrap_err();
        assert_eq!(error.code(), Code::SERVICE_FAILED);
    }
}

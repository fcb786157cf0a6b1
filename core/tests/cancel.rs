//! How each kind of wait ends when its request is cancelled, when a panic unwinds, when the engine
//! stops. On both back ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use msec::sync::{Condition, Mutex as TaskMutex, OnceCell, Semaphore, after, channel, select2};
use msec::{CallOptions, Client, Code, Config, Engine, Error, Io, Result, Server};

use common::{MOMENT, PATIENCE, code, engine, on_each_back_end, run, until};

msec::local! {
    static COUNT: Cell<u32> = Cell::new(40);
}

#[test]
fn a_destructor_that_waits_while_a_panic_unwinds_is_refused() {
    struct Waits(Rc<RefCell<Vec<Code>>>);

    impl Drop for Waits {
        fn drop(&mut self) {
            let (locked, gate) = (TaskMutex::new(0), Semaphore::new(0));
            let _held = locked.try_lock();
            let (sender, receiver) = channel::<u32>(1);
            sender.try_send(1).unwrap();
            let (ours, _theirs) = UnixStream::pair().unwrap();
            let scoped = msec::scope(|scope| {
                let gate = gate.clone();
                scope.spawn(move || drop(gate.acquire()));
            });
            self.0.borrow_mut().extend([
                code(msec::sleep(MOMENT)),
                code(msec::yield_now()),
                code(locked.lock()),
                code(gate.acquire()),
                code(sender.send(2).map_err(Error::from)),
                code(select2(gate.acquiring(1), after(PATIENCE))),
                code(msec::spawn(|| 1).join()),
                code(msec::block_on(std::future::pending::<()>())),
                code(msec::block_on_uncancelled(std::future::pending::<()>())),
                code(msec::offload(|| 1)),
                code(msec::readable(&ours)),
                code(scoped),
            ]);
            assert_eq!(receiver.recv().unwrap(), Some(1), "what needs no wait is given");
            gate.add(1);
        }
    }

    run(|| {
        let codes = Rc::new(RefCell::new(Vec::new()));
        let waits = Waits(codes.clone());
        let task = msec::spawn(move || {
            let _waits = waits;
            panic!("unwind");
        });
        assert_eq!(code(task.join()), Code::SERVICE_FAILED);
        assert_eq!(*codes.borrow(), [Code::CANCELLED; 12]);
        msec::sleep(MOMENT)
    });
}

thread_local! {
    static LOCKED: TaskMutex<u32> = TaskMutex::new(0);
    static NEVER: Condition = Condition::new();
    static CLOSED: Semaphore = Semaphore::new(0);
    static MADE: OnceCell<u32> = OnceCell::new();
}

/// A way to wait, by its name.
type Way = (&'static str, fn() -> Result<()>);

/// Every way to wait, for ever.
const WAITS: &[Way] = &[
    ("sleep", || msec::sleep(PATIENCE * 10)),
    ("yield", || {
        loop {
            msec::yield_now()?;
        }
    }),
    ("mutex", || LOCKED.with(Clone::clone).lock().map(drop)),
    ("condition", || NEVER.with(Clone::clone).wait(TaskMutex::new(()).lock()?).map(drop)),
    ("semaphore", || CLOSED.with(Clone::clone).acquire_many(3).map(drop)),
    ("once", || MADE.with(Clone::clone).get_or_init(|| 1).map(|_| ())),
    ("receive", || {
        let (_sender, receiver) = channel::<u32>(1);
        receiver.recv().map(|_| ())
    }),
    ("send", || {
        let (sender, _receiver) = channel(1);
        sender.send(1)?;
        Ok(sender.send(2)?)
    }),
    ("join", || {
        let gate = CLOSED.with(Clone::clone);
        let outcome = msec::spawn(move || gate.acquire().map(drop)).join();
        outcome.and_then(|inner| inner)
    }),
    ("scope", || {
        let codes = Rc::new(RefCell::new(Vec::new()));
        let outcome = msec::scope(|scope| {
            for _ in 0..200 {
                let (gate, codes) = (CLOSED.with(Clone::clone), codes.clone());
                scope.spawn(move || {
                    let code = code(gate.acquire());
                    codes.borrow_mut().push(code);
                });
            }
        });
        assert_eq!((code(outcome), codes.borrow().len()), (Code::OK, 200));
        assert!(codes.borrow().iter().all(|code| *code == Code::CANCELLED));
        Err(Error::from(Code::CANCELLED))
    }),
    ("future", || msec::block_on(std::future::pending())),
    ("offload", || {
        let (tell, told) = mpsc::channel::<()>();
        // Ends when the waiting side has given up.
        let outcome = msec::offload(move || told.recv().map_err(|_| Error::from(Code::OK)));
        drop(tell);
        outcome?
    }),
    ("descriptor", || {
        let (ours, _theirs) = UnixStream::pair()?;
        msec::readable(&ours)
    }),
    ("select", || {
        let locked = LOCKED.with(Clone::clone);
        select2(locked.locking(), CLOSED.with(Clone::clone).acquiring(1)).map(drop)
    }),
];

/// Ends those who try for ever.
static OVER: AtomicBool = AtomicBool::new(false);
/// How often they have tried.
static TRIES: AtomicU32 = AtomicU32::new(0);

/// What a handler tells: which wait it is in, and how that ended.
type Told = (usize, Option<Code>);

fn waiting_server(engine: &Engine) -> (Server, mpsc::Receiver<Told>) {
    let (tell, told) = mpsc::channel();
    let told_too = tell.clone();
    let wait = move |context: &msec::Context| {
        let index = usize::from(context.body()[0]);
        tell.send((index, None)).unwrap();
        let outcome = WAITS[index].1();
        tell.send((index, Some(code(outcome.clone())))).unwrap();
        outcome.map(|()| "")
    };
    let try_on = move |context: &msec::Context| {
        let index = usize::from(context.body()[0]);
        told_too.send((index, None)).unwrap();
        let mut outcome = Ok(());
        while !OVER.load(Ordering::Acquire) {
            outcome = WAITS[index].1();
            TRIES.fetch_add(1, Ordering::AcqRel);
        }
        told_too.send((index, Some(code(outcome)))).unwrap();
        Ok("")
    };
    // Holds what the waits want, then looks whether nobody is left in any line.
    let hold = |_: &msec::Context| {
        std::mem::forget(LOCKED.with(Clone::clone).try_lock());
        let made = MADE.with(Clone::clone);
        let (tell, told) = channel(1);
        drop(msec::spawn(move || {
            made.get_or_init(|| {
                tell.try_send(()).unwrap();
                CLOSED.with(Clone::clone).acquire_many(1_000).map_or(0, |_| 1)
            })
            .map(|_| ())
        }));
        told.recv().map(|_| "")
    };
    let left = |_: &msec::Context| {
        let count = LOCKED.with(TaskMutex::waiting_count) + NEVER.with(Condition::waiting_count);
        Ok((count + CLOSED.with(Semaphore::waiting_count)).to_string())
    };
    let server = Server::builder()
        .raw("t.T.Wait", wait)
        .raw("t.T.Try", try_on)
        .raw("t.T.Hold", hold)
        .raw("t.T.Left", left)
        .listen("127.0.0.1:0")
        .start(engine)
        .unwrap();
    (server, told)
}

#[test]
fn every_wait_of_a_cancelled_request_ends_with_its_code_and_leaves_no_trace() {
    on_each_back_end(|engine| {
        let (server, told) = waiting_server(engine);
        let client = Client::new(engine, &server.addresses()[0]).unwrap();
        let options = CallOptions::new().timeout(PATIENCE * 2);
        // Cancels are sent to peers that are known to understand them: one answer tells.
        client.call_raw("t.T.Hold", b"", &options).unwrap();
        for (index, (name, _)) in WAITS.iter().enumerate() {
            let call = client.start_body::<()>("t.T.Wait", vec![index as u8], &options);
            assert_eq!(told.recv_timeout(PATIENCE).expect(name), (index, None), "{name}");
            // It waits by now, or is about to: both have to end.
            if index % 2 == 0 {
                client.call_raw("t.T.Left", b"", &options).unwrap();
            }
            drop(call);
            let end = told.recv_timeout(PATIENCE).expect(name);
            assert_eq!(end, (index, Some(Code::CANCELLED)), "{name}");
        }
        let left = client.call_raw("t.T.Left", b"", &options).unwrap();
        assert_eq!(&left.body[..], b"1", "only the one who holds the making of the value waits");
    });
}

#[test]
fn a_callers_timeout_and_its_death_reach_a_handler_that_waits() {
    on_each_back_end(|engine| {
        let (server, told) = waiting_server(engine);
        let caller = Engine::with(Config::from_env().unwrap().cores(1)).unwrap();
        let client = Client::new(&caller, &server.addresses()[0]).unwrap();
        client.call_raw("t.T.Left", b"", &CallOptions::new().timeout(PATIENCE)).unwrap();
        // Long enough to get there on a machine that is busy.
        let short = CallOptions::new().timeout(Duration::from_millis(300));
        let error = client.call_raw("t.T.Wait", &[0], &short).unwrap_err();
        assert_eq!(error.code(), Code::TIMEOUT);
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), (0, None));
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), (0, Some(Code::CANCELLED)));

        let long = CallOptions::new().timeout(PATIENCE * 2);
        let call = client.start_body::<()>("t.T.Wait", vec![0], &long);
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), (0, None));
        std::mem::forget(call);
        drop((client, caller));
        let healthy = Client::new(engine, &server.addresses()[0]).unwrap();
        healthy.call_raw("t.T.Left", b"", &long).unwrap();
        drop(server);
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), (0, Some(Code::CANCELLED)));
    });
}

#[test]
fn a_request_that_waits_is_cancelled_at_its_deadline_whatever_its_caller_says() {
    on_each_back_end(|engine| {
        let (server, told) = waiting_server(engine);
        let short = CallOptions::new().timeout(Duration::from_millis(100));
        let holder = Client::new(engine, &server.addresses()[0]).unwrap();
        holder.call_raw("t.T.Hold", b"", &CallOptions::new().timeout(PATIENCE)).unwrap();
        for (index, (name, _)) in WAITS.iter().enumerate() {
            // A new connection: its caller does not know yet that cancels are understood.
            let caller = Engine::with(Config::from_env().unwrap().cores(1)).unwrap();
            let client = Client::new(&caller, &server.addresses()[0]).unwrap();
            let error = client.call_raw("t.T.Wait", &[index as u8], &short).unwrap_err();
            assert_eq!(error.code(), Code::TIMEOUT, "{name}");
            assert_eq!(told.recv_timeout(PATIENCE).expect(name), (index, None), "{name}");
            let end = told.recv_timeout(PATIENCE).expect(name);
            assert_eq!(end, (index, Some(Code::CANCELLED)), "{name}");
        }
    });
}

#[test]
fn a_cancelled_request_that_tries_for_ever_does_not_have_its_core_to_itself() {
    on_each_back_end(|engine| {
        let (server, told) = waiting_server(engine);
        let client = Client::new(engine, &server.addresses()[0]).unwrap();
        let options = CallOptions::new().timeout(PATIENCE);
        client.call_raw("t.T.Hold", b"", &options).unwrap();
        for (index, (name, _)) in WAITS.iter().enumerate() {
            OVER.store(false, Ordering::Release);
            TRIES.store(0, Ordering::Release);
            let call = client.start_body::<()>("t.T.Try", vec![index as u8], &options);
            assert_eq!(told.recv_timeout(PATIENCE).expect(name), (index, None), "{name}");
            drop(call);
            while TRIES.load(Ordering::Acquire) < 40 {
                std::thread::yield_now();
            }
            let (begin_ns, begun) = (msec::clock::now_ns(), TRIES.load(Ordering::Acquire));
            for _ in 0..10 {
                client.call_raw("t.T.Left", b"", &options).expect(name);
            }
            // It rests: some sixteen tries a millisecond. A scope parks by itself, for its tasks.
            let more = u64::from(TRIES.load(Ordering::Acquire) - begun);
            let most = (msec::clock::now_ns() - begin_ns) / 1_000_000 * 17 + 34;
            assert!(more <= most || *name == "scope", "{name}: {more} of {most}");
            OVER.store(true, Ordering::Release);
            let end = told.recv_timeout(PATIENCE).expect(name);
            assert_eq!(end, (index, Some(Code::CANCELLED)), "{name}");
        }
    });
}

#[test]
fn who_has_no_time_and_tries_for_ever_lets_others_run() {
    run(|| {
        let (sender, receiver) = channel::<u32>(1);
        let tries = msec::spawn(move || {
            loop {
                match receiver.recv_timeout(Duration::ZERO) {
                    Ok(value) => return value,
                    Err(error) => assert_eq!(error.code(), Code::TIMEOUT),
                }
            }
        });
        msec::spawn(move || sender.send(7).map_err(Error::from)).join()??;
        assert_eq!(tries.join()?, Some(7));
        Ok(())
    });
}

#[test]
fn thousands_of_tasks_of_a_cancelled_request_all_end() {
    on_each_back_end(|engine| {
        let (tell, told) = mpsc::channel();
        let many = move |_: &msec::Context| {
            let ended = Rc::new(Cell::new(0));
            let gate = Semaphore::new(0);
            // Short tasks before and between, so that the list of whom to wake is cleaned.
            let outcome = msec::scope(|scope| {
                for _ in 0..6_000 {
                    scope.spawn(|| ());
                    let (gate, ended) = (gate.clone(), ended.clone());
                    scope.spawn(move || {
                        assert_eq!(code(gate.acquire()), Code::CANCELLED);
                        ended.set(ended.get() + 1);
                    });
                }
                until(|| gate.waiting_count() == 6_000).unwrap();
                tell.send(0).unwrap();
            });
            tell.send(ended.get()).unwrap();
            outcome.map(|()| "")
        };
        let server = Server::builder()
            .raw("t.T.Many", many)
            .raw("t.T.Ping", |_| Ok(""))
            .listen("127.0.0.1:0")
            .start(engine)
            .unwrap();
        let client = Client::new(engine, &server.addresses()[0]).unwrap();
        let options = CallOptions::new().timeout(PATIENCE * 2);
        client.call_raw("t.T.Ping", b"", &options).unwrap();
        let call = client.start_body::<()>("t.T.Many", Vec::new(), &options);
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), 0);
        drop(call);
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), 6_000);
    });
}

#[test]
fn a_callback_on_the_loop_is_refused_whatever_would_wait() {
    on_each_back_end(|engine| {
        let refused = |_: &msec::Context| {
            let gate = Semaphore::new(1);
            let permit = gate.acquire()?;
            let codes = [
                code(msec::sleep(MOMENT)),
                code(msec::yield_now()),
                code(gate.acquire()),
                code(msec::spawn(|| 1).join()),
                code(msec::scope(|_| ())),
                code(msec::block_on(std::future::pending::<()>())),
                code(msec::block_on_uncancelled(std::future::pending::<()>())),
                code(msec::offload(|| 1)),
                code(COUNT.try_with(Cell::get)),
            ];
            drop(permit);
            assert!(gate.try_acquire(1).is_some());
            assert_eq!(msec::block_on(std::future::ready(4))?, 4, "it need not wait");
            assert_eq!(msec::block_on_uncancelled(std::future::ready(5))?, 5, "nor need this");
            Ok(format!("{}", codes.iter().filter(|code| **code == Code::SYSTEM_ERROR).count()))
        };
        let server = Server::builder()
            .raw("t.T.Refused", refused)
            .method("t.T.Refused", |options| {
                options.callback();
            })
            .listen("127.0.0.1:0")
            .start(engine)
            .unwrap();
        let client = Client::new(engine, &server.addresses()[0]).unwrap();
        let options = CallOptions::new().timeout(PATIENCE);
        let reply = client.call_raw("t.T.Refused", b"", &options).unwrap();
        assert_eq!(&reply.body[..], b"9");
    });
}

#[test]
fn an_engine_stops_over_tasks_that_wait_or_have_not_begun() {
    for io in [Io::Uring, Io::Epoll] {
        let engine = engine(io);
        engine
            .run(|| {
                let gate = Semaphore::new(0);
                let waits = msec::spawn(move || gate.acquire().map(drop));
                drop(msec::spawn(move || waits.join()));
                msec::yield_now().unwrap();
                drop(msec::spawn(|| msec::sleep(PATIENCE)));
            })
            .unwrap();
        drop(engine);
    }
}

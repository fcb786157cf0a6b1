//! The soak: random cancels, resets, deadlines, reconnects, panics and big bodies for a while.
//!
//! ```text
//!   threads, coroutines, callbacks ─► engine C ─┬─► proxy that resets ─► server A ─► server B
//!                                               └──────── directly, TCP and UDP ────► server B
//!   raw peers: half a frame, then gone ─────────────────► server A, restarted now and then
//! ```
//!
//! Every call has to be answered or to fail, once, in time, with a code that fits what was called.
//! Afterwards nothing may be left: no task, connection, request, call, timer, operation of the
//! ring, buffer or stack in any engine, no descriptor in the process, and no growing memory.
//!
//! `MSEC_SOAK_SECONDS` says how long, both back ends together; `MSEC_SOAK_SEED` repeats a run as
//! far as threads and the network let it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use msec::{CallOptions, Client, Code, Config, Engine, Error, Io, Result, Server, block_on, spawn};
use msec_tests::peer::{framed, promised, request};
use msec_tests::{ECHO, Memory, PATIENCE, Peer, Stage, now, wait_until};

const PANIC: &str = "soak.Work.Panic";
const PANIC_TEXT: &str = "the soak panics";
const FAIL: &str = "soak.Work.Fail";
const SLOW: &str = "soak.Work.Slow";
const RELAY: &str = "soak.Work.Relay";
const FAN: &str = "soak.Work.Fan";
const HEAVY: &str = "soak.Work.Heavy";

/// Without the variable: half a minute.
const SECONDS_DEFAULT: u64 = 30;
/// Plain threads that call.
const THREADS_COUNT: u64 = 6;
/// How much later than its deadline a call may end on a machine that is busy.
const LATE_MAX: Duration = Duration::from_secs(4);
/// How much more than in the middle of the run may be at its end, after so many seconds more. In
/// the middle bodies are in flight, at the end none are. Of the heap some ten bytes a call are
/// allowed, so that in ten minutes also a small leak shows.
fn growth_max(seconds: u64) -> Memory {
    Memory { heap_kib: 8 * 1024 + seconds * 16, resident_kib: 48 * 1024 + seconds * 64 }
}

/// Numbers that are random enough, and the same for the same seed (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn new(seed: u64, stream: u64) -> Self {
        let mixed = (seed ^ (stream + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).max(1);
        let mut random = Self(mixed);
        for _ in 0..4 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn bytes(&mut self, length_max: u64) -> Vec<u8> {
        let length = self.below(length_max) as usize;
        let first = self.next() as u8;
        (0..length).map(|index| first.wrapping_add(index as u8)).collect()
    }

    fn within_ms(&mut self, end: u64) -> CallOptions {
        CallOptions::new().timeout(Duration::from_millis(1 + self.below(end)))
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, which is no number")))
}

/// What came of the calls, by code.
#[derive(Clone, Default)]
struct Book {
    ends: Arc<Mutex<BTreeMap<i32, u64>>>,
    begun: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
    /// What must not be. Kept here, since a panic in a callback or a handler is no test's.
    mistakes: Arc<Mutex<Vec<String>>>,
}

impl Book {
    fn begin(&self) -> Instant {
        self.begun.fetch_add(1, Ordering::AcqRel);
        now()
    }

    /// Notes an end and checks that it fits.
    fn end(&self, method: &str, begun: Instant, timeout_max: Duration, code: Code) {
        let took = begun.elapsed();
        if took > timeout_max + LATE_MAX {
            self.mistake(format!("{method} took {took:?}, for {timeout_max:?}"));
        }
        // What may happen to any call here.
        let trouble = [
            Code::TIMEOUT,
            Code::NETWORK,
            Code::DEADLINE_EXCEEDED,
            Code::DRAINING,
            Code::OVERLOADED,
        ];
        let own: &[Code] = match method {
            PANIC => &[Code::SERVICE_FAILED],
            FAIL => &[Code(-77)],
            SLOW | RELAY | FAN | HEAVY => &[Code::OK, Code::CANCELLED],
            _ => &[Code::OK],
        };
        if !own.contains(&code) && !trouble.contains(&code) {
            self.mistake(format!("{method} ended with {code:?}"));
        }
        *self.ends.lock().unwrap().entry(code.0).or_default() += 1;
        self.ended.fetch_add(1, Ordering::AcqRel);
    }

    /// An answer is its request's, or an error.
    fn compare(&self, method: &str, result: &Result<msec::Reply>, body: &[u8]) {
        if result.as_ref().is_ok_and(|reply| reply.body != body) {
            self.mistake(format!("{method} answered something else"));
        }
    }

    fn mistake(&self, what: String) {
        self.mistakes.lock().unwrap().push(what);
    }

    fn is_closed(&self) -> bool {
        self.begun.load(Ordering::Acquire) == self.ended.load(Ordering::Acquire)
    }
}

fn code<T>(result: &Result<T>) -> Code {
    result.as_ref().map_or_else(Error::code, |_| Code::OK)
}

/// Server B: echoes, over streams and datagrams.
fn server_b(config: Config) -> Stage {
    Stage::at(config, |builder| builder.listen("127.0.0.1:0").listen("127.0.0.1:0@udp"))
}

/// Server A: works in all the ways there are, and calls B.
fn server_a(engine: &Engine, address: &str, to_b: &Client) -> Server {
    let (relay, fan) = (to_b.clone(), to_b.clone());
    let sleep = |context: &msec::Context| {
        let ms = context.body().first().copied().unwrap_or(0) % 32;
        msec::sleep(Duration::from_millis(u64::from(ms)))
    };
    Server::builder()
        .raw(ECHO, |context| Ok(context.body_bytes()))
        .raw(PANIC, |_| -> Result<Vec<u8>> { panic!("{PANIC_TEXT}") })
        .raw(FAIL, |_| Err::<Vec<u8>, _>(Error::new(Code(-77), "the soak fails")))
        .raw(SLOW, move |context| sleep(context).map(|()| context.body_bytes()))
        .raw(RELAY, move |context| {
            Ok(relay.call_raw(ECHO, context.body(), &CallOptions::new())?.body)
        })
        .raw(FAN, move |context| {
            let call = |body: Vec<u8>, client: Client| {
                spawn(move || client.call_raw(ECHO, &body, &CallOptions::new()).map(|_| ()))
            };
            let tasks: Vec<_> =
                (0..3).map(|_| call(context.body().to_vec(), fan.clone())).collect();
            let begin =
                |_| fan.start_body::<()>(ECHO, context.body().to_vec(), &CallOptions::new());
            let calls: Vec<_> = (0..3).map(begin).collect();
            for task in tasks {
                task.join()??;
            }
            for call in calls {
                call.wait_raw()?;
            }
            Ok(context.body_bytes())
        })
        .raw(HEAVY, |context| Ok(context.body_bytes()))
        .method(HEAVY, |options| {
            options.heavy();
        })
        .listen(address)
        .start(engine)
        .unwrap()
}

/// A proxy in front of a server, which resets connections when it is told to.
struct Proxy {
    address: std::net::SocketAddr,
    links: Arc<Mutex<Vec<[TcpStream; 2]>>>,
    stopped: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let links: Arc<Mutex<Vec<[TcpStream; 2]>>> = Arc::default();
        let stopped = Arc::new(AtomicBool::new(false));
        let (theirs, end) = (links.clone(), stopped.clone());
        let accept = move || {
            let mut pumps = Vec::new();
            for client in listener.incoming().map_while(std::io::Result::ok) {
                if end.load(Ordering::Acquire) {
                    break;
                }
                // While the server restarts, clients are turned away.
                let Ok(server) = TcpStream::connect(&target) else { continue };
                let ends = [client, server];
                let copy = |end: &TcpStream| end.try_clone().unwrap();
                pumps.push(pump([copy(&ends[0]), copy(&ends[1])]));
                pumps.push(pump([copy(&ends[1]), copy(&ends[0])]));
                theirs.lock().unwrap().push(ends);
            }
            pumps.into_iter().for_each(|pump| pump.join().unwrap());
        };
        Self { address, links, stopped, acceptor: Some(std::thread::spawn(accept)) }
    }

    /// Resets one connection, or ends it in order.
    fn harm(&self, random: &mut Random) {
        let mut links = self.links.lock().unwrap();
        if links.is_empty() {
            return;
        }
        let index = random.below(links.len() as u64) as usize;
        let ends = links.swap_remove(index);
        for end in &ends {
            if random.below(2) == 0 {
                let _ = socket2::SockRef::from(end).set_linger(Some(Duration::ZERO));
            }
            let _ =
                end.shutdown(if random.below(2) == 0 { Shutdown::Both } else { Shutdown::Read });
        }
    }

    fn stop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        for end in self.links.lock().unwrap().drain(..).flatten() {
            let _ = end.shutdown(Shutdown::Both);
        }
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().unwrap();
        }
    }
}

/// Carries bytes one way until either end is closed, and closes both.
fn pump([mut from, mut to]: [TcpStream; 2]) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut memory = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut memory) {
            if to.write_all(&memory[..count]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    })
}

/// One who calls, from a plain thread.
struct Caller {
    random: Random,
    book: Book,
    engine: Engine,
    /// By the proxy, directly, by datagram.
    clients: [Client; 3],
}

/// The longest timeout that a caller sets, in milliseconds.
const TIMEOUT_MS_MAX: u64 = 300;
const TIMEOUT_MAX: Duration = Duration::from_millis(TIMEOUT_MS_MAX);

impl Caller {
    fn client(&mut self) -> Client {
        // Mostly where it hurts.
        let index = [0, 0, 0, 1][self.random.below(4) as usize];
        self.clients[index].clone()
    }

    fn act(&mut self) {
        match self.random.below(16) {
            0..=3 => self.call(ECHO, 4096),
            4 => self.call(ECHO, 3 << 20),
            5 => self.call(SLOW, 64),
            6 => self.call(RELAY, 20_000),
            7 => self.call(FAN, 1000),
            8 => {
                let method = [PANIC, FAIL, HEAVY][self.random.below(3) as usize];
                self.call(method, 100);
            }
            9 => self.drop_some(),
            10 => self.parallel(),
            11 => self.callback(),
            12 => self.coroutine(),
            13 => self.datagram(),
            14 => self.future(),
            _ => self.one_way(),
        }
    }

    fn call(&mut self, method: &'static str, length_max: u64) {
        let options = self.random.within_ms(TIMEOUT_MS_MAX);
        let body = self.random.bytes(length_max);
        let client = if method == ECHO { self.client() } else { self.clients[0].clone() };
        let begun = self.book.begin();
        let result = client.call_raw(method, &body, &options);
        self.book.compare(method, &result, &body);
        self.book.end(method, begun, TIMEOUT_MAX, code(&result));
    }

    fn drop_some(&mut self) {
        for _ in 0..self.random.below(20) {
            let options = self.random.within_ms(TIMEOUT_MS_MAX);
            let body = self.random.bytes(100_000);
            let call = self.clients[0].start_body::<()>(SLOW, body, &options);
            if self.random.below(2) == 0 {
                drop(call);
            } else {
                let begun = self.book.begin();
                let code = code(&call.wait_raw());
                self.book.end(SLOW, begun, TIMEOUT_MAX, code);
            }
        }
    }

    fn parallel(&mut self) {
        let client = self.client();
        let mut calls = Vec::new();
        for _ in 0..self.random.below(30) {
            let (options, body) =
                (self.random.within_ms(TIMEOUT_MS_MAX), self.random.bytes(30_000));
            let begun = self.book.begin();
            calls.push((begun, body.clone(), client.start_body::<()>(ECHO, body, &options)));
        }
        for (begun, body, call) in calls {
            let result = call.wait_raw();
            self.book.compare(ECHO, &result, &body);
            self.book.end(ECHO, begun, 2 * TIMEOUT_MAX, code(&result));
        }
    }

    fn callback(&mut self) {
        let client = self.client();
        for _ in 0..self.random.below(20) {
            let (options, number) = (self.random.within_ms(TIMEOUT_MS_MAX), self.random.next());
            let (book, begun) = (self.book.clone(), self.book.begin());
            let mut told = Told { book, begun, code: None };
            client.call_back(ECHO, &number, &options, move |answer: Result<u64>| {
                told.note(&answer, number);
            });
        }
    }

    fn coroutine(&mut self) {
        let (client, relay) = (self.client(), self.clients[0].clone());
        let mut random = Random::new(self.random.next(), 0);
        let book = self.book.clone();
        let run = move || {
            for _ in 0..random.below(5) {
                let options = random.within_ms(TIMEOUT_MS_MAX);
                let body = random.bytes(10_000);
                let begun = book.begin();
                let result = client.call_raw(ECHO, &body, &options);
                book.compare(ECHO, &result, &body);
                book.end(ECHO, begun, TIMEOUT_MAX, code(&result));
                let begun = book.begin();
                let result = relay.call_raw(RELAY, &body, &options);
                book.end(RELAY, begun, TIMEOUT_MAX, code(&result));
            }
        };
        self.engine.run(run).expect("a check failed in a coroutine");
    }

    fn datagram(&mut self) {
        let (options, body) = (self.random.within_ms(TIMEOUT_MS_MAX), self.random.bytes(8000));
        let begun = self.book.begin();
        let result = self.clients[2].call_raw(ECHO, &body, &options);
        self.book.compare(ECHO, &result, &body);
        self.book.end(ECHO, begun, TIMEOUT_MAX, code(&result));
    }

    fn future(&mut self) {
        let (options, number) = (self.random.within_ms(TIMEOUT_MS_MAX), self.random.next());
        let begun = self.book.begin();
        let result = block_on(self.client().start::<u64, u64>(ECHO, &number, &options)).unwrap();
        if result.as_ref().is_ok_and(|answer| *answer != number) {
            self.book.mistake("a future got another's answer".into());
        }
        self.book.end(ECHO, begun, TIMEOUT_MAX, code(&result));
    }

    fn one_way(&mut self) {
        let options = self.random.within_ms(TIMEOUT_MS_MAX).one_way(true);
        let begun = self.book.begin();
        let result = self.client().call_raw(ECHO, &self.random.bytes(1000), &options);
        self.book.end(ECHO, begun, TIMEOUT_MAX, code(&result));
    }
}

/// Closes the book on a callback when it is dropped: called or not, that is once.
struct Told {
    book: Book,
    begun: Instant,
    code: Option<Code>,
}

impl Told {
    fn note(&mut self, answer: &Result<u64>, expect: u64) {
        if answer.as_ref().is_ok_and(|answer| *answer != expect) {
            self.book.mistake("a callback got another's answer".into());
        }
        self.code = Some(code(answer));
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let code = self.code.unwrap_or_else(|| {
            self.book.mistake("a callback was dropped without having been called".into());
            Code::OK
        });
        self.book.end(ECHO, self.begun, TIMEOUT_MAX, code);
    }
}

/// Harms whatever can be harmed, until it is told to end; the server that runs then is returned.
fn chaos(
    mut random: Random,
    proxy: &Proxy,
    engine: &Engine,
    to_b: &Client,
    mut server: Server,
    end: &mpsc::Receiver<()>,
) -> Server {
    let address = server.addresses()[0].clone();
    let pause = |random: &mut Random| Duration::from_millis(random.below(30));
    while end.recv_timeout(pause(&mut random)) == Err(mpsc::RecvTimeoutError::Timeout) {
        match random.below(40) {
            0 => {
                let grace = Duration::from_millis(random.below(300));
                // Half of the time the new one listens before the old one goes.
                let early = (random.below(2) == 0).then(|| server_a(engine, &address, to_b));
                server.stop(grace);
                drop(server);
                server = early.unwrap_or_else(|| server_a(engine, &address, to_b));
            }
            1..=6 => proxy.harm(&mut random),
            7..=12 => leave_in_the_middle(&address, &mut random),
            _ => {}
        }
    }
    server
}

/// A raw peer that sends a little, or part of a frame, and is gone.
fn leave_in_the_middle(address: &str, random: &mut Random) {
    let Ok(mut peer) = Peer::try_connect(address) else { return };
    let whole = framed(&request(1, SLOW), &random.bytes(2000));
    let sent = match random.below(3) {
        0 => peer.try_send_bytes(&whole),
        1 => peer.try_send_bytes(&whole[..random.below(whole.len() as u64) as usize]),
        _ => peer.try_send_bytes(&promised(&request(1, ECHO), 1 << 20)),
    };
    if sent.is_ok() && random.below(2) == 0 {
        peer.reset();
    }
}

fn descriptors_count() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Waits until an engine holds nothing but what `operations` listeners and watches need.
fn is_at_rest(name: &str, engine: &Engine, operations_max: usize) {
    let end = now() + 2 * PATIENCE;
    loop {
        let vitals = engine.vitals();
        let held = vitals.tasks
            + vitals.ready
            + vitals.connections
            + vitals.flights
            + vitals.calls
            + vitals.timers
            + vitals.buffers
            + vitals.stacks_leaked;
        if held == 0 && vitals.operations <= operations_max {
            return;
        }
        assert!(now() < end, "{name} holds {vitals:?}, of it {operations_max} operations rightly");
        let _ = mpsc::channel::<()>().1.recv_timeout(Duration::from_millis(5));
    }
}

fn soak(io: Io, seed: u64, duration: Duration) {
    // The kernel's features that there are to do without; the seed says which is missing, if any.
    let features =
        ["multishot", "buf_ring", "defer", "coop", "no_sqarray", "registered", "guard", "", "", ""];
    let without = features[Random::new(seed, 2000).below(features.len() as u64) as usize];
    println!("soak {io:?} without {without:?}");
    let config = msec_tests::config(io).without(without);
    let b = server_b(config.clone());
    // The stage collects lines; here they would be the leak that is looked for.
    msec::log::set_sink(|_, _, _| ());
    let engine_a = Engine::with(config.clone()).unwrap();
    let to_b = Client::new(&engine_a, b.address()).unwrap();
    let server = server_a(&engine_a, "127.0.0.1:0", &to_b);
    let (operations_a, operations_b) = (engine_a.vitals().operations, b.engine.vitals().operations);
    let mut proxy = Proxy::start(server.addresses()[0].clone());
    let engine = Engine::with(config).unwrap();
    let addresses =
        [proxy.address.to_string(), b.address().into(), b.server.addresses()[1].clone()];
    let clients = addresses.map(|address| Client::new(&engine, &address).unwrap());
    let book = Book::default();

    let go_on = AtomicBool::new(true);
    let (end_chaos, chaos_ends) = mpsc::channel();
    let (tell, told) = mpsc::channel::<()>();
    let mut middle = Memory::default();
    let server = std::thread::scope(|scope| {
        for thread in 0..THREADS_COUNT {
            let (book, engine, clients) = (book.clone(), engine.clone(), clients.clone());
            let mut caller = Caller { random: Random::new(seed, thread), book, engine, clients };
            let (go_on, tell) = (&go_on, tell.clone());
            scope.spawn(move || {
                let _tell = tell;
                while go_on.load(Ordering::Acquire) {
                    caller.act();
                }
            });
        }
        let random = Random::new(seed, 1000);
        let (proxy, engine_a, to_b) = (&proxy, &engine_a, &to_b);
        let chaos = scope.spawn(move || chaos(random, proxy, engine_a, to_b, server, &chaos_ends));
        // A caller that fails drops its `tell` early only with all others: time is what ends this.
        let _ = told.recv_timeout(duration / 2);
        middle = Memory::now();
        let _ = told.recv_timeout(duration / 2);
        go_on.store(false, Ordering::Release);
        end_chaos.send(()).unwrap();
        chaos.join().unwrap()
    });
    wait_until("every callback was called", || book.is_closed());
    let end = Memory::now();
    let mistakes = book.mistakes.lock().unwrap().clone();
    assert!(mistakes.is_empty(), "{} mistakes, such as {:?}", mistakes.len(), &mistakes[0]);
    let ends = book.ends.lock().unwrap().clone();
    println!("soak {io:?}: calls by code {ends:?}; {middle:?}, at the end {end:?}");
    assert!(ends.get(&0).copied().unwrap_or(0) > 100, "hardly a call succeeded: {ends:?}");
    let growth = growth_max(duration.as_secs() / 2);
    assert!(end.is_within(middle, growth), "memory grows: {middle:?}, at the end {end:?}");

    proxy.stop();
    // Those that call go first: their connections are closed by the servers' stop.
    server.stop(Duration::ZERO);
    b.server.drain();
    let cores = engine.cores_count();
    // A watch on the datagram socket of each core stays.
    is_at_rest("C", &engine, cores);
    is_at_rest("A", &engine_a, operations_a);
    is_at_rest("B", &b.engine, operations_b);
}

#[test]
fn every_call_ends_once_and_nothing_is_left() {
    let seconds = variable("MSEC_SOAK_SECONDS").unwrap_or(SECONDS_DEFAULT);
    let seed = variable("MSEC_SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("soak: {seconds} s, MSEC_SOAK_SEED={seed}");
    msec_tests::quiet_panics(PANIC_TEXT);
    let before = descriptors_count();
    for io in [Io::Uring, Io::Epoll] {
        soak(io, seed, Duration::from_secs(seconds) / 2);
        wait_until("all descriptors are closed", || descriptors_count() <= before);
    }
}

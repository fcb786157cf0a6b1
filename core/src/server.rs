//! Servers: methods on addresses, from start to drain to stop.
//!
//! A server listens with one socket a core on each of its addresses (SO_REUSEPORT), so that
//! connections spread over the cores in the kernel; a unix path has one socket, which all cores
//! accept from.
//!
//! Stopping loses no call. [`Server::drain`] closes the listeners and tells every peer that
//! understands it to go elsewhere, by a field in each answer; connections stay served.
//! [`Server::stop`] drains, waits for the peers to leave, then takes no more requests, answers
//! those in flight, and closes.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use msec_protocol::Counters;
use msec_protocol::serve::Quota;
use msec_sys::clock;

use crate::budget::Budget;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::handed::{Handed, Heir};
use crate::listen::{Listen, Opened};
use crate::method::{MethodOptions, Methods, Service};
use crate::pages::Pages;
use crate::quota::Quotas;
use crate::serve::{Plan, ServerShard};
use crate::tls::{Accepts, ServerTls};

/// How long [`Server`] waits for peers to leave when it is dropped.
const DROP_GRACE: Duration = Duration::from_secs(1);
/// How often a stop looks whether everybody has left.
const LOOK_REST: Duration = Duration::from_millis(2);
/// How long requests in flight may take after the peers' time is over.
const FINISH_GRACE: Duration = Duration::from_secs(1);

/// A server that is being described.
///
/// ```no_run
/// use msec::{Engine, Server};
///
/// let engine = Engine::start()?;
/// let server = Server::builder()
///     .raw("demo.Text.Upper", |context| Ok(context.body().to_ascii_uppercase()))
///     .listen("127.0.0.1:7963")
///     .listen("127.0.0.1:7963@udp")
///     .start(&engine)?;
/// server.stop(std::time::Duration::from_secs(5));
/// # Ok::<(), msec::Error>(())
/// ```
#[derive(Default)]
pub struct ServerBuilder {
    methods: Methods,
    listen: Vec<Listen>,
    admin: Vec<Listen>,
    cors: Vec<String>,
    hosts: Vec<String>,
    pages: Pages,
    tls: Option<ServerTls>,
    configure: Vec<Configure>,
    quotas: Quotas,
}

type Configure = (String, Box<dyn FnOnce(MethodOptions<'_>)>);

impl ServerBuilder {
    /// Adds the methods of a service.
    pub fn service<S: Service>(mut self, service: S) -> Self {
        service.methods(&mut self.methods);
        self
    }

    /// Adds a method that takes and returns bytes. `name` is `package.Service.Method`.
    pub fn raw<Body: AsRef<[u8]>>(
        mut self,
        name: &str,
        handler: impl Fn(&crate::Context) -> Result<Body> + Send + Sync + 'static,
    ) -> Self {
        self.methods.raw(name, handler);
        self
    }

    /// Adds a method whose requests are given away, to be answered later; see
    /// [`Methods::deferred`].
    pub fn deferred(
        mut self,
        name: &str,
        take: impl Fn(crate::Deferred) + Send + Sync + 'static,
    ) -> Self {
        self.methods.deferred(name, take);
        self
    }

    /// Tells what the messages of raw methods look like, so that they can be called with JSON: a
    /// serialized `FileDescriptorSet` with everything that its files import, as `protoc
    /// --include_imports --descriptor_set_out` writes it. Generated services bring their own.
    pub fn descriptors(mut self, set: impl Into<std::borrow::Cow<'static, [u8]>>) -> Self {
        self.methods.descriptors(set);
        self
    }

    /// Sets how a method is run: `.method("a.B.Sort", |options| { options.heavy(); })`.
    pub fn method(
        mut self,
        name: &str,
        configure: impl FnOnce(MethodOptions<'_>) + 'static,
    ) -> Self {
        self.configure.push((name.into(), Box::new(configure)));
        self
    }

    /// Bounds the requests of a caller, by the name that it gives itself: `per_second` of them (1
    /// to a million), and `burst` at once, on all cores together. More are answered with -108.
    pub fn quota(mut self, caller: &str, per_second: u32, burst: u32) -> Self {
        self.quotas.set(caller, Quota::new(per_second, burst));
        self
    }

    /// Bounds the requests of each caller that has no [`quota`](ServerBuilder::quota) of its own.
    /// Callers beyond the first 4096 names share one.
    pub fn quota_for_others(mut self, per_second: u32, burst: u32) -> Self {
        self.quotas.set_for_others(Quota::new(per_second, burst));
        self
    }

    /// Listens at an address: `ip:port`, `ip:port@tls`, `ip:port@udp` or `unix:/path`; port 0 takes
    /// a free one.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen.push(Listen::new(address.into()));
        self
    }

    /// Listens with sockets that somebody else opened at `address` for this process, such as a
    /// supervisor, and keeps open: what waits in them when this server leaves is left to whoever
    /// has them next. One for each core; with fewer, cores share them.
    pub fn adopt(mut self, address: impl Into<String>, sockets: Vec<OwnedFd>) -> Self {
        self.listen.push(Listen::adopted(address.into(), sockets));
        self
    }

    /// Serves the built-in pages (`/health`, `/ready`, `/version` and others) at this address, and
    /// nowhere else; nothing else is served there. It stays open while the server drains, so that
    /// `/ready` can say so. Without any, they are at the addresses of [`ServerBuilder::listen`].
    pub fn admin(mut self, address: impl Into<String>) -> Self {
        self.admin.push(Listen::new(address.into()));
        self
    }

    /// Who may see the pages that tell of the inside; default [`Pages::Loopback`]. `/health` and
    /// `/ready` are open to all.
    pub fn pages(mut self, pages: Pages) -> Self {
        self.pages = pages;
        self
    }

    /// A name under which browsers may see those pages, beside addresses and `localhost`: the
    /// `Host` that they send, without its port.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// Lets pages of an origin (`https://shop.example`), or with `*` of all, call methods from
    /// browsers (CORS). Without it, browsers are refused with -107 unless the page comes from here.
    pub fn cors(mut self, origin: impl Into<String>) -> Self {
        self.cors.push(origin.into());
        self
    }

    /// Secures the addresses with `@tls`, for SRPC, HTTP and pages alike.
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Starts the server on all cores of `engine`; when this returns it accepts connections.
    ///
    /// # Errors
    /// -14 for an address that is none, -1 for a method that is described wrongly or a certificate
    /// that is none, -2 for a socket or file that cannot be opened; the text says which.
    ///
    /// # Panics
    /// When called on a core thread.
    pub fn start(mut self, engine: &Engine) -> Result<Server> {
        assert!(crate::shard::current().is_none(), "a core thread must not wait for a core");
        for (name, configure) in self.configure {
            configure(self.methods.find(&name));
        }
        let methods = self.methods.finish()?;
        let cores = engine.cores_count();
        let accepts = self.tls.map(Accepts::open).transpose()?;
        for admin in &self.admin {
            admin.must_be_stream()?;
        }
        let opened = Opened::at(self.listen, cores, accepts.as_ref())?;
        let admin = Opened::at(self.admin, cores, accepts.as_ref())?;
        if let Some(first) = opened.addresses.first() {
            // Another server of this process may have named it already.
            let _ = engine.shared().instance.set(first.clone());
        }
        let number = engine.shared().servers_count.fetch_add(1, Ordering::Relaxed);
        let budget = |max: u32| (max > 0).then(|| Budget::new(u64::from(max)));
        let method_budgets =
            methods.list.iter().map(|method| budget(method.requests_max)).collect();
        let plan = Arc::new(Plan {
            number,
            methods,
            method_budgets,
            quotas: self.quotas,
            body_bytes_max: engine.config().limits.body_bytes_max,
            bytes: engine.shared().budgets.bytes.clone(),
            cors: self.cors,
            hosts: self.hosts,
            pages: self.pages,
            has_admin: !admin.addresses.is_empty(),
            tls: admin.tls.into_iter().chain(opened.tls).collect(),
        });
        if let Some(accepts) = &accepts {
            engine.shared().tls.add(accepts);
        }
        let (tell, told) = mpsc::channel();
        let sockets = opened.streams.into_iter().zip(admin.streams).zip(opened.datagrams);
        for (core, ((streams, admins), datagrams)) in sockets.enumerate() {
            let (plan, tell) = (plan.clone(), tell.clone());
            let start = Box::new(move |shard: &std::rc::Rc<crate::shard::Shard>| {
                ServerShard::start(shard, plan, streams, admins, datagrams);
                let _ = tell.send(());
            });
            engine.shared().cores.post_patiently(core, crate::shard::Message::Run(start));
        }
        drop(tell);
        if told.iter().count() < cores {
            return Err(Error::internal("a core has stopped"));
        }
        let stopped = AtomicBool::new(false);
        Ok(Server {
            engine: engine.clone(),
            plan,
            unix_paths: [opened.unix_paths, admin.unix_paths].concat(),
            addresses: opened.addresses,
            admin_addresses: admin.addresses,
            stopped,
            last: OnceLock::new(),
        })
    }
}

/// A running server. Dropped, it stops.
pub struct Server {
    engine: Engine,
    plan: Arc<Plan>,
    addresses: Vec<String>,
    admin_addresses: Vec<String>,
    /// Of sockets that go when it stops.
    unix_paths: Vec<PathBuf>,
    stopped: AtomicBool,
    /// What each core had counted when the server stopped.
    last: OnceLock<Vec<Vec<Counters>>>,
}

/// A method's numbers, added up over all cores since the server's start.
#[derive(Clone, Debug)]
pub struct MethodReport {
    /// The full name.
    pub name: &'static str,
    /// What was counted.
    pub counters: Counters,
}

impl Server {
    /// Describes a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Where it listens, in the order of the builder's `listen`, with the ports that were taken.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Where its pages are, in the order of the builder's `admin`.
    pub fn admin_addresses(&self) -> &[String] {
        &self.admin_addresses
    }

    /// The numbers of each method; after a stop, those at its end.
    ///
    /// # Panics
    /// When called on a core thread.
    pub fn report(&self) -> Vec<MethodReport> {
        let number = self.plan.number;
        let cores = self.last.get().cloned().unwrap_or_else(|| {
            self.engine.ask_all(move |shard| {
                shard.server(number).map(|server| server.counters()).unwrap_or_default()
            })
        });
        let names = self.plan.methods.list.iter().map(|method| method.name.text());
        let mut reports: Vec<_> =
            names.map(|name| MethodReport { name, counters: Counters::new() }).collect();
        for core in cores {
            for (report, counters) in reports.iter_mut().zip(&core) {
                report.counters.merge(counters);
            }
        }
        reports
    }

    /// Open connections and requests in flight.
    pub fn load(&self) -> Load {
        let number = self.plan.number;
        let cores = self
            .engine
            .ask_all(move |shard| shard.server(number).map_or((0, 0), |server| server.load()));
        let (connections, requests) =
            cores.iter().fold((0, 0), |sum, core| (sum.0 + core.0, sum.1 + core.1));
        Load { connections_count: connections, requests_count: requests }
    }

    /// Accepts no more connections and asks peers to leave; connections stay served.
    pub fn drain(&self) {
        let number = self.plan.number;
        self.engine.ask_all(move |shard| {
            if let Some(server) = shard.server(number) {
                server.drain(shard);
            }
        });
    }

    /// Accepts no more connections and gives those that it has to `heir`, as soon as each is
    /// between two requests: for a process that ends while another one, which listens with the same
    /// sockets, goes on with [`Server::take`]. The peers notice nothing.
    ///
    /// Connections that speak TLS or HTTP cannot be given away; their peers are asked to leave. The
    /// pages of `admin` are left to the other process, too.
    /// `heir` is called on core threads and must not block. Follow with [`Server::stop`].
    pub fn hand_over(&self, heir: impl Fn(Handed) + Send + Sync + 'static) {
        let (number, heir): (u32, Heir) = (self.plan.number, Arc::new(heir));
        self.engine.ask_all(move |shard| {
            if let Some(server) = shard.server(number) {
                server.hand_over(shard, heir.clone());
            }
        });
    }

    /// Goes on with a connection that another process has served: see [`Server::hand_over`]. From
    /// any thread; the cores take turns. After a stop the connection is closed.
    pub fn take(&self, handed: Handed) {
        let number = self.plan.number;
        let turn = self.engine.shared().turn.fetch_add(1, Ordering::Relaxed) as usize;
        let take = Box::new(move |shard: &std::rc::Rc<crate::shard::Shard>| {
            if let Some(server) = shard.server(number) {
                server.take_handed(shard, handed);
            }
        });
        let core = turn % self.engine.cores_count();
        self.engine.shared().cores.post_patiently(core, crate::shard::Message::Run(take));
    }

    /// Drains, waits up to `grace` for the peers to leave, and stops.
    ///
    /// What is still connected then is not read any more; requests in flight are answered, for up
    /// to a second; what runs longer is cancelled. Again has no effect.
    ///
    /// Peers that do not understand the request to leave, as those of the original, are waited for,
    /// also while they are idle. To end their connections earlier would lose the request that
    /// crosses our end on its way: an end says neither that it was read nor that it was not, and
    /// after it nothing can be answered.
    pub fn stop(&self, grace: Duration) {
        if self.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        self.drain();
        let number = self.plan.number;
        if !self.wait_until_empty(grace) {
            self.engine.ask_all(move |shard| {
                if let Some(server) = shard.server(number) {
                    server.finish(shard);
                }
            });
            self.wait_until_empty(FINISH_GRACE);
        }
        let last = self.engine.ask_all(move |shard| {
            let Some(server) = shard.server(number) else { return Vec::new() };
            server.end(shard);
            server.counters()
        });
        // Nobody else stops: `stopped` lets one through.
        let _ = self.last.set(last);
        for path in &self.unix_paths {
            // Somebody else may have removed it.
            let _ = std::fs::remove_file(path);
        }
    }

    fn wait_until_empty(&self, grace: Duration) -> bool {
        let end_ns = clock::now_ns() + grace.as_nanos() as u64;
        // A channel that nobody sends on is a sleep that needs no clock of its own.
        let (_tell, told) = mpsc::channel::<()>();
        loop {
            let number = self.plan.number;
            let empty = self
                .engine
                .ask_all(move |shard| shard.server(number).is_none_or(|server| server.is_empty()));
            if empty.into_iter().all(|empty| empty) {
                return true;
            }
            if clock::now_ns() >= end_ns {
                return false;
            }
            let _ = told.recv_timeout(LOOK_REST);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // On a core thread nobody could be waited for; the engine's end closes everything.
        if crate::shard::current().is_none() {
            self.stop(DROP_GRACE);
        }
    }
}

/// How busy a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Open connections.
    pub connections_count: usize,
    /// Requests that are not answered yet.
    pub requests_count: usize,
}

//! The built-in pages: what a server tells of itself to people, probes and scrapers, by HTTP GET.
//!
//! A page is one file in `pages/`: a [`Page`] with its path, who may see it, and a function that
//! renders it. Adding one is that file and a line in [`PAGES`]. It runs as a coroutine, so it may
//! ask all cores ([`Visit::ask_all`]) and wait.
//!
//! | form | asked for by | made of |
//! |---|---|---|
//! | JSON | `?format=json` | [`Sheet::json`] |
//! | HTML | anybody else | [`Sheet::html`], with no asset from elsewhere, or [`Sheet::text`] |
//!
//! Pages are at the server's own addresses, or at those of
//! [`ServerBuilder::admin`](crate::ServerBuilder::admin) only, if there are any. Those that are
//! [`Access::Open`] say nothing that a neighbour must not know. The others answer on loopback only,
//! to requests that no proxy has handed on and that name a host which can only be us; a name that
//! is somebody else's may be an attacker's page in the operator's own browser (DNS rebinding).
//! [`ServerBuilder::pages`](crate::ServerBuilder::pages) opens or closes them.

mod config;
mod connections;
mod coroutines;
mod health;
mod metrics;
mod ready;
mod routes;
mod sheet;
mod status;
mod table;
mod traces;
mod version;

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use msec_protocol::Code;
use msec_protocol::http::{Request, Target};
use msec_sys::socket::Address;

use crate::accepted::ServerSide;
use crate::connection::{Connection, Role};
use crate::connections::ConnectionId;
use crate::http::{Told, is_own_host};
use crate::serve::ServerShard;
use crate::shard::{Message, Shard, Timer};
use crate::task::{self, Inherited, Waiter};

pub(crate) use sheet::Sheet;

/// All pages.
pub(crate) const PAGES: &[Page] = &[
    status::PAGE,
    routes::PAGE,
    connections::PAGE,
    coroutines::PAGE,
    traces::PAGE,
    config::PAGE,
    metrics::PAGE,
    health::PAGE,
    ready::PAGE,
    version::PAGE,
];

/// How long a page waits for the cores; one that has stopped, or is held up, is left out.
const ASK_NS: u64 = 1_000_000_000;

/// Who may see the pages that are not open to all; what [`ServerBuilder::pages`] takes.
///
/// [`ServerBuilder::pages`]: crate::ServerBuilder::pages
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pages {
    /// Whoever is on this machine.
    #[default]
    Loopback,
    /// Everybody who can connect.
    Everybody,
    /// Nobody; the open ones neither.
    Nobody,
}

/// Who may see a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// Everybody: probes and scrapers come from elsewhere.
    Open,
    /// As [`Pages`] says.
    Restricted,
}

/// A page.
pub(crate) struct Page {
    /// From its slash.
    pub(crate) path: &'static str,
    /// What it shows, in a few words.
    pub(crate) title: &'static str,
    pub(crate) access: Access,
    /// What is shown as HTML is kept fresh.
    pub(crate) is_live: bool,
    /// Makes it. Runs on a coroutine; it may wait.
    pub(crate) render: fn(&Visit) -> Sheet,
}

/// A request for a page.
pub(crate) struct Visit {
    /// The core that it came to.
    pub(crate) shard: Rc<Shard>,
    /// The server that it came to.
    pub(crate) server: Rc<ServerShard>,
    query: Vec<u8>,
}

impl Visit {
    /// Whether JSON is wanted.
    pub(crate) fn wants_json(&self) -> bool {
        self.value("format") == Some("json")
    }

    /// How many rows are wanted of each core: `?count=`, or as many as there may be.
    pub(crate) fn count_max(&self, most: usize) -> usize {
        let wanted = self.value("count").and_then(|text| text.parse().ok());
        wanted.unwrap_or(most).min(most)
    }

    /// The value of a name in the query.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let value = Target { path: b"", query: &self.query }.value(name)?;
        std::str::from_utf8(value).ok()
    }

    /// Runs `ask` on every core and collects what it returns, in the order of the cores. Suspends.
    /// A core that does not answer within a second is left out.
    pub(crate) fn ask_all<R: Send + 'static>(
        &self,
        ask: impl Fn(&Rc<Shard>) -> R + Clone + Send + 'static,
    ) -> Vec<R> {
        let Some(task) = self.shard.tasks.current() else { return Vec::new() };
        let (shard, me) = (&self.shard, task.id(self.shard.index));
        let cores = shard.shared.cores.count();
        let answers: Arc<Mutex<Vec<Option<R>>>> =
            Arc::new(Mutex::new((0..cores).map(|_| None).collect()));
        for core in 0..cores {
            let (ask, answers) = (ask.clone(), answers.clone());
            let errand = move |there: &Rc<Shard>| {
                let answer = ask(there);
                let mut all = answers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                all[core] = Some(answer);
                there.shared.cores.wake(me);
            };
            shard.post(core, Message::Run(Box::new(errand)));
        }
        let end_ns = shard.fresh_ns() + ASK_NS;
        let timer = Timer::Wake(Waiter::current(shard));
        let timer = shard.timers.borrow_mut().insert(end_ns, timer);
        let all_are_there = || {
            let all = answers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            all.iter().all(Option::is_some)
        };
        while !all_are_there() && shard.fresh_ns() < end_ns && !std::thread::panicking() {
            task::park(shard, "the cores, for a page");
        }
        shard.timers.borrow_mut().cancel(timer);
        let mut all = answers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        all.drain(..).flatten().collect()
    }
}

/// Answers a GET or HEAD.
pub(crate) fn get(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    side: &ServerSide,
    sequence: u64,
    request: &Request<'_>,
    target: &Target<'_>,
) {
    let Some(http) = side.http() else { return };
    if target.method_name().is_some() || target.service_and_method().is_some() {
        return http.not_allowed(shard, connection, side, sequence);
    }
    let plan = &side.server().plan;
    let path = std::str::from_utf8(target.path).unwrap_or_default();
    let here = plan.pages != Pages::Nobody && (side.is_admin() || !plan.has_admin);
    let page = PAGES.iter().find(|page| here && page.path == path);
    let Some(page) = page else {
        let hint = if here { "; /status leads to those that there are" } else { "" };
        let text = format!("there is no page `{path}` here{hint}");
        return http.refuse(shard, connection, side, sequence, (Code::INVALID_METHOD, &text));
    };
    if page.access == Access::Restricted {
        let near = plan.pages == Pages::Everybody
            || (is_near(&connection.peer) && !request.head.forwarded);
        if !near {
            let text = "this page is shown on the server's own machine only";
            return http.refuse(shard, connection, side, sequence, (Code::FORBIDDEN, text));
        }
        if !is_own_host(plan, request.of(request.head.host)) {
            let text = "header `host` is neither an address nor a name of this server";
            return http.refuse(shard, connection, side, sequence, (Code::FORBIDDEN, text));
        }
    }
    let visit =
        Visit { shard: shard.clone(), server: side.server().clone(), query: target.query.to_vec() };
    let due = Due { shard: shard.clone(), connection: connection.id(), sequence, told: false };
    let render = page.render;
    let job = move || {
        let mut due = due;
        if let Ok(sheet) = crate::spawn::catch(|| render(&visit)) {
            due.tell(&sheet);
        }
    };
    crate::spawn::spawn_boxed(shard, Box::new(job), Inherited::default());
}

/// Whether a peer is on this machine.
fn is_near(peer: &Address) -> bool {
    match peer {
        Address::Ip(address) => address.ip().to_canonical().is_loopback(),
        Address::Unix(_) => true,
    }
}

/// An answer that somebody waits for: given in any case, also by a page that panicked or for which
/// there was no stack.
struct Due {
    shard: Rc<Shard>,
    connection: ConnectionId,
    sequence: u64,
    told: bool,
}

impl Due {
    fn tell(&mut self, sheet: &Sheet) {
        self.told = true;
        let Some(connection) = self.shard.connections.find(self.connection) else { return };
        let Role::Server(side) = &connection.role else { return };
        let Some(http) = side.http() else { return };
        let told = Told {
            status: sheet.status,
            content_type: sheet.content_type,
            headers: sheet::headers(),
            body: &sheet.body,
        };
        http.tell(&self.shard, &connection, side, self.sequence, &told);
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        if !self.told {
            let mut sheet = Sheet::text("the page failed; the log says more\n");
            sheet.status = 500;
            self.tell(&sheet);
        }
    }
}

//! Reporting: what every call leaves behind without anybody asking for it.
//!
//! ```
//! # let engine = msec::Engine::start()?;
//! msec::metric!("orders", 1);
//! let snapshot = engine.snapshot();
//! for (key, counters) in &snapshot.calls {
//!     println!("{} of {} by {}: {}", key.method, key.callee, key.caller, counters.ended());
//! }
//! println!("{}", msec::report::prometheus(&snapshot));
//! # Ok::<(), msec::Error>(())
//! ```
//!
//! Each core has a `Reporter`: counters of what it served and called, attributes of the business,
//! and spans. All of it is plain memory of that core, so that a call costs a few additions and one
//! line of the cache; it is brought together when somebody asks.
//!
//! | | where | when |
//! |---|---|---|
//! | counters of a request | `report/served.rs` | as it is settled |
//! | counters and span of a call | `report/called.rs` | as it ends |
//! | span of a request | `trace.rs` | as it is settled |
//! | attributes | `metric.rs` | as they are reported |
//!
//! [`Config::reporting`](crate::Config::reporting) switches spans and the distinction of callers
//! off; methods are counted all the same, for [`Server::report`](crate::Server::report).

pub(crate) mod called;
pub(crate) mod served;
pub(crate) mod settings;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use msec_protocol::Counters;
use msec_protocol::dye::Rules;
pub use msec_protocol::report::{AttributeKey, CallKey, Kind, Origin, Role, Snapshot, Value};
use msec_protocol::report::{Attributes, Folder};
use msec_protocol::route::Ejections;
use msec_protocol::trace::{Reason, Recorder};
use msec_sys::coroutine::PoolStats;
use msec_sys::{clock, cpu};

use crate::engine::{Engine, Shared};
use crate::log::writer::TALLY;
use crate::shard::Shard;
use called::Called;

/// What a kind of span is of: which end of which method, and who is at the other.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SpanKind {
    pub(crate) role: Role,
    pub(crate) method: Arc<str>,
    pub(crate) peer: Arc<str>,
}

/// What one core reports.
pub(crate) struct Reporter {
    /// Spans, and callers told apart.
    pub(crate) is_on: bool,
    /// Slower than this is slow; 0: it is learnt.
    pub(crate) slow_ns: u64,
    pub(crate) sampled_parts: u32,
    pub(crate) attributes: RefCell<Attributes>,
    pub(crate) called: RefCell<Called>,
    /// There is one where spans are on.
    pub(crate) recorder: Option<RefCell<Recorder>>,
    /// By their numbers in spans. As many as there are rows of counters, for each has its own.
    pub(crate) kinds: RefCell<Vec<SpanKind>>,
    /// Addresses that were called, by their numbers in spans.
    pub(crate) addresses: RefCell<Vec<Arc<str>>>,
    pub(crate) rules: RefCell<Rules>,
    /// The last span's id.
    span_id: Cell<u64>,
    /// What servers had counted that are no more.
    past: RefCell<BTreeMap<CallKey, Counters>>,
}

/// Steps between the ids of spans: odd, so that they return after all 2⁶⁴, and irregular to look
/// at (2⁶⁴ by the golden ratio).
const SPAN_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Reporter {
    pub(crate) fn new(settings: &settings::Settings, now_ns: u64) -> Reporter {
        let is_on = settings.reporting;
        Reporter {
            is_on,
            slow_ns: settings.slow_ns,
            sampled_parts: settings.sampled_parts,
            attributes: RefCell::new(crate::metric::table()),
            called: RefCell::default(),
            recorder: is_on.then(RefCell::default),
            kinds: RefCell::default(),
            addresses: RefCell::new(vec!["".into()]),
            rules: RefCell::new(Rules::new(settings.dye.iter().cloned(), now_ns)),
            // Another start on each core: two spans of one id are as likely as two random ones.
            span_id: Cell::new(RandomState::new().hash_one(0)),
            past: RefCell::default(),
        }
    }

    /// The id of a new span; never 0.
    #[inline]
    pub(crate) fn next_span_id(&self) -> u64 {
        let next = self.span_id.get().wrapping_add(SPAN_STEP);
        self.span_id.set(next);
        // One of 2⁶⁴ is doubled.
        next.max(1)
    }

    /// The number of a kind of span that was not there before.
    pub(crate) fn add_kind(&self, role: Role, method: &str, peer: &str) -> u32 {
        let mut kinds = self.kinds.borrow_mut();
        let kind = SpanKind { role, method: method.into(), peer: peer.into() };
        // A server that is started again has the methods and callers of the one before.
        kinds.iter().position(|known| *known == kind).unwrap_or_else(|| {
            kinds.push(kind);
            kinds.len() - 1
        }) as u32
    }

    /// The number of an address. There are as many as connections that are open, and some more.
    pub(crate) fn address(&self, text: &str) -> u32 {
        let mut addresses = self.addresses.borrow_mut();
        if let Some(known) = addresses.iter().position(|known| **known == *text) {
            return known as u32;
        }
        if addresses.len() == ADDRESSES_MAX {
            return 0;
        }
        addresses.push(text.into());
        addresses.len() as u32 - 1
    }

    /// Keeps what a server has counted that is about to go.
    pub(crate) fn remember(&self, rows: impl Iterator<Item = (CallKey, Counters)>) {
        let mut past = self.past.borrow_mut();
        for (key, mut counters) in rows {
            // What is still in flight ends nowhere.
            counters.forget_flights();
            past.entry(key).or_default().merge(&counters);
        }
    }
}

/// Addresses that a core tells apart in spans; looked up once a connection.
const ADDRESSES_MAX: usize = 4096;

/// What one core has to say, on its way to whoever asked.
pub(crate) struct CoreReport {
    pub(crate) core: usize,
    calls: Vec<(CallKey, Counters)>,
    attributes: Attributes,
    pub(crate) cpu_ns: u64,
    pub(crate) connections: usize,
    pub(crate) tasks: usize,
    dials: u64,
    pub(crate) stacks: PoolStats,
    ejections: Vec<(String, Ejections)>,
    stack_uses: Vec<(&'static str, usize)>,
    spans: u64,
    spans_tally: Vec<(&'static str, u64, u64)>,
    annotations_lost: u64,
}

/// Asks this core.
pub(crate) fn of_core(shard: &Rc<Shard>) -> CoreReport {
    let reporter = &shard.reporter;
    let service = &shard.shared.config.report.service;
    let mut calls: Vec<_> = reporter
        .past
        .borrow()
        .iter()
        .map(|(key, counters)| (key.clone(), counters.clone()))
        .collect();
    for server in shard.servers.borrow().iter().flatten() {
        calls.extend(server.calls.rows(&server.plan, service, reporter.is_on));
    }
    calls.extend(reporter.called.borrow().rows());
    let recorder = reporter.recorder.as_ref().map(|recorder| recorder.borrow());
    let tally = |reason: Reason| recorder.as_ref().map_or((0, 0), |spans| spans.tally(reason));
    CoreReport {
        core: shard.index,
        calls,
        attributes: reporter.attributes.borrow().clone(),
        cpu_ns: cpu::thread_cpu_ns(),
        connections: shard.connections.count(),
        tasks: shard.tasks.live_count(),
        dials: shard.peers.dials_count(),
        stacks: shard.tasks.pool().stats(),
        ejections: shard.routes.ejections(),
        stack_uses: shard.tasks.stack_uses(),
        spans: recorder.as_ref().map_or(0, |spans| spans.recorded()),
        spans_tally: Reason::ALL
            .map(|(reason, name)| (name, tally(reason).0, tally(reason).1))
            .to_vec(),
        annotations_lost: recorder.as_ref().map_or(0, |spans| spans.annotations_lost()),
    }
}

/// Brings together what the cores have said, and what threads have that are no core's.
pub(crate) fn fold(shared: &Shared, cores: &[CoreReport]) -> Snapshot {
    let mut folder = Folder::new(origin(shared));
    for report in cores {
        let core = report.core.to_string();
        let core = [("core", core.as_str())];
        report.calls.iter().for_each(|(key, counters)| folder.calls(key.clone(), counters));
        folder.attributes(&report.attributes);
        folder.counter("frm.core_cpu_ns", &core, report.cpu_ns);
        folder.gauge("frm.connections", &core, report.connections as i64);
        folder.gauge("frm.tasks", &core, report.tasks as i64);
        let PoolStats { taken, idle, leaked, high_water_bytes } = report.stacks;
        folder.gauge("frm.stacks", &core, taken as i64);
        folder.gauge("frm.stacks_idle", &core, idle as i64);
        folder.gauge("frm.stacks_leaked", &core, leaked as i64);
        folder.gauge("frm.stacks_high_water_bytes", &core, high_water_bytes as i64);
        let stalls = shared.cores.beat(report.core).stalls.load(Ordering::Relaxed);
        folder.counter("frm.stalls", &core, stalls);
        for (method, bytes) in &report.stack_uses {
            let labels = [core[0], ("method", method)];
            folder.gauge("frm.stack_used_bytes", &labels, *bytes as i64);
        }
        folder.counter("frm.dials", &core, report.dials);
        for (service, ejections) in &report.ejections {
            for (cause, count) in ejections.each() {
                let labels = [("reason", cause.name()), ("service", service)];
                folder.counter("frm.ejections", &labels, count);
            }
        }
        folder.counter("frm.spans", &core, report.spans);
        folder.counter("frm.annotations_lost", &core, report.annotations_lost);
        for (reason, kept, dropped) in &report.spans_tally {
            folder.counter("frm.spans_kept", &[("reason", reason)], *kept);
            folder.counter("frm.spans_dropped", &[("reason", reason)], *dropped);
        }
    }
    crate::metric::fold_others(&mut folder);
    folder.gauge("frm.io_backend", &[("backend", shared.backend())], 1);
    folder.counter("frm.log_records", &[], TALLY.written.load(Ordering::Relaxed));
    for (reason, count) in TALLY.lost() {
        folder.counter("frm.log_dropped", &[("reason", reason)], count);
    }
    for (reason, count) in crate::log::own_lost() {
        folder.counter("frm.own_lines_lost", &[("reason", reason)], count);
    }
    folder.finish()
}

/// Whose snapshot it is, and which.
pub(crate) fn origin(shared: &Shared) -> Origin {
    static EPOCH: OnceLock<u64> = OnceLock::new();
    static SEQUENCE: AtomicU64 = AtomicU64::new(1);
    let (service, instance) = shared.identity();
    Origin {
        epoch: *EPOCH.get_or_init(|| RandomState::new().hash_one(0).max(1)),
        sequence: SEQUENCE.fetch_add(1, Ordering::Relaxed),
        wall_ns: clock::wall_ns(),
        service: service.into(),
        instance: instance.into(),
    }
}

impl Engine {
    /// Everything that was counted since the process began: calls, attributes, the engine's own.
    ///
    /// The difference of two of them ([`Snapshot::since`]) is what was counted between, each call
    /// exactly once; snapshots of several processes merge. Attributes of threads that are no core's
    /// are the whole process's.
    ///
    /// # Panics
    /// When called on a core thread.
    pub fn snapshot(&self) -> Snapshot {
        fold(self.shared(), &self.ask_all(of_core))
    }
}

/// A snapshot as Prometheus reads it, in the text format 0.0.4.
pub fn prometheus(snapshot: &Snapshot) -> String {
    let mut page = String::new();
    msec_protocol::report::prometheus::render(snapshot, &mut page);
    page
}

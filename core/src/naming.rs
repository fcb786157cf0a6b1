//! Naming: which instances make up the services that are called by name.
//!
//! ```toml
//! [[service]]
//! name = "Demo.echo"
//! policy = "adaptive"           # or wrr, p2c, hash, zone-first; adaptive unless it is said
//! hedge = "p95"                 # or "20ms": a second attempt of calls that are idempotent
//! canary = { labels = { version = "2" }, percent = 2.5 }
//!
//! [[service.instance]]
//! address = "10.0.0.1:7963"
//! weight = 100                  # its share of the calls, 1 to 10000; 100 unless it is said
//! zone = "north"                # for zone-first; see `Config::zone`
//! labels = { version = "2" }    # by which the canary selects
//! state = "up"                  # or down: not called at all
//!
//! [[service.instance]]
//! address = "unix:/run/echo"    # whatever `Client::new` takes
//! ```
//!
//! Tables come from a file ([`Engine::load_routes`], or followed as it changes:
//! [`Config::routes`]), from the program ([`Engine::set_routes`]), or from whoever watches a
//! registry ([`Engine::push_routes`], [`Engine::change_routes`]). Files and programs are operators,
//! who are believed; a push that takes most instances of a service away is held until it is
//! confirmed.
//!
//! A table is checked whole and only then sent to the cores, each of which has a copy of its own
//! (`route.rs` picks from it). A table with a mistake changes nothing.
//!
//! [`Config::routes`]: crate::Config::routes

pub(crate) mod explain;
mod file;
mod pick;
mod watch;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};

use msec_protocol::Code;
use msec_protocol::route::ShrinkGuard;
use msec_sys::clock;

pub use explain::{Instance as InstanceExplained, Service as ServiceExplained};
pub use file::parse;
pub use msec_protocol::route::{
    BadDelta, Canary, Cause, Change, Delta, HedgeDelay, Instance, Labels, Policy, Service,
    Standing, State, Table, Why,
};
pub(crate) use watch::follow;

use crate::engine::{Engine, Shared};
use crate::error::{Error, Result};
use crate::shard::{self, Message, Shard};

/// The table of an engine, from which its cores have theirs.
#[derive(Default)]
pub(crate) struct Naming {
    state: Mutex<NamingState>,
}

#[derive(Default)]
pub(crate) struct NamingState {
    table: Arc<Table>,
    guard: ShrinkGuard,
    status: RoutesStatus,
}

/// Where the routes come from, and what is wrong with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutesStatus {
    /// The revision of the table in force; 0 if nobody counts.
    pub revision: u64,
    /// How many services it has.
    pub services_count: usize,
    /// The file that is followed.
    pub file: Option<PathBuf>,
    /// What is wrong with that file as it is now: name, line, problem. The table is an older one.
    pub file_error: Option<String>,
    /// How often a table came into force.
    pub changes_count: u64,
    /// Services that a push has shrunk too much: name, and how many instances it would leave. They
    /// are as they were; [`Engine::confirm_routes`] lets the push come true.
    pub held: Vec<(String, usize)>,
}

impl Engine {
    /// Replaces the services that can be called by name; when this returns, every core has them.
    ///
    /// For programs and operators: what they say is not questioned. Calls in flight are not
    /// touched, and connections to instances that are gone stay open until the peer or time ends
    /// them. What is known of instances that stay is kept.
    ///
    /// # Panics
    /// When called on a core thread.
    pub fn set_routes(&self, table: Table) {
        self.shared().naming.edit(self.shared(), table);
        self.ask_all(|_| ());
    }

    /// Replaces the services that can be called by name with those of a file, see
    /// [`naming`](crate::naming). With an error the old ones stay.
    ///
    /// # Errors
    /// -2 for a file that cannot be read; -1 for a mistake in it: the text names file and line,
    /// what is wrong, and what is allowed.
    ///
    /// # Panics
    /// When called on a core thread.
    pub fn load_routes(&self, path: impl AsRef<Path>) -> Result<()> {
        self.set_routes(watch::read(path.as_ref())?);
        Ok(())
    }

    /// Takes a whole table from a registry. A service that it would leave with less than half of
    /// the instances of the last ten seconds, or without any, stays as it is until
    /// [`Engine::confirm_routes`]; the others change. From any thread; returns at once, and the
    /// cores follow within microseconds.
    pub fn push_routes(&self, table: Table) -> RoutesStatus {
        let shared = self.shared();
        let mut state = shared.naming.lock();
        state.push(shared, table);
        state.status()
    }

    /// As [`Engine::push_routes`], with the changes since the revision at hand.
    ///
    /// # Errors
    /// -1 when the changes are for another revision, or not allowed: a whole table is needed then.
    pub fn change_routes(&self, delta: Delta) -> Result<RoutesStatus> {
        let shared = self.shared();
        let mut state = shared.naming.lock();
        let table = state.table.apply(delta);
        let table = table.map_err(|bad| {
            Error::new(Code::INVALID_PARAMETER, bad.to_string()).during("changing the routes")
        })?;
        state.push(shared, table);
        Ok(state.status())
    }

    /// Lets come true what a push said of a service and what was held. False if nothing is held.
    pub fn confirm_routes(&self, service: &str) -> bool {
        let shared = self.shared();
        let mut state = shared.naming.lock();
        let NamingState { table, guard, .. } = &mut *state;
        let Some(confirmed) = guard.confirm(table, service) else { return false };
        state.spread(shared, confirmed);
        true
    }

    /// The table in force.
    pub fn routes(&self) -> Arc<Table> {
        Arc::clone(&self.shared().naming.lock().table)
    }

    /// Where the routes come from, and what is wrong with them.
    pub fn routes_status(&self) -> RoutesStatus {
        self.shared().naming.lock().status()
    }
}

impl Naming {
    pub(crate) fn lock(&self) -> MutexGuard<'_, NamingState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn edit(&self, shared: &Arc<Shared>, table: Table) {
        let mut state = self.lock();
        let table = state.guard.handle_edit(table);
        state.spread(shared, table);
    }
}

impl NamingState {
    fn push(&mut self, shared: &Arc<Shared>, table: Table) {
        let before = self.guard.held().len();
        let table = self.guard.handle_push(&self.table, table, clock::now_ns());
        let held = self.guard.held();
        if held.len() > before {
            let (name, count) = &held[0];
            crate::log::warn(
                "routes",
                format_args!(
                    "a push leaves service {name} with {count} instances, which is less than half \
                     within ten seconds: it stays as it is until that is confirmed"
                ),
            );
        }
        self.spread(shared, table);
    }

    /// Sends a table to all cores. With the lock held, so that all get the same last one.
    fn spread(&mut self, shared: &Arc<Shared>, table: Table) {
        let table = Arc::new(table);
        self.table = Arc::clone(&table);
        self.status.changes_count += 1;
        for core in 0..shared.cores.count() {
            let table = Arc::clone(&table);
            let replace = move |shard: &Rc<Shard>| {
                shard.routes.replace(table, shard.now_ns());
            };
            let message = Message::Run(Box::new(replace));
            match shard::current().filter(|shard| Arc::ptr_eq(&shard.shared, shared)) {
                Some(shard) => shard.post(core, message),
                None => shared.cores.post_patiently(core, message),
            }
        }
    }

    fn status(&self) -> RoutesStatus {
        RoutesStatus {
            revision: self.table.revision,
            services_count: self.table.len(),
            held: self.guard.held(),
            ..self.status.clone()
        }
    }
}

//! Routes, live: from a target to the instance that is called next, and back from each call's end.
//!
//! Each core has its own copy of the table and its own balancer for every service that it has
//! called ([`msec_protocol::route`] decides; here is what feeds it). A pick takes no lock and makes
//! no system call. A new table replaces the old one by a message to each core.
//!
//! ```text
//!   pick ──► Leg ──► the call ──► finished(Leg, End) ──► balancer
//!                                                           │ news: at once what failed,
//!   pool: dial ◄── whom to look for                         ▼ within 20 ms the rest
//!     └──────────► reached                             other cores, by mailbox
//! ```
//!
//! Who calls by other means picks by hand and reports what came of it. His picks are no calls in
//! flight, since nobody knows whether he calls, and when.
//!
//! A call to an address has no leg: there is nothing to choose, and nothing is remembered but what
//! the pool knows.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use msec_protocol::route::{
    self, About, Balancer, Cause, Ejections, End, HedgeDelay, News, RetryBudget, Service, Table,
    Tail, Ticket, Why,
};
use msec_protocol::{Address, Code, Target};

use crate::error::{Error, Result};
use crate::method;
use crate::pool;
use crate::shard::{Message, Shard, Timer};

/// How long counts wait before the other cores hear of them.
const NEWS_NS: u64 = 20_000_000;
/// The least time between two messages about failures.
const URGENT_NS: u64 = 1_000_000;
/// Methods whose tails of latency are kept; beyond it all are forgotten.
const TAILS_COUNT_MAX: usize = 1024;
/// What is called by who picks by hand, where an error says so.
const BY_HAND: &str = "by other means";

/// The routes of a core.
#[derive(Default)]
pub(crate) struct Routes {
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    table: Arc<Table>,
    /// Services that were called; a place is for ever the same name's.
    live: Vec<Live>,
    places: HashMap<String, u32>,
    /// The target that was picked for last: most calls of a core go to few services.
    last: Option<(Arc<Target>, u32)>,
    tails: HashMap<(u32, method::Name), Tail>,
    /// When the news will be told; 0: nobody will.
    news_due_ns: u64,
    /// When they were told last.
    told_ns: u64,
}

/// A service that was called on this core.
struct Live {
    /// `None` while the table does not have it.
    balancer: Option<Balancer>,
    /// What balancers have counted that are no more.
    ejections: Ejections,
    budget: RetryBudget,
}

/// One attempt of a call, to be given back with its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg {
    place: u32,
    ticket: Ticket,
    begun_ns: u64,
    why: Why,
}

impl Leg {
    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket
    }

    pub(crate) fn why(&self) -> Why {
        self.why
    }
}

/// What a pick goes by, beside the target.
pub(crate) struct Wanted<'a> {
    pub(crate) method: &'a str,
    pub(crate) key: Option<u64>,
    pub(crate) tried: &'a [Ticket],
}

/// What is said of calls that were made by other means.
pub(crate) struct Said {
    pub(crate) about: About,
    pub(crate) end: End,
    /// How many of them ended so.
    pub(crate) count: u32,
    pub(crate) latency_ns: u64,
}

impl Routes {
    /// Replaces the table.
    pub(crate) fn replace(&self, table: Arc<Table>, now_ns: u64) {
        let inner = &mut *self.inner.borrow_mut();
        for (name, place) in &inner.places {
            let live = &mut inner.live[*place as usize];
            match (table.find(name), &mut live.balancer) {
                (Some(new), Some(balancer)) if !Arc::ptr_eq(new, balancer.service()) => {
                    balancer.update(Arc::clone(new), now_ns);
                }
                (Some(_), _) => {}
                (None, balancer) => {
                    if let Some(gone) = balancer.take() {
                        live.ejections.add(gone.ejections());
                    }
                }
            }
        }
        inner.table = table;
    }

    /// The instance that is next.
    #[inline]
    pub(crate) fn pick(
        &self,
        shard: &Rc<Shard>,
        target: &Arc<Target>,
        wanted: &Wanted<'_>,
    ) -> Result<(Address, Option<Leg>)> {
        let name = match &**target {
            Target::Address(address) => return Ok((address.clone(), None)),
            Target::Service(name) => name,
        };
        let mut inner = self.inner.borrow_mut();
        let known = inner.last.as_ref().filter(|(last, _)| Arc::ptr_eq(last, target));
        let place = match known {
            Some((_, place)) => Some(*place),
            None => {
                let place = inner.place(shard, name);
                inner.last = place.map(|place| (Arc::clone(target), place));
                place
            }
        };
        let Some(place) = place else { return Err(no_service(name, wanted.method)) };
        let (now_ns, random) = (shard.now_ns(), shard.random());
        let Inner { live, table, .. } = &mut *inner;
        let live = &mut live[place as usize];
        let Some(balancer) = live.balancer(table, name, shard) else {
            return Err(no_service(name, wanted.method));
        };
        let ask = route::Ask { now_ns, random, key: wanted.key, tried: wanted.tried };
        let Some(picked) = balancer.pick(&ask) else {
            return Err(no_instance(name, wanted));
        };
        let leg = Leg { place, ticket: picked.ticket, begun_ns: now_ns, why: picked.why };
        let address = picked.address.clone();
        if wanted.tried.is_empty() {
            live.budget.earn();
        }
        let dials = live.balancer.as_ref().is_some_and(Balancer::has_dials);
        drop(inner);
        if dials {
            self.dial(shard, place);
        }
        Ok((address, Some(leg)))
    }

    /// A call that was picked for has ended.
    #[inline]
    pub(crate) fn finished(&self, shard: &Rc<Shard>, leg: Leg, end: End) {
        let now_ns = shard.now_ns();
        let mut inner = self.inner.borrow_mut();
        let Some(balancer) = &mut inner.live[leg.place as usize].balancer else { return };
        balancer.finished(leg.ticket, end, now_ns.saturating_sub(leg.begun_ns), now_ns);
        let urgent = balancer.is_urgent();
        if shard.shared.cores.count() > 1 && (urgent || inner.news_due_ns == 0) {
            inner.expect_news(shard, urgent);
        }
    }

    /// The instance that is next, for a call that is made by other means, or not at all.
    pub(crate) fn pick_by_hand(&self, shard: &Rc<Shard>, target: &Arc<Target>) -> Result<Address> {
        let wanted = Wanted { method: BY_HAND, key: None, tried: &[] };
        let (address, leg) = self.pick(shard, target, &wanted)?;
        if let Some(leg) = leg {
            self.finished(shard, leg, End::Abandoned);
        }
        Ok(address)
    }

    /// What came of a call that was made by other means.
    pub(crate) fn reported(&self, shard: &Rc<Shard>, service: &str, said: &Said) {
        let now_ns = shard.now_ns();
        let mut inner = self.inner.borrow_mut();
        let Some(place) = inner.place(shard, service) else { return };
        let Inner { live, table, .. } = &mut *inner;
        let Some(balancer) = live[place as usize].balancer(table, service, shard) else { return };
        for _ in 0..said.count {
            balancer.reported(&said.about, said.end, said.latency_ns, now_ns);
        }
        let (urgent, dials) = (balancer.is_urgent(), balancer.has_dials());
        if shard.shared.cores.count() > 1 {
            inner.expect_news(shard, urgent);
        }
        drop(inner);
        if dials {
            self.dial(shard, place);
        }
    }

    /// Whether one more attempt of a call may be made now; if so it is spent.
    pub(crate) fn spend(&self, leg: &Leg) -> bool {
        self.inner.borrow_mut().live[leg.place as usize].budget.spend()
    }

    /// When the service says that its idempotent calls are hedged.
    pub(crate) fn hedge_of(&self, leg: &Leg) -> Option<HedgeDelay> {
        let inner = self.inner.borrow();
        inner.live[leg.place as usize].balancer.as_ref()?.service().hedge
    }

    /// The latency that 95 of 100 calls of a method do not exceed, if enough is known.
    pub(crate) fn tail_ns(&self, leg: &Leg, method: &str) -> Option<u64> {
        self.inner.borrow().tails.get(&(leg.place, method::intern(method)))?.p95_ns()
    }

    /// A call whose method's tail is wanted has succeeded.
    pub(crate) fn record_tail(&self, shard: &Shard, leg: &Leg, method: &str) {
        let now_ns = shard.now_ns();
        let tails = &mut self.inner.borrow_mut().tails;
        if tails.len() >= TAILS_COUNT_MAX {
            tails.clear();
        }
        let tail = tails.entry((leg.place, method::intern(method))).or_default();
        tail.record(now_ns.saturating_sub(leg.begun_ns), now_ns);
    }

    /// A connection to an instance was made, or could not be.
    pub(crate) fn reached(&self, shard: &Shard, address: &Address, connected: bool) {
        let now_ns = shard.now_ns();
        for balancer in self.inner.borrow_mut().balancers() {
            balancer.reached(address, connected, now_ns);
        }
    }

    /// An instance has said that it leaves.
    pub(crate) fn left(&self, shard: &Rc<Shard>, address: &Address) {
        let now_ns = shard.now_ns();
        let mut inner = self.inner.borrow_mut();
        inner.balancers().for_each(|balancer| balancer.left(address, now_ns));
        if shard.shared.cores.count() > 1 {
            inner.expect_news(shard, true);
        }
    }

    /// Connects to those of a service that may be back.
    #[cold]
    fn dial(&self, shard: &Rc<Shard>, place: u32) {
        loop {
            let mut inner = self.inner.borrow_mut();
            let Some(balancer) = &mut inner.live[place as usize].balancer else { return };
            let Some((address, cause)) = balancer.poll_dial() else { return };
            let address = address.clone();
            drop(inner);
            if cause == Cause::Silent {
                // What is there may be dead without knowing it.
                pool::leave(shard, &address);
            }
            if let Some(connected) = pool::look_for(shard, &address) {
                self.reached(shard, &address, connected);
            }
        }
    }

    /// Tells the other cores what they have not heard of.
    fn tell_news(&self, shard: &Rc<Shard>) {
        let mut inner = self.inner.borrow_mut();
        if inner.news_due_ns == 0 || shard.now_ns() < inner.news_due_ns {
            // They were told earlier than this timer knew, or have come since.
            return;
        }
        inner.news_due_ns = 0;
        inner.told_ns = shard.now_ns();
        let telling = inner.balancers().filter(|balancer| balancer.has_news());
        let news: Vec<Arc<News>> = telling.map(|one| Arc::new(one.take_news())).collect();
        drop(inner);
        for core in (0..shard.shared.cores.count()).filter(|core| *core != shard.index) {
            let news = news.clone();
            let hear = move |shard: &Rc<Shard>| {
                news.iter().for_each(|news| shard.routes.hear(shard, news));
            };
            shard.post(core, Message::Run(Box::new(hear)));
        }
    }

    fn hear(&self, shard: &Shard, news: &News) {
        let mut inner = self.inner.borrow_mut();
        let Some(place) = inner.places.get(&news.service.name).copied() else { return };
        if let Some(balancer) = &mut inner.live[place as usize].balancer {
            balancer.handle_news(news, shard.now_ns());
        }
    }

    /// Instances that this core has taken out of rotation, by service.
    pub(crate) fn ejections(&self) -> Vec<(String, Ejections)> {
        let inner = self.inner.borrow();
        let of = |(name, place): (&String, &u32)| {
            let live = &inner.live[*place as usize];
            let mut all = live.ejections;
            live.balancer.iter().for_each(|balancer| all.add(balancer.ejections()));
            (name.clone(), all)
        };
        inner.places.iter().map(of).collect()
    }

    /// Everything that decides, of the services that this core has called.
    pub(crate) fn explain(&self, shard: &Shard) -> Vec<(route::Explained, RetryBudget)> {
        let now_ns = shard.now_ns();
        let inner = self.inner.borrow();
        let live = inner.live.iter();
        live.filter_map(|live| Some((live.balancer.as_ref()?.explain(now_ns), live.budget.clone())))
            .collect()
    }
}

impl Inner {
    fn balancers(&mut self) -> impl Iterator<Item = &mut Balancer> {
        self.live.iter_mut().filter_map(|live| live.balancer.as_mut())
    }

    /// The place of a service, maybe a new one; `None` if there is no such service.
    fn place(&mut self, shard: &Shard, name: &str) -> Option<u32> {
        if let Some(place) = self.places.get(name) {
            return Some(*place);
        }
        self.table.find(name)?;
        let budget = RetryBudget::new(shard.shared.cores.count());
        self.live.push(Live { balancer: None, ejections: Ejections::default(), budget });
        let place = self.live.len() as u32 - 1;
        self.places.insert(name.to_owned(), place);
        Some(place)
    }

    /// Sees to it that the news are told in time.
    #[cold]
    fn expect_news(&mut self, shard: &Rc<Shard>, urgent: bool) {
        let now_ns = shard.now_ns();
        let due_ns = if urgent { now_ns.max(self.told_ns + URGENT_NS) } else { now_ns + NEWS_NS };
        if self.news_due_ns != 0 && self.news_due_ns <= due_ns {
            return;
        }
        self.news_due_ns = due_ns;
        if due_ns == now_ns {
            let tell = |shard: &Rc<Shard>| shard.routes.tell_news(shard);
            shard.post(shard.index, Message::Run(Box::new(tell)));
        } else {
            let tell = Timer::Run(Box::new(|shard: &Rc<Shard>| shard.routes.tell_news(shard)));
            shard.timers.borrow_mut().insert(due_ns, tell);
        }
    }
}

impl Live {
    fn balancer(&mut self, table: &Table, name: &str, shard: &Shard) -> Option<&mut Balancer> {
        if self.balancer.is_none() {
            let service: &Arc<Service> = table.find(name)?;
            let zone = &shard.shared.config.zone;
            self.balancer = Some(Balancer::new(Arc::clone(service), zone, shard.now_ns()));
        }
        self.balancer.as_mut()
    }
}

#[cold]
fn no_service(name: &str, method: &str) -> Error {
    let text = format!("no service `{name}` in the route table");
    Error::new(Code::NO_ROUTE, text).while_calling(method)
}

#[cold]
fn no_instance(name: &str, wanted: &Wanted<'_>) -> Error {
    let other = if wanted.tried.is_empty() { "instance" } else { "other instance" };
    let text = format!("service `{name}` has no {other} that may be called");
    Error::new(Code::NO_ROUTE, text).while_calling(wanted.method)
}

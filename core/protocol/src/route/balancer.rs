//! Which instance is next: the balancer of one service on one core.
//!
//! ```text
//!   tick, every 50 ms   nodes: health, weights ──► alias tables (rest, canary), special list
//!   pick                special list, once in a hundred calls or half a minute: a trial, or a look
//!                       at one that was slow or that nobody has called for long
//!                       else two draws ──► the first, unless the second is clearly cheaper
//!   finished            node: window, peaks, rows of failures ──► maybe ejected, at once
//!   News                what ended here ◄──► on the other cores, so that bounds hold a process
//! ```
//!
//! Of two drawn the first is taken unless the other is clearly cheaper. Were the cheaper one
//! always taken, weights would mean nothing in a service of two, in which both are always drawn.
//!
//! A pick is two draws, a few loads and a comparison; the walk over all instances is made by the
//! tick, and alias tables are rebuilt only when a weight has changed. When nobody is live, a pick
//! is random among all: somebody has to find out who is back.
//!
//! All time and randomness are given. The same inputs give the same picks.
mod ejections;
mod explain;
mod news;
mod report;
mod why;

pub use ejections::Ejections;
pub use explain::{Explained, InstanceExplained};
pub use news::News;
pub use report::About;
pub use why::Why;

use super::address::Address;
use super::alias::AliasTable;
use super::node::{Cause, Climate, Counts, End, Node, Turn};
use super::ring::{Ring, mix};
use super::table::{Canary, Policy, Service, State};
use super::wrr::Wrr;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How often weights are looked at, in nanoseconds.
const TICK_NS: u64 = 50_000_000;
/// The second drawn must be so many times cheaper.
const CLEARLY: f32 = 1.2;
/// One in so many calls may try out an instance that was ejected.
const TRIAL_CALLS: u32 = 100;
/// One in so many calls may look at an instance that is avoided for being slow.
const LOOK_CALLS: u32 = 400;
/// Where calls are rare, one may do either after so long, in nanoseconds,
const RARE_NS: u64 = 30_000_000_000;
/// if there were so many since the last that did.
const RARE_CALLS: u32 = 10;
/// Draws before the walk over all, when some were tried already.
const DRAWS_MAX: u64 = 4;
/// Effective weight of an instance with weight 1 and full merit.
const WEIGHT_UNIT: f32 = 256.0;
/// Below this part of its zone's weight being healthy, calls leave the zone.
const ZONE_ENOUGH: f32 = 0.5;
/// Consistent hashing passes over an instance with so many times its share in flight.
const HASH_LOAD: f32 = 1.25;
/// And at least so many: at low load a key stays where it is.
const HASH_IN_FLIGHT_MIN: f32 = 8.0;

/// What a pick goes by.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The time.
    pub now_ns: u64,
    /// A random number.
    pub random: u64,
    /// What the call is about, for [`Policy::Hash`] and for canaries that stick to a user.
    pub key: Option<u64>,
    /// Instances that this call was sent to already.
    pub tried: &'a [Ticket],
}

/// An instance that a call was sent to; to be given back with its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    slot: u32,
    generation: u32,
    trial: bool,
}

/// A picked instance.
#[derive(Clone, Copy, Debug)]
pub struct Picked<'a> {
    /// To be given back.
    pub ticket: Ticket,
    /// Where it listens.
    pub address: &'a Address,
    /// Why it.
    pub why: Why,
}

/// The balancer of one service on one core.
#[derive(Debug)]
pub struct Balancer {
    service: Arc<Service>,
    zone: String,
    nodes: Vec<Node>,
    /// By group: the rest, and the canary.
    tables: [AliasTable; 2],
    wrr: Wrr,
    ring: Ring,
    climate: Climate,
    /// Those that want a call out of turn.
    special: Vec<u32>,
    /// Calls since the last such call.
    credit: u32,
    /// When that was.
    special_ns: u64,
    tick_ns: u64,
    ticked_ns: u64,
    random: u64,
    /// To be dialled.
    dials: Vec<u32>,
    has_news: bool,
    is_urgent: bool,
    ejections: Ejections,
}

impl Balancer {
    /// For a service, seen from a zone (empty: nowhere in particular).
    pub fn new(service: Arc<Service>, zone: &str, now_ns: u64) -> Balancer {
        let mut balancer = Balancer {
            service: Arc::clone(&service),
            zone: zone.into(),
            nodes: Vec::new(),
            tables: [AliasTable::default(), AliasTable::default()],
            wrr: Wrr::default(),
            ring: Ring::default(),
            climate: Climate::NEW,
            special: Vec::new(),
            credit: LOOK_CALLS,
            special_ns: now_ns,
            tick_ns: now_ns,
            ticked_ns: now_ns,
            random: now_ns,
            dials: Vec::new(),
            has_news: false,
            is_urgent: false,
            ejections: Ejections::default(),
        };
        balancer.update(service, now_ns);
        balancer
    }

    /// The service that it balances, as it is now.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// How many instances it has taken out of rotation.
    pub fn ejections(&self) -> &Ejections {
        &self.ejections
    }

    /// The service has changed: what is known of instances that stay is kept, new ones rise.
    pub fn update(&mut self, service: Arc<Service>, now_ns: u64) {
        let mut known: BTreeMap<Address, usize> = BTreeMap::new();
        for (slot, node) in self.nodes.iter_mut().enumerate() {
            if node.row.take().is_some() {
                known.insert(node.address.clone(), slot);
            }
        }
        let rising = !known.is_empty();
        let mut new = Vec::new();
        for (row, instance) in service.instances.iter().enumerate() {
            let slot = known.remove(&instance.address);
            let kept = slot.filter(|slot| self.nodes[*slot].revision == instance.revision);
            match kept {
                Some(slot) => self.nodes[slot].row = Some(row as u32),
                None => new.push((row, instance)),
            }
        }
        for (row, instance) in new {
            let mut node = Node::new(instance, now_ns, rising);
            node.row = Some(row as u32);
            match self.nodes.iter().position(|node| node.row.is_none()) {
                Some(free) => {
                    node.generation = self.nodes[free].generation.wrapping_add(1);
                    self.nodes[free] = node;
                }
                None => self.nodes.push(node),
            }
        }
        self.service = service;
        self.note_places();
        self.weigh(now_ns);
        self.rebuild();
        self.tick_ns = now_ns;
    }

    /// Takes what the table says of each instance.
    fn note_places(&mut self) {
        let service = &self.service;
        let count = service.instances.len().max(1) as f32;
        let sum: f32 = service.instances.iter().map(|instance| instance.weight as f32).sum();
        for node in &mut self.nodes {
            let Some(row) = node.row else {
                node.up = false;
                node.weight = 0;
                continue;
            };
            let instance = &service.instances[row as usize];
            node.up = instance.state == State::Up;
            node.static_weight = instance.weight;
            node.load_unit = sum / count / instance.weight as f32;
            node.zone.clone_from(&instance.zone);
            node.home = instance.zone == self.zone;
            let canary = service.canary.as_ref();
            node.canary = canary.is_some_and(|canary| canary.selects(&instance.labels));
        }
        let weight = |node: &Node| if node.up { node.static_weight } else { 0 };
        if service.policy == Policy::Wrr {
            self.wrr = Wrr::new(self.nodes.iter().map(weight));
        }
        if service.policy == Policy::Hash {
            let up = self.nodes.iter().enumerate().filter(|(_, node)| node.up);
            let entry = |(slot, node)| {
                let node: &Node = node;
                (slot as u32, &node.address, node.static_weight)
            };
            self.ring = Ring::new(up.map(entry));
        }
    }

    /// The instance that is called next; `None` if there is none that was not tried yet.
    #[inline]
    pub fn pick(&mut self, ask: &Ask<'_>) -> Option<Picked<'_>> {
        if ask.now_ns >= self.tick_ns {
            self.tick(ask.now_ns);
        }
        self.random = ask.random;
        self.credit = (self.credit + 1).min(LOOK_CALLS);
        let (slot, why) = self.choose(ask)?;
        let node = self.nodes.get_mut(slot as usize)?;
        node.begin(ask.now_ns);
        let trial = why == Why::Trial;
        if trial {
            node.try_out();
        }
        let ticket = Ticket { slot, generation: node.generation, trial };
        Some(Picked { ticket, address: &node.address, why })
    }

    #[inline]
    fn choose(&mut self, ask: &Ask<'_>) -> Option<(u32, Why)> {
        let may_be_special = !self.special.is_empty() && ask.tried.is_empty();
        if may_be_special
            && self.has_earned(TRIAL_CALLS, ask.now_ns)
            && let Some(special) = self.take_special(ask.now_ns)
        {
            return Some(special);
        }
        let group = match &self.service.canary {
            None => 0,
            Some(canary) => self.group(canary, ask),
        };
        match (self.service.policy, ask.key) {
            (Policy::Hash, Some(key)) => self.by_key(key, group, ask),
            (Policy::Wrr, _) => self.by_turn(group, ask),
            (Policy::P2c, _) => self.of_two(group, 1.0, ask),
            (Policy::Adaptive | Policy::ZoneFirst | Policy::Hash, _) => {
                self.of_two(group, CLEARLY, ask)
            }
        }
        .or_else(|| self.by_chance(ask))
    }

    /// The canary's part of the calls, by key where there is one; unless nobody there is live.
    fn group(&self, canary: &Canary, ask: &Ask<'_>) -> usize {
        let number = mix(ask.key.unwrap_or(ask.random) ^ 0xca_9a47);
        let part = ((number >> 32) * u64::from(Canary::PARTS)) >> 32;
        let group = usize::from(part < u64::from(canary.parts));
        if self.tables[group].len() > 0 { group } else { 1 - group }
    }

    /// Two are drawn by weight; the first is taken unless the second is `clearly` cheaper.
    #[inline]
    fn of_two(&self, group: usize, clearly: f32, ask: &Ask<'_>) -> Option<(u32, Why)> {
        let table = &self.tables[group];
        if !ask.tried.is_empty() {
            return self.not_tried(group, ask);
        }
        let first = table.draw(ask.random)?;
        let second_random = mix(ask.random);
        let mut second = table.draw(second_random)?;
        if second == first {
            second = table.draw(mix(second_random))?;
        }
        if second == first {
            second = table.other(first)?;
        }
        if second == first {
            let why = if table.len() == 1 { Why::Only } else { Why::Drawn };
            return Some((first, why));
        }
        let cost = |slot: u32| {
            let node = self.nodes.get(slot as usize);
            node.map_or(f32::MAX, |node| node.cost(ask.now_ns, &self.climate))
        };
        let cheaper = cost(second) * clearly < cost(first);
        Some(if cheaper { (second, Why::Cheaper) } else { (first, Why::Drawn) })
    }

    /// As [`Balancer::of_two`], for a call that was somewhere already.
    fn not_tried(&self, group: usize, ask: &Ask<'_>) -> Option<(u32, Why)> {
        let fresh = |slot: &u32| !self.was_tried(*slot, ask);
        let table = &self.tables[group];
        let draws = (0..DRAWS_MAX).filter_map(|nth| table.draw(mix(ask.random ^ nth)));
        let drawn = draws.filter(fresh).min_by(|one, other| self.compare(*one, *other, ask));
        let cheapest = || {
            let all = (0..self.nodes.len() as u32).filter(|slot| self.weight(*slot) > 0);
            all.filter(fresh).min_by(|one, other| self.compare(*one, *other, ask))
        };
        drawn.or_else(cheapest).map(|slot| (slot, Why::Drawn))
    }

    fn compare(&self, one: u32, other: u32, ask: &Ask<'_>) -> core::cmp::Ordering {
        let cost = |slot: u32| self.nodes[slot as usize].cost(ask.now_ns, &self.climate);
        cost(one).total_cmp(&cost(other))
    }

    fn was_tried(&self, slot: u32, ask: &Ask<'_>) -> bool {
        ask.tried.iter().any(|ticket| ticket.slot == slot)
    }

    fn weight(&self, slot: u32) -> u32 {
        self.nodes.get(slot as usize).map_or(0, |node| node.weight)
    }

    fn by_turn(&mut self, group: usize, ask: &Ask<'_>) -> Option<(u32, Why)> {
        let (nodes, canary) = (&self.nodes, group == 1);
        let usable = |slot: usize| {
            let tried = ask.tried.iter().any(|ticket| ticket.slot as usize == slot);
            nodes[slot].weight > 0 && nodes[slot].canary == canary && !tried
        };
        let slot = self.wrr.pick(usable)?;
        Some((slot as u32, Why::Turn))
    }

    fn by_key(&self, key: u64, group: usize, ask: &Ask<'_>) -> Option<(u32, Why)> {
        let of_group = |node: &&Node| node.weight > 0 && node.canary == (group == 1);
        let live = self.nodes.iter().filter(of_group);
        let (mut in_flight, mut sum) = (1.0, 0.0);
        for node in live {
            in_flight += node.in_flight as f32;
            sum += node.static_weight as f32;
        }
        let mut why = Why::Key;
        for slot in self.ring.walk(key) {
            let node = &self.nodes[slot as usize];
            let share = in_flight * node.static_weight as f32 / sum;
            let bound = (share * HASH_LOAD).max(HASH_IN_FLIGHT_MIN);
            let fits = (node.in_flight as f32) < bound;
            if of_group(&node) && fits && !self.was_tried(slot, ask) {
                return Some((slot, why));
            }
            why = Why::KeySpill;
        }
        self.not_tried(group, ask)
    }

    /// Nobody is live: by chance among all that are up.
    #[cold]
    fn by_chance(&self, ask: &Ask<'_>) -> Option<(u32, Why)> {
        let usable = |slot: &u32| self.nodes[*slot as usize].up && !self.was_tried(*slot, ask);
        let all = || (0..self.nodes.len() as u32).filter(usable);
        let count = all().count() as u64;
        let nth = ((ask.random >> 32) * count) >> 32;
        let why = if count == 1 { Why::Only } else { Why::AllDead };
        all().nth(nth as usize).map(|slot| (slot, why))
    }

    /// One that wants a call out of turn, if calls have earned it.
    #[cold]
    fn take_special(&mut self, now_ns: u64) -> Option<(u32, Why)> {
        while let Some(slot) = self.special.pop() {
            let node = &self.nodes[slot as usize];
            let why = if node.wants_trial() { Why::Trial } else { Why::Look };
            if why == Why::Look {
                if !node.is_stale(now_ns, &self.climate) && !node.is_unseen(now_ns) {
                    continue;
                }
                if !self.has_earned(LOOK_CALLS, now_ns) {
                    self.special.push(slot);
                    return None;
                }
            }
            (self.credit, self.special_ns) = (0, now_ns);
            return Some((slot, why));
        }
        None
    }

    /// Whether one of so many calls, or of those of a long time, may go out of turn now.
    fn has_earned(&self, calls: u32, now_ns: u64) -> bool {
        let long_ago = now_ns.saturating_sub(self.special_ns) >= RARE_NS;
        self.credit >= calls || (long_ago && self.credit >= RARE_CALLS)
    }

    /// A call that was picked for has ended, after so long.
    #[inline]
    pub fn finished(&mut self, ticket: Ticket, end: End, latency_ns: u64, now_ns: u64) {
        let found = self.nodes.get_mut(ticket.slot as usize);
        let found = found.filter(|node| node.generation == ticket.generation);
        let Some(node) = found else { return };
        let was = node.is_in();
        let turn = Turn { climate: &self.climate, random: mix(self.random ^ now_ns) };
        node.end(end, latency_ns, now_ns, ticket.trial, &turn);
        let changed = was != node.is_in();
        self.ejections.note(was, node);
        let failed = matches!(end, End::Lost | End::Faulted | End::Unsent);
        self.has_news = true;
        self.is_urgent |= failed || changed;
        self.climate.recent.add(&Counts::of(end, latency_ns));
        if changed {
            self.turned(now_ns);
        }
    }

    /// Somebody came into rotation or went out of it.
    #[cold]
    fn turned(&mut self, now_ns: u64) {
        let live = self.nodes.iter().filter(|node| node.is_in()).count();
        if self.climate.all_dead && live > 0 {
            self.nodes.iter_mut().for_each(|node| node.wake(now_ns));
            self.tick_ns = now_ns;
        }
        self.reweigh(now_ns);
    }

    /// Weights anew, and the tables by which is drawn if one has changed.
    fn reweigh(&mut self, now_ns: u64) {
        if self.weigh(now_ns) {
            self.rebuild();
        }
    }

    /// The tables by which is drawn.
    fn rebuild(&mut self) {
        for (group, table) in self.tables.iter_mut().enumerate() {
            let nodes = self.nodes.iter().enumerate();
            let of_group = nodes.filter(|(_, node)| node.canary == (group == 1));
            table.rebuild(of_group.map(|(slot, node)| (slot as u32, node.weight)));
        }
    }

    /// Weights anew; whether one has changed.
    fn weigh(&mut self, now_ns: u64) -> bool {
        let by_weight_alone = matches!(self.service.policy, Policy::P2c | Policy::Wrr);
        let away = self.away_factor(now_ns);
        let (mut live, mut up, mut bad, mut changed) = (0, 0, 0, false);
        for node in &mut self.nodes {
            up += usize::from(node.up);
            bad += usize::from(node.up && node.looks_bad());
            live += usize::from(node.is_in());
            let merit = match (node.is_in(), by_weight_alone) {
                (false, _) => 0.0,
                (true, true) => 1.0,
                (true, false) => node.merit(now_ns) * if node.home { 1.0 } else { away },
            };
            let exact = node.static_weight as f32 * merit * WEIGHT_UNIT;
            let weight = if merit > 0.0 { (exact as u32).max(1) } else { 0 };
            changed |= weight != node.weight;
            node.weight = weight;
        }
        self.climate.all_dead = live == 0;
        self.climate.protective = bad * 2 > up;
        changed
    }

    /// What the weights outside of the own zone are multiplied by.
    fn away_factor(&self, now_ns: u64) -> f32 {
        if self.service.policy != Policy::ZoneFirst {
            return 1.0;
        }
        let (mut home, mut healthy, mut away) = (0.0, 0.0, 0.0);
        for node in self.nodes.iter().filter(|node| node.up) {
            let (full, now) = (node.static_weight as f32, node.merit(now_ns));
            if node.home {
                home += full;
                // Somebody new, or slow, is at home nevertheless.
                healthy += if node.is_in() { full } else { 0.0 };
            } else {
                away += full * now;
            }
        }
        if home == 0.0 || away == 0.0 {
            return 1.0;
        }
        if healthy >= ZONE_ENOUGH * home { 0.0 } else { (home - healthy) / away }
    }

    /// Time has passed.
    #[cold]
    fn tick(&mut self, now_ns: u64) {
        let passed_ns = now_ns.saturating_sub(self.ticked_ns);
        self.ticked_ns = now_ns;
        self.tick_ns = now_ns + TICK_NS;
        self.climate.recent.forget(passed_ns);
        self.climate.look();
        self.special.clear();
        let mut random = mix(self.random ^ now_ns);
        let mut turned = false;
        // The dearer of two is passed over as long as it is not called. A key has its own instance.
        let by_cost = !matches!(self.service.policy, Policy::Hash | Policy::Wrr);
        for (slot, node) in self.nodes.iter_mut().enumerate().filter(|(_, node)| node.up) {
            random = mix(random);
            let turn = Turn { climate: &self.climate, random };
            let was = node.is_in();
            if node.tick(now_ns, passed_ns, &turn) {
                self.dials.push(slot as u32);
            }
            let wants_look =
                node.is_stale(now_ns, &self.climate) || (by_cost && node.is_unseen(now_ns));
            if node.wants_trial() || wants_look {
                self.special.push(slot as u32);
            }
            turned |= was != node.is_in();
            self.ejections.note(was, node);
        }
        // Trials first, then who has waited longest: those are taken off the end.
        let nodes = &self.nodes;
        self.special.sort_unstable_by_key(|slot| nodes[*slot as usize].urgency());
        self.is_urgent |= turned;
        self.has_news |= turned;
        self.reweigh(now_ns);
    }

    /// An instance that should be dialled, to see whether it is there, with what had become of it;
    /// asked for until `None`. Connections to a silent one are not to be trusted.
    ///
    /// What comes of it is told by [`Balancer::reached`].
    pub fn poll_dial(&mut self) -> Option<(&Address, Cause)> {
        while let Some(slot) = self.dials.pop() {
            if let Some(cause) = self.nodes[slot as usize].dialled() {
                return Some((&self.nodes[slot as usize].address, cause));
            }
        }
        None
    }

    /// Whether there is somebody to be dialled.
    #[inline]
    pub fn has_dials(&self) -> bool {
        !self.dials.is_empty()
    }

    /// A connection to that address was made, or could not be.
    pub fn reached(&mut self, address: &Address, connected: bool, now_ns: u64) {
        let random = mix(self.random ^ now_ns);
        let found = self.nodes.iter_mut().position(|node| node.up && node.address == *address);
        let Some(slot) = found else { return };
        let node = &mut self.nodes[slot];
        node.reached(connected, now_ns, random);
        if node.is_in() {
            self.has_news = true;
            return self.turned(now_ns);
        }
        if node.wants_trial() && !self.special.contains(&(slot as u32)) {
            self.special.push(slot as u32);
        }
    }

    /// The instance at that address has said that it is about to stop.
    pub fn left(&mut self, address: &Address, now_ns: u64) {
        let found = self.nodes.iter_mut().find(|node| node.is_in() && node.address == *address);
        let Some(node) = found else { return };
        let turn = Turn { climate: &self.climate, random: mix(self.random ^ now_ns) };
        node.eject(Cause::Leaving, now_ns, &turn);
        self.ejections.note(true, node);
        self.has_news = true;
        self.is_urgent = true;
        self.turned(now_ns);
    }
}

#[cfg(test)]
mod tests;

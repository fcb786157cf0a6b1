//! Why calls go where they go: what all cores know of each instance, in one table.
//!
//! Each core decides by itself. What is shown is their sum where things add up (calls in flight),
//! their mean where they share (weights), and the worst of them where one is enough to ask about.

use std::collections::BTreeMap;
use std::sync::Arc;

use msec_protocol::Address;
use msec_protocol::route::{
    Canary, Explained, HedgeDelay, Policy, RetryBudget, Standing, State, Table,
};

use crate::engine::{Engine, Shared};

/// A service, and why its calls go where they go.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// `L1.L2`.
    pub name: String,
    /// The revision of the table; 0 if nobody counts.
    pub table_revision: u64,
    /// How calls are spread.
    pub policy: Policy,
    /// The part of the calls that is for some instances only.
    pub canary: Option<Canary>,
    /// When idempotent calls are hedged whose options say nothing.
    pub hedge: Option<HedgeDelay>,
    /// Cores that have called it; the rest knows nothing of it.
    pub cores_count: usize,
    /// On some core more than half look bad, so that nobody is lowered any more.
    pub is_protective: bool,
    /// On some core nobody is live: calls go anywhere.
    pub is_all_dead: bool,
    /// The part of the last seconds' calls that failed.
    pub failure_ratio: f32,
    /// Their mean latency, in nanoseconds.
    pub latency_ns: u64,
    /// Attempts beyond the first that may be made now.
    pub retries_left_count: u64,
    /// Such attempts that were made.
    pub retries_count: u64,
    /// Such attempts that were wanted, and refused by the budget.
    pub retries_refused_count: u64,
    /// In the order of the table.
    pub instances: Vec<Instance>,
}

/// An instance, and why it gets what it gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Where it listens.
    pub address: Address,
    /// Where it is; empty if nobody says.
    pub zone: String,
    /// `name=value`, with commas.
    pub labels: String,
    /// Whether the table has it up.
    pub is_up: bool,
    /// Whether it belongs to the canary.
    pub is_canary: bool,
    /// What the table says.
    pub static_weight: u32,
    /// What it is drawn by: static weight × success × speed × rise; the mean of the cores.
    pub weight: f64,
    /// The part of the calls for which it is drawn first, 0 to 1; the mean of the cores.
    pub share: f64,
    /// How it stands, on the core where it stands worst.
    pub standing: Standing,
    /// Factor for success, 0 to 1; the least.
    pub success: f32,
    /// Factor for latency, 0 to 1; the least.
    pub speed: f32,
    /// Latency that follows peaks, in nanoseconds; the greatest.
    pub peak_ns: u64,
    /// Calls in flight to it.
    pub in_flight_count: u64,
    /// Failures in a row; the most.
    pub failures_run: u32,
    /// Ejections that are not forgotten; the most.
    pub ejections_count: u32,
    /// How long it still rests, in nanoseconds; the longest.
    pub rests_ns: u64,
    /// Calls that ended in the last seconds, each counting less the older it is. Cores tell each
    /// other, so that each knows all: the most.
    pub recent_count: f32,
    /// Of those, failed.
    pub recent_failed_count: f32,
}

/// Brings together what the cores have said.
pub(crate) fn of_cores(shared: &Shared, all: Vec<Vec<(Explained, RetryBudget)>>) -> Vec<Service> {
    let mut known: BTreeMap<String, Vec<(Explained, RetryBudget)>> = BTreeMap::new();
    for (explained, budget) in all.into_iter().flatten() {
        known.entry(explained.service.clone()).or_default().push((explained, budget));
    }
    let table = Arc::clone(&shared.naming.lock().table);
    merge(&table, &known)
}

impl Engine {
    /// All services that can be called by name, and why their calls go where they go.
    ///
    /// Asks all cores. Suspends the coroutine, or blocks the thread; not from a core's loop.
    pub fn explain_routes(&self) -> Vec<Service> {
        of_cores(
            self.shared(),
            self.gather(0..self.cores_count(), |shard| shard.routes.explain(shard)),
        )
    }
}

fn merge(table: &Table, known: &BTreeMap<String, Vec<(Explained, RetryBudget)>>) -> Vec<Service> {
    let none = Vec::new();
    table
        .iter()
        .map(|service| {
            let cores = known.get(&service.name).unwrap_or(&none);
            let any = |holds: fn(&Explained) -> bool| cores.iter().any(|(one, _)| holds(one));
            let sum =
                |of: fn(&RetryBudget) -> u64| cores.iter().map(|(_, budget)| of(budget)).sum();
            let ratios = cores.iter().map(|(one, _)| one.failure_ratio);
            let mut merged = Service {
                name: service.name.clone(),
                table_revision: table.revision,
                policy: service.policy,
                canary: service.canary.clone(),
                hedge: service.hedge,
                cores_count: cores.len(),
                is_protective: any(|one| one.is_protective),
                is_all_dead: any(|one| one.is_all_dead),
                failure_ratio: ratios.fold(0.0, f32::max),
                latency_ns: cores.iter().map(|(one, _)| one.latency_ns).max().unwrap_or(0),
                retries_left_count: sum(|budget| u64::from(budget.left_count())),
                retries_count: sum(RetryBudget::spent_count),
                retries_refused_count: sum(RetryBudget::refused_count),
                instances: Vec::new(),
            };
            for instance in &service.instances {
                let mut shown = unknown(instance);
                let found = cores.iter().flat_map(|(one, _)| &one.instances);
                for one in found.filter(|one| one.address == instance.address) {
                    add(&mut shown, one, cores.len());
                }
                merged.instances.push(shown);
            }
            merged
        })
        .collect()
}

/// An instance of which nobody knows anything.
fn unknown(instance: &super::Instance) -> Instance {
    let labels = instance.labels.iter().map(|(name, value)| format!("{name}={value}"));
    let is_up = instance.state == State::Up;
    Instance {
        address: instance.address.clone(),
        zone: instance.zone.clone(),
        labels: labels.collect::<Vec<_>>().join(","),
        is_up,
        is_canary: false,
        static_weight: instance.weight,
        weight: 0.0,
        share: 0.0,
        standing: if is_up { Standing::Live } else { Standing::Down },
        success: 1.0,
        speed: 1.0,
        peak_ns: 0,
        in_flight_count: 0,
        failures_run: 0,
        ejections_count: 0,
        rests_ns: 0,
        recent_count: 0.0,
        recent_failed_count: 0.0,
    }
}

/// Adds what one of `cores_count` cores knows.
fn add(
    shown: &mut Instance,
    one: &msec_protocol::route::balancer::InstanceExplained,
    cores_count: usize,
) {
    let badness = |standing: Standing| match standing {
        Standing::Live => 0,
        Standing::Rising => 1,
        Standing::HalfOpen(_) => 2,
        Standing::Ejected(_) => 3,
        Standing::Down => 4,
    };
    shown.is_canary = one.is_canary;
    shown.weight += f64::from(one.weight) / cores_count as f64;
    shown.share += one.share / cores_count as f64;
    if badness(one.standing) > badness(shown.standing) {
        shown.standing = one.standing;
    }
    shown.success = shown.success.min(one.success);
    shown.speed = shown.speed.min(one.speed);
    shown.peak_ns = shown.peak_ns.max(one.peak_ns);
    shown.in_flight_count += u64::from(one.in_flight);
    shown.failures_run = shown.failures_run.max(one.failures_run);
    shown.ejections_count = shown.ejections_count.max(one.ejections);
    shown.rests_ns = shown.rests_ns.max(one.rests_ns);
    shown.recent_count = shown.recent_count.max(one.recent_ended);
    shown.recent_failed_count = shown.recent_failed_count.max(one.recent_failed);
}

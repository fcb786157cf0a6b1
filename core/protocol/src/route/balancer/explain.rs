//! Why calls go where they go: everything that decides, as it is at the moment.
use super::super::address::Address;
use super::super::node::{Node, Standing};
use super::super::table::{Canary, Policy};
use super::{Balancer, WEIGHT_UNIT};
use alloc::string::String;
use alloc::vec::Vec;

impl Balancer {
    /// Everything that decides, as it is now.
    pub fn explain(&self, now_ns: u64) -> Explained {
        let sums = [0, 1].map(|group| {
            let nodes = self.nodes.iter().filter(|node| node.canary == (group == 1));
            nodes.map(|node| f64::from(node.weight)).sum::<f64>()
        });
        let parts = self.service.canary.as_ref().map_or(0, |canary| canary.parts);
        let canary_part = f64::from(parts) / f64::from(Canary::PARTS);
        let mut instances: Vec<_> = self
            .nodes
            .iter()
            .filter_map(|node| {
                let sum = sums[usize::from(node.canary)];
                let part = match self.service.canary {
                    None => 1.0,
                    Some(_) if node.canary => canary_part,
                    Some(_) => 1.0 - canary_part,
                };
                let share = if sum > 0.0 { f64::from(node.weight) / sum * part } else { 0.0 };
                node.row.map(|row| explain_node(node, row, share, now_ns))
            })
            .collect();
        instances.sort_by_key(|instance| instance.row);
        Explained {
            service: self.service.name.clone(),
            policy: self.service.policy,
            is_protective: self.climate.protective,
            is_all_dead: self.climate.all_dead,
            failure_ratio: self.climate.recent.failure_ratio(),
            latency_ns: self.climate.reference_ns as u64,
            run_max: self.climate.run_max,
            instances,
        }
    }
}

fn explain_node(node: &Node, row: u32, share: f64, now_ns: u64) -> InstanceExplained {
    let figures = node.figures();
    InstanceExplained {
        row,
        address: node.address.clone(),
        zone: node.zone.clone(),
        is_canary: node.canary,
        static_weight: node.static_weight,
        weight: node.weight as f32 / WEIGHT_UNIT,
        share,
        standing: node.standing(),
        success: figures.success,
        speed: figures.speed,
        peak_ns: node.peak_ns as u64,
        in_flight: node.in_flight,
        failures_run: figures.run,
        ejections: figures.ejections,
        rests_ns: figures.until_ns.saturating_sub(now_ns),
        recent_ended: node.recent.ended,
        recent_failed: node.recent.failed,
    }
}

/// Why calls go where they go: a service on one core.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The service.
    pub service: String,
    /// How calls are spread.
    pub policy: Policy,
    /// More than half look bad: nobody is lowered any more.
    pub is_protective: bool,
    /// Nobody is live: calls go anywhere.
    pub is_all_dead: bool,
    /// The part of the last seconds' calls that failed.
    pub failure_ratio: f32,
    /// Their mean latency.
    pub latency_ns: u64,
    /// Failures in a row that eject.
    pub run_max: u32,
    /// In the order of the table.
    pub instances: Vec<InstanceExplained>,
}

/// One instance of [`Explained`].
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceExplained {
    /// Its place in the table.
    pub row: u32,
    /// Where it listens.
    pub address: Address,
    /// Where it is.
    pub zone: String,
    /// Whether it belongs to the canary.
    pub is_canary: bool,
    /// What the table says.
    pub static_weight: u32,
    /// What it is drawn by: static weight × success × speed × rise.
    pub weight: f32,
    /// The part of all calls for which it is drawn first, 0 to 1.
    pub share: f64,
    /// How it stands.
    pub standing: Standing,
    /// Factor for success, 0 to 1.
    pub success: f32,
    /// Factor for latency, 0 to 1.
    pub speed: f32,
    /// Latency that two drawn are compared by: it follows peaks.
    pub peak_ns: u64,
    /// Calls that are out.
    pub in_flight: u32,
    /// Failures in a row.
    pub failures_run: u32,
    /// How often it was ejected, until it was good for half a minute.
    pub ejections: u32,
    /// How long it still rests.
    pub rests_ns: u64,
    /// Calls that ended in the last seconds, each counting less the older it is.
    pub recent_ended: f32,
    /// Of those, failed.
    pub recent_failed: f32,
}

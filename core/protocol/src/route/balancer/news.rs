//! What cores tell each other of the same instances, so that bounds hold for the process.
//!
//! Each core learns from its own calls at once and from the others' within milliseconds. News are
//! counts, the row of failures at their end, and what became of the instance; they name it by its
//! place in the service, so both sides must have the very same version of that.
use super::super::node::{Counts, Event, Turn};
use super::super::ring::mix;
use super::super::table::Service;
use super::Balancer;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What has ended on one core, for the balancers of the same service on the others.
#[derive(Clone, Debug)]
pub struct News {
    /// The service as the sender has it.
    pub service: Arc<Service>,
    rows: Vec<RowNews>,
}

#[derive(Clone, Debug)]
struct RowNews {
    row: u32,
    counts: Counts,
    run: u32,
    event: Option<Event>,
}

impl Balancer {
    /// Whether something has ended that the other cores have not heard of.
    #[inline]
    pub fn has_news(&self) -> bool {
        self.has_news
    }

    /// Whether they should hear of it at once: a failure, an ejection, a return.
    #[inline]
    pub fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// What has ended since the last time.
    pub fn take_news(&mut self) -> News {
        self.has_news = false;
        self.is_urgent = false;
        let mut rows = Vec::new();
        for node in &mut self.nodes {
            let counts = core::mem::take(&mut node.news);
            let event = node.event.take();
            if let Some(row) = node.row
                && (counts != Counts::default() || event.is_some())
            {
                let run = if counts.failed == 0 { 0 } else { node.run_of(&counts) };
                rows.push(RowNews { row, counts, run, event });
            }
        }
        News { service: Arc::clone(&self.service), rows }
    }

    /// What has ended on another core. News of another version of the service are of no use.
    pub fn handle_news(&mut self, news: &News, now_ns: u64) {
        if !Arc::ptr_eq(&news.service, &self.service) {
            return;
        }
        let mut slots = alloc::vec![None; self.service.instances.len()];
        for (slot, node) in self.nodes.iter().enumerate() {
            if let Some(row) = node.row {
                slots[row as usize] = Some(slot);
            }
        }
        let mut turned = false;
        for row in &news.rows {
            let Some(slot) = slots.get(row.row as usize).copied().flatten() else { continue };
            let node = &mut self.nodes[slot];
            let turn = Turn { climate: &self.climate, random: mix(self.random ^ now_ns) };
            let was = node.is_in();
            node.count(&row.counts, row.run, now_ns, &turn);
            // The other core says so itself where it has ejected, and has counted that.
            node.event = None;
            if !matches!(row.event, Some(Event::Ejected(_))) {
                self.ejections.note(was, node);
            }
            if let Some(event) = row.event {
                node.heard(event, now_ns, &turn);
            }
            self.climate.recent.add(&row.counts);
            turned |= was != node.is_in();
        }
        if turned {
            self.turned(now_ns);
        }
    }
}

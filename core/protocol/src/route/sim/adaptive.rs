//! The product's balancer, as a router of the simulator.
use super::Router;
use crate::route::balancer::{Ask, Balancer, Ticket};
use crate::route::ring::mix;
use crate::route::table::{Instance, Policy, Service};
use crate::route::{Address, End};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The product's balancer as a router.
#[derive(Debug)]
pub struct Adaptive {
    balancer: Balancer,
    tickets: Vec<Option<(Ticket, usize)>>,
    free: VecDeque<usize>,
}

impl Adaptive {
    /// For so many instances.
    pub fn new(count: usize) -> Adaptive {
        Adaptive::with(Policy::Adaptive, count)
    }

    /// The same with another policy; each call has a key of its own.
    pub fn with(policy: Policy, count: usize) -> Adaptive {
        let balancer = Balancer::new(service(policy, count), "", 0);
        Adaptive { balancer, tickets: Vec::new(), free: VecDeque::new() }
    }

    /// What it goes by.
    pub fn balancer(&self) -> &Balancer {
        &self.balancer
    }
}

/// A service of so many instances; the index is the port.
fn service(policy: Policy, count: usize) -> Arc<Service> {
    let instance = |index| {
        let text = format!("10.0.0.1:{}", index + 1);
        Instance::new(text.parse().expect("an address is written above"))
    };
    let instances = (0..count).map(instance).collect();
    Arc::new(Service { policy, ..Service::new("Sim.service", instances) })
}

fn index_of(address: &Address) -> usize {
    match address {
        Address::Tcp(at) => usize::from(at.port()) - 1,
        Address::Tls(..) | Address::Udp(_) | Address::Unix(_) => 0,
    }
}

impl Router for Adaptive {
    fn pick(&mut self, now_ns: u64, random: u64, tried: &[u64]) -> Option<(usize, u64)> {
        let ticket_of = |number: &u64| self.tickets[*number as usize].map(|(ticket, _)| ticket);
        let tried: Vec<Ticket> = tried.iter().filter_map(ticket_of).collect();
        let ask = Ask { now_ns, random, key: Some(mix(!random)), tried: &tried };
        let picked = self.balancer.pick(&ask)?;
        let entry = Some((picked.ticket, index_of(picked.address)));
        let index = index_of(picked.address);
        let number = match self.free.pop_front() {
            Some(number) => {
                self.tickets[number] = entry;
                number
            }
            None => {
                self.tickets.push(entry);
                self.tickets.len() - 1
            }
        };
        Some((index, number as u64))
    }

    fn finished(&mut self, _index: usize, number: u64, end: End, latency_ns: u64, now_ns: u64) {
        if let Some((ticket, _)) = self.tickets[number as usize] {
            self.balancer.finished(ticket, end, latency_ns, now_ns);
        }
        // Kept until the next pick, for a retry that must not go there again.
        self.free.push_back(number as usize);
    }

    fn poll_dial(&mut self) -> Option<usize> {
        self.balancer.poll_dial().map(|(address, _)| index_of(address))
    }

    fn reached(&mut self, index: usize, connected: bool, now_ns: u64) {
        let address = format!("10.0.0.1:{}", index + 1).parse().expect("an address is written");
        self.balancer.reached(&address, connected, now_ns);
    }

    fn resized(&mut self, count: usize, now_ns: u64) {
        let policy = self.balancer.service().policy;
        self.balancer.update(service(policy, count), now_ns);
    }
}

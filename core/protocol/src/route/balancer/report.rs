//! Ends of calls that somebody else has made, to an instance that was picked for him.
//!
//! He may call much later, several times or never, and says only afterwards what came of it, or
//! says nothing. So his picks are not calls in flight, and a report needs no ticket: it names the
//! instance. To one that is half open any report is the trial that it waits for.
use super::super::address::{Address, BadTarget};
use super::super::node::{End, Standing};
use super::{Balancer, Ticket};
use core::net::IpAddr;
use core::str::FromStr;

/// The instances that a report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// The one at this address.
    Address(Address),
    /// All on this host, whatever their ports.
    Host(IpAddr),
}

impl About {
    fn is(&self, address: &Address) -> bool {
        match (self, address) {
            (About::Address(about), _) => about == address,
            (About::Host(host), Address::Tcp(at) | Address::Tls(at, _) | Address::Udp(at)) => {
                at.ip() == *host
            }
            (About::Host(_), Address::Unix(_)) => false,
        }
    }
}

/// A host has no port.
impl FromStr for About {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<About, BadTarget> {
        match text.parse() {
            Ok(host) => Ok(About::Host(host)),
            Err(_) => text.parse().map(About::Address),
        }
    }
}

impl Balancer {
    /// A call that was not picked for, or whose ticket nobody has kept, has ended after so long.
    pub fn reported(&mut self, about: &About, end: End, latency_ns: u64, now_ns: u64) {
        if now_ns >= self.tick_ns {
            self.tick(now_ns);
        }
        for slot in 0..self.nodes.len() {
            let node = &mut self.nodes[slot];
            if node.row.is_none() || !about.is(&node.address) {
                continue;
            }
            // Its end takes it off again, and not one of those that are in flight.
            node.in_flight += 1;
            let trial = matches!(node.standing(), Standing::HalfOpen(_));
            let ticket = Ticket { slot: slot as u32, generation: node.generation, trial };
            self.finished(ticket, end, latency_ns, now_ns);
        }
    }
}

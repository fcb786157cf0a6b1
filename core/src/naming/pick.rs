//! Picks by hand: for who calls an instance by means of its own, such as a database's library, and
//! wants what calls have: an instance that works, and that its failures count.
//!
//! ```text
//!   pick_route(service) ──► address ──► the caller's own call ──► report_route(service, address)
//! ```
//!
//! On a core's thread both are that core's business, as they are for a call. From other threads
//! they are the business of one core for each service, so that it sees all of them: its turns are
//! turns, and a report finds what the pick has left. The cores tell each other as they do of calls.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use msec_protocol::route::{About, End, key_of};
use msec_protocol::{Address, Code, Target};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::route::Said;
use crate::shard::{self, Message, Shard};

/// Failures of one report that count; more say no more.
const FAILURES_COUNT_MAX: u32 = 16;

impl Engine {
    /// The instance of a service that is to be called next, for a call that is made by other means
    /// than a [`Client`](crate::Client); an address is its own.
    ///
    /// It may be called once, often or never: only what [`report_route`](Self::report_route) says
    /// counts. One that has failed is picked now and then, as it is called now and then, and needs
    /// a report to be trusted again.
    ///
    /// On a core's thread at once; a coroutine of another engine suspends and other threads block
    /// until a core has answered, which is within microseconds unless it is kept busy.
    ///
    /// # Errors
    /// -14 neither a service name nor an address; -15 no such service, or no instance that may be
    /// called; -2 the engine has stopped, or this is the loop of another engine's core.
    pub fn pick_route(&self, service: &str) -> Result<Address> {
        let target = service.parse::<Target>().map_err(|bad| {
            let text = format!("cannot pick an instance of `{service}`: {bad}");
            Error::new(Code::INVALID_ENDPOINT, text)
        })?;
        let target = Arc::new(target);
        if let Some(shard) = self.own_shard() {
            return shard.routes.pick_by_hand(&shard, &target);
        }
        let core = self.core_of(service);
        let ask = move |shard: &Rc<Shard>| shard.routes.pick_by_hand(shard, &target);
        self.gather(core..core + 1, ask).pop().unwrap_or_else(|| {
            let text = "no core has answered: the engine has stopped, the caller was cancelled, or \
                        this is a core's loop";
            Err(Error::new(Code::SYSTEM_ERROR, text).during("pick an instance"))
        })
    }

    /// Tells what came of calls that were made by other means. It counts as the ends of the
    /// engine's own calls do. A service that there is not, or not any more, is not heard of.
    ///
    /// `instance`: the address that was picked, or a host without a port (`10.0.0.1`): then it is
    /// said of all instances there.
    /// `failures_count`: 0 an answer has come after `latency`; else so many calls have failed, of
    /// which 16 count. From any thread; never waits.
    ///
    /// # Errors
    /// -14 `service` is no service name and no address, or `instance` is no address and no host.
    pub fn report_route(
        &self,
        service: &str,
        instance: &str,
        failures_count: u32,
        latency: Duration,
    ) -> Result<()> {
        let bad = |text: &str, bad| {
            let text = format!("cannot report of `{text}`: {bad}");
            Error::new(Code::INVALID_ENDPOINT, text)
        };
        let about = instance.parse::<About>().map_err(|why| bad(instance, why))?;
        if let Target::Address(_) = service.parse().map_err(|why| bad(service, why))? {
            // What is called by its address has no other instance.
            return Ok(());
        }
        let latency_ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let (end, count) = match failures_count {
            0 => (End::Answered, 1),
            count => (End::Lost, count.min(FAILURES_COUNT_MAX)),
        };
        let said = Said { about, end, count, latency_ns };
        if let Some(shard) = self.own_shard() {
            shard.routes.reported(&shard, service, &said);
            return Ok(());
        }
        let core = self.core_of(service);
        let service = service.to_owned();
        let tell = move |shard: &Rc<Shard>| shard.routes.reported(shard, &service, &said);
        let message = Message::Run(Box::new(tell));
        match shard::current() {
            // Another engine's core must not wait for room.
            Some(_) => drop(self.shared().cores.try_post(core, message)),
            None => self.shared().cores.post_patiently(core, message),
        }
        Ok(())
    }

    /// The core whose thread this is, if it is one of this engine's.
    fn own_shard(&self) -> Option<Rc<Shard>> {
        shard::current().filter(|shard| Arc::ptr_eq(&shard.shared, self.shared()))
    }

    /// Whose business a service's picks from other threads are.
    fn core_of(&self, service: &str) -> usize {
        (key_of(service.as_bytes()) % self.cores_count() as u64) as usize
    }
}

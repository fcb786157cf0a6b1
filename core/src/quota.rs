//! Quotas of callers: who may ask how often.
//!
//! A caller is the name in the head of its requests, which is not authenticated: a quota keeps
//! colleagues from each other's necks, not enemies. It holds for the whole process. The token
//! buckets are `budget.rs`'s; each core keeps a lease for each caller that it has met.
//!
//! Who has no quota of its own may get the one for others, each for itself. As callers choose their
//! names, the number of these is bounded; beyond it they share one bucket.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use msec_protocol::limits::CALLERS_WITH_QUOTA_MAX;
use msec_protocol::serve::Quota;

use crate::budget::{RateBudget, RateLease};
use crate::context::Context;

/// The quotas of a server, shared by its cores.
#[derive(Default)]
pub(crate) struct Quotas {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    named: HashMap<Box<[u8]>, Arc<RateBudget>>,
    others: Option<Others>,
}

/// Callers without a quota of their own.
struct Others {
    quota: Quota,
    /// Those that were met. Locked when a core meets a caller for the first time, and then only.
    met: Mutex<HashMap<Box<[u8]>, Arc<RateBudget>>>,
    /// For those beyond the bound.
    rest: Arc<RateBudget>,
}

impl Quotas {
    /// Sets the quota of a caller. To be called before the quotas are shared.
    pub(crate) fn set(&mut self, caller: &str, quota: Quota) {
        let shared = Arc::get_mut(&mut self.shared).expect("no core has them yet");
        shared.named.insert(caller.as_bytes().into(), RateBudget::new(quota));
    }

    /// Sets the quota of each other caller. To be called before the quotas are shared.
    pub(crate) fn set_for_others(&mut self, quota: Quota) {
        let shared = Arc::get_mut(&mut self.shared).expect("no core has them yet");
        let rest = RateBudget::new(quota);
        shared.others = Some(Others { quota, met: Mutex::default(), rest });
    }
}

impl Quotas {
    /// All quotas that were set, by caller; `None` is each that is not named.
    pub(crate) fn all(&self) -> Vec<(Option<String>, Quota)> {
        let text = |caller: &[u8]| String::from_utf8_lossy(caller).into_owned();
        let named = self.shared.named.iter();
        let mut all: Vec<_> =
            named.map(|(caller, budget)| (Some(text(caller)), budget.quota())).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all.extend(self.shared.others.as_ref().map(|others| (None, others.quota)));
        all
    }
}

impl Shared {
    /// The bucket of a caller that is not named and that a core has not met before; `None`: it may
    /// ask as it likes.
    fn find(&self, caller: &[u8]) -> Option<Arc<RateBudget>> {
        let others = self.others.as_ref()?;
        let mut met = others.met.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(budget) = met.get(caller) {
            return Some(budget.clone());
        }
        if met.len() == CALLERS_WITH_QUOTA_MAX {
            return Some(others.rest.clone());
        }
        let budget = RateBudget::new(others.quota);
        met.insert(caller.into(), budget.clone());
        Some(budget)
    }
}

/// One core's part in the quotas of a server.
pub(crate) struct CallerQuotas {
    shared: Arc<Shared>,
    /// Nobody has a quota, which is the rule.
    are_none: bool,
    /// Of callers that are named, and of those that this core has met.
    leases: RefCell<HashMap<Box<[u8]>, RateLease>>,
    rest: Option<RateLease>,
}

impl CallerQuotas {
    pub(crate) fn new(quotas: &Quotas) -> Self {
        let shared = quotas.shared.clone();
        let rest = shared.others.as_ref().map(|others| RateLease::new(&others.rest));
        let named = shared.named.iter();
        let leases = named.map(|(caller, budget)| (caller.clone(), RateLease::new(budget)));
        let leases = RefCell::new(leases.collect());
        let are_none = shared.named.is_empty() && shared.others.is_none();
        Self { shared, are_none, leases, rest }
    }

    /// Counts a request against the quota of its caller, if it has one; over it, how many it may
    /// have a second.
    #[inline]
    pub(crate) fn take(&self, context: &Context, now_ns: u64) -> Result<(), u32> {
        if self.are_none {
            return Ok(());
        }
        self.take_of(context.caller_bytes(), now_ns)
    }

    fn take_of(&self, caller: &[u8], now_ns: u64) -> Result<(), u32> {
        let spend = |lease: &RateLease| match lease.take(now_ns) {
            true => Ok(()),
            false => Err(lease.quota().per_second()),
        };
        if let Some(lease) = self.leases.borrow().get(caller) {
            return spend(lease);
        }
        let most = self.shared.named.len() + CALLERS_WITH_QUOTA_MAX;
        if self.leases.borrow().len() >= most {
            return self.rest.as_ref().map_or(Ok(()), spend);
        }
        let Some(budget) = self.shared.find(caller) else { return Ok(()) };
        let mut leases = self.leases.borrow_mut();
        spend(leases.entry(caller.into()).or_insert_with(|| RateLease::new(&budget)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn quotas() -> Quotas {
        let mut quotas = Quotas::default();
        quotas.set("Demo.batch", Quota::new(5, 5));
        quotas.set_for_others(Quota::new(2, 2));
        quotas
    }

    fn granted(core: &CallerQuotas, caller: &str) -> usize {
        (0..10).filter(|_| core.take_of(caller.as_bytes(), SECOND_NS).is_ok()).count()
    }

    #[test]
    fn a_caller_has_its_own_quota_and_another_that_of_others() {
        let quotas = quotas();
        let (one, other) = (CallerQuotas::new(&quotas), CallerQuotas::new(&quotas));
        assert_eq!(granted(&one, "Demo.batch"), 5);
        assert_eq!(granted(&other, "Demo.batch"), 0, "both cores spend from one bucket");
        assert_eq!((granted(&one, "Demo.web"), granted(&other, "Demo.app")), (2, 2));
        assert_eq!(other.take_of(b"Demo.batch", SECOND_NS), Err(5));
    }

    #[test]
    fn without_a_quota_for_others_they_ask_as_they_like() {
        let mut quotas = Quotas::default();
        quotas.set("Demo.batch", Quota::new(1, 1));
        let core = CallerQuotas::new(&quotas);
        assert_eq!((granted(&core, "Demo.batch"), granted(&core, "")), (1, 10));
        assert_eq!(core.leases.borrow().len(), 1, "and nothing is kept of them");
    }

    #[test]
    fn made_up_names_share_a_bucket_when_there_are_too_many() {
        let quotas = quotas();
        let core = CallerQuotas::new(&quotas);
        let fresh = |number: usize| core.take_of(format!("made up {number}").as_bytes(), SECOND_NS);
        assert!((0..CALLERS_WITH_QUOTA_MAX).all(|number| fresh(number).is_ok()));
        let more = CALLERS_WITH_QUOTA_MAX..CALLERS_WITH_QUOTA_MAX + 100;
        assert_eq!(more.filter(|number| fresh(*number).is_ok()).count(), 2);
        assert!(core.leases.borrow().len() <= CALLERS_WITH_QUOTA_MAX + 1);
        assert_eq!(granted(&core, "Demo.batch"), 5, "who is named keeps its own");
    }
}

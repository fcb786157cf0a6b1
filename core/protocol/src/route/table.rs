//! The route table: services, their instances, and how calls are spread over them.
//!
//! A table is a value that is never changed, only replaced. Whoever keeps it up to date sends whole
//! tables or a [`Delta`]: the changes that lead from one revision to the next. A delta that does
//! not fit the revision at hand is refused, and the sender is asked for a whole table; so that a
//! lost message cannot leave two sides with different tables for long.
//!
//! Services are shared (`Arc`): a table of thousands in which one has changed costs one of them
//! again, and each core's copy of the table is a list of pointers.
use super::address::{Address, is_service_name};
use crate::limits::{
    INSTANCES_PER_SERVICE_MAX, LABEL_BYTES_MAX, LABELS_PER_INSTANCE_MAX, SERVICES_MAX, WEIGHT_MAX,
    WEIGHT_MIN, ZONE_BYTES_MAX,
};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// Names and values that an operator gives to an instance: `version = "2"`.
pub type Labels = BTreeMap<String, String>;

/// The weight of an instance that says none: one percent of it is still a weight.
pub const WEIGHT_DEFAULT: u32 = 100;

/// One instance of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Where it listens. Also its name: no two instances of a service share one.
    pub address: Address,
    /// Its share of the calls, in relation to the others': 1 to 10,000, usually 100.
    pub weight: u32,
    /// The data centre, rack or machine room that it is in; empty if nobody says.
    pub zone: String,
    /// By which canary rules select it.
    pub labels: Labels,
    /// Whether it is to be called.
    pub state: State,
    /// A number that changes when another process takes the address: what is known of the old one
    /// is forgotten then. 0 if nobody counts.
    pub revision: u64,
}

/// Whether an instance is to be called at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It takes its part.
    #[default]
    Up,
    /// An operator took it out: it is never called, not even when nobody else is left.
    Down,
}

/// How calls are spread over the instances of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// By weight × success × latency, the better of two drawn.
    #[default]
    Adaptive,
    /// By weight alone, evenly in turns.
    Wrr,
    /// Two are drawn by weight; the one with less latency × calls in flight is taken.
    P2c,
    /// The call's key decides; consistently, and with bounded loads. Without a key as `Adaptive`.
    Hash,
    /// As `Adaptive`, within the caller's zone as long as that has enough healthy instances.
    ZoneFirst,
}

/// A part of the calls that goes to the instances with certain labels, and only that part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// An instance belongs to it if it has all of these.
    pub labels: Labels,
    /// Ten-thousandths of the calls: 250 is 2.5 %.
    pub parts: u32,
}

/// When a second, parallel attempt of an idempotent call starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeDelay {
    /// After so many nanoseconds.
    AfterNs(u64),
    /// When it is later than 95 of 100 calls of that method have been.
    P95,
}

/// A service: its instances, and how calls are spread over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `L1.L2`.
    pub name: String,
    /// May be empty: the service is known but nobody serves it.
    pub instances: Vec<Instance>,
    /// How calls are spread.
    pub policy: Policy,
    /// The part of the calls that is for some instances only.
    pub canary: Option<Canary>,
    /// When idempotent calls are hedged whose options say nothing.
    pub hedge: Option<HedgeDelay>,
}

/// All services that can be called by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Grows with each change; 0 if nobody counts, as in a file.
    pub revision: u64,
    services: BTreeMap<String, Arc<Service>>,
}

/// Why a service was not taken into a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadService {
    /// Its name is not `L1.L2`.
    Name,
    /// The table has a service of this name.
    Repeated,
    /// The table is full.
    TooManyServices,
    /// It has more instances than one pick may walk.
    TooManyInstances,
    /// An instance's weight is not 1 to 10,000.
    Weight {
        /// Index of the instance.
        instance: usize,
    },
    /// Two instances have one address.
    RepeatedAddress {
        /// Index of the later instance.
        instance: usize,
    },
    /// An instance's zone or labels are too many or too long.
    Labels {
        /// Index of the instance.
        instance: usize,
    },
    /// The canary's labels are none, too many or too long, or it has more than all calls.
    Canary,
}

/// Changes that lead from one revision of a table to a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The revision that it applies to.
    pub from: u64,
    /// The revision that it makes.
    pub to: u64,
    /// In this order.
    pub changes: Vec<Change>,
}

/// One change of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The service is as this from now on.
    Put(Service),
    /// The service is gone.
    Remove(String),
    /// The service has this instance, instead of one with its address if there is one.
    PutInstance(String, Instance),
    /// The service has that instance no more.
    RemoveInstance(String, Address),
}

/// Why a delta was not applied. The table is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadDelta {
    /// It is for another revision than the one at hand, which is told: a whole table is needed.
    Revision(u64),
    /// It changes an instance of a service that is not there.
    NoService(String),
    /// The service that it makes is not allowed.
    Service(String, BadService),
}

impl Policy {
    /// The names, as configuration spells them.
    pub const ALL: [(&'static str, Policy); 5] = [
        ("adaptive", Policy::Adaptive),
        ("wrr", Policy::Wrr),
        ("p2c", Policy::P2c),
        ("hash", Policy::Hash),
        ("zone-first", Policy::ZoneFirst),
    ];

    /// The policy with that name.
    pub fn from_name(name: &str) -> Option<Policy> {
        Policy::ALL.iter().find(|(known, _)| *known == name).map(|(_, policy)| *policy)
    }

    /// Its name, as configuration spells it.
    pub fn name(self) -> &'static str {
        Policy::ALL[self as usize].0
    }
}

impl Canary {
    /// All calls, in the parts in which a canary's share is counted.
    pub const PARTS: u32 = 10_000;

    /// Whether an instance belongs to it.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
    }
}

impl Instance {
    /// With weight 100, without zone and labels, up.
    pub fn new(address: Address) -> Instance {
        Instance {
            address,
            weight: WEIGHT_DEFAULT,
            zone: String::new(),
            labels: Labels::new(),
            state: State::Up,
            revision: 0,
        }
    }
}

impl Service {
    /// With the default policy.
    pub fn new(name: impl Into<String>, instances: Vec<Instance>) -> Service {
        let name = name.into();
        Service { name, instances, policy: Policy::default(), canary: None, hedge: None }
    }

    /// How many of its instances are to be called.
    pub fn up_count(&self) -> usize {
        self.instances.iter().filter(|instance| instance.state == State::Up).count()
    }

    fn check(&self) -> Result<(), BadService> {
        if !is_service_name(&self.name) {
            return Err(BadService::Name);
        }
        if self.instances.len() > INSTANCES_PER_SERVICE_MAX {
            return Err(BadService::TooManyInstances);
        }
        if let Some(canary) = &self.canary
            && (canary.labels.is_empty()
                || !are_short(&canary.labels)
                || canary.parts > Canary::PARTS)
        {
            return Err(BadService::Canary);
        }
        let mut addresses = BTreeSet::new();
        for (index, instance) in self.instances.iter().enumerate() {
            if !(WEIGHT_MIN..=WEIGHT_MAX).contains(&instance.weight) {
                return Err(BadService::Weight { instance: index });
            }
            if instance.zone.len() > ZONE_BYTES_MAX || !are_short(&instance.labels) {
                return Err(BadService::Labels { instance: index });
            }
            if !addresses.insert(&instance.address) {
                return Err(BadService::RepeatedAddress { instance: index });
            }
        }
        Ok(())
    }
}

/// Whether labels are few and short enough.
fn are_short(labels: &Labels) -> bool {
    let short = |text: &String| text.len() <= LABEL_BYTES_MAX;
    labels.len() <= LABELS_PER_INSTANCE_MAX
        && labels.iter().all(|(name, value)| short(name) && short(value))
}

impl Table {
    /// Without services.
    pub const fn new() -> Table {
        Table { revision: 0, services: BTreeMap::new() }
    }

    /// Adds a service, after checking it.
    pub fn add(&mut self, service: Service) -> Result<(), BadService> {
        service.check()?;
        if self.services.contains_key(&service.name) {
            return Err(BadService::Repeated);
        }
        if self.services.len() == SERVICES_MAX {
            return Err(BadService::TooManyServices);
        }
        self.services.insert(service.name.clone(), Arc::new(service));
        Ok(())
    }

    /// The table after the changes of a delta.
    pub fn apply(&self, delta: Delta) -> Result<Table, BadDelta> {
        if delta.from != self.revision {
            return Err(BadDelta::Revision(self.revision));
        }
        let mut table = self.clone();
        table.revision = delta.to;
        for change in delta.changes {
            table.change(change)?;
        }
        Ok(table)
    }

    fn change(&mut self, change: Change) -> Result<(), BadDelta> {
        let find = |table: &Table, name: &String| {
            let found = table.services.get(name);
            found.map(|service| Service::clone(service)).ok_or(BadDelta::NoService(name.clone()))
        };
        let service = match change {
            Change::Remove(name) => {
                self.services.remove(&name);
                return Ok(());
            }
            Change::Put(service) => service,
            Change::PutInstance(name, instance) => {
                let mut service = find(self, &name)?;
                let same = |known: &&mut Instance| known.address == instance.address;
                match service.instances.iter_mut().find(same) {
                    Some(known) => *known = instance,
                    None => service.instances.push(instance),
                }
                service
            }
            Change::RemoveInstance(name, address) => {
                let mut service = find(self, &name)?;
                service.instances.retain(|instance| instance.address != address);
                service
            }
        };
        let old = self.services.remove(&service.name);
        // What it is like now counts: it may have been the reason why the table was full.
        let name = service.name.clone();
        self.add(service).map_err(|bad| {
            if let Some(old) = old {
                self.services.insert(name.clone(), old);
            }
            BadDelta::Service(name, bad)
        })
    }

    /// Puts a checked service into the table, or takes one out.
    pub(super) fn set(&mut self, name: &str, service: Option<Arc<Service>>) {
        match service {
            Some(service) => drop(self.services.insert(service.name.clone(), service)),
            None => drop(self.services.remove(name)),
        }
    }

    /// The service with this name.
    pub fn find(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.get(name)
    }

    /// All services, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// How many services there are.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }
}

impl fmt::Display for BadService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadService::Name => f.write_str("service name is not two levels like \"Demo.echo\""),
            BadService::Repeated => f.write_str("service is in the table already"),
            BadService::TooManyServices => f.write_str("table has too many services"),
            BadService::TooManyInstances => f.write_str("service has too many instances"),
            BadService::Weight { instance } => {
                write!(f, "weight of instance {instance} is not {WEIGHT_MIN} to {WEIGHT_MAX}")
            }
            BadService::RepeatedAddress { instance } => {
                write!(f, "address of instance {instance} is in the service already")
            }
            BadService::Labels { instance } => {
                write!(
                    f,
                    "zone or labels of instance {instance} are more than \
                     {LABELS_PER_INSTANCE_MAX}, or longer than {LABEL_BYTES_MAX} bytes"
                )
            }
            BadService::Canary => {
                f.write_str("canary has no labels, too many, or more than 100 percent")
            }
        }
    }
}

impl fmt::Display for BadDelta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadDelta::Revision(ours) => {
                write!(f, "changes are for another revision than {ours}: a whole table is needed")
            }
            BadDelta::NoService(name) => write!(f, "service {name} is not in the table"),
            BadDelta::Service(name, bad) => write!(f, "service {name}: {bad}"),
        }
    }
}

impl core::error::Error for BadService {}
impl core::error::Error for BadDelta {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use std::{format, vec};

    fn instance(address: &str, weight: u32) -> Instance {
        Instance { weight, ..Instance::new(address.parse().unwrap()) }
    }

    fn service(name: &str, instances: &[(&str, u32)]) -> Service {
        let instances = instances.iter().map(|(address, weight)| instance(address, *weight));
        Service::new(name, instances.collect())
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_table_finds_what_was_added() {
        let mut table = Table::new();
        let demo = service("Demo.echo", &[("1.1.1.1:1", 1), ("1.1.1.1:1@udp", WEIGHT_MAX)]);
        table.add(demo.clone()).unwrap();
        table.add(service("Demo.empty", &[])).unwrap();
        assert_eq!(table.find("Demo.echo").map(|found| &**found), Some(&demo));
        assert_eq!(table.find("Demo.none"), None);
        assert_eq!(table.iter().count(), 2);
        assert_eq!((table.len(), table.is_empty()), (2, false));
    }

    #[test]
    fn a_table_refuses_what_could_not_be_routed() {
        let mut table = Table::new();
        table.add(service("Demo.echo", &[])).unwrap();
        let canary = |labels, parts| {
            let canary = Some(Canary { labels, parts });
            (Service { canary, ..service("a.b", &[]) }, BadService::Canary)
        };
        let mut long = service("a.b", &[("1.1.1.1:1", 1)]);
        long.instances[0].zone = "x".repeat(ZONE_BYTES_MAX + 1);
        let many = (0..=LABELS_PER_INSTANCE_MAX).map(|n| (format!("{n}"), "".to_owned()));
        let mut labelled = service("a.b", &[("1.1.1.1:1", 1)]);
        labelled.instances[0].labels = many.collect();
        for (bad, why) in [
            (service("Demo", &[]), BadService::Name),
            (service("Demo.echo", &[]), BadService::Repeated),
            (
                service("a.b", &[("1.1.1.1:1", 1), ("[::1]:1", 0)]),
                BadService::Weight { instance: 1 },
            ),
            (service("a.b", &[("1.1.1.1:1", WEIGHT_MAX + 1)]), BadService::Weight { instance: 0 }),
            (
                service("a.b", &[("1.1.1.1:1", 1), ("1.1.1.1:1", 2)]),
                BadService::RepeatedAddress { instance: 1 },
            ),
            (long, BadService::Labels { instance: 0 }),
            (labelled, BadService::Labels { instance: 0 }),
            canary(Labels::new(), 1),
            canary(labels(&[("version", "2")]), Canary::PARTS + 1),
        ] {
            assert_eq!(table.add(bad), Err(why));
        }
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn instances_are_bounded() {
        let mut instances = vec![];
        for index in 0..=INSTANCES_PER_SERVICE_MAX {
            instances.push(Instance::new(Address::Unix(format!("/{index}"))));
        }
        let mut table = Table::new();
        let mut service = Service::new("a.b", instances);
        assert_eq!(table.add(service.clone()), Err(BadService::TooManyInstances));
        service.instances.pop();
        assert_eq!(table.add(service), Ok(()));
    }

    #[test]
    fn a_delta_changes_what_it_names_and_shares_the_rest() {
        let mut table = Table::new();
        table.add(service("a.b", &[("1.1.1.1:1", 1)])).unwrap();
        table.add(service("a.same", &[("1.1.1.1:1", 1)])).unwrap();
        table.add(service("a.gone", &[])).unwrap();
        table.revision = 7;
        let changes = vec![
            Change::PutInstance("a.b".to_owned(), instance("2.2.2.2:2", 2)),
            Change::PutInstance("a.b".to_owned(), instance("1.1.1.1:1", 9)),
            Change::Remove("a.gone".to_owned()),
            Change::Put(service("a.new", &[("3.3.3.3:3", 3), ("4.4.4.4:4", 4)])),
            Change::RemoveInstance("a.new".to_owned(), "3.3.3.3:3".parse().unwrap()),
        ];
        let changed = table.apply(Delta { from: 7, to: 9, changes }).unwrap();
        assert_eq!(changed.revision, 9);
        let expect = service("a.b", &[("1.1.1.1:1", 9), ("2.2.2.2:2", 2)]);
        assert_eq!(**changed.find("a.b").unwrap(), expect);
        assert_eq!(**changed.find("a.new").unwrap(), service("a.new", &[("4.4.4.4:4", 4)]));
        assert!(changed.find("a.gone").is_none());
        let shared = |table: &Table| Arc::clone(table.find("a.same").unwrap());
        assert!(Arc::ptr_eq(&shared(&table), &shared(&changed)));
    }

    #[test]
    fn a_delta_that_does_not_fit_changes_nothing() {
        let mut table = Table::new();
        table.add(service("a.b", &[("1.1.1.1:1", 1)])).unwrap();
        let check = |from, change, expect| {
            let delta = Delta { from, to: 1, changes: vec![change] };
            assert_eq!(table.apply(delta), Err(expect));
        };
        check(3, Change::Remove("a.b".to_owned()), BadDelta::Revision(0));
        let lost = "a.lost".to_owned();
        let put = Change::PutInstance(lost.clone(), instance("1.1.1.1:1", 1));
        check(0, put, BadDelta::NoService(lost));
        let bad = BadDelta::Service("a.b".to_owned(), BadService::Weight { instance: 1 });
        check(0, Change::PutInstance("a.b".to_owned(), instance("2.2.2.2:2", 0)), bad);
        assert_eq!(table.find("a.b").unwrap().instances.len(), 1);
    }

    #[test]
    fn policies_are_found_by_their_names() {
        for (name, policy) in Policy::ALL {
            assert_eq!((policy.name(), Policy::from_name(name)), (name, Some(policy)));
        }
        assert_eq!(Policy::from_name("random"), None);
    }
}

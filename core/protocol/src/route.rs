//! Routes: which instances make up a service, and which of them is called next.
//!
//! ```text
//!   "Demo.echo" ──► Table ──► Service { instances } ──► Wrr ──► Instance ──► Address ──► dial
//!   "10.0.0.1:7963@udp" ─────────────────────────────────────────────────► Address ──► dial
//! ```
//!
//! A [`Target`] is what a caller writes: a service name, or an address that needs no table. A
//! [`Table`] is a value: it is built from a file or from the agent, checked whole, and replaced
//! whole; a call never sees half of a change. Which instance is next is the business of a policy
//! ([`wrr`]), whose state lives with each core beside its copy of the table.
//!
//! Nothing here dials, resolves names or reads files.
use crate::limits::{
    INSTANCES_PER_SERVICE_MAX, PORT_DEFAULT, SERVICE_NAME_BYTES_MAX, SERVICES_MAX,
    UNIX_PATH_BYTES_MAX, WEIGHT_MAX, WEIGHT_MIN,
};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

pub mod wrr;

pub use wrr::Wrr;

/// Where an instance listens, and how it is spoken to.
///
/// Parsed from and written as `10.0.0.1:7963`, `[::1]:7963`, `10.0.0.1:7963@udp`, `unix:/run/a`,
/// or `unix:@name` for a socket in the abstract namespace (unix(7)). `@tcp` may be said; without
/// a port it is 7963.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A stream over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// One datagram a message.
    Udp(SocketAddr),
    /// A stream within the machine: a path, or `@` and an abstract name.
    Unix(String),
}

/// What a caller writes to say whom to call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A service, to be found in the route table.
    Service(String),
    /// One address.
    Address(Address),
}

/// A text that is neither an address nor a service name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTarget {
    /// It is empty, or longer than anything that is meant.
    Length,
    /// A service name is two levels, `L1.L2`, each of letters, digits, `_` and `-`.
    ServiceName,
    /// It looks like an address, but the part before `@` is not `ip:port`.
    IpAddress,
    /// Port 0 cannot be called.
    PortZero,
    /// After `@` only `tcp` and `udp` are known.
    Transport,
    /// A unix socket needs a path of 1 to 107 bytes.
    UnixPath,
}

/// One instance of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Where it listens. Also its name: no two instances of a service share one.
    pub address: Address,
    /// Its share of the calls, in relation to the others': 1 to 10,000, usually 100.
    pub weight: u32,
}

/// A service: its instances, and nothing else yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `L1.L2`.
    pub name: String,
    /// May be empty: the service is known but nobody serves it.
    pub instances: Vec<Instance>,
}

/// All services that can be called by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    services: BTreeMap<String, Service>,
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
}

impl Table {
    /// Without services.
    pub const fn new() -> Table {
        Table { services: BTreeMap::new() }
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
        self.services.insert(service.name.clone(), service);
        Ok(())
    }

    /// The service with this name.
    pub fn find(&self, name: &str) -> Option<&Service> {
        self.services.get(name)
    }

    /// All services, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Service> {
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

impl Service {
    fn check(&self) -> Result<(), BadService> {
        if !is_service_name(&self.name) {
            return Err(BadService::Name);
        }
        if self.instances.len() > INSTANCES_PER_SERVICE_MAX {
            return Err(BadService::TooManyInstances);
        }
        let mut addresses = BTreeMap::new();
        for (index, instance) in self.instances.iter().enumerate() {
            if !(WEIGHT_MIN..=WEIGHT_MAX).contains(&instance.weight) {
                return Err(BadService::Weight { instance: index });
            }
            if addresses.insert(&instance.address, index).is_some() {
                return Err(BadService::RepeatedAddress { instance: index });
            }
        }
        Ok(())
    }
}

/// Whether a text is a service name: `L1.L2`, each level of ASCII letters, digits, `_` and `-`.
///
/// The first level begins with no digit, so that no service name can be taken for an address.
pub fn is_service_name(text: &str) -> bool {
    let is_level = |level: &str| {
        !level.is_empty()
            && level.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let Some((first, second)) = text.split_once('.') else { return false };
    text.len() <= SERVICE_NAME_BYTES_MAX
        && is_level(first)
        && is_level(second)
        && !first.starts_with(|first: char| first.is_ascii_digit())
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Target, BadTarget> {
        if is_service_name(text) {
            return Ok(Target::Service(text.to_owned()));
        }
        let looks_like_address = text.contains([':', '@']) || text.parse::<IpAddr>().is_ok();
        if looks_like_address {
            return text.parse().map(Target::Address);
        }
        if text.is_empty() || text.len() > SERVICE_NAME_BYTES_MAX {
            return Err(BadTarget::Length);
        }
        Err(BadTarget::ServiceName)
    }
}

impl FromStr for Address {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Address, BadTarget> {
        if let Some(path) = text.strip_prefix("unix:") {
            let usable = matches!(path.as_bytes(), [b'/' | b'.', ..] | [b'@', _, ..]);
            if !usable || path.len() > UNIX_PATH_BYTES_MAX || path.contains('\0') {
                return Err(BadTarget::UnixPath);
            }
            return Ok(Address::Unix(path.to_owned()));
        }
        let (place, transport) = text.split_once('@').unwrap_or((text, "tcp"));
        let address = ip_address(place).ok_or(BadTarget::IpAddress)?;
        if address.port() == 0 {
            return Err(BadTarget::PortZero);
        }
        match transport {
            "tcp" => Ok(Address::Tcp(address)),
            "udp" => Ok(Address::Udp(address)),
            _ => Err(BadTarget::Transport),
        }
    }
}

/// `ip:port`, `ip`, `[ipv6]:port` or `[ipv6]`.
fn ip_address(place: &str) -> Option<SocketAddr> {
    if let Ok(address) = place.parse() {
        return Some(address);
    }
    let bracketed = place.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match bracketed {
        Some(inner) => IpAddr::V6(inner.parse::<Ipv6Addr>().ok()?),
        None => place.parse().ok()?,
    };
    Some(SocketAddr::new(ip, PORT_DEFAULT))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Udp(address) => write!(f, "{address}@udp"),
            Address::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Service(name) => f.write_str(name),
            Target::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadTarget::Length => "target is empty or too long",
            BadTarget::ServiceName => "service name is not two levels like \"Demo.echo\"",
            BadTarget::IpAddress => "address is not ip:port like \"10.0.0.1:7963\"",
            BadTarget::PortZero => "address has port 0",
            BadTarget::Transport => "transport after '@' is neither tcp nor udp",
            BadTarget::UnixPath => "unix socket is not a path like \"unix:/run/demo.sock\"",
        })
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
        }
    }
}

impl core::error::Error for BadTarget {}
impl core::error::Error for BadService {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::{format, vec};

    #[track_caller]
    fn check(text: &str, expect: Result<&str, BadTarget>) {
        let target = text.parse::<Target>();
        match (&target, expect) {
            (Ok(target), Ok(shown)) => {
                assert_eq!(target.to_string(), shown);
                assert_eq!(shown.parse::<Target>().as_ref(), Ok(target), "shown is not parsed");
            }
            (got, expect) => assert_eq!(got.as_ref().err().copied(), expect.err(), "{text}"),
        }
    }

    #[test]
    fn targets_are_service_names_or_addresses() {
        check("Demo.echo", Ok("Demo.echo"));
        check("VOA_cpp.Main-Logic2", Ok("VOA_cpp.Main-Logic2"));
        check("127.0.0.1:80", Ok("127.0.0.1:80"));
        check("127.0.0.1:80@tcp", Ok("127.0.0.1:80"));
        check("127.0.0.1:80@udp", Ok("127.0.0.1:80@udp"));
        check("10.0.0.1", Ok("10.0.0.1:7963"));
        check("10.0.0.1@udp", Ok("10.0.0.1:7963@udp"));
        check("[::1]:80", Ok("[::1]:80"));
        check("[::1]", Ok("[::1]:7963"));
        check("::1", Ok("[::1]:7963"));
        check("[fe80::1]:80@udp", Ok("[fe80::1]:80@udp"));
        check("unix:/run/demo.sock", Ok("unix:/run/demo.sock"));
        check("unix:./demo@1.sock", Ok("unix:./demo@1.sock"));
        check("unix:@demo", Ok("unix:@demo"));
    }

    #[test]
    fn what_is_neither_is_refused_with_the_likely_cause() {
        check("", Err(BadTarget::Length));
        check(&"x".repeat(SERVICE_NAME_BYTES_MAX + 1), Err(BadTarget::Length));
        check("Demo", Err(BadTarget::ServiceName));
        check("Demo.", Err(BadTarget::ServiceName));
        check(".echo", Err(BadTarget::ServiceName));
        check("Demo.echo.more", Err(BadTarget::ServiceName));
        check("Demo.e cho", Err(BadTarget::ServiceName));
        check("1Demo.echo", Err(BadTarget::ServiceName));
        check("localhost:80", Err(BadTarget::IpAddress));
        check("1.2.3:80", Err(BadTarget::IpAddress));
        check("1.2.3.4:99999", Err(BadTarget::IpAddress));
        check("1.2.3.4:0", Err(BadTarget::PortZero));
        check("1.2.3.4:80@sctp", Err(BadTarget::Transport));
        check("1.2.3.4:80@", Err(BadTarget::Transport));
        check("unix:", Err(BadTarget::UnixPath));
        check("unix:@", Err(BadTarget::UnixPath));
        check("unix:relative", Err(BadTarget::UnixPath));
        check(&format!("unix:/{}", "x".repeat(UNIX_PATH_BYTES_MAX)), Err(BadTarget::UnixPath));
        check("unix:/a\0b", Err(BadTarget::UnixPath));
    }

    fn service(name: &str, instances: &[(&str, u32)]) -> Service {
        let instances = instances
            .iter()
            .map(|(address, weight)| Instance {
                address: address.parse().unwrap(),
                weight: *weight,
            })
            .collect();
        Service { name: name.to_owned(), instances }
    }

    #[test]
    fn a_table_finds_what_was_added() {
        let mut table = Table::new();
        let demo = service("Demo.echo", &[("1.1.1.1:1", 1), ("1.1.1.1:1@udp", WEIGHT_MAX)]);
        table.add(demo.clone()).unwrap();
        table.add(service("Demo.empty", &[])).unwrap();
        assert_eq!(table.find("Demo.echo"), Some(&demo));
        assert_eq!(table.find("Demo.none"), None);
        assert_eq!(table.iter().count(), 2);
        assert_eq!((table.len(), table.is_empty()), (2, false));
    }

    #[test]
    fn a_table_refuses_what_could_not_be_routed() {
        let mut table = Table::new();
        table.add(service("Demo.echo", &[])).unwrap();
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
        ] {
            assert_eq!(table.add(bad), Err(why));
        }
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn instances_are_bounded() {
        let mut instances = vec![];
        for index in 0..=INSTANCES_PER_SERVICE_MAX {
            let address = Address::Unix(format!("/{index}"));
            instances.push(Instance { address, weight: 1 });
        }
        let mut table = Table::new();
        let mut service = Service { name: "a.b".to_owned(), instances };
        assert_eq!(table.add(service.clone()), Err(BadService::TooManyInstances));
        service.instances.pop();
        assert_eq!(table.add(service), Ok(()));
    }
}

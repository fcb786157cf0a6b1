//! The sockets that a service listens with: opened once by the supervisor, or by systemd before
//! it, and handed to every worker that is started.
//!
//! There is one socket a core of every worker (SO_REUSEPORT), so that the kernel spreads
//! connections; a unix path has one for all. The supervisor keeps them open as long as the service
//! runs: to close one of several that share a port would reset what waits in its queue.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use msec::{Error, Result};
use msec_sys::socket::{self, Socket};

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    place: socket::Address,
    transport: Transport,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Stream,
    Datagram,
    Tls,
}

impl Address {
    /// Reads `[interface:]port/tcp`, `ip:port/udp`, `unix:/path`. An interface stands for all of
    /// its addresses.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> std::result::Result<Vec<Address>, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let place = socket::Address::Unix(PathBuf::from(path));
            return Ok(vec![Address { place, transport: Transport::Stream }]);
        }
        let form = || "allowed is [interface:]port/tcp, /udp or /tls, or unix:/path".to_owned();
        let (place, transport) = text.rsplit_once('/').ok_or_else(form)?;
        let transport = match transport {
            "tcp" => Transport::Stream,
            "udp" => Transport::Datagram,
            "tls" => Transport::Tls,
            _ => return Err(form()),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, port),
            None => ("all", place),
        };
        let port: u16 = port.parse().map_err(|_| form())?;
        let at = |ip| Address { place: socket::Address::Ip(SocketAddr::new(ip, port)), transport };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match (host, bare.parse::<IpAddr>()) {
            ("all", _) => Ok(vec![at(Ipv4Addr::UNSPECIFIED.into())]),
            (_, Ok(ip)) => Ok(vec![at(ip)]),
            (_, Err(_)) => Ok(addresses_of(host)?.into_iter().map(at).collect()),
        }
    }

    /// Whether TLS is spoken there.
    pub fn is_tls(&self) -> bool {
        self.transport == Transport::Tls
    }

    /// Whether its port is chosen by the kernel.
    pub(crate) fn takes_a_free_port(&self) -> bool {
        matches!(&self.place, socket::Address::Ip(ip) if ip.port() == 0)
    }

    /// The same, with the port counted up.
    #[must_use]
    pub(crate) fn counted_up(&self, by: usize) -> Address {
        let mut address = self.clone();
        if let socket::Address::Ip(ip) = &mut address.place
            && ip.port() != 0
        {
            ip.set_port(ip.port().wrapping_add(by as u16));
        }
        address
    }

    fn open(&self) -> io::Result<OwnedFd> {
        match self.transport {
            Transport::Datagram => socket::bind_datagram(&self.place),
            Transport::Stream | Transport::Tls => socket::listen(&self.place),
        }
    }
}

/// As the engine reads it.
impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::Stream => write!(out, "{}", self.place),
            Transport::Datagram => write!(out, "{}@udp", self.place),
            Transport::Tls => write!(out, "{}@tls", self.place),
        }
    }
}

/// The addresses of a network interface; of IPv6 those that need no scope.
fn addresses_of(name: &str) -> std::result::Result<Vec<IpAddr>, String> {
    let interfaces = socket::interfaces().map_err(|error| error.to_string())?;
    let is_whole = |ip: &IpAddr| match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    let Some((_, addresses)) = interfaces.iter().find(|(known, _)| known == name) else {
        let names = interfaces.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(format!("no interface `{name}` has an address; there are {names}"));
    };
    Ok(addresses.iter().filter(|ip| is_whole(ip)).copied().collect())
}

/// The sockets at one address.
struct Bound {
    /// With the port that was taken.
    address: Address,
    sockets: Vec<OwnedFd>,
}

/// All sockets of a service.
pub(crate) struct Sockets {
    bound: Vec<Bound>,
}

impl Sockets {
    /// Opens `slots_count` sockets at each address, but for those that are `given` already.
    ///
    /// # Errors
    /// -2 for one that cannot be opened, with its address.
    pub(crate) fn open(
        addresses: &[Address],
        slots_count: usize,
        given: Vec<OwnedFd>,
    ) -> Result<Sockets> {
        let mut given: Vec<Option<OwnedFd>> = given.into_iter().map(Some).collect();
        let mut bound = Vec::new();
        for address in addresses {
            let taken =
                given.iter_mut().find(|fd| fd.as_ref().is_some_and(|fd| is_at(fd, address)));
            let opened = match taken.and_then(Option::take) {
                Some(fd) => Ok(Bound { address: address.clone(), sockets: vec![fd] }),
                None => open_at(address, slots_count),
            };
            bound.push(
                opened.map_err(|error| Error::from_io(&format!("listen on {address}"), &error))?,
            );
        }
        Ok(Sockets { bound })
    }

    /// Where they listen, as the engine and its clients write it.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.bound.iter().map(|bound| bound.address.to_string()).collect()
    }

    /// The sockets of one worker of `cores` threads: descriptors to be inherited, and for each
    /// address an argument that tells their numbers.
    ///
    /// # Errors
    /// -101 when there are no more descriptors.
    pub(crate) fn of_worker(
        &self,
        index: usize,
        cores: usize,
    ) -> Result<(Vec<OwnedFd>, Vec<String>)> {
        let (mut all, mut texts) = (Vec::new(), Vec::new());
        for Bound { address, sockets } in &self.bound {
            let own: Vec<_> = match sockets.len() {
                // All workers accept from it.
                1 => sockets.iter().collect(),
                _ => sockets.iter().skip(index * cores).take(cores).collect(),
            };
            let copies: io::Result<Vec<_>> = own.into_iter().map(OwnedFd::try_clone).collect();
            let copies = copies.map_err(|error| Error::from_io("copy a socket", &error))?;
            let numbers: Vec<_> = copies.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
            texts.push(format!("{address}={}", numbers.join(",")));
            all.extend(copies);
        }
        Ok((all, texts))
    }
}

impl Drop for Sockets {
    /// Whoever would connect to a unix path that nobody accepts from would wait.
    fn drop(&mut self) {
        for bound in &self.bound {
            if let socket::Address::Unix(path) = &bound.address.place {
                // Somebody else may have removed it; and a name in the abstract namespace is none.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// An argument that [`Sockets::of_worker`] made: the address, and the numbers of descriptors.
pub(crate) fn parse_argument(text: &str) -> Option<(&str, Vec<RawFd>)> {
    let (address, numbers) = text.rsplit_once('=')?;
    let numbers = numbers.split(',').map(|number| number.parse().ok());
    Some((address, numbers.collect::<Option<Vec<_>>>()?))
}

fn open_at(address: &Address, slots_count: usize) -> io::Result<Bound> {
    let first = address.open()?;
    let place = Socket::new(first.try_clone()?).local_address()?;
    let bound = Address { place, transport: address.transport };
    let mut sockets = vec![first];
    if let socket::Address::Ip(_) = bound.place {
        for _ in 1..slots_count {
            sockets.push(bound.open()?);
        }
    }
    Ok(Bound { address: bound, sockets })
}

/// Whether a socket that was opened by somebody else is the one for this address.
fn is_at(fd: &OwnedFd, address: &Address) -> bool {
    let is_datagram = address.transport == Transport::Datagram;
    let Ok(copy) = fd.try_clone() else { return false };
    let place = Socket::new(copy).local_address();
    socket::is_datagram(fd).is_ok_and(|datagram| datagram == is_datagram)
        && place.is_ok_and(|place| place == address.place || covers(&place, &address.place))
}

/// systemd listens at `[::]` where `7963` is asked for, which takes IPv4 as well.
fn covers(place: &socket::Address, wanted: &socket::Address) -> bool {
    match (place, wanted) {
        (socket::Address::Ip(place), socket::Address::Ip(wanted)) => {
            place.ip().is_unspecified()
                && wanted.ip().is_unspecified()
                && place.port() == wanted.port()
        }
        (socket::Address::Ip(_) | socket::Address::Unix(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        Address::parse(text).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_are_those_of_the_original_and_ours() {
        assert_eq!(shown("all:7963/udp"), ["0.0.0.0:7963@udp"]);
        assert_eq!(shown("7963/tcp"), ["0.0.0.0:7963"]);
        assert_eq!(shown("127.0.0.1:1/tls"), ["127.0.0.1:1@tls"]);
        assert_eq!(shown("[::1]:5/tcp"), ["[::1]:5"]);
        assert_eq!(shown("unix:/run/x.sock"), ["unix:/run/x.sock"]);
        assert!(shown("lo:80/tcp").contains(&"127.0.0.1:80".to_owned()));
        for bad in ["7963", "x/tcp", "1:2:3/tcp/", "7963/TCP", "99999/tcp", ""] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        let error = Address::parse("eth77:1/tcp").expect_err("there is none");
        assert!(error.contains("eth77") && error.contains("lo"), "{error}");
    }

    #[test]
    fn each_worker_has_a_socket_a_core_and_a_unix_path_one_for_all() {
        let path = std::env::temp_dir().join(format!("msec-sockets-{}", std::process::id()));
        let unix = format!("unix:{}", path.display());
        let mut addresses = Address::parse("127.0.0.1:0/tcp").unwrap();
        addresses.extend(Address::parse(&unix).unwrap());
        let sockets = Sockets::open(&addresses, 4, Vec::new()).unwrap();
        let (fds, texts) = sockets.of_worker(1, 2).unwrap();
        assert_eq!(fds.len(), 3);
        let (address, numbers) = parse_argument(&texts[0]).unwrap();
        assert_eq!((address, numbers.len()), (sockets.addresses()[0].as_str(), 2));
        assert_eq!(parse_argument(&texts[1]).unwrap().1.len(), 1);
        assert!(path.exists());
        drop(sockets);
        assert!(!path.exists());
    }

    #[test]
    fn sockets_that_were_given_are_used() {
        let given = socket::listen(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        let place = Socket::new(given.try_clone().unwrap()).local_address().unwrap();
        let address = Address { place, transport: Transport::Stream };
        let number = given.as_raw_fd();
        let sockets = Sockets::open(std::slice::from_ref(&address), 4, vec![given]).unwrap();
        assert_eq!(sockets.bound[0].sockets[0].as_raw_fd(), number);
        assert_eq!(sockets.of_worker(3, 1).unwrap().0.len(), 1);
    }
}

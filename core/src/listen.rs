//! Where a server listens: addresses as people write them, and their sockets.
//!
//! Each core has a socket of its own at each address (SO_REUSEPORT), so that the kernel spreads
//! connections; a unix path has one, which all cores accept from. Sockets may also be adopted from
//! whoever opened them, a supervisor or systemd: those are never shut down here, since the other
//! process hands them on to our successor.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use msec_protocol::{Address, Code};
use msec_sys::datagram;
use msec_sys::socket::{self, Socket};

use crate::error::{Error, Result};
use crate::tls::Accepts;

/// An address to listen at, with the sockets that are there already.
pub(crate) struct Listen {
    text: String,
    adopted: Vec<OwnedFd>,
}

/// A socket for one core.
pub(crate) struct Bound {
    fd: OwnedFd,
    /// Another process has it open, too.
    is_shared: bool,
}

/// The sockets at some addresses, for each core its own.
pub(crate) struct Opened {
    pub(crate) addresses: Vec<String>,
    /// What is in the file system because of them.
    pub(crate) unix_paths: Vec<PathBuf>,
    pub(crate) streams: Vec<Vec<Bound>>,
    pub(crate) datagrams: Vec<Vec<Bound>>,
    /// How each of a core's streams is secured.
    pub(crate) tls: Vec<Option<Arc<Accepts>>>,
}

/// Where to open sockets.
struct Place {
    address: socket::Address,
    datagram: bool,
    tls: bool,
}

impl Listen {
    pub(crate) fn new(text: String) -> Self {
        Self { text, adopted: Vec::new() }
    }

    pub(crate) fn adopted(text: String, sockets: Vec<OwnedFd>) -> Self {
        Self { text, adopted: sockets }
    }

    /// An error for an address where pages cannot be read.
    pub(crate) fn must_be_stream(&self) -> Result<()> {
        if place(&self.text)?.datagram {
            let text = format!("listen on `{}`: pages are read over streams", self.text);
            return Err(Error::new(Code::INVALID_ENDPOINT, text));
        }
        Ok(())
    }
}

impl Bound {
    pub(crate) fn into_socket(self) -> std::rc::Rc<Socket> {
        if self.is_shared { Socket::shared(self.fd) } else { Socket::new(self.fd) }
    }
}

impl Opened {
    pub(crate) fn at(
        places: Vec<Listen>,
        cores: usize,
        accepts: Option<&Arc<Accepts>>,
    ) -> Result<Self> {
        let none = || (0..cores).map(|_| Vec::new()).collect();
        let mut opened = Self {
            addresses: Vec::new(),
            unix_paths: Vec::new(),
            tls: Vec::new(),
            streams: none(),
            datagrams: none(),
        };
        for Listen { text, adopted } in places {
            let place = place(&text)?;
            let list = if place.datagram { &mut opened.datagrams } else { &mut opened.streams };
            if !place.datagram {
                opened.tls.push(place.secured_by(accepts)?);
            }
            let is_own = adopted.is_empty();
            let bound = match is_own {
                true => open(&place, list),
                false => adopt(&place, adopted, list),
            };
            let bound =
                bound.map_err(|error| Error::from_io(&format!("listen on {text}"), &error))?;
            if let socket::Address::Unix(path) = &bound
                && is_own
            {
                opened.unix_paths.push(path.clone());
            }
            opened.addresses.push(place.shown(&bound));
        }
        Ok(opened)
    }
}

impl Place {
    fn secured_by(&self, accepts: Option<&Arc<Accepts>>) -> Result<Option<Arc<Accepts>>> {
        if self.tls && accepts.is_none() {
            let text = format!("listen on `{}@tls`: the server has no certificate", self.address);
            return Err(Error::new(Code::INVALID_PARAMETER, text));
        }
        Ok(accepts.filter(|_| self.tls).cloned())
    }

    /// As a client writes it.
    fn shown(&self, bound: &socket::Address) -> String {
        match (self.datagram, self.tls) {
            (true, _) => format!("{bound}@udp"),
            (false, true) => format!("{bound}@tls"),
            (false, false) => bound.to_string(),
        }
    }
}

fn place(text: &str) -> Result<Place> {
    // Port 0 cannot be called, but is a fine thing to listen on.
    let (bare, transport) = text.split_once('@').unwrap_or((text, "tcp"));
    let (datagram, tls) = (transport == "udp", transport == "tls");
    if let Ok(address) = bare.parse()
        && (datagram || tls || transport == "tcp")
    {
        return Ok(Place { address: socket::Address::Ip(address), datagram, tls });
    }
    match text.parse::<Address>() {
        Ok(address) => Ok(Place {
            datagram: matches!(address, Address::Udp(_)),
            tls: matches!(address, Address::Tls(..)),
            address: crate::pool::socket_address(&address),
        }),
        Err(bad) => Err(Error::new(Code::INVALID_ENDPOINT, format!("listen on `{text}`: {bad}"))),
    }
}

/// Opens one socket for each core.
fn open(place: &Place, cores: &mut [Vec<Bound>]) -> io::Result<socket::Address> {
    let open = |address: &socket::Address| match place.datagram {
        true => socket::bind_datagram(address),
        false => socket::listen(address),
    };
    let own = |fd| Bound { fd, is_shared: false };
    let first = Socket::new(open(&place.address)?);
    let bound = first.local_address()?;
    for core in cores.iter_mut().skip(1) {
        core.push(own(match bound {
            socket::Address::Ip(_) => open(&bound)?,
            socket::Address::Unix(_) => first.as_fd().try_clone_to_owned()?,
        }));
    }
    if let Some(core) = cores.first_mut() {
        core.push(own(first.as_fd().try_clone_to_owned()?));
    }
    Ok(bound)
}

/// Gives each core one of the sockets that are there.
fn adopt(
    place: &Place,
    sockets: Vec<OwnedFd>,
    cores: &mut [Vec<Bound>],
) -> io::Result<socket::Address> {
    for fd in &sockets {
        if socket::is_datagram(fd)? != place.datagram {
            return Err(io::Error::other("the socket that was handed over is of another kind"));
        }
        socket::set_nonblocking(fd)?;
        if place.datagram {
            datagram::ask_for_destinations(fd, &place.address)?;
        }
    }
    for (core, bound) in cores.iter_mut().enumerate() {
        let fd = sockets[core % sockets.len()].try_clone()?;
        bound.push(Bound { fd, is_shared: true });
    }
    let first = sockets.into_iter().next().ok_or(io::ErrorKind::NotFound)?;
    Socket::new(first).local_address()
}

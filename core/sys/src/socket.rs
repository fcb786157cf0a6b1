//! Sockets: addresses, how they are opened, and the options every one of them gets.
//!
//! A [`Socket`] is a descriptor that operations in a ring may refer to: it is held in an `Rc`, each
//! operation under way holds one, and the descriptor is closed only when the last is over. So a
//! number is never reused while an operation still means the old socket.
//!
//! All sockets are non-blocking and close-on-exec. TCP sockets have TCP_NODELAY and keep-alive;
//! Linux lets accepted sockets inherit both from their listener, which saves two system calls a
//! connection.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

use crate::datagram;

/// No registration with an epoll instance.
pub(crate) const UNREGISTERED: u32 = u32::MAX;

/// A descriptor that ring operations may refer to.
pub struct Socket {
    fd: OwnedFd,
    /// Index in the epoll back end's table; unused by uring.
    pub(crate) registration: Cell<u32>,
    /// Other processes have descriptors of it, too.
    is_shared: bool,
}

impl Socket {
    /// Wraps a descriptor; it should be non-blocking.
    pub fn new(fd: OwnedFd) -> Rc<Self> {
        Rc::new(Self { fd, registration: Cell::new(UNREGISTERED), is_shared: false })
    }

    /// Wraps a descriptor of a socket that other processes have open, too, and go on using: it is
    /// never shut down here, only closed.
    pub fn shared(fd: OwnedFd) -> Rc<Self> {
        Rc::new(Self { fd, registration: Cell::new(UNREGISTERED), is_shared: true })
    }

    /// Whether other processes have it open, too.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Sends without blocking, on a stream or a connected datagram socket, without SIGPIPE.
    #[inline]
    pub fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        let (start, nowhere) = (bytes.as_ptr(), std::ptr::null::<libc::sockaddr>());
        // Not by `send`, which in a process of several threads is a point of cancellation: two
        // atomic operations around each call.
        // SAFETY: reads the live slice; a null address of length 0 is none.
        let sent = unsafe {
            let fd = self.as_raw_fd();
            libc::syscall(libc::SYS_sendto, fd, start, bytes.len(), flags, nowhere, 0)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }

    /// As [`Socket::send_now`], in pieces.
    pub(crate) fn send_gather_now(&self, header: &libc::msghdr) -> io::Result<usize> {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        // SAFETY: the header is live, and its maker keeps alive what it points to.
        let sent = unsafe { libc::sendmsg(self.as_raw_fd(), header, flags) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }

    /// Receives without blocking; 0 means that the peer sends no more.
    #[inline]
    pub fn recv_now(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let (start, nobody) = (bytes.as_mut_ptr(), std::ptr::null_mut::<libc::sockaddr>());
        // As in `send_now`.
        // SAFETY: writes into the live slice only; a null address is not written.
        let received = unsafe {
            let (fd, flags) = (self.as_raw_fd(), libc::MSG_DONTWAIT);
            let length = std::ptr::null_mut::<libc::socklen_t>();
            libc::syscall(libc::SYS_recvfrom, fd, start, bytes.len(), flags, nobody, length)
        };
        if received < 0 { Err(io::Error::last_os_error()) } else { Ok(received as usize) }
    }

    /// Accepts one connection without blocking.
    pub fn accept_now(&self) -> io::Result<OwnedFd> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: null address and length are allowed: the peer's address is not wanted.
        let fd = unsafe {
            libc::accept4(self.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut(), flags)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor for us, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Ends both directions: operations under way complete, the peer sees the end.
    pub fn shutdown(&self) {
        // The socket may be dead already, which is what is wanted.
        let _ = SockRef::from(&self.fd).shutdown(std::net::Shutdown::Both);
    }

    /// Ends our direction: the peer sees the end after all that was sent, and may still send.
    pub fn end_sending(&self) {
        // The socket may be dead already, which the receive tells.
        let _ = SockRef::from(&self.fd).shutdown(std::net::Shutdown::Write);
    }

    /// Makes closing send a reset at once instead of an orderly end.
    pub fn reset_on_close(&self) {
        // Fails only on sockets without the option, for which there is nothing to reset.
        let _ = SockRef::from(&self.fd).set_linger(Some(Duration::ZERO));
    }

    /// The error that the kernel holds for this socket, taken; `None` when connected.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        SockRef::from(&self.fd).take_error()
    }

    /// Whether the peer has ended its side, or the connection is dead, whatever is still to be read
    /// before that.
    pub fn has_ended(&self) -> bool {
        let mut look = libc::pollfd { fd: self.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
        // SAFETY: one live entry, and no wait.
        let count = unsafe { libc::poll(&mut look, 1, 0) };
        let ended = libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR;
        count > 0 && look.revents & ended != 0
    }

    /// Where this socket is bound.
    pub fn local_address(&self) -> io::Result<Address> {
        Address::from_raw(&SockRef::from(&self.fd).local_addr()?)
    }

    /// Whom this socket is connected to.
    pub fn peer_address(&self) -> io::Result<Address> {
        Address::from_raw(&SockRef::from(&self.fd).peer_addr()?)
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// An end point of the network or of this machine.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IPv4 or IPv6 address with a port.
    Ip(SocketAddr),
    /// The path of a unix socket, or `@` and a name in the abstract namespace; empty for a client's
    /// unnamed end.
    Unix(PathBuf),
}

impl Address {
    /// From what the kernel reports.
    pub fn from_raw(raw: &SockAddr) -> io::Result<Self> {
        if let Some(address) = raw.as_socket() {
            return Ok(Self::Ip(unmapped(address)));
        }
        if raw.is_unix() {
            if let Some(name) = raw.as_abstract_namespace() {
                let name = [b"@", name].concat();
                return Ok(Self::Unix(PathBuf::from(OsString::from_vec(name))));
            }
            return Ok(Self::Unix(raw.as_pathname().map(Path::to_path_buf).unwrap_or_default()));
        }
        Err(io::Error::new(io::ErrorKind::Unsupported, "neither an IP nor a unix address"))
    }

    fn to_raw(&self) -> io::Result<SockAddr> {
        match self {
            Self::Ip(address) => Ok(SockAddr::from(*address)),
            Self::Unix(path) => match path.as_os_str().as_bytes() {
                // unix(7): a name in the abstract namespace begins with a NUL.
                [b'@', name @ ..] => SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat())),
                _ => SockAddr::unix(path),
            },
        }
    }

    fn domain(&self) -> Domain {
        match self {
            Self::Ip(address) => Domain::for_address(*address),
            Self::Unix(_) => Domain::UNIX,
        }
    }
}

/// An IPv4 peer of a dual-stack socket is shown as IPv4.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(out, "{address}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

/// How long the kernel keeps unacknowledged data before it declares the peer dead.
const USER_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections waiting to be accepted; the kernel clamps it to net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Opens a listening stream socket: TCP with SO_REUSEPORT, so that each core has its own, or unix.
///
/// A unix path left over by a dead process is replaced; one that somebody listens on is refused
/// with `AddrInUse`.
pub fn listen(address: &Address) -> io::Result<OwnedFd> {
    let socket = stream_socket(address)?;
    match address {
        Address::Ip(ip) => {
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            allow_both_families(&socket, ip)?;
        }
        Address::Unix(path) => remove_dead_socket(path)?,
    }
    socket.bind(&address.to_raw()?)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The network interfaces of this machine that have addresses, each with all of its own.
pub fn interfaces() -> io::Result<Vec<(String, Vec<std::net::IpAddr>)>> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: a place for a pointer.
    if unsafe { libc::getifaddrs(&mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found: Vec<(String, Vec<std::net::IpAddr>)> = Vec::new();
    let mut next = list;
    // SAFETY: NULL, or an entry of the list that is freed below.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: each entry has a name, a string.
        let name = unsafe { std::ffi::CStr::from_ptr(entry.ifa_name) }.to_string_lossy();
        // SAFETY: NULL, or an address of the family that it names.
        let Some(address) = (unsafe { ip_of(entry.ifa_addr) }) else { continue };
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, addresses)) => addresses.push(address),
            None => found.push((name.into_owned(), vec![address])),
        }
    }
    // SAFETY: the list that the call above made.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

/// # Safety
/// NULL, or an address as large as its family says.
unsafe fn ip_of(address: *const libc::sockaddr) -> Option<std::net::IpAddr> {
    // SAFETY: the caller's promise.
    match i32::from(unsafe { address.as_ref() }?.sa_family) {
        libc::AF_INET => {
            // SAFETY: as above.
            let address = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(std::net::Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// Makes a socket that another program opened one that may be waited for, as all of ours are.
pub fn set_nonblocking(socket: &OwnedFd) -> io::Result<()> {
    SockRef::from(socket).set_nonblocking(true)
}

/// Whether a socket that another program opened takes datagrams.
pub fn is_datagram(socket: &OwnedFd) -> io::Result<bool> {
    Ok(SockRef::from(socket).r#type()? == Type::DGRAM)
}

/// Opens a datagram socket bound to `address`, with SO_REUSEPORT for IP.
pub fn bind_datagram(address: &Address) -> io::Result<OwnedFd> {
    let socket = socket2::Socket::new(address.domain(), Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    match address {
        Address::Ip(ip) => {
            socket.set_reuse_port(true)?;
            allow_both_families(&socket, ip)?;
            datagram::ask_for_destinations(&socket, address)?;
        }
        Address::Unix(path) => remove_dead_socket(path)?,
    }
    socket.set_recv_buffer_size(1 << 20)?;
    socket.bind(&address.to_raw()?)?;
    Ok(socket.into())
}

/// Opens a datagram socket connected to `address`, so that only its datagrams are received.
pub fn connect_datagram(address: &Address) -> io::Result<OwnedFd> {
    let socket = socket2::Socket::new(address.domain(), Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&address.to_raw()?)?;
    Ok(socket.into())
}

/// Begins to connect a stream; when it turns writable, [`Socket::take_error`] tells the outcome.
pub fn connect(address: &Address) -> io::Result<OwnedFd> {
    let socket = stream_socket(address)?;
    match socket.connect(&address.to_raw()?) {
        Ok(()) => Ok(socket.into()),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error),
    }
}

fn stream_socket(address: &Address) -> io::Result<socket2::Socket> {
    let protocol = match address {
        Address::Ip(_) => Some(Protocol::TCP),
        Address::Unix(_) => None,
    };
    let socket = socket2::Socket::new(address.domain(), Type::STREAM, protocol)?;
    socket.set_nonblocking(true)?;
    if protocol.is_some() {
        socket.set_tcp_nodelay(true)?;
        socket.set_keepalive(true)?;
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    }
    Ok(socket)
}

/// `[::]` takes IPv4 as well, whatever the machine's `bindv6only`.
fn allow_both_families(socket: &socket2::Socket, address: &SocketAddr) -> io::Result<()> {
    let unspecified = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, address.port(), 0, 0);
    if *address == SocketAddr::V6(unspecified) {
        socket.set_only_v6(false)?;
    }
    Ok(())
}

fn remove_dead_socket(path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Ok(_) | Err(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("{} exists and is not a dead socket", path.display()),
        )),
    }
}

//! Datagrams, with who sent them and to which of our addresses.
//!
//! A socket that is bound to the unspecified address takes what is sent to any address of the
//! machine, and an answer has to leave by the very one that was asked: the caller's socket is
//! connected to it, as that of our own client is, and drops what comes from elsewhere. Left to
//! itself the kernel writes the address of the interface by which the answer leaves. So such a
//! socket is told the destination of each datagram in a control message (`IP_PKTINFO` in ip(7),
//! `IPV6_PKTINFO` in ipv6(7)), and the answer says it back as its source. The interface it does
//! not say: the way back is the routes' to know.

use std::io;
use std::mem::{self, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use socket2::{SockAddr, SockRef};

use crate::process::Control;
use crate::socket::{Address, Socket};

/// Who sent a datagram, and to which address of ours: what it takes to answer it.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// As the kernel has it, so that nothing is converted back and forth.
    sender: SockAddr,
    /// On a socket that is bound to one address, it is that one, and unknown here.
    destination: Option<IpAddr>,
}

impl Envelope {
    /// Who sent it; `None` on a unix socket.
    pub fn sender(&self) -> Option<SocketAddr> {
        self.sender.as_socket()
    }
}

impl Socket {
    /// Receives one datagram without blocking; one longer than `bytes` is cut.
    pub fn recv_from_now(&self, bytes: &mut [u8]) -> io::Result<(usize, Envelope)> {
        let mut control = Control([0; 64]);
        let receive = |address: *mut socket2::SockAddrStorage, length: *mut libc::socklen_t| {
            let start = bytes.as_mut_ptr().cast();
            let mut part = libc::iovec { iov_base: start, iov_len: bytes.len() };
            let mut header = header(&mut part, &mut control);
            header.msg_name = address.cast();
            // SAFETY: the length that belongs to the address, which `try_init` has set.
            header.msg_namelen = unsafe { *length };
            // SAFETY: the header and all that it points to live for the call, and are writable.
            let count = unsafe { libc::recvmsg(self.as_raw_fd(), &mut header, libc::MSG_DONTWAIT) };
            if count < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: as above.
            unsafe { *length = header.msg_namelen };
            Ok((count as usize, destination(&header)))
        };
        // SAFETY: the kernel wrote the address and its length, or this fails.
        let ((count, destination), sender) = unsafe { SockAddr::try_init(receive) }?;
        Ok((count, Envelope { sender, destination }))
    }

    /// Answers a datagram with one, without blocking.
    pub fn send_to_now(&self, bytes: &[u8], to: &Envelope) -> io::Result<usize> {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        let sent = to.destination.map(|source| self.send_from(bytes, &to.sender, source));
        match sent {
            // The address is ours no more, or never was (a broadcast); or this is the error of an
            // earlier datagram, and this one may well get through.
            Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {}
            Some(sent) => return sent,
            None => {}
        }
        SockRef::from(self).send_to_with_flags(bytes, &to.sender, flags)
    }

    fn send_from(&self, bytes: &[u8], to: &SockAddr, source: IpAddr) -> io::Result<usize> {
        let start = bytes.as_ptr().cast_mut().cast();
        let mut part = libc::iovec { iov_base: start, iov_len: bytes.len() };
        let mut control = Control([0; 64]);
        let mut header = header(&mut part, &mut control);
        header.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_namelen = to.len();
        match source {
            IpAddr::V4(source) => {
                let source = libc::in_addr { s_addr: u32::from(source).to_be() };
                let nothing = libc::in_addr { s_addr: 0 };
                let info =
                    libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: nothing };
                put(&mut header, (libc::IPPROTO_IP, libc::IP_PKTINFO), info);
            }
            IpAddr::V6(source) => {
                let ipi6_addr = libc::in6_addr { s6_addr: source.octets() };
                let info = libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 };
                put(&mut header, (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO), info);
            }
        }
        self.send_gather_now(&header)
    }
}

/// Has the kernel tell where datagrams were sent to, on a socket bound to `address`, if that is
/// all addresses.
pub fn ask_for_destinations(socket: &impl AsFd, address: &Address) -> io::Result<()> {
    let (level, option) = match address {
        Address::Ip(ip) if !ip.ip().is_unspecified() => return Ok(()),
        Address::Ip(SocketAddr::V4(_)) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        Address::Ip(SocketAddr::V6(_)) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        Address::Unix(_) => return Ok(()),
    };
    let fd = socket.as_fd().as_raw_fd();
    let on: libc::c_int = 1;
    let (value, length) = (ptr::from_ref(&on).cast(), size_of::<libc::c_int>() as u32);
    // SAFETY: reads the live number.
    let set = unsafe { libc::setsockopt(fd, level, option, value, length) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The header of a message of one part, with room for a control message.
fn header(part: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: all of its fields are numbers and pointers, which may be zero.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = part;
    header.msg_iovlen = 1;
    header.msg_control = ptr::from_mut(control).cast();
    header.msg_controllen = size_of::<Control>() as _;
    header
}

/// Writes the one control message that a header has room for.
fn put<Info>(header: &mut libc::msghdr, (level, kind): (libc::c_int, libc::c_int), info: Info) {
    let bytes = size_of::<Info>() as u32;
    // SAFETY: computes lengths.
    let (length, space) = unsafe { (libc::CMSG_LEN(bytes), libc::CMSG_SPACE(bytes)) };
    assert!(space as usize <= size_of::<Control>());
    header.msg_controllen = space as _;
    // SAFETY: the control buffer is aligned, and has room for the message, as was just checked.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = length as _;
        libc::CMSG_DATA(message).cast::<Info>().write_unaligned(info);
    }
}

/// Where a datagram was sent to, if the kernel was asked to tell. No answer can come from an
/// address of many.
fn destination(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: the kernel wrote the control buffer and its length; NULL, or a whole message.
    let message = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() }?;
    // SAFETY: what follows a message's header is its content, whose kind is checked below.
    let content = unsafe { libc::CMSG_DATA(message) };
    let address = match (message.cmsg_level, message.cmsg_type) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            // SAFETY: the content of this kind of message.
            let info = unsafe { content.cast::<libc::in_pktinfo>().read_unaligned() };
            // Of a broadcast, too, it is an address of ours.
            IpAddr::from(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)))
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            // SAFETY: as above.
            let info = unsafe { content.cast::<libc::in6_pktinfo>().read_unaligned() };
            IpAddr::from(Ipv6Addr::from(info.ipi6_addr.s6_addr))
        }
        _ => return None,
    };
    (!address.is_multicast() && !address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::bind_datagram;
    use std::net::UdpSocket;
    use std::time::Duration;

    /// Binds there, is asked at each of these addresses, and answers each by it.
    fn check(bound: &str, asked: &[&str]) {
        let bound: SocketAddr = bound.parse().expect("an address");
        let server = Socket::new(bind_datagram(&Address::Ip(bound)).expect("a free port"));
        let Ok(Address::Ip(at)) = server.local_address() else { panic!("it is bound") };
        for ip in asked {
            let ip: IpAddr = ip.parse().expect("an address");
            let own = if ip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let client = UdpSocket::bind(own).expect("a free port");
            client.set_read_timeout(Some(Duration::from_secs(15))).expect("a socket has it");
            let to = SocketAddr::new(ip, at.port());
            client.send_to(b"asked", to).expect("it leaves");
            let mut bytes = [0; 3];
            let (count, envelope) = loop {
                match server.recv_from_now(&mut bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    received => break received.expect("it came"),
                }
            };
            assert_eq!((count, &bytes), (3, b"ask"));
            let port = client.local_addr().expect("it is bound").port();
            assert_eq!(envelope.sender().map(|from| from.port()), Some(port));
            server.send_to_now(b"answer", &envelope).expect("it leaves");
            let mut bytes = [0; 16];
            let (count, from) = client.recv_from(&mut bytes).expect("an answer");
            assert_eq!((&bytes[..count], from), (&b"answer"[..], to));
        }
    }

    #[test]
    fn an_answer_leaves_by_the_address_that_was_asked() {
        check("127.0.0.1:0", &["127.0.0.1"]);
        check("0.0.0.0:0", &["127.0.0.1", "127.0.0.2", "127.1.2.3"]);
        check("[::1]:0", &["::1"]);
        check("[::]:0", &["::1", "127.0.0.1", "127.0.0.2"]);
    }

    #[test]
    fn an_answer_to_what_was_sent_to_nobody_in_particular_leaves_all_the_same() {
        let bound = "0.0.0.0:0".parse().expect("an address");
        let server = Socket::new(bind_datagram(&Address::Ip(bound)).expect("a free port"));
        let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let sender = SockAddr::from(client.local_addr().expect("it is bound"));
        // A documentation address (RFC 5737): no machine has it.
        let destination = Some(IpAddr::from([192, 0, 2, 1]));
        let envelope = Envelope { sender, destination };
        server.send_to_now(b"answer", &envelope).expect("it leaves");
        let mut bytes = [0; 16];
        assert_eq!(client.recv(&mut bytes).expect("an answer"), 6);
    }
}

//! The load generator: one thread, one ring, no part of the engine.
//!
//! It is not the engine's own `press`, because a yardstick must not share the faults of what it
//! measures. It speaks three dialects, SRPC, gRPC and HTTP with JSON, below one loop, so that
//! servers of all kinds meet the same load, clock and histogram; each of them by TLS as well.
//!
//! ```text
//!   arrivals (open loop) ──► backlog of due times ─┐
//!   answers  (closed loop) ────────────────────────┴─► slot ─► dialect.request ─► one send a loop
//!   ring ─► bytes ─► dialect.answers ─► checked: which slot, what error, same body ─► histogram
//! ```
//!
//! * Closed loop: every answer is followed at once by the next request in its slot.
//! * Open loop: requests are due at times that no answer can move. Latency counts from the due
//!   time, so a server that stands still for a second shows a second (coordinated omission).
//! * Every answer is checked; one that is wrong, late or never comes is counted, and the run
//!   reports it.
//!
//! The measured window is delimited here, because here alone it is known which requests fell into
//! it: at both ends the generator reads the server's processor clock and its own.

pub mod arrivals;
pub mod dialect;
pub mod grpc;
pub mod http;
pub mod idle;
pub mod load;
pub mod options;
pub mod report;
pub mod secure;
pub mod short;
pub mod srpc;
mod window;

use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

/// The method that every echo server of the bench offers.
pub const ECHO_METHOD: &str = "echo.EchoService.Echo";

/// Runs what the options ask for.
pub fn run(options: &options::Options) -> io::Result<report::Report> {
    crate::process::raise_file_limit()?;
    crate::process::drop_timer_slack();
    crate::process::shorten_slice();
    let mix = options.mix.as_ref();
    if options.http {
        return match &options.mode {
            options::Mode::Short | options::Mode::Idle => {
                let message = "short and idle speak SRPC only";
                Err(io::Error::new(io::ErrorKind::Unsupported, message))
            }
            options::Mode::Closed | options::Mode::Open { .. } | options::Mode::Once => {
                load::run(&http::Http::new(&options.method, options.payload), options)
            }
        };
    }
    match (&options.mode, options.grpc) {
        (options::Mode::Short, false) => short::run(options),
        (options::Mode::Idle, false) => idle::run(options),
        (options::Mode::Closed | options::Mode::Open { .. } | options::Mode::Once, false) => {
            let second = mix.map(|mix| mix.method.as_str());
            let deadline_ms = options.deadline.map_or(0, |deadline| deadline.as_millis() as u64);
            let (method, payload) = (&options.method, options.payload);
            let dialect = srpc::Srpc::with_deadline(method, second, payload, deadline_ms);
            load::run(&dialect, options)
        }
        (options::Mode::Closed | options::Mode::Open { .. } | options::Mode::Once, true)
            if mix.is_none() =>
        {
            load::run(&grpc::Grpc::new(&options.method, options.payload), options)
        }
        (_, true) => {
            let message = "short, idle and --mix speak SRPC only";
            Err(io::Error::new(io::ErrorKind::Unsupported, message))
        }
    }
}

/// Connects; from many source addresses where the server is on loopback, so that no run ends for
/// want of ports while closed connections rest in TIME_WAIT.
fn connect(server: SocketAddr, nth: usize) -> io::Result<TcpStream> {
    let stream = match server {
        SocketAddr::V4(v4) if v4.ip().is_loopback() => {
            socket::connect_from(source_address(nth), v4)?
        }
        SocketAddr::V4(_) | SocketAddr::V6(_) => TcpStream::connect(server)?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One of 64 loopback addresses.
fn source_address(nth: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, (nth % 64) as u8 + 1)
}

/// With `--gate`: says that the connections stand, and waits for a line before the load starts.
fn wait_at_gate(options: &options::Options) -> io::Result<()> {
    if options.gate {
        println!("ready");
        io::stdout().flush()?;
        io::stdin().lock().read_line(&mut String::new())?;
    }
    Ok(())
}

mod socket {
    use std::io;
    use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    /// A connection from a given source address; the port is chosen when the target is known, so
    /// that one port can serve several targets (IP_BIND_ADDRESS_NO_PORT).
    pub(super) fn connect_from(source: Ipv4Addr, target: SocketAddrV4) -> io::Result<TcpStream> {
        let socket = open(0)?;
        bind(&socket, source)?;
        begin_connect(&socket, target)?;
        Ok(socket.into())
    }

    /// A socket that is already connecting and does not block.
    pub(super) fn connecting_from(source: Ipv4Addr, target: SocketAddrV4) -> io::Result<OwnedFd> {
        let socket = open(libc::SOCK_NONBLOCK)?;
        bind(&socket, source)?;
        match begin_connect(&socket, target) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            Ok(()) | Err(_) => Ok(socket),
        }
    }

    fn open(flags: libc::c_int) -> io::Result<OwnedFd> {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags;
        // SAFETY: takes integers and returns a descriptor.
        let socket = unsafe { libc::socket(libc::AF_INET, kind, 0) };
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is fresh and ours.
        Ok(unsafe { OwnedFd::from_raw_fd(socket) })
    }

    fn bind(socket: &OwnedFd, source: Ipv4Addr) -> io::Result<()> {
        let on: libc::c_int = 1;
        let address = raw(SocketAddrV4::new(source, 0));
        // SAFETY: `on` and `address` outlive the calls and are of the sizes that are named.
        let failed = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_IP,
                libc::IP_BIND_ADDRESS_NO_PORT,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            ) != 0
                || libc::bind(socket.as_raw_fd(), (&raw const address).cast(), ADDRESS_BYTES) != 0
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn begin_connect(socket: &OwnedFd, target: SocketAddrV4) -> io::Result<()> {
        let address = raw(target);
        // SAFETY: `address` outlives the call and is of the size that is named.
        let code = unsafe {
            libc::connect(socket.as_raw_fd(), (&raw const address).cast(), ADDRESS_BYTES)
        };
        if code != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    const ADDRESS_BYTES: libc::socklen_t = size_of::<libc::sockaddr_in>() as libc::socklen_t;

    fn raw(address: SocketAddrV4) -> libc::sockaddr_in {
        libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
            sin_zero: [0; 8],
        }
    }
}

//! Ports for programs that cannot take port 0, and addresses where nobody listens.
//!
//! A port that was bound for a moment and let go of may be somebody else's the next moment: tests
//! bind port 0 and connect all the time, and the kernel gives them whatever is free. These ports
//! are below those that it gives away by itself (`ip_local_port_range`), and a process that tests
//! takes none of them twice.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// The first of them, and how many there are.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

/// A port of 127.0.0.1 that nobody listens at, by TCP or UDP.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Another process that tests at the same time begins elsewhere.
    let begin = std::process::id().wrapping_mul(97) % COUNT;
    loop {
        let number = TAKEN.fetch_add(1, Ordering::Relaxed);
        assert!(number < COUNT, "no port is left of {COUNT} from {FIRST} on");
        let port = (FIRST + (begin + number) % COUNT) as u16;
        let at = ("127.0.0.1", port);
        if TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok() {
            return port;
        }
    }
}

/// The same as `ip:port`.
pub fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

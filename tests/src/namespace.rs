//! A network namespace with one wire to it: a machine of its own, as far as the network can tell.
//!
//! ```text
//!   this process ── 198.18.x.1 ══ veth ══ 198.18.x.2 ── a child, started by `ip netns exec`
//! ```
//!
//! The far end of the wire can be taken down. What is sent then is lost without a word, as when a
//! cable is pulled or a machine loses its power: no reset, no unreachable host. Loopback cannot
//! fail in that way. The addresses are those for benchmarks of networks (RFC 2544), which no
//! network routes.
//!
//! It takes iproute2 and root ([`Child::as_root`](crate::Child::as_root)). Dropped, which a panic
//! does, too, the namespace goes; what processes left behind that were killed goes with the next
//! one that is made.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the names of all our namespaces begin with, followed by the process and a number.
const PREFIX: &str = "msec-test-";

/// A namespace with a wire to it.
pub struct Namespace {
    name: String,
    near: String,
    far: String,
    address: String,
}

impl Namespace {
    /// A namespace that is connected and empty.
    #[allow(clippy::new_without_default, reason = "nothing about it goes by itself")]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        remove_left();
        let (process, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // A net of four addresses out of 198.18.0.0/15, another for each process and number.
        let net = process.wrapping_mul(8).wrapping_add(number) % (1 << 15) * 4;
        let ip = |host: u32| {
            let low = net + host;
            format!("198.{}.{}.{}", 18 + (low >> 16), (low >> 8) & 255, low & 255)
        };
        let namespace = Self {
            name: format!("{PREFIX}{process}-{number}"),
            // The name of an interface has 15 characters at most.
            near: format!("mn{process}-{number}"),
            far: format!("mf{process}-{number}"),
            address: ip(2),
        };
        let Self { name, near, far, address } = &namespace;
        ip_does(&format!("netns add {name}"));
        ip_does(&format!("link add {near} type veth peer name {far} netns {name}"));
        ip_does(&format!("address add {}/30 dev {near}", ip(1)));
        ip_does(&format!("-n {name} address add {address}/30 dev {far}"));
        ip_does(&format!("link set {near} up"));
        namespace.connect();
        namespace
    }

    /// The address of its end of the wire.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its end of the wire goes down: all is lost, in both directions.
    pub fn disconnect(&self) {
        ip_does(&format!("-n {} link set {} down", self.name, self.far));
    }

    /// Its end of the wire comes up.
    pub fn connect(&self) {
        ip_does(&format!("-n {} link set {} up", self.name, self.far));
    }

    /// A command that runs a program inside; it becomes the program, so its id is the program's.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The wire first, which is gone when this returns; the rest the kernel does by and by.
        let _ = ip(&format!("link delete {}", self.near));
        let _ = ip(&format!("netns delete {}", self.name));
    }
}

/// Removes the namespaces of processes that are no more, and with them their wires.
fn remove_left() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            // Another process may do the same.
            let _ = ip(&format!("netns delete {name}"));
        }
    }
}

#[track_caller]
fn ip_does(arguments: &str) {
    if let Err(why) = ip(arguments) {
        panic!("`ip {arguments}` fails: {why}; this test needs root and the package iproute2");
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

//! What is measured, as data: which servers there are, which rows, at which cells.
//!
//! A row names its contestants by the name that appears in the results; two contestants of
//! different rows may bear the same name and be different programs (`msec` in `echo` is the echo
//! example, in `relay` the relay example). To add a row, add it to `rows/` and, where it must show
//! something, to the targets; nothing else knows rows by name.
//!
//! A contestant whose program does not exist is reported as not built. Its numbers are never
//! guessed.

mod engine;
mod java;

use super::faults::{Fault, HostFault};
use super::hosted::Business;
use super::jvm::Jdk;
pub use engine::{INSTANCE, PLUGIN};

/// The file that a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A binary of the bench workspace without the engine in it: floors and peers.
    Bench(&'static str),
    /// A binary of the bench workspace with the engine in it: `bench/servers`, `bench/micro`.
    Mode(&'static str),
    /// An example of the crate `msec`, built in the main workspace.
    Example(&'static str),
    /// The C++ peer, built by `bench/grpc-cpp/Makefile`.
    GrpcCpp,
    /// A program in C++ on libmsec, built by `bench/cpp/Makefile`.
    Cpp(&'static str),
    /// The plugin of `bench/cpp`, under `msec host`.
    Plugin,
    /// The server of `bench/java`, on a JVM.
    Java(Jdk),
    /// The peer of `bench/grpc-java`, on a JVM.
    GrpcJava(Jdk),
}

impl Program {
    /// The JVM that it runs on, if it does.
    pub fn jdk(self) -> Option<Jdk> {
        match self {
            Program::Java(jdk) | Program::GrpcJava(jdk) => Some(jdk),
            Program::Bench(_) | Program::Mode(_) | Program::Example(_) => None,
            Program::GrpcCpp | Program::Cpp(_) | Program::Plugin => None,
        }
    }
}

/// What loads a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The bench's generator, in SRPC.
    Srpc,
    /// The bench's generator, in gRPC.
    Grpc,
    /// The bench's generator, in HTTP with JSON.
    Http,
    /// `msec press`, where it is itself what is looked at.
    Press,
}

/// Which processors a server is pinned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// The server's own one.
    One,
    /// The server's and the generator's: for rows about two cores, whose load is light for the
    /// generator.
    Both,
}

/// A server of a row.
#[derive(Clone, Copy, Debug)]
pub struct Contestant {
    /// Its name in the results.
    pub name: &'static str,
    /// What is started, with `--listen ADDRESS:PORT` behind the arguments.
    pub program: Program,
    /// Flags before `--listen`.
    pub arguments: &'static [&'static str],
    /// Set for the process.
    pub environment: &'static [(&'static str, &'static str)],
    /// Where it runs.
    pub cpus: Cpus,
    /// What loads it.
    pub tool: Tool,
    /// More flags for the generator.
    pub generator: &'static [&'static str],
    /// By TLS; the program then takes `--certificate` and `--key`.
    pub tls: bool,
    /// Takes part in the quick run.
    pub quick: bool,
}

/// One size of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Bytes in the echo message.
    pub payload: usize,
    /// Connections.
    pub connections: usize,
    /// In flight on each of them; in an open loop: at most.
    pub depth: usize,
    /// Rows about overload: the load, in percent of what the server can do; else 0.
    pub load_percent: u32,
    /// Measured in the quick run too.
    pub quick: bool,
}

/// How a row is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// Closed loop.
    Closed,
    /// Closed loop against the middle of a chain: generator → contestant → `floor uring`.
    Relay,
    /// Connect, call, close.
    Short,
    /// Idle connections; once, however many rounds there are.
    Idle,
    /// Calls parked on a nested call: generator → contestant → `floor hold`; once.
    Parked,
    /// Open loop, Poisson arrivals, at a share of the best of these peers' closed-loop peak in the
    /// same run.
    OpenShare(&'static Peers, f64),
    /// Open loop, Poisson arrivals, at a rate a second.
    OpenRate(f64),
    /// Open loop at a rate a second; the server stands still for one second in the middle of the
    /// window.
    Stop(f64),
    /// Open loop, Poisson arrivals with a deadline, at the cell's share of what the server can do,
    /// which a short closed loop finds out first. Rates are of answers in time.
    Goodput {
        /// How long requests wait, in milliseconds.
        deadline_ms: u64,
    },
    /// Three instances of [`INSTANCE`] and the contestant, which calls them at a rate a second.
    Fault(Fault, f64),
    /// The plugin or the jar, called at a rate a second by the contestant, while its host is busy
    /// with it.
    Hosted(Business, HostFault, f64),
    /// As many hosts of the plugin on two processors as the contestant's argument says.
    Hosts,
    /// A case of the original's own table; the contestant says how it is loaded.
    Original,
    /// Closed loop against a server in Java whose handlers block on a nested call: generator →
    /// contestant → [`SLOW`]. Virtual threads that pin their carriers are counted.
    Nested,
    /// Closed loop: what a server in Java allocates a request, beyond what protobuf does.
    Allocation,
    /// No load: the program measures a part of a request by itself and prints nanoseconds.
    Micro,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name in the results.
    pub name: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// How it is measured.
    pub measure: Measure,
    /// Sizes of load.
    pub cells: &'static [Cell],
    /// Who takes part, in the order of the table.
    pub contestants: &'static [Contestant],
    /// Whether system calls are counted in runs of their own.
    pub counts_syscalls: bool,
    /// Whom the table's ratio column compares with, if it takes part.
    pub yardstick: &'static str,
}

impl Row {
    /// Rounds that it takes part in, however many there are: memory is the same in each, and where
    /// a run takes several seconds the whole would take too long.
    pub fn rounds_max(&self) -> usize {
        let rounds = match self.measure {
            Measure::Idle | Measure::Parked | Measure::Stop(_) => 1,
            Measure::Nested | Measure::Allocation => 1,
            Measure::Goodput { .. }
            | Measure::Fault(..)
            | Measure::Hosted(..)
            | Measure::Original => 3,
            Measure::Closed
            | Measure::Relay
            | Measure::Short
            | Measure::OpenShare(..)
            | Measure::OpenRate(_)
            | Measure::Hosts
            | Measure::Micro => usize::MAX,
        };
        // JVMs warm up for seconds.
        let has_jvm = self.contestants.iter().any(|one| one.program.jdk().is_some());
        if has_jvm { rounds.min(3) } else { rounds }
    }

    /// Rows that need numbers of other rows first.
    pub fn is_late(&self) -> bool {
        matches!(self.measure, Measure::OpenShare(..))
    }
}

/// Peers whose peak sets the rate of open-loop rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peers {
    /// Where their peak is, at 64 bytes on 64 connections with one call each.
    pub row: &'static str,
    /// Who they are.
    pub servers: &'static [&'static str],
}

/// RPC servers in C++ and Rust.
pub const RPC_PEERS: Peers = Peers { row: "echo", servers: &["tonic", "grpc-cpp"] };
/// Those in Java.
pub const JAVA_PEERS: Peers = Peers { row: "java", servers: &["grpc-java-17", "grpc-java-25"] };

/// The service behind rows with nested calls, on the generator's processor: it takes 10 ms.
pub const SLOW: Contestant = Contestant {
    arguments: &["--cores", "1", "--sleep-ms", "10"],
    environment: &[("MSEC_IO", "uring"), ("MSEC_REPORT", "off"), ("MSEC_OVERLOAD", "off")],
    ..engine::msec_mode("msec-slow", "msec-slow")
};

const ROWS_COUNT: usize = engine::ROWS.len() + java::ROWS.len();
const ALL: [Row; ROWS_COUNT] = {
    let mut rows = [engine::ROWS[0]; ROWS_COUNT];
    let mut index = 0;
    while index < ROWS_COUNT {
        rows[index] = match index.checked_sub(engine::ROWS.len()) {
            None => engine::ROWS[index],
            Some(index) => java::ROWS[index],
        };
        index += 1;
    }
    rows
};
/// The table.
pub const ROWS: &[Row] = &ALL;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_where_they_must_be() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..index].iter().all(|other| other.name != row.name), "{}", row.name);
            for (at, one) in row.contestants.iter().enumerate() {
                let twin = row.contestants[..at].iter().find(|other| other.name == one.name);
                assert!(twin.is_none(), "{} twice in {}", one.name, row.name);
            }
        }
    }

    #[test]
    fn every_cell_fits_into_the_generators_slots() {
        let slots = crate::generator::dialect::SLOTS_MAX;
        assert!(ROWS.iter().flat_map(|row| row.cells).all(|cell| cell.depth <= slots));
    }
}

//! The engine and its peers: contestants, and the rows that they take part in.

use super::{Cell, Contestant, Cpus, Measure, Program, RPC_PEERS, Row, Tool};
use crate::runner::faults::{Fault, HostFault};
use crate::runner::hosted::Business;
use crate::runner::original;

pub(super) const fn bench(name: &'static str, program: &'static str) -> Contestant {
    Contestant {
        name,
        program: Program::Bench(program),
        arguments: &[],
        environment: &[],
        cpus: Cpus::One,
        tool: Tool::Srpc,
        generator: &[],
        tls: false,
        quick: false,
    }
}

/// The engine with its counters by method, but without spans and metrics by caller, which the row
/// `whole` adds: peers have neither.
pub(super) const MSEC: Contestant = Contestant {
    program: Program::Example("echo"),
    arguments: &["--cores", "1"],
    environment: &[("MSEC_IO", "uring"), ("MSEC_REPORT", "off")],
    quick: true,
    ..bench("msec", "")
};
const MSEC_EPOLL: Contestant = Contestant { name: "msec-epoll", environment: EPOLL, ..MSEC };
/// A million calls that come at once are an overload, if anything is; the row is about memory.
const PARKED: &[(&str, &str)] =
    &[("MSEC_IO", "uring"), ("MSEC_REPORT", "off"), ("MSEC_OVERLOAD", "off")];
const EPOLL: &[(&str, &str)] = &[("MSEC_IO", "epoll"), ("MSEC_REPORT", "off")];
/// As anybody starts it.
const MSEC_WHOLE: Contestant =
    Contestant { name: "msec-whole", environment: &[("MSEC_IO", "uring")], ..MSEC };
const FLOOR_URING: Contestant =
    Contestant { arguments: &["uring"], quick: true, ..bench("floor-uring", "floor") };
const FLOOR_EPOLL: Contestant =
    Contestant { arguments: &["epoll"], quick: true, ..bench("floor-epoll", "floor") };
const GLOMMIO: Contestant = bench("glommio", "peer-glommio");
const MAY: Contestant = bench("may", "peer-may");
const TOKIO: Contestant = bench("tokio", "peer-tokio");
const TONIC: Contestant =
    Contestant { tool: Tool::Grpc, quick: true, ..bench("tonic", "peer-tonic") };
pub(super) const GRPC_CPP: Contestant = Contestant {
    program: Program::GrpcCpp,
    tool: Tool::Grpc,
    quick: true,
    ..bench("grpc-cpp", "")
};

const AXUM: Contestant = Contestant { tool: Tool::Http, quick: true, ..bench("axum", "peer-axum") };

/// A service in C++ that parses and builds messages of protobuf.
pub const PLUGIN: Contestant = Contestant { name: "msec-plugin", program: Program::Plugin, ..MSEC };

/// As many hosts of it, on both processors.
const fn hosts(name: &'static str, count: &'static [&'static str]) -> Contestant {
    Contestant { name, arguments: count, cpus: Cpus::Both, ..PLUGIN }
}

const RELAY: Contestant = Contestant { program: Program::Example("relay"), ..MSEC };
/// The echo example, loaded by `msec press`.
const PRESS: Contestant = Contestant { tool: Tool::Press, ..MSEC };
/// An msec server of `bench/servers`, on one core by io_uring.
pub(super) const fn msec_mode(name: &'static str, program: &'static str) -> Contestant {
    Contestant { name, program: Program::Mode(program), arguments: &["--cores", "1"], ..MSEC }
}
/// All calls burn.
const BURN_ONE_CORE: Contestant = Contestant {
    arguments: &["--cores", "1", "--burn-us", "200"],
    generator: &["--method", "bench.WorkService.Burn"],
    ..msec_mode("msec-one-core", "msec-burn")
};
const BURN_TWO_CORES: Contestant = Contestant {
    name: "msec",
    arguments: &["--cores", "2", "--burn-us", "200"],
    cpus: Cpus::Both,
    ..BURN_ONE_CORE
};
/// All burn, and more come than it can do.
const GOODPUT: Contestant = Contestant { name: "msec", ..BURN_ONE_CORE };
const GOODPUT_UNCONTROLLED: Contestant = Contestant {
    name: "msec-uncontrolled",
    environment: &[("MSEC_IO", "uring"), ("MSEC_OVERLOAD", "off")],
    quick: false,
    ..BURN_ONE_CORE
};
/// None burns.
const LONGTAIL_CALM: Contestant = Contestant {
    arguments: &["--cores", "2", "--burn-us", "5000"],
    cpus: Cpus::Both,
    ..msec_mode("msec-calm", "msec-burn")
};
/// One in a hundred burns; the latencies are of the others.
const LONGTAIL_UNMARKED: Contestant = Contestant {
    name: "msec-unmarked",
    generator: &["--mix", "bench.WorkService.Burn=1"],
    ..LONGTAIL_CALM
};
const LONGTAIL: Contestant = Contestant {
    name: "msec",
    arguments: &["--cores", "2", "--burn-us", "5000", "--heavy"],
    ..LONGTAIL_UNMARKED
};

/// One of several of a service, which can be made slow.
pub const INSTANCE: Contestant = Contestant {
    program: Program::Example("instance"),
    environment: &[("MSEC_IO", "uring")],
    ..MSEC
};
/// Calls them; the whole engine, as anybody starts it.
pub(super) const CALLER: Contestant = Contestant {
    arguments: &[],
    environment: &[("MSEC_IO", "uring")],
    ..msec_mode("msec", "msec-caller")
};

/// A part of `bench/micro`.
const fn part(name: &'static str, arguments: &'static [&'static str]) -> Contestant {
    Contestant { program: Program::Mode("micro"), arguments, ..bench(name, "") }
}

const ECHO_CONTESTANTS: &[Contestant] =
    &[MSEC, MSEC_EPOLL, FLOOR_URING, FLOOR_EPOLL, TOKIO, GLOMMIO, MAY, TONIC, GRPC_CPP];

pub(super) const fn cell(payload: usize, connections: usize, depth: usize, quick: bool) -> Cell {
    Cell { payload, connections, depth, load_percent: 0, quick }
}

/// A share of what the server can do, on connections that bound nothing.
const fn overload(load_percent: u32, quick: bool) -> Cell {
    Cell { load_percent, ..cell(64, 64, 128, quick) }
}

/// The rows.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "echo",
        title: "one call, a coroutine a request where there are any",
        measure: Measure::Closed,
        cells: &[
            cell(64, 64, 1, true),
            cell(64, 16, 32, true),
            cell(64, 512, 1, false),
            cell(64, 1, 64, false),
            cell(1024, 64, 1, false),
            cell(65_536, 16, 1, true),
        ],
        contestants: ECHO_CONTESTANTS,
        counts_syscalls: true,
        yardstick: "floor-uring",
    },
    Row {
        name: "http",
        title: "the same call by HTTP/1.1 with JSON",
        measure: Measure::Closed,
        cells: &[cell(64, 64, 1, true), cell(64, 16, 32, true), cell(65_536, 16, 1, false)],
        contestants: &[
            Contestant { tool: Tool::Http, ..MSEC },
            Contestant { tool: Tool::Http, quick: false, ..MSEC_EPOLL },
            AXUM,
        ],
        counts_syscalls: false,
        yardstick: "axum",
    },
    Row {
        name: "tls",
        title: "the same call by TLS 1.3, with rustls and ring on both sides",
        measure: Measure::Closed,
        cells: &[cell(64, 64, 1, true)],
        contestants: &[
            Contestant { tls: true, ..msec_mode("msec", "msec-tls") },
            Contestant { name: "msec-plain", ..MSEC },
            Contestant { tls: true, ..TONIC },
        ],
        counts_syscalls: false,
        yardstick: "msec-plain",
    },
    Row {
        name: "callback",
        title: "the same call answered by a plain callback, without a coroutine",
        measure: Measure::Closed,
        cells: &[cell(64, 64, 1, false), cell(64, 16, 32, true)],
        contestants: &[MSEC, msec_mode("msec-callback", "msec-callback")],
        counts_syscalls: false,
        yardstick: "msec-callback",
    },
    Row {
        name: "whole",
        title: "the whole engine, with spans and metrics by caller and callee, and without them",
        measure: Measure::Closed,
        cells: &[cell(64, 64, 1, true), cell(64, 16, 32, true)],
        contestants: &[MSEC, MSEC_WHOLE],
        counts_syscalls: false,
        yardstick: "msec",
    },
    Row {
        name: "relay",
        title: "A→B→C: the processor time of B, which calls C for every call of A",
        measure: Measure::Relay,
        cells: &[cell(64, 64, 1, true), cell(64, 16, 32, false)],
        contestants: &[
            RELAY,
            Contestant { environment: &[("MSEC_IO", "epoll")], name: "msec-epoll", ..RELAY },
        ],
        counts_syscalls: true,
        yardstick: "msec",
    },
    Row {
        name: "plugin",
        title: "the same call served by a C++ plugin under `msec host`, with protobuf on its side",
        measure: Measure::Closed,
        cells: &[cell(64, 64, 1, true), cell(64, 16, 32, true)],
        contestants: &[MSEC, PLUGIN, GRPC_CPP],
        counts_syscalls: false,
        yardstick: "msec",
    },
    Row {
        name: "hosts",
        title: "four hosts of the plugin that share two processors, against one host on both",
        measure: Measure::Hosts,
        cells: &[cell(64, 64, 1, true), cell(64, 16, 32, false)],
        contestants: &[hosts("msec-one-host", &["1"]), hosts("msec-four-hosts", &["4"])],
        counts_syscalls: false,
        yardstick: "msec-one-host",
    },
    Row {
        name: original::NAME,
        title: "the four cases of the original's own table, served by the C++ plugin",
        measure: Measure::Original,
        cells: &[cell(64, 0, 0, false)],
        contestants: original::CONTESTANTS,
        counts_syscalls: false,
        yardstick: "",
    },
    Row {
        name: "short",
        title: "connect, call, close",
        measure: Measure::Short,
        cells: &[cell(64, 64, 1, true)],
        contestants: &[MSEC, MSEC_EPOLL, FLOOR_URING, FLOOR_EPOLL, TOKIO, GLOMMIO, MAY],
        counts_syscalls: true,
        yardstick: "floor-uring",
    },
    Row {
        name: "idle",
        title: "connections that made one call and are silent",
        measure: Measure::Idle,
        cells: &[cell(64, 15_000, 1, true)],
        contestants: &[
            MSEC,
            Contestant { quick: false, ..MSEC_EPOLL },
            FLOOR_URING,
            TOKIO,
            GLOMMIO,
            MAY,
        ],
        counts_syscalls: false,
        yardstick: "",
    },
    Row {
        name: "parked",
        title: "calls that wait for a nested call, each on a stack with a guard",
        measure: Measure::Parked,
        cells: &[cell(64, 1000, 1000, false), cell(64, 1000, 100, true)],
        contestants: &[Contestant { environment: PARKED, ..msec_mode("msec", "msec-park") }],
        counts_syscalls: false,
        yardstick: "",
    },
    Row {
        name: "handover",
        title: "one connection, 200 µs of processor time a call: two cores against one",
        measure: Measure::Closed,
        cells: &[cell(64, 1, 64, true)],
        contestants: &[BURN_TWO_CORES, BURN_ONE_CORE],
        counts_syscalls: false,
        yardstick: "msec-one-core",
    },
    Row {
        name: "longtail",
        title: "5,000 calls a second on two cores, 1 % of them burn 5 ms: latency of the others",
        measure: Measure::OpenRate(5_000.0),
        cells: &[cell(64, 64, 64, true)],
        contestants: &[LONGTAIL, LONGTAIL_UNMARKED, LONGTAIL_CALM],
        counts_syscalls: false,
        yardstick: "msec-calm",
    },
    Row {
        name: "open50",
        title: "open loop at half of the best RPC peer's peak (c=64 d=1), the same rate for all",
        measure: Measure::OpenShare(&RPC_PEERS, 0.5),
        cells: &[cell(64, 64, 64, true)],
        contestants: &[MSEC, MSEC_EPOLL, FLOOR_URING, TONIC, GRPC_CPP],
        counts_syscalls: false,
        yardstick: "tonic",
    },
    Row {
        name: "open80",
        title: "open loop at 80 % of the best RPC peer's peak (c=64 d=1), the same rate for all",
        measure: Measure::OpenShare(&RPC_PEERS, 0.8),
        cells: &[cell(64, 64, 64, true)],
        contestants: &[MSEC, MSEC_EPOLL, FLOOR_URING, TONIC, GRPC_CPP],
        counts_syscalls: false,
        yardstick: "tonic",
    },
    Row {
        name: "goodput",
        title: "200 µs a call, deadline 200 ms: answers in time under overload, then 0.5×",
        measure: Measure::Goodput { deadline_ms: 200 },
        cells: &[
            overload(50, false),
            overload(80, false),
            overload(100, true),
            overload(150, false),
            overload(200, false),
            overload(300, true),
            overload(400, false),
        ],
        contestants: &[GOODPUT, GOODPUT_UNCONTROLLED],
        counts_syscalls: false,
        yardstick: "",
    },
    Row {
        name: "stop",
        title: "the server stands still for one second: the generator and `msec press` show it",
        measure: Measure::Stop(5_000.0),
        cells: &[cell(64, 64, 64, true)],
        contestants: &[FLOOR_URING, PRESS],
        counts_syscalls: false,
        yardstick: "",
    },
    Row {
        name: "killed",
        title: "one instance of three killed under 20,000 calls a second: what the caller feels",
        measure: Measure::Fault(Fault::Killed, 20_000.0),
        cells: &[cell(64, 1, 1, true)],
        contestants: &[CALLER],
        counts_syscalls: false,
        yardstick: "",
    },
    Row {
        name: "slowed",
        title: "one instance of three made 50 ms slow under 20,000 calls a second",
        measure: Measure::Fault(Fault::Slowed, 20_000.0),
        cells: &[cell(64, 1, 1, true)],
        contestants: &[CALLER],
        counts_syscalls: false,
        yardstick: "",
    },
    Row {
        name: "reloaded",
        title: "a plugin replaced and reloaded ten times under 20,000 calls a second",
        measure: Measure::Hosted(Business::Plugin, HostFault::Reloaded, 20_000.0),
        cells: &[cell(64, 1, 1, true)],
        contestants: &[CALLER],
        counts_syscalls: false,
        yardstick: "",
    },
    Row {
        name: "crashed",
        title: "the worker of a plugin killed under 20,000 calls a second",
        measure: Measure::Hosted(Business::Plugin, HostFault::Killed, 20_000.0),
        cells: &[cell(64, 1, 1, true)],
        contestants: &[CALLER],
        counts_syscalls: false,
        yardstick: "",
    },
    Row {
        name: "threads",
        title: "median of a call from plain threads, to an echo in the same process",
        measure: Measure::Micro,
        cells: &[cell(0, 0, 0, false)],
        contestants: &[
            Contestant { arguments: &["1"], ..msec_mode("rust-1", "msec-threads") },
            Contestant { program: Program::Cpp("threads"), ..part("cpp-1", &["1"]) },
            Contestant { arguments: &["64"], ..msec_mode("rust-64", "msec-threads") },
            Contestant { program: Program::Cpp("threads"), ..part("cpp-64", &["64"]) },
        ],
        counts_syscalls: false,
        yardstick: "",
    },
    Row {
        name: "micro",
        title: "the parts of a request, nanoseconds each",
        measure: Measure::Micro,
        cells: &[cell(0, 0, 0, false)],
        contestants: &[
            part("switch", &["switch"]),
            part("spawn", &["spawn"]),
            part("decode", &["decode"]),
            part("encode", &["encode"]),
            part("timer", &["timer"]),
            part("mailbox-hop", &["mailbox-hop"]),
            part("histogram", &["histogram"]),
            part("report-call", &["report-call"]),
            part("report-span", &["report-span"]),
            part("attribute-add", &["attribute-add"]),
            part("attribute-add-label", &["attribute-add-label"]),
            part("log-filtered", &["log-filtered"]),
            part("pick", &["pick"]),
            part("pick-finished", &["pick-finished"]),
        ],
        counts_syscalls: false,
        yardstick: "",
    },
];

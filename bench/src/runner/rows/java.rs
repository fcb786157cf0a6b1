//! Java: msec beside grpc-java, on the oldest JVM that the library runs on and on the newest.
//!
//! Both sides have the same JVM options (`jvm.rs`) and the same protobuf, on one processor;
//! grpc-java runs its handlers on its event loop, as msec does those that are `@NonBlocking`.

use super::engine::{CALLER, MSEC, PLUGIN, bench, cell};
use super::{Contestant, JAVA_PEERS, Measure, Program, Row, Tool};
use crate::runner::faults::HostFault;
use crate::runner::hosted::Business;
use crate::runner::jvm::Jdk;

/// A thousand calls in flight for long are an overload, if anything is; the rows are about threads.
const UNCONTROLLED: &[(&str, &str)] =
    &[("MSEC_IO", "uring"), ("MSEC_REPORT", "off"), ("MSEC_OVERLOAD", "off")];

/// Not in the quick run, which a JVM takes longer than to warm up.
const fn msec(name: &'static str, jdk: Jdk, arguments: &'static [&'static str]) -> Contestant {
    Contestant { name, program: Program::Java(jdk), arguments, quick: false, ..MSEC }
}

const fn grpc(name: &'static str, jdk: Jdk) -> Contestant {
    let program = Program::GrpcJava(jdk);
    Contestant { name, program, tool: Tool::Grpc, ..bench("", "") }
}

const POLLER: &[&str] = &["--handlers", "poller"];
const POOL: &[&str] = &["--handlers", "pool"];
const VIRTUAL: &[&str] = &["--handlers", "virtual"];

const MSEC_17: Contestant = msec("msec-java-17", Jdk::V17, POLLER);
const MSEC_25: Contestant = msec("msec-java-25", Jdk::V25, POLLER);
const POOL_17: Contestant = msec("msec-pool-17", Jdk::V17, POOL);
const VIRTUAL_25: Contestant = msec("msec-virtual-25", Jdk::V25, VIRTUAL);
const GRPC_17: Contestant = grpc("grpc-java-17", Jdk::V17);
const GRPC_25: Contestant = grpc("grpc-java-25", Jdk::V25);

const fn uncontrolled(contestant: Contestant) -> Contestant {
    Contestant { environment: UNCONTROLLED, ..contestant }
}

const fn blocked(name: &'static str, jdk: Jdk, arguments: &'static [&'static str]) -> Contestant {
    Contestant { name, program: Program::Java(jdk), arguments, ..POOL_17 }
}

/// The rows.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "java",
        title: "the same call served by Java: on the poller, a pool and virtual threads",
        measure: Measure::Closed,
        cells: &[cell(64, 64, 1, false), cell(64, 16, 32, false)],
        contestants: &[MSEC_17, GRPC_17, MSEC_25, GRPC_25, POOL_17, VIRTUAL_25, PLUGIN],
        counts_syscalls: false,
        yardstick: "msec-plugin",
    },
    Row {
        name: "java50",
        title: "open loop at half of grpc-java's best peak (c=64 d=1), the same rate for all",
        measure: Measure::OpenShare(&JAVA_PEERS, 0.5),
        cells: &[cell(64, 64, 64, false)],
        contestants: &[MSEC_17, GRPC_17, MSEC_25, GRPC_25],
        counts_syscalls: false,
        yardstick: "grpc-java-17",
    },
    Row {
        name: "java-nested",
        title: "1,000 calls in flight whose handlers wait for a nested call of 10 ms",
        measure: Measure::Nested,
        cells: &[cell(64, 50, 20, false)],
        contestants: &[uncontrolled(POOL_17), uncontrolled(VIRTUAL_25)],
        counts_syscalls: false,
        yardstick: "",
    },
    Row {
        name: "java-blocked",
        title: "15,000 calls a second beside a handler that is blocked for ever",
        measure: Measure::OpenRate(15_000.0),
        cells: &[cell(64, 64, 64, false)],
        contestants: &[
            POOL_17,
            blocked("msec-pool-17-blocked", Jdk::V17, &["--handlers", "pool", "--blocked", "1"]),
            VIRTUAL_25,
            blocked(
                "msec-virtual-25-blocked",
                Jdk::V25,
                &["--handlers", "virtual", "--blocked", "1"],
            ),
        ],
        counts_syscalls: false,
        yardstick: "",
    },
    Row {
        name: "java-reloaded",
        title: "a jar replaced and reloaded ten times under 2,000 calls a second",
        measure: Measure::Hosted(Business::Jar, HostFault::Reloaded, 2_000.0),
        cells: &[cell(64, 1, 1, true)],
        contestants: &[Contestant { quick: false, ..CALLER }],
        counts_syscalls: false,
        yardstick: "",
    },
    Row {
        name: "java-alloc",
        title: "bytes that Java allocates a request beyond those of protobuf",
        measure: Measure::Allocation,
        cells: &[cell(64, 16, 32, false)],
        contestants: &[MSEC_17, POOL_17, MSEC_25, VIRTUAL_25],
        counts_syscalls: false,
        yardstick: "",
    },
];

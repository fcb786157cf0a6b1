//! What Java must show.

use super::{At, Bound, Metric, PING, PIPE, Target, at, trouble};

const fn cpu(
    cell: Option<(usize, usize, usize)>,
    server: &'static str,
    times: f64,
    other: &'static str,
) -> Target {
    Target {
        at: at("java", cell, server),
        metric: Metric::Cpu,
        bound: Bound::TimesAtMost(times, at("java", cell, other)),
    }
}

const fn p99(row: &'static str, server: &'static str, times: f64, other: &'static str) -> Target {
    Target {
        at: at(row, None, server),
        metric: Metric::P99,
        bound: Bound::TimesAtMost(times, at(row, None, other)),
    }
}

const fn allocation(server: &'static str) -> Target {
    Target {
        at: at("java-alloc", None, server),
        metric: Metric::BytesEach,
        bound: Bound::AtMost(200.0),
    }
}

const VIRTUAL: At = at("java-nested", None, "msec-virtual-25");

/// The targets.
pub(super) const TARGETS: &[Target] = &[
    cpu(PING, "msec-java-17", 0.5, "grpc-java-17"),
    cpu(PING, "msec-java-25", 0.5, "grpc-java-25"),
    cpu(PIPE, "msec-java-17", 0.2, "grpc-java-17"),
    cpu(PIPE, "msec-java-25", 0.2, "grpc-java-25"),
    cpu(PIPE, "msec-java-17", 2.5, "msec-plugin"),
    cpu(PIPE, "msec-java-25", 2.5, "msec-plugin"),
    p99("java50", "msec-java-17", 1.0, "grpc-java-17"),
    p99("java50", "msec-java-25", 1.0, "grpc-java-25"),
    Target {
        at: VIRTUAL,
        metric: Metric::Qps,
        bound: Bound::TimesAtLeast(3.0, at("java-nested", None, "msec-pool-17")),
    },
    Target { at: VIRTUAL, metric: Metric::Pinned, bound: Bound::AtMost(0.0) },
    trouble("java-reloaded", Metric::Lost, 0.0),
    // What two runs of the same differ by anyway.
    p99("java-blocked", "msec-pool-17-blocked", 1.5, "msec-pool-17"),
    p99("java-blocked", "msec-virtual-25-blocked", 1.5, "msec-virtual-25"),
    allocation("msec-java-17"),
    allocation("msec-java-25"),
    allocation("msec-pool-17"),
];

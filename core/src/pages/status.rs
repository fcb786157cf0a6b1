//! `/status`: what this process does: its cores, what it serves and what it calls.
//!
//! Rates, latencies and the failures a second are those of the time in which the page is made: it
//! looks, waits, and looks again. Where nothing ended meanwhile there is no latency.

use std::sync::atomic::Ordering;
use std::time::Duration;

use msec_protocol::report::{CallKey, Role, Snapshot};
use msec_protocol::{Counters, Histogram};
use serde_json::{Value, json};

use super::table::Table;
use super::{Access, Page, Sheet, Visit};
use crate::report::{self, CoreReport};

pub(super) const PAGE: Page =
    Page { path: "/status", title: "Status", access: Access::Restricted, is_live: true, render };

/// What a rate is measured over. `?wait_ms=` sets another time, up to ten seconds.
const WAIT_MS: u64 = 500;
const WAIT_MS_MAX: u64 = 10_000;

fn render(visit: &Visit) -> Sheet {
    let wait_ms = visit.value("wait_ms").and_then(|text| text.parse().ok()).unwrap_or(WAIT_MS);
    let wait_ms = wait_ms.clamp(1, WAIT_MS_MAX);
    let before = look(visit);
    // Cancelled, the page is made of the shorter time.
    let _ = crate::sleep(Duration::from_millis(wait_ms));
    let after = look(visit);
    let time_s = (after.now_ns - before.now_ns).max(1) as f64 / 1e9;
    let recent = after.snapshot.since(&before.snapshot);
    let served = calls(&after.snapshot, &recent, Role::Server, time_s);
    let called = calls(&after.snapshot, &recent, Role::Client, time_s);
    let cores = cores(visit, &before, &after);
    if visit.wants_json() {
        let origin = &after.snapshot.origin;
        return Sheet::json(&json!({
            "service": origin.service,
            "instance": origin.instance,
            "measured_ms": (time_s * 1e3) as u64,
            "draining": visit.server.is_draining(),
            "cores": cores.json(),
            "served": served.json(),
            "called": called.json(),
        }));
    }
    let body = format!(
        "<h1>served</h1>{}<h1>called</h1>{}<h1>cores</h1>{}\
         <p>Rates, latencies and the busy parts are those of {:.1} s; counts are since the start.",
        served.html(),
        called.html(),
        cores.html(),
        time_s
    );
    Sheet::html(&PAGE, &body)
}

struct Look {
    now_ns: u64,
    cores: Vec<CoreReport>,
    snapshot: Snapshot,
}

fn look(visit: &Visit) -> Look {
    let cores = visit.ask_all(report::of_core);
    let snapshot = report::fold(&visit.shard.shared, &cores);
    Look { now_ns: msec_sys::clock::now_ns(), cores, snapshot }
}

fn calls(all: &Snapshot, recent: &Snapshot, role: Role, time_s: f64) -> Table {
    let mut table = Table::new(&[
        "method",
        "caller",
        "callee",
        "per_s",
        "failed_per_s",
        "in_flight",
        "p50_us",
        "p99_us",
        "max_us",
        "queue_p99_us",
        "count",
        "failed",
    ]);
    for (key, counters) in all.calls.iter().filter(|(key, _)| key.role == role) {
        let idle = Counters::new();
        let of_late = recent.calls.get(key).unwrap_or(&idle);
        let per_s = |count: u64| Value::from((count as f64 / time_s * 10.0).round() / 10.0);
        let us = |histogram: &Histogram, parts_per_million: u32| match histogram.count() {
            0 => Value::Null,
            _ => us(histogram.quantile(parts_per_million)),
        };
        let latency_ns = of_late.latency_ns();
        let CallKey { caller, callee, method, role: _ } = key;
        table.add(vec![
            method.as_str().into(),
            caller.as_str().into(),
            callee.as_str().into(),
            per_s(of_late.ended()),
            per_s(of_late.failed()),
            counters.in_flight().into(),
            us(&latency_ns, 500_000),
            us(&latency_ns, 990_000),
            us(&latency_ns, 1_000_000),
            us(of_late.queue_ns(), 990_000),
            counters.ended().into(),
            counters.failed().into(),
        ]);
    }
    table
}

/// Microseconds, with one digit.
fn us(ns: u64) -> Value {
    ((ns as f64 / 100.0).round() / 10.0).into()
}

fn cores(visit: &Visit, before: &Look, after: &Look) -> Table {
    let mut table = Table::new(&[
        "core",
        "busy",
        "connections",
        "coroutines",
        "stacks",
        "stacks_high_water_bytes",
        "stalls",
    ]);
    let time_ns = (after.now_ns - before.now_ns).max(1) as f64;
    for now in &after.cores {
        let then = before.cores.iter().find(|then| then.core == now.core);
        let busy_ns = now.cpu_ns.saturating_sub(then.map_or(now.cpu_ns, |then| then.cpu_ns));
        let stalls = visit.shard.shared.cores.beat(now.core).stalls.load(Ordering::Relaxed);
        table.add(vec![
            now.core.into(),
            ((busy_ns as f64 / time_ns * 1000.0).round() / 1000.0).into(),
            now.connections.into(),
            now.tasks.into(),
            now.stacks.taken.into(),
            now.stacks.high_water_bytes.into(),
            stalls.into(),
        ]);
    }
    table
}

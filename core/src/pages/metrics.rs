//! `/metrics`: everything that is counted, as Prometheus reads it (text format 0.0.4).
//!
//! With `?format=json` it is the snapshot itself, exactly: the buckets of its histograms have the
//! numbers of `schema/report.proto`, so that what several processes tell can be added up.

use msec_protocol::Counters;
use msec_protocol::report::{CallKey, Histogram, Kind, Role, Snapshot, Value as Reported};
use serde_json::{Map, Value, json};

use super::{Access, Page, Sheet, Visit};
use crate::report;

pub(super) const PAGE: Page =
    Page { path: "/metrics", title: "Metrics", access: Access::Open, is_live: false, render };

fn render(visit: &Visit) -> Sheet {
    let cores = visit.ask_all(report::of_core);
    let snapshot = report::fold(&visit.shard.shared, &cores);
    if visit.wants_json() {
        return Sheet::json(&of_snapshot(&snapshot));
    }
    let mut sheet = Sheet::text(report::prometheus(&snapshot));
    sheet.content_type = "text/plain; version=0.0.4; charset=utf-8";
    sheet
}

fn of_snapshot(snapshot: &Snapshot) -> Value {
    let origin = &snapshot.origin;
    let calls = snapshot.calls.iter().map(|(key, counters)| of_calls(key, counters));
    let attributes = snapshot.attributes.iter().map(|(key, value)| {
        let labels = key.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
        json!({
            "name": key.name,
            "labels": labels.collect::<Map<_, _>>(),
            "kind": match key.kind {
                Kind::Sum => "sum",
                Kind::Last => "last",
                Kind::Spread => "spread",
            },
            "value": match value {
                Reported::Sum(sum) => json!(sum),
                Reported::Last(last) => json!(last),
                Reported::Spread(spread) => of_histogram(spread),
            },
        })
    });
    json!({
        // More than a number of JSON is sure to hold.
        "epoch": format!("{:016x}", origin.epoch),
        "sequence": origin.sequence,
        "wall_ns": origin.wall_ns,
        "service": origin.service,
        "instance": origin.instance,
        "calls": calls.collect::<Value>(),
        "attributes": attributes.collect::<Value>(),
    })
}

fn of_calls(key: &CallKey, counters: &Counters) -> Value {
    let codes = counters.codes().map(|(info, count)| {
        json!({
            "code": info.code.0,
            "name": info.name,
            "count": count,
            "latency_ns": of_histogram(&counters.latency_ns_with(info.code)),
        })
    });
    json!({
        "role": match key.role {
            Role::Client => "client",
            Role::Server => "server",
        },
        "caller": key.caller,
        "callee": key.callee,
        "method": key.method,
        "in_flight": counters.in_flight(),
        "request_bytes": counters.request_bytes(),
        "answer_bytes": counters.answer_bytes(),
        "queue_ns": of_histogram(counters.queue_ns()),
        "codes": codes.collect::<Value>(),
        "retries": counters.efforts.retries,
        "hedges": counters.efforts.hedges,
    })
}

fn of_histogram(histogram: &Histogram) -> Value {
    let (buckets, counts): (Vec<_>, Vec<_>) = histogram.numbered().unzip();
    json!({
        "count": histogram.count(),
        "sum": histogram.sum(),
        "max": histogram.max(),
        "buckets": buckets,
        "counts": counts,
    })
}

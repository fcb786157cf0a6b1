//! `/traces`: calls that failed, were slow, dyed or sampled, newest first, as trees.
//!
//! `?flow_id=` shows everything that this process still knows of one request, `?reason=failed` what
//! was kept for that reason, `?count=` how many.

use std::collections::BTreeMap;
use std::fmt::Write;

use msec_protocol::trace::Span;
use serde_json::{Value, json};

use super::sheet::Escaped;
use super::{Access, Page, Sheet, Visit};
use crate::trace::{Clocks, flow_of_core, kept_of_core};

pub(super) const PAGE: Page =
    Page { path: "/traces", title: "Traces", access: Access::Restricted, is_live: false, render };

/// Traces shown unless it is said.
const COUNT: usize = 50;
const COUNT_MAX: usize = 1000;

fn render(visit: &Visit) -> Sheet {
    let flow_id = visit.value("flow_id").and_then(|text| text.parse::<u64>().ok());
    let clocks = Clocks::read();
    let mut spans = match flow_id {
        Some(flow_id) => {
            let cores = visit.ask_all(move |shard| flow_of_core(shard, flow_id, clocks));
            cores.into_iter().flatten().collect()
        }
        None => {
            let cores = visit.ask_all(move |shard| kept_of_core(shard, 0, clocks).into_spans());
            cores.into_iter().flatten().collect::<Vec<_>>()
        }
    };
    if let Some(wanted) = visit.value("reason") {
        spans.retain(|span| span.reason.is_some_and(|reason| reason.name() == wanted));
    }
    let (service, instance) = visit.shard.shared.identity();
    for span in &mut spans {
        (span.service, span.instance) = (service.into(), instance.into());
    }
    let count = visit.value("count").and_then(|text| text.parse().ok()).unwrap_or(COUNT);
    let traces = traces(spans, count.min(COUNT_MAX));
    if visit.wants_json() {
        let all = traces.iter().map(|spans| spans.iter().map(json).collect::<Value>());
        return Sheet::json(&json!(all.collect::<Vec<_>>()));
    }
    let mut body = String::new();
    for spans in &traces {
        tree(spans, &mut body);
    }
    if traces.is_empty() {
        body.push_str("<p>none was kept");
    }
    Sheet::html(&PAGE, &body)
}

/// The spans by trace, newest trace first, each trace's oldest span first.
fn traces(mut spans: Vec<Span>, count: usize) -> Vec<Vec<Span>> {
    spans.sort_by_key(|span| span.start_wall_ns);
    let mut by_trace: BTreeMap<(u64, u64), Vec<Span>> = BTreeMap::new();
    for span in spans {
        by_trace.entry((span.trace_id.high, span.trace_id.low)).or_default().push(span);
    }
    let mut traces: Vec<_> = by_trace.into_values().collect();
    traces.sort_by_key(|spans| std::cmp::Reverse(spans.first().map(|span| span.start_wall_ns)));
    traces.truncate(count);
    traces
}

fn json(span: &Span) -> Value {
    let role = match span.role {
        msec_protocol::report::Role::Client => "client",
        msec_protocol::report::Role::Server => "server",
    };
    json!({
        "trace_id": format!("{:016x}{:016x}", span.trace_id.high, span.trace_id.low),
        "flow_id": span.trace_id.low,
        "span_id": format!("{:016x}", span.span_id),
        "parent_id": format!("{:016x}", span.parent_id),
        "service": span.service,
        "instance": span.instance,
        "role": role,
        "method": span.method,
        "peer": span.peer,
        "address": span.address,
        "why": span.why.map(|why| why.name()),
        "code": span.code.0,
        "start_wall_ns": span.start_wall_ns,
        "duration_ns": span.duration_ns,
        "attempt": span.attempt,
        "reason": span.reason.map(|reason| reason.name()),
        "annotations": span.annotations,
    })
}

/// One trace: a line a span, indented below the span that it was made for.
fn tree(spans: &[Span], body: &mut String) {
    let Some(first) = spans.first() else { return };
    let mut put = |arguments: std::fmt::Arguments<'_>| {
        body.write_fmt(arguments).expect("a string takes every text");
    };
    let flow_id = first.trace_id.low;
    put(format_args!("<p><a href=\"?flow_id={flow_id}\">flow {flow_id}</a><pre>"));
    // A span whose parent is not here begins a tree of its own.
    let is_here = |id: u64| spans.iter().any(|span| span.span_id == id);
    let mut open: Vec<(usize, &Span)> = spans
        .iter()
        .rev()
        .filter(|span| span.parent_id == 0 || !is_here(span.parent_id))
        .map(|span| (0, span))
        .collect();
    let mut left = spans.len();
    while let Some((depth, span)) = open.pop() {
        if left == 0 {
            break;
        }
        left -= 1;
        let (what, whom) = match span.role {
            msec_protocol::report::Role::Client => ("calls", &span.address),
            msec_protocol::report::Role::Server => ("serves", &span.peer),
        };
        let indent = " ".repeat(2 * depth.min(40));
        put(format_args!(
            "{indent}{what} {} {}{} {:.3} ms, code {}{}\n",
            Escaped(&span.method),
            Escaped(whom),
            span.why.map_or_else(String::new, |why| format!(" [{why}]")),
            span.duration_ns as f64 / 1e6,
            span.code.0,
            span.reason.map_or_else(String::new, |reason| format!(" ({})", reason.name())),
        ));
        for (at_ns, text) in &span.annotations {
            put(format_args!("{indent}  +{:.3} ms {}\n", *at_ns as f64 / 1e6, Escaped(text)));
        }
        let children = spans
            .iter()
            .rev()
            .filter(|child| child.parent_id == span.span_id && child.span_id != span.span_id);
        open.extend(children.map(|child| (depth + 1, child)));
    }
    put(format_args!("</pre>"));
}

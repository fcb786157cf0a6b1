//! `msec trace`: the calls that running servers remember, as trees.
//!
//! ```text
//! flow 81985529216486895
//! serves shop.Orders.Place from shop.web  12.300 ms  code 0 (slow)
//!   +0.100 ms found in the cache
//!   calls shop.Stock.Take at 10.0.0.7:7963 [drawn]  11.900 ms  code 0
//!     serves shop.Stock.Take from shop.orders  11.200 ms  code 0  [shop.stock 10.0.0.7:7963]
//! ```
//!
//! In brackets behind an address: why that instance was picked, where there was a choice.
//!
//! Each process knows its own spans. With several addresses each is asked, and then asked again for
//! every flow that any of them has named; what they say of one flow becomes one tree, since the
//! span of a request names the span of the call that it was made by.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use crate::failure::Failure;
use crate::flags::Arguments;
use crate::page;
use crate::print;

/// Traces that are shown unless one is named.
const COUNT: usize = 20;
/// Deeper spans stand below each other: the screen is only so wide.
const DEPTH_MAX: usize = 30;

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut addresses = arguments.texts("at")?;
    if addresses.is_empty() {
        return Err(arguments.usage(&"--at HOST:PORT is missing: whose traces?"));
    }
    let which = arguments.operand_text(0)?;
    let query = match which {
        "" => format!("count={COUNT}"),
        "slow" | "failed" | "dyed" | "sampled" => format!("reason={which}&count={COUNT}"),
        flow_id if flow_id.parse::<u64>().is_ok() => format!("flow_id={flow_id}"),
        other => {
            let text = format!("`{other}`: a flow id (a number), slow, failed, dyed or sampled");
            return Err(arguments.usage(&text));
        }
    };
    let mut traces = ask(&mut addresses, &query)?;
    if addresses.len() > 1 && !query.starts_with("flow_id=") {
        let flows: BTreeSet<u64> = traces.iter().filter_map(flow_of).collect();
        for flow_id in flows {
            traces.extend(ask(&mut addresses, &format!("flow_id={flow_id}"))?);
        }
    }
    let mut traces = joined(traces);
    traces.truncate(COUNT);
    if arguments.has("json") {
        return print(&format!("{:#}\n", Value::from_iter(traces)));
    }
    if traces.is_empty() {
        return Err(Failure::failed(format!(
            "{} kept no such trace\n  likely cause: it is older than what is kept, or was neither \
             slow, failed, dyed nor sampled",
            match addresses[..] {
                [address] => format!("{address} has"),
                _ => format!("{} have", addresses.join(", ")),
            }
        )));
    }
    let trees: Vec<_> = traces.iter().map(tree).collect();
    print(&trees.join("\n"))
}

/// What all of these servers say to a query. One that does not answer is told of and left out from
/// then on, as long as another does.
fn ask(addresses: &mut Vec<&str>, query: &str) -> Result<Vec<Value>, Failure> {
    let mut traces = Vec::new();
    let mut failures = Vec::new();
    addresses.retain(|address| {
        match page::fetch(address, &format!("/traces?format=json&{query}")) {
            Ok(Value::Array(of_one)) => traces.extend(of_one),
            Ok(_) => {}
            Err(failure) => {
                failures.push(failure);
                return false;
            }
        }
        true
    });
    if addresses.is_empty() && !failures.is_empty() {
        return Err(failures.swap_remove(0));
    }
    for failure in failures {
        // Its exit status is not ours: the others have answered.
        let _ = failure.in_command("trace").tell();
    }
    Ok(traces)
}

fn flow_of(trace: &Value) -> Option<u64> {
    trace[0]["flow_id"].as_u64()
}

/// The traces that are parts of one as one, newest first; each span once, oldest first.
fn joined(parts: Vec<Value>) -> Vec<Value> {
    let mut traces: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for part in parts {
        let Value::Array(spans) = part else { continue };
        for span in spans {
            let trace = traces.entry(span["trace_id"].to_string()).or_default();
            // An address may be there twice, or a span be known to be kept only later.
            match trace.iter_mut().find(|known| known["span_id"] == span["span_id"]) {
                Some(known) if known["reason"].is_null() => *known = span,
                Some(_) => {}
                None => trace.push(span),
            }
        }
    }
    let start = |span: &Value| span["start_wall_ns"].as_u64().unwrap_or_default();
    let mut traces: Vec<Vec<Value>> = traces.into_values().collect();
    traces.iter_mut().for_each(|spans| spans.sort_by_key(start));
    traces.sort_by_key(|spans| std::cmp::Reverse(spans.first().map(start)));
    traces.into_iter().map(Value::from).collect()
}

/// One trace.
fn tree(trace: &Value) -> String {
    let spans = trace.as_array().map_or(&[][..], Vec::as_slice);
    let Some(first) = spans.first() else { return String::new() };
    let mut text = format!("flow {}\n", first["flow_id"]);
    let is_here = |id: &Value| spans.iter().any(|span| span["span_id"] == *id);
    let roots = spans.iter().rev().filter(|span| !is_here(&span["parent_id"]));
    let mut open: Vec<(usize, &Value)> = roots.map(|span| (0, span)).collect();
    // Each span once, whatever the server says of their parents.
    let mut left = spans.len();
    while let Some((depth, span)) = open.pop() {
        if left == 0 {
            break;
        }
        left -= 1;
        line(&mut text, depth.min(DEPTH_MAX), span);
        let children = spans.iter().rev().filter(|child| {
            child["parent_id"] == span["span_id"] && child["span_id"] != span["span_id"]
        });
        open.extend(children.map(|child| (depth + 1, child)));
    }
    text
}

fn line(text: &mut String, depth: usize, span: &Value) {
    let word = |name: &str| span[name].as_str().unwrap_or_default();
    let indent = "  ".repeat(depth);
    let whom = match word("role") {
        "client" => {
            let why = match word("why") {
                "" => String::new(),
                why => format!(" [{why}]"),
            };
            format!("calls {} at {}{why}", word("method"), word("address"))
        }
        _ => format!("serves {} from {}", word("method"), word("peer")),
    };
    let reason = match word("reason") {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    let attempt = match span["attempt"].as_u64() {
        Some(attempt) if attempt > 0 => format!(", attempt {attempt}"),
        Some(_) | None => String::new(),
    };
    let took_ms = ms(&span["duration_ns"]);
    let code = &span["code"];
    let server = match (word("role"), word("service"), word("instance")) {
        ("client", ..) | (_, "", "") => String::new(),
        (_, service, instance) => format!("  [{}]", format!("{service} {instance}").trim()),
    };
    let _ = writeln!(text, "{indent}{whom}  {took_ms:.3} ms  code {code}{attempt}{reason}{server}");
    for said in span["annotations"].as_array().map_or(&[][..], Vec::as_slice) {
        let what = said[1].as_str().unwrap_or_default();
        let _ = writeln!(text, "{indent}  +{:.3} ms {what}", ms(&said[0]));
    }
}

fn ms(ns: &Value) -> f64 {
    ns.as_f64().unwrap_or_default() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn spans_stand_below_those_they_were_made_for_and_each_of_them_once() {
        let span = |id: &str, parent: &str, method: &str| {
            json!({"flow_id": 7, "span_id": id, "parent_id": parent, "method": method,
                "role": "server", "peer": "p", "duration_ns": 1_500_000, "code": 0,
                "attempt": 0, "reason": null, "annotations": [[100_000, "note"]]})
        };
        let text = tree(&json!([span("1", "0", "A"), span("2", "1", "B"), span("3", "1", "C")]));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "flow 7");
        assert_eq!(lines[1], "serves A from p  1.500 ms  code 0");
        assert_eq!(lines[2], "  +0.100 ms note");
        assert!(lines[3].starts_with("  serves B") && lines[5].starts_with("  serves C"), "{text}");
        // Told by two processes, one of them twice.
        let parts = vec![
            json!([span("2", "1", "B")]),
            json!([span("1", "0", "A")]),
            json!([span("2", "1", "B")]),
        ];
        let whole = joined(parts);
        assert_eq!(whole.len(), 1);
        let text = tree(&whole[0]);
        assert_eq!(text.matches("serves ").count(), 2, "{text}");
        assert!(text.contains("\n  serves B"), "{text}");
        // Where a call went, and why there.
        let call = json!([{"flow_id": 7, "span_id": "1", "parent_id": "0", "method": "A",
            "role": "client", "address": "10.0.0.7:7963", "why": "cheaper", "code": 0,
            "duration_ns": 2_000_000}]);
        let line = "calls A at 10.0.0.7:7963 [cheaper]  2.000 ms  code 0";
        assert_eq!(tree(&call).lines().nth(1), Some(line));
        // Parents in a ring have no root and end nothing but themselves.
        let ring = tree(&json!([span("1", "2", "A"), span("2", "1", "B")]));
        assert_eq!(ring, "flow 7\n");
    }
}

//! What is written by hand for other processes, against those who would read it: prost by
//! `schema/report.proto`, and promtool.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command, Stdio};

use msec_protocol::log::{About, Draft, Level};
use msec_protocol::report::prometheus::{ENGINE, render};
use msec_protocol::report::{Attributes, CallKey, Folder, Kind, Origin, Outcome, Role, Snapshot};
use msec_protocol::trace::{Reason, Span, TraceId, encode_spans};
use msec_protocol::{Code, Counters};
use protox::prost_reflect::{DynamicMessage, Value};

fn read(name: &str, bytes: &[u8]) -> DynamicMessage {
    let mut compiler = protox::Compiler::new([concat!(env!("CARGO_MANIFEST_DIR"), "/schema")]);
    let compiler = compiler.as_mut().unwrap();
    compiler.open_file("report.proto").unwrap();
    let name = format!("msec.report.{name}");
    let message = compiler.descriptor_pool().get_message_by_name(&name).unwrap();
    let message = DynamicMessage::decode(message, bytes).unwrap();
    assert_eq!(unknown(&message), 0, "the schema knows every field: {message}");
    message
}

/// Fields of a message, and of those in it, that the schema does not know.
fn unknown(message: &DynamicMessage) -> usize {
    let of = |value: &Value| {
        let list = value.as_list().unwrap_or_default().iter().chain([value]);
        list.filter_map(Value::as_message).map(unknown).sum::<usize>()
    };
    message.unknown_fields().count() + message.fields().map(|(_, value)| of(value)).sum::<usize>()
}

/// A field, by its path: `calls.0.method`.
fn at(message: &DynamicMessage, path: &str) -> Value {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let value = message.get_field_by_name(name).unwrap().into_owned();
    let (value, rest) = match (value.as_list(), rest.split_once('.').unwrap_or((rest, ""))) {
        (Some(list), (index, rest)) if !index.is_empty() => {
            (list[index.parse::<usize>().unwrap()].clone(), rest)
        }
        (Some(_) | None, _) => (value, rest),
    };
    match value.as_message() {
        Some(inner) if !rest.is_empty() => at(inner, rest),
        Some(_) | None => value,
    }
}

/// A snapshot with some of everything.
fn snapshot() -> Snapshot {
    let origin = Origin {
        epoch: 99,
        sequence: 7,
        wall_ns: 5,
        service: "Demo.shop".into(),
        instance: "127.0.0.1:7963".into(),
    };
    let mut folder = Folder::new(origin);
    let mut counters = Counters::new();
    for (code, latency_ns) in [(0, 100), (0, 1_000_000), (-18, 5), (-5000, 1 << 50)] {
        counters.begin();
        let (queue_ns, request_bytes, answer_bytes) = (latency_ns / 2, 10, 20);
        let code = Code(code);
        counters.end(&Outcome { code, latency_ns, queue_ns, request_bytes, answer_bytes });
    }
    counters.refuse(Code::OVERLOADED);
    counters.efforts.retries = 3;
    for role in [Role::Client, Role::Server] {
        let (caller, callee) = ("Demo.\"a\"".into(), "Demo.b\\".into());
        folder.calls(CallKey { role, caller, callee, method: "a.B.C".into() }, &counters);
    }
    let mut table = Attributes::new(1);
    for (label, amount) in [("köln", 1), ("new\nline", 2), ("", 3)] {
        let labels = [("stadt", label), ("le", "x"), ("0-dash", "y"), ("__name__", "z")];
        for kind in [Kind::Sum, Kind::Last, Kind::Spread] {
            for name in ["usr.orders paid", "latency_ms", "count", "__other__"] {
                let slot = table.slot(kind, name, &labels);
                match kind {
                    Kind::Sum => table.add(slot, amount),
                    Kind::Last => table.set(slot, -5, 1),
                    Kind::Spread => table.record(slot, amount << 30),
                }
            }
        }
    }
    folder.attributes(&table);
    for (name, family, _) in ENGINE {
        match family.ends_with("_total") {
            true => folder.counter(name, &[("core", "0")], 1),
            false => folder.gauge(name, &[("core", "0")], 1),
        }
    }
    folder.finish()
}

#[test]
fn prost_reads_a_snapshot_by_its_schema() {
    let mut bytes = Vec::new();
    snapshot().encode(&mut bytes);
    let message = read("Snapshot", &bytes);
    assert_eq!(at(&message, "epoch"), Value::U64(99));
    assert_eq!(at(&message, "service"), Value::String("Demo.shop".into()));
    assert_eq!(at(&message, "calls.0.role"), Value::EnumNumber(1));
    assert_eq!(at(&message, "calls.1.role"), Value::EnumNumber(2));
    assert_eq!(at(&message, "calls.0.retries"), Value::U64(3));
    assert_eq!(at(&message, "calls.0.codes.0.latency_ns.sum"), Value::U64(1_000_100));
    assert_eq!(at(&message, "calls.0.codes.1.code"), Value::I32(-18));
    assert_eq!(at(&message, "calls.0.codes.2.refused"), Value::U64(1));
    assert_eq!(at(&message, "calls.0.codes.3.code"), Value::I32(i32::MIN));
    let of = |name: &str, kind: &str| {
        let attributes = at(&message, "attributes");
        let attributes = attributes.as_list().unwrap().iter();
        let named = |value: &&Value| {
            let inner = value.as_message().unwrap();
            at(inner, "name") == Value::String(name.into()) && inner.has_field_by_name(kind)
        };
        attributes.filter(named).count()
    };
    assert_eq!([of("count", "sum"), of("count", "last"), of("count", "spread")], [3; 3]);
    // The bounds of a bucket are what the schema says.
    let bucket = at(&message, "calls.0.codes.0.latency_ns.buckets");
    let bucket = u64::from(bucket.as_list().unwrap()[1].as_u32().unwrap());
    let least = (bucket % 8 + 8) << (bucket / 8 - 1);
    assert!((least..least + (least / 8)).contains(&1_000_000), "{least}");
}

#[test]
fn prost_reads_spans_and_log_records_by_their_schema() {
    let span = Span {
        trace_id: TraceId { high: 1, low: 2 },
        span_id: 3,
        parent_id: 4,
        role: Role::Server,
        method: "a.B.C".into(),
        code: Code::TIMEOUT,
        attempt: 1,
        reason: Some(Reason::Slow),
        annotations: vec![(5, "cache miss".into())],
        ..Span::default()
    };
    let mut bytes = Vec::new();
    encode_spans(&snapshot().origin, &[span], &mut bytes);
    let message = read("Spans", &bytes);
    assert_eq!(at(&message, "instance"), Value::String("127.0.0.1:7963".into()));
    assert_eq!(at(&message, "spans.0.span_id"), Value::U64(3));
    assert_eq!(at(&message, "spans.0.code"), Value::I32(-10));
    assert_eq!(at(&message, "spans.0.reason"), Value::EnumNumber(2));
    assert_eq!(at(&message, "spans.0.annotations.0.text"), Value::String("cache miss".into()));
    let about = About { wall_ns: 5, flow_id: 6, span_id: 7, dyed: true, source: "a.rs:1" };
    let mut draft = Draft::new(Level::Warn, &about, format_args!("stock is low"));
    draft.field("pieces", format_args!("{}", 2));
    let message = read("LogRecord", &draft.finish());
    assert_eq!(at(&message, "level"), Value::U32(3));
    assert_eq!(at(&message, "dyed"), Value::Bool(true));
    assert_eq!(at(&message, "source"), Value::String("a.rs:1".into()));
    assert_eq!(at(&message, "fields.0.value"), Value::String("2".into()));
}

#[test]
fn promtool_finds_nothing_wrong_with_the_page() {
    let mut page = String::new();
    render(&snapshot(), &mut page);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: apt-get install prometheus");
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{said:?}\n{page}");
}

//! A snapshot as Prometheus reads it: the text format 0.0.4, as `promtool check metrics` likes it.
//!
//! | family | of |
//! |---|---|
//! | `msec_server_…`, `msec_client_…` | calls, by caller, service, method and code |
//! | `msec_…` | what the engine tells of itself, by the table [`ENGINE`] |
//! | `msec_attribute_total`, `…_value`, `…_spread` | business attributes |
//!
//! A business attribute's name is a label and not the name of a family: names are free text, and
//! two that differ in a blank must not become one, nor break the page for all others.
//!
//! Bounds of buckets are chosen among those of our histograms, so that the counts are exact: powers
//! of two, less the one nanosecond that belongs to the next bucket.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use super::attribute::{Kind, Value};
use super::counters::Counters;
use super::histogram::Histogram;
use super::snapshot::{AttributeKey, CallKey, Role, Snapshot};
use crate::status::Code;

/// What the engine tells of itself: name of the attribute, name of the family, help.
pub const ENGINE: &[(&str, &str, &str)] = &[
    ("frm.annotations_lost", "msec_annotations_lost_total", "Annotations that had no room."),
    ("frm.connections", "msec_connections", "Connections open, of all kinds."),
    ("frm.core_cpu_ns", "msec_core_cpu_seconds_total", "CPU time of each core thread."),
    ("frm.dials", "msec_dials_total", "Connections opened to peers."),
    ("frm.ejections", "msec_ejections_total", "Instances taken out of rotation, by the reason."),
    ("frm.io_backend", "msec_io_backend", "1 for the back end in use."),
    ("frm.log_records", "msec_log_records_total", "Records written to the log."),
    ("frm.log_dropped", "msec_log_dropped_total", "Log records lost, by the reason."),
    (
        "frm.own_lines_lost",
        "msec_own_lines_lost_total",
        "Lines of the engine itself that were not written, by the reason.",
    ),
    ("frm.spans", "msec_spans_total", "Spans recorded."),
    ("frm.spans_kept", "msec_spans_kept_total", "Spans kept, by the reason."),
    ("frm.spans_dropped", "msec_spans_dropped_total", "Spans over the ration, by the reason."),
    ("frm.stack_used_bytes", "msec_stack_used_bytes", "Deepest use of a coroutine's stack seen."),
    ("frm.stacks", "msec_stacks", "Stacks that coroutines run on."),
    ("frm.stacks_idle", "msec_stacks_idle", "Stacks that wait for a coroutine."),
    ("frm.stacks_leaked", "msec_stacks_leaked", "Stacks lost to coroutines that never ended."),
    (
        "frm.stacks_high_water_bytes",
        "msec_stacks_high_water_bytes",
        "The deepest use of any stack so far.",
    ),
    ("frm.stalls", "msec_stalls_total", "Times that a core was found not looping."),
    ("frm.tasks", "msec_tasks", "Coroutines that have a job."),
];

/// Nanoseconds, by the suffix of an engine's attribute.
const NS_SUFFIX: &str = "_ns";

/// Buckets of times end at these powers of two of a nanosecond: 8 µs to 137 s.
const TIME_POWERS: core::ops::RangeInclusive<u32> = 13..=37;
/// Buckets of other sizes end at each second power of two up to this one.
const SIZE_POWER_MAX: u32 = 48;

/// Appends the page of a snapshot.
pub fn render(snapshot: &Snapshot, out: &mut String) {
    for role in [Role::Server, Role::Client] {
        let calls: Vec<_> = snapshot.calls.iter().filter(|(key, _)| key.role == role).collect();
        if !calls.is_empty() {
            render_calls(role, &calls, out);
        }
    }
    let mut attributes: Vec<_> = snapshot.attributes.iter().collect();
    for (name, family, help) in ENGINE {
        let own: Vec<_> = attributes.extract_if(.., |(key, _)| key.name == *name).collect();
        if !own.is_empty() {
            render_engine(family, help, &own, out);
        }
    }
    render_attributes(&attributes, out);
}

/// A family of metrics that is being written.
struct Family<'a> {
    name: &'a str,
    out: &'a mut String,
}

impl<'a> Family<'a> {
    fn begin(name: &'a str, kind: &str, help: &str, out: &'a mut String) -> Family<'a> {
        // Writing to a string does not fail.
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family { name, out }
    }

    fn sample(&mut self, labels: &Labels, value: impl core::fmt::Display) {
        let _ = writeln!(self.out, "{}{} {value}", self.name, labels.braced(""));
    }

    fn histogram(&mut self, labels: &Labels, histogram: &Histogram, scale: Scale) {
        let mut buckets = histogram.buckets().peekable();
        let mut below = 0;
        for power in scale.powers() {
            let bound = (1u64 << power) - 1;
            while let Some(bucket) = buckets.next_if(|bucket| bucket.greatest <= bound) {
                below += bucket.count;
            }
            let more = alloc::format!("le=\"{}\"", scale.text(bound));
            let _ = writeln!(self.out, "{}_bucket{} {below}", self.name, labels.braced(&more));
        }
        let (count, sum) = (histogram.count(), scale.text(histogram.sum()));
        let name = self.name;
        let _ = writeln!(self.out, "{name}_bucket{} {count}", labels.braced("le=\"+Inf\""));
        let _ = writeln!(self.out, "{name}_sum{} {sum}", labels.braced(""));
        let _ = writeln!(self.out, "{name}_count{} {count}", labels.braced(""));
    }
}

/// What the values of a histogram are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// Nanoseconds, to be shown as seconds.
    Time,
    /// Anything else.
    Size,
}

impl Scale {
    fn powers(self) -> impl Iterator<Item = u32> {
        let (range, step) = match self {
            Scale::Time => (TIME_POWERS, 1),
            Scale::Size => (0..=SIZE_POWER_MAX, 2),
        };
        range.step_by(step)
    }

    fn text(self, value: u64) -> String {
        match self {
            Scale::Time => seconds(value),
            Scale::Size => value.to_string(),
        }
    }
}

/// Nanoseconds as seconds, exactly.
fn seconds(ns: u64) -> String {
    let (whole, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
    let text = alloc::format!("{whole}.{rest:09}");
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// The labels of a sample, in braces but for the last.
#[derive(Default)]
struct Labels {
    text: String,
}

impl Labels {
    fn with(mut self, key: &str, value: &str) -> Labels {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(key);
        self.text.push_str("=\"");
        for letter in value.chars() {
            match letter {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                _ => self.text.push(letter),
            }
        }
        self.text.push('"');
        self
    }

    /// With one more that needs no care.
    fn braced(&self, more: &str) -> String {
        match (self.text.as_str(), more) {
            ("", "") => String::new(),
            (text, "") => alloc::format!("{{{text}}}"),
            ("", more) => alloc::format!("{{{more}}}"),
            (text, more) => alloc::format!("{{{text},{more}}}"),
        }
    }
}

type Calls<'a> = [(&'a CallKey, &'a Counters)];

fn of_call(key: &CallKey) -> Labels {
    let labels = Labels::default().with("caller", &key.caller).with("service", &key.callee);
    labels.with("method", &key.method)
}

fn render_calls(role: Role, calls: &Calls<'_>, out: &mut String) {
    let side = match role {
        Role::Server => "msec_server",
        Role::Client => "msec_client",
    };
    let name = |what: &str| alloc::format!("{side}_{what}");
    let calls_name = name("calls_total");
    let mut family = Family::begin(&calls_name, "counter", "Calls that ended, by code.", out);
    for (key, counters) in calls {
        for (info, count) in counters.codes() {
            family.sample(&of_call(key).with("code", info.name), count);
        }
    }
    let latency_name = name("latency_seconds");
    let help = "Time from the request to its answer.";
    let mut family = Family::begin(&latency_name, "histogram", help, out);
    for (key, counters) in calls {
        let all = counters.latency_ns();
        let good = counters.latency_ns_with(Code::OK);
        for (result, histogram) in [("success", &good), ("failure", &all.since(&good))] {
            if histogram.count() != 0 {
                family.histogram(&of_call(key).with("result", result), histogram, Scale::Time);
            }
        }
    }
    let queue_name = name("queue_seconds");
    let help = "Time that requests waited to be started.";
    if role == Role::Server {
        let mut family = Family::begin(&queue_name, "histogram", help, out);
        for (key, counters) in calls {
            family.histogram(&of_call(key), counters.queue_ns(), Scale::Time);
        }
    }
    let in_flight_name = name("in_flight");
    let mut family = Family::begin(&in_flight_name, "gauge", "Calls that have not ended.", out);
    for (key, counters) in calls {
        family.sample(&of_call(key), counters.in_flight());
    }
    for (what, help, of) in sums(role) {
        let name = name(what);
        let mut family = Family::begin(&name, "counter", help, out);
        calls.iter().for_each(|(key, counters)| family.sample(&of_call(key), of(counters)));
    }
}

/// A number of some calls that only grows: the end of its name, help, and where it is.
type Sum = (&'static str, &'static str, fn(&Counters) -> u64);

fn sums(role: Role) -> Vec<Sum> {
    let mut sums: Vec<Sum> = alloc::vec![
        ("request_bytes_total", "Bytes of requests.", Counters::request_bytes),
        ("answer_bytes_total", "Bytes of answers.", Counters::answer_bytes),
    ];
    if role == Role::Client {
        let retries = |counters: &Counters| counters.efforts.retries;
        sums.push(("retries_total", "Attempts after a failed one.", retries));
        let hedges = |counters: &Counters| counters.efforts.hedges;
        sums.push(("hedges_total", "Attempts beside a slow one.", hedges));
    }
    sums
}

type Rows<'a> = [(&'a AttributeKey, &'a Value)];

fn render_engine(family: &str, help: &str, rows: &Rows<'_>, out: &mut String) {
    let kind = if family.ends_with("_total") { "counter" } else { "gauge" };
    let mut family = Family::begin(family, kind, help, out);
    for (key, value) in rows {
        let labels = &key.labels;
        let labels = labels
            .iter()
            .fold(Labels::default(), |labels, (key, value)| labels.with(&label_key(key), value));
        match value {
            Value::Sum(sum) if key.name.ends_with(NS_SUFFIX) => {
                family.sample(&labels, seconds(*sum));
            }
            Value::Sum(sum) => family.sample(&labels, sum),
            Value::Last(last) => family.sample(&labels, last),
            Value::Spread(_) => {}
        }
    }
}

fn render_attributes(rows: &Rows<'_>, out: &mut String) {
    let families = [
        (Kind::Sum, "msec_attribute_total", "counter", "What the business has added up."),
        (Kind::Last, "msec_attribute_value", "gauge", "What the business has set last."),
        (Kind::Spread, "msec_attribute_spread", "histogram", "Sizes that it has recorded."),
    ];
    for (kind, name, type_name, help) in families {
        // Labels that become the same once their keys are mended are written once.
        let own = rows.iter().filter(|(key, _)| key.kind == kind);
        let own: BTreeMap<String, &Value> =
            own.map(|(key, value)| (attribute_labels(key).text, *value)).collect();
        if own.is_empty() {
            continue;
        }
        let mut family = Family::begin(name, type_name, help, out);
        for (text, value) in own {
            let labels = Labels { text };
            match value {
                Value::Sum(sum) => family.sample(&labels, sum),
                Value::Last(last) => family.sample(&labels, last),
                Value::Spread(spread) => family.histogram(&labels, spread, Scale::Size),
            }
        }
    }
}

fn attribute_labels(key: &AttributeKey) -> Labels {
    let mut keys: Vec<String> = alloc::vec!["attribute".into(), "le".into()];
    let mut labels = Labels::default().with("attribute", &key.name);
    for (key, value) in &key.labels {
        let mut key = label_key(key);
        while keys.contains(&key) {
            key.push('_');
        }
        labels = labels.with(&key, value);
        keys.push(key);
    }
    labels
}

/// A label's key as Prometheus allows it: letters, digits and underscores, no digit first, and no
/// two underscores at the start, which are its own.
fn label_key(key: &str) -> String {
    let mend = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let mended: String = key.chars().map(mend).collect();
    let trimmed = mended.trim_start_matches('_');
    if trimmed.starts_with(|first: char| first.is_ascii_alphabetic()) {
        trimmed.into()
    } else {
        alloc::format!("label_{trimmed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Attributes, Folder, Origin, Outcome};

    fn page(fill: impl FnOnce(&mut Folder)) -> String {
        let mut folder = Folder::new(Origin::default());
        fill(&mut folder);
        let mut out = String::new();
        render(&folder.finish(), &mut out);
        out
    }

    #[test]
    fn buckets_count_what_is_not_above_them_and_end_with_everything() {
        let mut counters = Counters::new();
        for latency_ns in [0, 8191, 8192, 16_383, 1 << 40] {
            counters.begin();
            counters.end(&Outcome { latency_ns, ..Outcome::default() });
        }
        let (caller, method) = ("Demo.a".into(), "a.B.C".into());
        let key = CallKey { role: Role::Server, caller, callee: "Demo.b".into(), method };
        let page = page(|folder| folder.calls(key, &counters));
        let of = |line: &str| page.lines().find(|found| found.starts_with(line)).unwrap().into();
        let labels = "caller=\"Demo.a\",service=\"Demo.b\",method=\"a.B.C\"";
        let bucket = |le: &str| -> String {
            let name = "msec_server_latency_seconds_bucket";
            of(&alloc::format!("{name}{{{labels},result=\"success\",le=\"{le}\"}}"))
        };
        assert!(bucket("0.000008191").ends_with("} 2"));
        assert!(bucket("0.000016383").ends_with("} 4"));
        assert!(bucket("137.438953471").ends_with("} 4"));
        assert!(bucket("+Inf").ends_with("} 5"));
        let total: String = of(&alloc::format!("msec_server_calls_total{{{labels},code=\"OK\"}}"));
        assert!(total.ends_with("} 5"), "{total}");
        assert!(!page.contains("failure"), "{page}");
    }

    #[test]
    fn texts_are_escaped_and_keys_mended_without_meeting() {
        let mut table = Attributes::new(1);
        let labels = [("a-b", "x\"y"), ("a_b", "back\\slash"), ("le", "two\nlines"), ("1", "")];
        let slot = table.slot(Kind::Sum, "usr.orders paid", &labels);
        table.add(slot, 3);
        let page = page(|folder| folder.attributes(&table));
        let expect = "msec_attribute_total{attribute=\"usr.orders paid\",label_1=\"\",\
                      a_b=\"x\\\"y\",a_b_=\"back\\\\slash\",le_=\"two\\nlines\"} 3";
        assert!(page.lines().any(|line| line == expect), "{page}");
    }

    #[test]
    fn what_the_engine_tells_has_families_of_its_own() {
        let page = page(|folder| {
            folder.counter("frm.core_cpu_ns", &[("core", "0")], 1_500_000_000);
            folder.gauge("frm.connections", &[], 7);
        });
        assert!(page.contains("\nmsec_core_cpu_seconds_total{core=\"0\"} 1.5\n"), "{page}");
        assert!(page.contains("\nmsec_connections 7\n"), "{page}");
        assert!(!page.contains("msec_attribute"), "{page}");
    }

    #[test]
    fn families_of_the_engine_are_in_order_and_told_once() {
        let names: Vec<&str> = ENGINE.iter().map(|(name, ..)| *name).collect();
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name}");
        }
        let mut families: Vec<&str> = ENGINE.iter().map(|(_, family, _)| *family).collect();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), ENGINE.len());
    }

    #[test]
    fn seconds_are_exact() {
        let check = |ns, expect: &str| assert_eq!(seconds(ns), expect);
        check(0, "0");
        check(1, "0.000000001");
        check(1_500_000_000, "1.5");
        check(20_000_000_000, "20");
        check(u64::MAX, "18446744073.709551615");
    }
}

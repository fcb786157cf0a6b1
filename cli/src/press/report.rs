//! The result of a run, for people and for programs.

use std::fmt::Write;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::options::{Mode, Options};
use super::pace::Spacing;
use super::tally::{self, Tally};
use super::{Watched, Worker};
use crate::failure::Failure;
use crate::print;

/// A core that is busier than this had no time left for more load.
const BUSY_MAX: f64 = 0.95;
/// An open loop that sent less than this part of what was due did not keep its rate.
const SENT_LEAST: f64 = 0.99;

/// A delay of the generator's own that is worth a remark.
const LATE_NS_MAX: u64 = 1_000_000;

/// The percentiles that are reported, by their names in JSON and in text.
const QUANTILES: [(&str, &str, f64); 4] =
    [("p50", "p50", 0.5), ("p90", "p90", 0.9), ("p99", "p99", 0.99), ("p999", "p99.9", 0.999)];

/// What is known after a run.
pub(crate) struct Report {
    sent: u64,
    pub(crate) tally: Tally,
    elapsed_s: f64,
    busy: Vec<f64>,
    interrupted: bool,
    io: &'static str,
}

impl Report {
    pub(crate) fn new(workers: &[Worker], watched: &Watched) -> Self {
        let (sent, tally) = tally::sum(workers);
        Self {
            sent,
            tally,
            elapsed_s: watched.elapsed_ns as f64 / 1e9,
            busy: watched.busy.clone(),
            interrupted: watched.interrupted,
            io: workers.first().map_or("none", |worker| worker.engine.io_backend()),
        }
    }

    /// Under which load that was, and for how long.
    pub(crate) fn conditions(&self, options: &Options) -> String {
        let load = match options.mode {
            Mode::Closed => "closed loop".to_owned(),
            Mode::Open { rate, spacing: Spacing::Constant } => format!("open loop, {rate}/s"),
            Mode::Open { rate, spacing: Spacing::Poisson } => {
                format!("open loop, {rate}/s at random (poisson)")
            }
        };
        let ended = if self.interrupted { ", ended early" } else { "" };
        format!(
            "{load}, {} of depth {}, {}, {}; {:.1} s after {:?} of warm-up{ended}",
            several(options.connections, "connection"),
            options.depth,
            options.body_text(),
            several(options.cores, "core"),
            self.elapsed_s,
            options.warmup,
        )
    }

    /// Writes text, or JSON, or both. A run in which no call was answered has failed.
    pub(crate) fn write(&self, options: &Options) -> Result<(), Failure> {
        let json = || format!("{:#}\n", self.json(options));
        match options.json.as_deref() {
            Some("-") => return print(&json()).and_then(|()| self.verdict()),
            Some(file) => std::fs::write(file, json())
                .map_err(|error| Failure::failed(format!("cannot write {file}: {error}")))?,
            None => {}
        }
        print(&self.text(options)).and_then(|()| self.verdict())
    }

    fn verdict(&self) -> Result<(), Failure> {
        match self.tally.failed.values().next() {
            Some((_, error)) if self.tally.answered == 0 => {
                Err(Failure::failed(format!("no call was answered; one of them: {error}")))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn answered_per_s(&self) -> f64 {
        if self.elapsed_s > 0.0 { self.tally.answered as f64 / self.elapsed_s } else { 0.0 }
    }

    fn is_bottleneck(&self) -> bool {
        self.busy.iter().any(|busy| *busy > BUSY_MAX)
    }

    fn text(&self, options: &Options) -> String {
        let Self { sent, tally, .. } = self;
        let mut text = format!("{} at {}\n", options.method, options.address);
        let _ = writeln!(text, "{}\n", self.conditions(options));
        let failed = tally.failed_count();
        let _ = writeln!(text, "  {:>12}  sent", count(*sent));
        let rate = count(self.answered_per_s() as u64);
        let _ = writeln!(text, "  {:>12}  answered, {rate} a second", count(tally.answered));
        let _ = writeln!(text, "  {:>12}  failed", count(failed));
        for (number, error) in tally.failed.values() {
            let _ = writeln!(text, "  {:>12}    {error}", count(*number));
        }
        if tally.unsent > 0 {
            let _ = writeln!(text, "  {:>12}  due, but never sent", count(tally.unsent));
        }
        let _ = writeln!(text, "\n  latency{}", self.since(options));
        latency_text(&mut text, &tally.latency_ns);
        if let Mode::Open { .. } = options.mode {
            let _ = writeln!(text, "\n  of that the generator's own delay");
            latency_text(&mut text, &tally.late_ns);
        }
        let _ = writeln!(text, "\n  generator's cores busy: {} ({})", self.busy_text(), self.io);
        for remark in self.remarks(options) {
            let _ = writeln!(text, "\n  ! {remark}");
        }
        text
    }

    fn since(&self, options: &Options) -> &'static str {
        match options.mode {
            Mode::Closed => " of answers",
            Mode::Open { .. } => " of answers, from when the call was due",
        }
    }

    fn busy_text(&self) -> String {
        let each: Vec<_> = self.busy.iter().map(|busy| format!("{:.0} %", busy * 100.0)).collect();
        each.join(", ")
    }

    /// What a reader of the numbers has to know.
    pub(crate) fn remarks(&self, options: &Options) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.is_bottleneck() {
            remarks.push(format!(
                "the generator was the bottleneck: cores {} busy; the server can do more than \
                 this says (more --cores, or a generator on another machine)",
                self.busy_text(),
            ));
        }
        let quantile = |histogram: &Histogram<u64>| histogram.value_at_quantile(0.99);
        let late_ns = quantile(&self.tally.late_ns);
        if late_ns > LATE_NS_MAX && late_ns > quantile(&self.tally.latency_ns) / 2 {
            remarks.push(format!(
                "the generator itself took 1 % of the calls up more than {} late: this machine was \
                 too busy, and half of the p99 or more is not the server's",
                time(late_ns),
            ));
        }
        let due = self.sent + self.tally.unsent;
        if let Mode::Open { .. } = options.mode
            && (self.sent as f64) < due as f64 * SENT_LEAST
        {
            remarks.push(format!(
                "{} of {} due calls never found a free place: at this rate {} of depth {} are too \
                 few or the server is too slow, and the true latencies are longer",
                count(self.tally.unsent),
                count(due),
                several(options.connections, "connection"),
                options.depth,
            ));
        }
        remarks
    }

    pub(crate) fn json(&self, options: &Options) -> Value {
        let Self { sent, tally, .. } = self;
        let (mode, rate, arrivals) = match options.mode {
            Mode::Closed => ("closed", Value::Null, Value::Null),
            Mode::Open { rate, spacing: Spacing::Constant } => {
                ("open", json!(rate), json!("constant"))
            }
            Mode::Open { rate, spacing: Spacing::Poisson } => {
                ("open", json!(rate), json!("poisson"))
            }
        };
        let errors = tally.failed.values().map(|(count, error)| {
            let code = error.code();
            json!({
                "code": code.0,
                "text": code.text(),
                "count": count,
                "first": error.to_string(),
            })
        });
        json!({
            "address": options.address,
            "method": options.method,
            "mode": mode,
            "rate": rate,
            "arrivals": arrivals,
            "connections": options.connections,
            "depth": options.depth,
            "body_bytes": options.body_bytes(),
            "messages": options.bodies.len(),
            "cores": options.cores,
            "io": self.io,
            "warmup_s": options.warmup.as_secs_f64(),
            "duration_s": self.elapsed_s,
            "interrupted": self.interrupted,
            "sent": sent,
            "answered": tally.answered,
            "failed": tally.failed_count(),
            "unsent": tally.unsent,
            "errors": errors.collect::<Vec<_>>(),
            "answered_per_s": self.answered_per_s(),
            "answer_bytes": tally.answer_bytes,
            "latency_us": latency_json(&tally.latency_ns),
            "late_us": latency_json(&tally.late_ns),
            "generator": {"busy": self.busy, "bottleneck": self.is_bottleneck()},
        })
    }
}

fn latency_text(text: &mut String, histogram: &Histogram<u64>) {
    if histogram.is_empty() {
        return;
    }
    for (_, name, quantile) in QUANTILES {
        let _ = writeln!(text, "  {:>12}  {name}", time(histogram.value_at_quantile(quantile)));
    }
    let _ = writeln!(text, "  {:>12}  max", time(histogram.max()));
}

fn latency_json(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    let us = |ns: u64| json!(ns as f64 / 1e3);
    let mut map = serde_json::Map::new();
    for (name, _, quantile) in QUANTILES {
        map.insert(name.to_owned(), us(histogram.value_at_quantile(quantile)));
    }
    map.insert("max".to_owned(), us(histogram.max()));
    map.insert("mean".to_owned(), json!(histogram.mean() / 1e3));
    Value::Object(map)
}

/// A number of things.
pub(crate) fn several(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", count(number as u64))
}

/// A number with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in the unit that suits it, to three digits.
pub(crate) fn time(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => (ns as f64, "ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let digits = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_eyes() {
        assert_eq!(["0", "999", "1,000", "12,345,678"], [0, 999, 1000, 12_345_678].map(count));
        let times = [7, 1_234, 45_600, 1_000_000, 999_000_000, 2_500_000_000].map(time);
        assert_eq!(times, ["7.00 ns", "1.23 µs", "45.6 µs", "1.00 ms", "999 ms", "2.50 s"]);
    }
}

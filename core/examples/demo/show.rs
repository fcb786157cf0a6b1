//! How the demo writes: numbers that can be read at a glance, in columns that stay where they are.

use std::io::{IsTerminal, Write};

use msec::Histogram;

use crate::cluster::{INSTANCES_COUNT, NAMES};

/// One line of the live table.
pub(crate) struct Second<'a> {
    pub(crate) second: u64,
    pub(crate) rate: u64,
    pub(crate) latency_ns: &'a Histogram,
    pub(crate) failed: u64,
    pub(crate) in_flight: u64,
    /// Calls answered by each instance.
    pub(crate) served: [u64; INSTANCES_COUNT],
    /// What goes on.
    pub(crate) event: &'a str,
}

/// One line of the closing table.
pub(crate) struct Row {
    pub(crate) service: &'static str,
    pub(crate) calls: u64,
    pub(crate) rate: u64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) max_ns: u64,
    pub(crate) failed: u64,
    pub(crate) cpu_ns: u64,
}

/// Standard output: on a terminal the live line stays in its place, elsewhere each is a new one.
pub(crate) struct Screen {
    terminal: bool,
    style: bool,
    live: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        // See https://no-color.org.
        let style = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { terminal, style, live: false }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    pub(crate) fn line(&mut self, text: &str) {
        self.end_live();
        self.write(&format!("{text}\n"));
    }

    /// A heading: dimmed, so that the eye goes to the numbers.
    pub(crate) fn heading(&mut self, text: &str) {
        self.end_live();
        let text = if self.style { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() };
        self.write(&format!("{text}\n"));
    }

    pub(crate) fn live_heading(&mut self) {
        let [a, b, c] = NAMES;
        self.heading(&columns_live(&[
            "time",
            "calls/s",
            "p50",
            "p99",
            "failed",
            "in flight",
            &format!("{a} %"),
            &format!("{b} %"),
            &format!("{c} %"),
        ]));
    }

    pub(crate) fn live(&mut self, second: &Second<'_>) {
        let all = second.served.iter().sum::<u64>().max(1);
        let share =
            |index: usize| format!("{:.0}", second.served[index] as f64 * 100.0 / all as f64);
        let text = columns_live(&[
            &format!("{} s", second.second),
            &count(second.rate),
            &duration(second.latency_ns.quantile(500_000)),
            &duration(second.latency_ns.quantile(990_000)),
            &count(second.failed),
            &count(second.in_flight),
            &share(0),
            &share(1),
            &share(2),
        ]);
        let text = format!("{text}  {}", second.event);
        let text = text.trim_end();
        if self.terminal {
            // Back to the first column, and erase what stands there.
            self.write(&format!("\r\x1b[2K{text}"));
            self.live = true;
        } else {
            self.write(&format!("{text}\n"));
        }
    }

    pub(crate) fn table(&mut self, rows: &[Row]) {
        let heads = ["calls", "calls/s", "p50", "p99", "max", "failed", "CPU/call"];
        self.heading(&columns_table("service", &heads.map(str::to_owned)));
        for row in rows {
            let cells = [
                count(row.calls),
                count(row.rate),
                duration(row.p50_ns),
                duration(row.p99_ns),
                duration(row.max_ns),
                count(row.failed),
                duration(row.cpu_ns.checked_div(row.calls).unwrap_or(0)),
            ];
            self.line(&columns_table(row.service, &cells));
        }
    }

    fn end_live(&mut self) {
        if std::mem::take(&mut self.live) {
            self.write("\n");
        }
    }

    fn write(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A reader that went away, as `head` does, is no reason to stop without draining.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn columns_live(cells: &[&str; 9]) -> String {
    let [time, rate, p50, p99, failed, in_flight, a, b, c] = cells;
    format!(
        "  {time:>6}  {rate:>9}  {p50:>7}  {p99:>7}  {failed:>6}  {in_flight:>9}  \
         {a:>4}{b:>5}{c:>5}"
    )
}

fn columns_table(service: &str, cells: &[String; 7]) -> String {
    let [calls, rate, p50, p99, max, failed, cpu] = cells;
    format!(
        "  {service:<9}{calls:>12}  {rate:>9}  {p50:>8}  {p99:>8}  {max:>8}  {failed:>6}  {cpu:>8}"
    )
}

/// 1234567 as `1,234,567`.
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

/// Nanoseconds in the unit in which they have one to three digits before the point.
pub(crate) fn duration(ns: u64) -> String {
    let (value, unit) = match ns {
        0 => return "0 µs".to_owned(),
        1..1_000_000 => (ns as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    // 9.96 would be rounded to a third digit.
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

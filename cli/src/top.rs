//! `msec top`: what a running server serves and calls, second by second.
//!
//! The server measures: its page /status looks at its own counters twice, a while apart. So rates,
//! failures and latencies are those of the second before, two tops do not disturb each other, and
//! nothing is kept here from one look to the next.

use std::fmt::Write;
use std::io::{IsTerminal, stdout};

use serde_json::Value;

use crate::failure::Failure;
use crate::flags::Arguments;
use crate::page;
use crate::press::{count, time};
use crate::print;

/// The server measures over a second, which is also how often a new look comes.
const TARGET: &str = "/status?format=json&wait_ms=1000";
const METHOD_COLUMNS: usize = 36;
/// Rows on a terminal: the busiest methods.
const ROWS_MAX: usize = 30;
/// Back to the top left corner, and erases what stands there.
const AGAIN: &str = "\x1b[H\x1b[J";

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let address = arguments.operand_text(0)?;
    let live = stdout().is_terminal() && !arguments.has("once") && !arguments.has("json");
    loop {
        let status = page::fetch(address, TARGET)?;
        if arguments.has("json") {
            print(&format!("{status}\n"))?;
        } else {
            let again = if live { AGAIN } else { "" };
            print(&format!("{again}{}", screen(address, &status)))?;
        }
        if arguments.has("once") {
            return Ok(());
        }
    }
}

/// One look.
fn screen(address: &str, status: &Value) -> String {
    let mut text = String::new();
    let busy = rows(&status["cores"])
        .iter()
        .map(|core| format!("{:.0} %", core["busy"].as_f64().unwrap_or_default() * 100.0));
    let busy: Vec<_> = busy.collect();
    let sum = |name: &str| rows(&status["cores"]).iter().map(|core| number(core, name)).sum();
    let draining = if status["draining"] == true { "  DRAINING" } else { "" };
    let _ = writeln!(
        text,
        "{} at {address}{draining}  cores busy {}  connections {}  coroutines {}",
        status["service"].as_str().filter(|name| !name.is_empty()).unwrap_or("a service"),
        busy.join(" "),
        count(sum("connections")),
        count(sum("coroutines")),
    );
    for (kind, whom) in [("served", "caller"), ("called", "callee")] {
        table(&mut text, kind, whom, rows(&status[kind]));
    }
    text
}

/// The busiest first, then those that were.
fn table(text: &mut String, kind: &str, whom: &str, rows: &[Value]) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "{kind:METHOD_COLUMNS$} {whom:16} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "calls/s", "failed/s", "p50", "p99", "max", "in flight"
    );
    let mut rows: Vec<&Value> = rows.iter().collect();
    let rate = |row: &Value| row["per_s"].as_f64().unwrap_or_default();
    rows.sort_by(|a, b| {
        rate(b).total_cmp(&rate(a)).then(number(b, "count").cmp(&number(a, "count")))
    });
    for row in rows.iter().take(ROWS_MAX) {
        // None has ended of late.
        let latency = |name: &str| match row[name].as_f64() {
            Some(us) => time((us * 1e3).round() as u64),
            None => "-".to_owned(),
        };
        let _ = writeln!(
            text,
            "{:METHOD_COLUMNS$} {:16} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9}",
            end_of(row["method"].as_str().unwrap_or("?"), METHOD_COLUMNS),
            end_of(row[whom].as_str().unwrap_or("?"), 16),
            count(rate(row).round() as u64),
            count(row["failed_per_s"].as_f64().unwrap_or_default().ceil() as u64),
            latency("p50_us"),
            latency("p99_us"),
            latency("max_us"),
            count(number(row, "in_flight")),
        );
    }
}

fn rows(table: &Value) -> &[Value] {
    table.as_array().map_or(&[], Vec::as_slice)
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_default()
}

/// The end of a name, which tells more than its begin.
fn end_of(name: &str, columns: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    match letters.len() <= columns {
        true => name.to_owned(),
        false => format!("…{}", String::from_iter(&letters[letters.len() + 1 - columns..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_its_end() {
        assert_eq!(end_of("a.B.Call", 8), "a.B.Call");
        assert_eq!(end_of("long.B.Call", 8), "….B.Call");
    }
}

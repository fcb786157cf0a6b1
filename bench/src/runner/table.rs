//! The text that a run ends with: one table a row and cell, then the targets.

use std::fmt::Write;

use super::results::{Aftermath, Outcome, Sample};
use super::rows::{Cell, Row};
use super::targets::{Verdict, show_bytes};

/// A column: its heading, and whether numbers stand at its right edge.
type Column<'a> = (&'a str, bool);

const COLUMNS: &[Column<'static>] = &[
    ("server", false),
    ("cpu ns/req", true),
    ("least–most", true),
    ("ratio", true),
    ("req/s", true),
    ("p50 µs", true),
    ("p99 µs", true),
    ("p99.9 µs", true),
    ("calls/req", true),
    ("rss MiB", true),
    ("each B", true),
    ("load s/g %", true),
    ("", false),
];

/// All rows and cells, in the order of the outcomes.
pub fn rows(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    let mut cells: Vec<(&'static str, Cell)> = Vec::new();
    for outcome in outcomes {
        if !cells.contains(&(outcome.row.name, outcome.cell)) {
            cells.push((outcome.row.name, outcome.cell));
        }
    }
    let mut last_row = "";
    for (name, cell) in cells {
        let group: Vec<&Outcome> =
            outcomes.iter().filter(|one| one.row.name == name && one.cell == cell).collect();
        let row = group[0].row;
        if row.name != last_row {
            let _ = writeln!(text, "\n{}: {}", row.name, row.title);
            last_row = row.name;
        }
        let _ = writeln!(text, "\n  {}", show_cell(cell));
        text.push_str(&group_table(row, &group));
    }
    text
}

/// `64 B  c=16 d=32`.
pub fn show_cell(cell: Cell) -> String {
    match (cell.payload, cell.connections) {
        (0, 0) => return "no load".to_owned(),
        // Each has its own load.
        (payload, 0) => return show_bytes(payload),
        _ => {}
    }
    if cell.load_percent > 0 {
        return format!("{:.1}× of what the server can do", f64::from(cell.load_percent) / 100.0);
    }
    format!("{}  c={} d={}", show_bytes(cell.payload), cell.connections, cell.depth)
}

fn group_table(row: &Row, group: &[&Outcome]) -> String {
    let yardstick = group
        .iter()
        .find(|one| one.contestant.name == row.yardstick)
        .and_then(|one| one.median(|sample| sample.cpu_ns));
    let mut lines = Vec::new();
    for outcome in group {
        lines.push(line(outcome, yardstick));
    }
    let mut headings = COLUMNS.to_vec();
    let ratio = format!("×{}", row.yardstick);
    let mut cells = vec![headings.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()];
    if yardstick.is_some() {
        cells[0][3] = ratio;
    }
    cells.append(&mut lines);
    // A column in which nobody has a number is left out.
    let used: Vec<usize> = (0..headings.len())
        .filter(|&column| cells[1..].iter().any(|line| !line[column].is_empty()))
        .collect();
    headings = used.iter().map(|&column| headings[column]).collect();
    let cells: Vec<Vec<String>> = cells
        .into_iter()
        .map(|line| used.iter().map(|&column| line[column].clone()).collect())
        .collect();
    align(&headings, &cells)
}

fn line(outcome: &Outcome, yardstick: Option<f64>) -> Vec<String> {
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(String::new, |value| format!("{value:.digits$}"))
    };
    let cpu = outcome.median(|sample| sample.cpu_ns);
    let latency = |pick: fn(&crate::generator::report::Latency) -> f64| {
        outcome.median(move |sample| (sample.latency.count > 0).then(|| pick(&sample.latency)))
    };
    let ratio = cpu.zip(yardstick).map(|(cpu, yardstick)| cpu / yardstick);
    let spread = outcome.spread(|sample| sample.cpu_ns);
    let load = |pick: fn(&Sample) -> f64| {
        outcome.median(move |sample| Some(pick(sample) * 100.0)).unwrap_or(0.0)
    };
    let loads = format!(
        "{:.0}/{:.0}",
        load(|sample| sample.server_load),
        load(|sample| sample.generator_load)
    );
    // Rows without a load have none.
    let has_load = outcome.samples.iter().any(|sample| sample.generator_load > 0.0);
    vec![
        outcome.contestant.name.to_owned(),
        number(cpu, digits(cpu)),
        spread.map_or_else(String::new, |[least, most]| {
            let digits = digits(Some(most));
            format!("{least:.digits$}–{most:.digits$}")
        }),
        ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}×")),
        number(outcome.median(|sample| sample.qps), 0),
        number(latency(|latency| latency.p50_us), 0),
        number(latency(|latency| latency.p99_us), 0),
        number(latency(|latency| latency.p999_us), 0),
        number(outcome.syscalls_per_request, 3),
        number(outcome.median(resident_mib), 1),
        number(outcome.median(|sample| sample.bytes_each), 0),
        if has_load { loads } else { String::new() },
        remarks(outcome),
    ]
}

/// Nanoseconds of the parts of a request need a digit behind the point.
fn digits(value: Option<f64>) -> usize {
    usize::from(value.is_some_and(|value| value < 100.0))
}

fn resident_mib(sample: &Sample) -> Option<f64> {
    (sample.resident_kb > 0).then_some(sample.resident_kb as f64 / 1024.0)
}

fn remarks(outcome: &Outcome) -> String {
    let mut remarks = Vec::new();
    if outcome.is_generator_bound() {
        remarks.push("generator-bound".to_owned());
    }
    let lost: u64 = outcome.samples.iter().map(|sample| sample.lost).sum();
    if lost > 0 {
        remarks.push(format!("overloaded: {lost} never answered"));
    }
    let refused: u64 = outcome.samples.iter().map(|sample| sample.refused).sum();
    if refused > 0 {
        remarks.push(format!("{refused} refused"));
    }
    remarks.extend(aftermath(&Aftermath::median(outcome)));
    remarks.extend(outcome.troubles.iter().cloned());
    remarks.join("; ")
}

fn aftermath(found: &Aftermath) -> Vec<String> {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let text = |value: Option<f64>, show: &dyn Fn(f64) -> String| value.map(show);
    [
        text(found.p99_before_us, &|p99| format!("p99 {p99:.0} µs before")),
        found.failed.map(|failed| {
            format!("{failed} failed, {} in flight", found.in_flight.unwrap_or_default())
        }),
        text(found.back_ms, &|ms| format!("back after {ms:.0} ms")),
        text(found.share_before, &|share| format!("share {} before", percent(share))),
        text(found.share, &|share| format!("share {}", percent(share))),
        text(found.recovery_ms, &|ms| format!("well again after {ms:.0} ms")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The table of targets.
pub fn verdicts(verdicts: &[Verdict]) -> String {
    let columns = [("target", false), ("must be", false), ("is", true), ("", false)];
    let mut cells = vec![columns.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()];
    for verdict in verdicts {
        let word = match verdict.met {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "not measured",
        };
        cells.push(vec![
            verdict.subject.clone(),
            verdict.demand.clone(),
            verdict.found.clone(),
            word.to_owned(),
        ]);
    }
    align(&columns, &cells)
}

/// Pads every column to its widest cell; widths are counted in characters, since `µ` and `×` are
/// one column wide.
pub fn align(columns: &[Column<'_>], lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut out = String::from(" ");
        for ((cell, width), (_, right)) in line.iter().zip(&widths).zip(columns) {
            let padding = " ".repeat(width - cell.chars().count());
            let _ = if *right {
                write!(out, " {padding}{cell} ")
            } else {
                write!(out, " {cell}{padding} ")
            };
        }
        text.push_str(out.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::outcome;
    use super::*;

    #[test]
    fn a_table_compares_with_the_yardstick_and_names_who_is_missing() {
        let mut missing = outcome("echo", 0, "tokio", &[]);
        missing.troubles.push("not built: /x/peer-tokio".to_owned());
        let outcomes = [
            outcome("echo", 0, "msec", &[5000.0, 5500.0, 6000.0]),
            outcome("echo", 0, "floor-uring", &[5000.0]),
            missing,
        ];
        let text = rows(&outcomes);
        assert!(text.contains("64 B  c=64 d=1"), "{text}");
        let msec = text.lines().find(|line| line.contains("msec ")).unwrap();
        assert!(msec.contains("5000–6000") && msec.contains("1.10×"), "{msec}");
        assert!(text.contains("not built: /x/peer-tokio"), "{text}");
        assert!(!text.contains("calls/req"), "an empty column is left out:\n{text}");
    }

    #[test]
    fn columns_stand_below_each_other_whatever_letters_they_hold() {
        let lines =
            [vec!["µs".to_owned(), "1".to_owned()], vec!["longer".to_owned(), "22".to_owned()]];
        assert_eq!(align(&[("a", false), ("b", true)], &lines), "  µs       1\n  longer  22\n");
    }
}

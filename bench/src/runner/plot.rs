//! Plots as SVG files: one a row, one panel a cell, one bar a server; rows about overload have
//! curves instead (`curve.rs`).
//!
//! What is drawn is the number the row is about: processor time a request, p99 in open-loop rows,
//! memory each in rows about memory. A thin line over a bar's end spans the least and the greatest
//! round. Every panel has its own scale, since cells differ by a factor of a hundred; values are
//! written beside the bars, so that no axis is needed.

use std::fmt::Write;

use super::curve;
use super::results::{Outcome, Sample};
use super::rows::{Cell, Measure, Row};
use super::table::show_cell;

const WIDTH: f64 = 760.0;
const LABEL_WIDTH: f64 = 120.0;
const VALUE_WIDTH: f64 = 110.0;
const BAR_HEIGHT: f64 = 18.0;
const BAR_GAP: f64 = 6.0;
const PANEL_HEAD: f64 = 34.0;
const TITLE_HEIGHT: f64 = 40.0;

/// The plot of one row, or none if nobody has a number.
pub fn row(row: &Row, outcomes: &[Outcome]) -> Option<String> {
    if matches!(row.measure, Measure::Goodput { .. }) {
        return curve::row(row, outcomes);
    }
    let (unit, number) = subject(row);
    let drawn: Vec<&Outcome> = outcomes
        .iter()
        .filter(|one| one.row.name == row.name && one.median(number).is_some())
        .collect();
    let mut cells: Vec<Cell> = Vec::new();
    for outcome in &drawn {
        if !cells.contains(&outcome.cell) {
            cells.push(outcome.cell);
        }
    }
    if cells.is_empty() {
        return None;
    }
    let mut body = String::new();
    let mut y = TITLE_HEIGHT;
    for cell in cells {
        let panel: Vec<&Outcome> =
            drawn.iter().copied().filter(|outcome| outcome.cell == cell).collect();
        let heading = format!("{} — {unit}", show_cell(cell));
        let _ = write!(
            body,
            r#"<text x="8" y="{:.0}" class="h">{}</text>"#,
            y + 20.0,
            escape(&heading)
        );
        y += PANEL_HEAD;
        panel_bars(&panel, number, &mut y, &mut body);
    }
    if drawn.iter().any(|outcome| outcome.is_generator_bound()) {
        y += 14.0;
        let _ = write!(body, r#"<text x="8" y="{y:.0}">* generator-bound</text>"#);
    }
    let height = y + 10.0;
    Some(format!(
        concat!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h:.0}" width="{w}" height="{h:.0}">"#,
            "<style>text{{font:12px sans-serif;fill:#222}}.t{{font-size:15px;font-weight:bold}}",
            ".h{{font-weight:bold}}.v{{font-variant-numeric:tabular-nums}}</style>",
            r##"<rect width="100%" height="100%" fill="#fff"/>"##,
            r#"<text x="8" y="24" class="t">{title}</text>{body}</svg>"#,
            "\n"
        ),
        w = WIDTH,
        h = height,
        title = escape(&format!("{}: {}", row.name, row.title)),
        body = body
    ))
}

type Number = fn(&Sample) -> Option<f64>;

fn subject(row: &Row) -> (&'static str, Number) {
    let cpu: (&str, Number) = ("server CPU, ns a request", |sample| sample.cpu_ns);
    let p99: (&str, Number) = ("p99, µs", |sample| Some(sample.latency.p99_us));
    let qps: (&str, Number) = ("requests a second", |sample| sample.qps);
    let each: (&str, Number) = ("server memory, bytes each", |sample| sample.bytes_each);
    match row.measure {
        Measure::Closed | Measure::Relay | Measure::Short | Measure::Micro => cpu,
        Measure::OpenShare(..)
        | Measure::OpenRate(_)
        | Measure::Stop(_)
        | Measure::Goodput { .. }
        | Measure::Fault(..)
        | Measure::Hosted(..) => p99,
        Measure::Hosts | Measure::Original | Measure::Nested => qps,
        Measure::Idle | Measure::Parked => each,
        Measure::Allocation => ("allocated beyond protobuf, bytes a request", each.1),
    }
}

fn panel_bars(panel: &[&Outcome], number: Number, y: &mut f64, body: &mut String) {
    let greatest = panel
        .iter()
        .filter_map(|outcome| outcome.spread(number))
        .fold(0.0, |greatest: f64, [_, most]| greatest.max(most));
    let scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / greatest.max(f64::MIN_POSITIVE);
    for outcome in panel {
        let value = outcome.median(number).unwrap_or_default();
        let [least, most] = outcome.spread(number).unwrap_or_default();
        let (middle, base) = (*y + BAR_HEIGHT / 2.0, *y + BAR_HEIGHT - 5.0);
        let _ = write!(
            body,
            concat!(
                r#"<text x="8" y="{base:.1}">{name}</text>"#,
                r#"<rect x="{x}" y="{y:.1}" width="{width:.1}" height="{height}" fill="{fill}"/>"#,
                r##"<path d="M{low:.1} {middle:.1}H{high:.1}" stroke="#222" stroke-width="1"/>"##,
                r#"<text x="{text:.1}" y="{base:.1}" class="v">{value}{mark}</text>"#
            ),
            base = base,
            name = escape(outcome.contestant.name),
            x = LABEL_WIDTH,
            y = *y,
            width = value * scale,
            height = BAR_HEIGHT,
            fill = color(outcome.contestant.name),
            low = LABEL_WIDTH + least * scale,
            high = LABEL_WIDTH + most * scale,
            middle = middle,
            text = LABEL_WIDTH + most * scale + 6.0,
            value = show(value),
            mark = if outcome.is_generator_bound() { " *" } else { "" }
        );
        *y += BAR_HEIGHT + BAR_GAP;
    }
}

/// msec in one colour, the floors in another, everyone else grey.
pub(super) fn color(name: &str) -> &'static str {
    match name.split('-').next() {
        Some("msec") => "#2b6cb0",
        Some("floor") => "#68a063",
        _ => "#a0aec0",
    }
}

fn show(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::outcome;
    use super::super::rows::ROWS;
    use super::*;

    #[test]
    fn a_plot_has_a_bar_for_every_server_with_a_number() {
        let outcomes = [
            outcome("echo", 0, "msec", &[5000.0, 6000.0]),
            outcome("echo", 0, "floor-uring", &[4000.0]),
            outcome("echo", 0, "tokio", &[]),
        ];
        let svg = row(&ROWS[0], &outcomes).unwrap();
        assert_eq!(svg.matches("<rect x=").count(), 2);
        assert!(svg.contains(">5500<") && svg.contains(">4000<"), "{svg}");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn a_row_without_numbers_has_no_plot() {
        assert!(row(&ROWS[0], &[outcome("echo", 0, "tokio", &[])]).is_none());
    }
}

//! The plot of a row about overload: goodput and p99 over the load, a line for each server.
//!
//! Both axes begin at zero, and the panels stand below each other over the same loads: what a
//! server gains in one it must not pay for in the other.

use std::fmt::Write;

use super::plot::{color, escape};
use super::results::{Outcome, Sample};
use super::rows::Row;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 150.0;
const PANEL_HEIGHT: f64 = 180.0;
const PANEL_HEAD: f64 = 30.0;
const PANEL_FOOT: f64 = 34.0;
const TITLE_HEIGHT: f64 = 36.0;

type Number = fn(&Sample) -> Option<f64>;

/// The line of one server: load and value.
struct Line {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

/// The plot, or none if nobody has a number.
pub fn row(row: &Row, outcomes: &[Outcome]) -> Option<String> {
    let mine: Vec<&Outcome> = outcomes.iter().filter(|one| one.row.name == row.name).collect();
    let panels: [(&str, Number); 2] = [
        ("answers in time, thousands a second", |sample| sample.qps.map(|qps| qps / 1000.0)),
        ("p99 of answers in time, ms", |sample| {
            (sample.latency.count > 0).then_some(sample.latency.p99_us / 1000.0)
        }),
    ];
    let mut body = String::new();
    let mut y = TITLE_HEIGHT;
    for (title, number) in panels {
        let lines = lines(&mine, number);
        if lines.is_empty() {
            return None;
        }
        panel(title, &lines, y, &mut body);
        y += PANEL_HEAD + PANEL_HEIGHT + PANEL_FOOT;
    }
    Some(format!(
        concat!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h:.0}" width="{w}" height="{h:.0}">"#,
            "<style>text{{font:12px sans-serif;fill:#222}}.t{{font-size:15px;font-weight:bold}}",
            ".h{{font-weight:bold}}.n{{text-anchor:end}}.m{{text-anchor:middle}}</style>",
            r##"<rect width="100%" height="100%" fill="#fff"/>"##,
            r#"<text x="8" y="24" class="t">{title}</text>{body}</svg>"#,
            "\n"
        ),
        w = WIDTH,
        h = y,
        title = escape(&format!("{}: {}", row.name, row.title)),
        body = body
    ))
}

fn lines(outcomes: &[&Outcome], number: Number) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for outcome in outcomes {
        let Some(value) = outcome.median(number) else { continue };
        let point = (f64::from(outcome.cell.load_percent) / 100.0, value);
        let name = outcome.contestant.name;
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name, points: vec![point] }),
        }
    }
    lines
}

fn panel(title: &str, lines: &[Line], top: f64, body: &mut String) {
    let points = || lines.iter().flat_map(|line| &line.points);
    let most = |pick: fn(&(f64, f64)) -> f64| points().map(pick).fold(f64::MIN_POSITIVE, f64::max);
    let (load_most, value_most) = (most(|point| point.0), nice(most(|point| point.1)));
    let base = top + PANEL_HEAD + PANEL_HEIGHT;
    let x = |load: f64| LEFT + load / load_most * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| base - value / value_most * PANEL_HEIGHT;
    let _ = write!(body, r#"<text x="8" y="{:.0}" class="h">{}</text>"#, top + 18.0, escape(title));
    for step in 0..=4 {
        let value = value_most * f64::from(step) / 4.0;
        let _ = write!(
            body,
            concat!(
                r##"<path d="M{left:.1} {y:.1}H{right:.1}" stroke="#ddd"/>"##,
                r#"<text x="{text:.1}" y="{text_y:.1}" class="n">{value}</text>"#
            ),
            left = LEFT,
            right = x(load_most),
            y = y(value),
            text = LEFT - 6.0,
            text_y = y(value) + 4.0,
            value = value
        );
    }
    let mut loads: Vec<f64> = points().map(|point| point.0).collect();
    loads.sort_by(f64::total_cmp);
    loads.dedup();
    for load in loads {
        let (x, y) = (x(load), base + 16.0);
        let _ = write!(body, r#"<text x="{x:.1}" y="{y:.1}" class="m">{load}×</text>"#);
    }
    for (index, line) in lines.iter().enumerate() {
        let dash = if index == 0 { "" } else { r#" stroke-dasharray="6 4""# };
        let path: Vec<String> = line
            .points
            .iter()
            .map(|(load, value)| format!("{:.1} {:.1}", x(*load), y(*value)))
            .collect();
        let (_, last) = line.points[line.points.len() - 1];
        let _ = write!(
            body,
            concat!(
                r#"<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"{dash}/>"#,
                r#"<text x="{text:.1}" y="{y:.1}">{name}</text>"#
            ),
            path = path.join("L"),
            color = color(line.name),
            dash = dash,
            text = x(load_most) + 8.0,
            y = y(last) + 4.0,
            name = escape(line.name)
        );
    }
}

/// The next of 1, 2, 4, 6, 8, 10 times a power of ten: four steps of it are short numbers.
fn nice(most: f64) -> f64 {
    let power = 10f64.powf(most.log10().floor());
    let steps = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|bound| *bound >= most).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::outcome;
    use super::super::rows::ROWS;
    use super::*;

    #[test]
    fn a_server_has_a_line_in_both_panels() {
        let mut outcomes = Vec::new();
        for cell in 0..3 {
            for name in ["msec", "msec-uncontrolled"] {
                let mut outcome = outcome("goodput", cell, name, &[200_000.0]);
                outcome.samples[0].latency.count = 10;
                outcome.samples[0].latency.p99_us = 20_000.0;
                outcomes.push(outcome);
            }
        }
        let goodput = ROWS.iter().find(|row| row.name == "goodput").unwrap();
        let svg = row(goodput, &outcomes).unwrap();
        assert_eq!(svg.matches(r#"fill="none""#).count(), 4, "{svg}");
        assert!(svg.contains(">0.5×<") && svg.contains(">msec-uncontrolled<"), "{svg}");
        assert!(row(goodput, &outcomes[..0]).is_none());
    }

    #[test]
    fn an_axis_ends_at_a_short_number_above_all_values() {
        for (most, expect) in [(4.9, 6.0), (0.03, 0.04), (200.0, 200.0), (71.0, 80.0)] {
            assert!((nice(most) - expect).abs() < 1e-9, "{most}: {}", nice(most));
        }
    }
}

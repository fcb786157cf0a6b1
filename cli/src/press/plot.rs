//! Line charts as SVG, without a library: axes, a grid, lines with gaps, and the data for the few
//! lines of script that show values under the pointer.
//!
//! Colours are classes that the page defines, so that a dark screen has its own.

use std::fmt::Write;

use crate::press::report::{count, time};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 280.0;
/// Room for the numbers beside and below the axes.
const LEFT: f64 = 76.0;
const BOTTOM: f64 = 34.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 16.0;

/// A chart.
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

/// One line, by a point for each x; `None` leaves a gap.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// Its class, by which the page colours it.
    pub(crate) class: &'static str,
    pub(crate) points: Vec<(f64, Option<f64>)>,
}

/// A range of values and how they are spread and written.
pub(crate) struct Axis {
    from: f64,
    to: f64,
    scale: Scale,
    ticks: Vec<(f64, String)>,
    write: fn(f64) -> String,
}

#[derive(Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    /// By the number of digits.
    Log,
    /// Quantiles, by the number of nines.
    Nines,
}

impl Axis {
    /// From 0 to something round.
    pub(crate) fn linear(most: f64, write: fn(f64) -> String) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let rough = most / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
        let step = step.into_iter().find(|step| *step >= rough).unwrap_or(rough);
        let ticks_count = (most / step).ceil();
        let ticks = (0..=ticks_count as usize).map(|index| index as f64 * step);
        let ticks = ticks.map(|tick| (tick, write(tick))).collect();
        Self { from: 0.0, to: ticks_count * step, scale: Scale::Linear, ticks, write }
    }

    /// From 0 to exactly that many seconds.
    pub(crate) fn seconds(most: f64) -> Self {
        let mut axis = Self::linear(most, |seconds| format!("{:.1} s", seconds));
        for (tick, text) in &mut axis.ticks {
            *text = format!("{} s", trimmed(&format!("{tick:.3}")));
        }
        axis.ticks.retain(|(tick, _)| *tick <= most);
        Self { to: most.max(f64::MIN_POSITIVE), ..axis }
    }

    /// Times in nanoseconds, by powers of ten; round at both ends.
    pub(crate) fn latency(least_ns: f64, most_ns: f64) -> Self {
        let least_ns = least_ns.max(1.0);
        let most_ns = most_ns.max(least_ns);
        let decades = (most_ns / least_ns).log10();
        let digits: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let all = (0..=13)
            .flat_map(|power| digits.iter().map(move |digit| (digit * 10f64.powi(power), power)));
        let all: Vec<f64> = all.map(|(ns, _)| ns).collect();
        let first = all.iter().rposition(|ns| *ns <= least_ns).unwrap_or(0);
        let last = all.iter().position(|ns| *ns >= most_ns).unwrap_or(all.len() - 1);
        let last = last.max(first + 1).min(all.len() - 1);
        let write: fn(f64) -> String = |ns| time(ns as u64);
        let ticks = all[first..=last].iter().map(|ns| (*ns, tick_time(*ns))).collect();
        Self { from: all[first], to: all[last], scale: Scale::Log, ticks, write }
    }

    /// Quantiles up to `most`, which is less than 1.
    pub(crate) fn quantiles(most: f64) -> Self {
        let ticks = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999];
        let ticks = ticks.into_iter().filter(|quantile| *quantile <= most);
        let ticks = ticks.map(|quantile| (quantile, percent(quantile))).collect();
        Self { from: 0.0, to: most, scale: Scale::Nines, ticks, write: percent }
    }

    /// Where a value stands, between 0 and 1.
    fn place(&self, value: f64) -> f64 {
        let spread = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(1.0).log10(),
            Scale::Nines => -(1.0 - value).log10(),
        };
        let (from, to) = (spread(self.from), spread(self.to));
        ((spread(value) - from) / (to - from)).clamp(0.0, 1.0)
    }
}

/// 0.999 as `99.9 %`.
fn percent(quantile: f64) -> String {
    format!("{} %", trimmed(&format!("{:.4}", quantile * 100.0)))
}

/// A number with a point, without the zeroes at its end.
fn trimmed(number: &str) -> &str {
    number.trim_end_matches('0').trim_end_matches('.')
}

/// A round time without the digits that say so.
fn tick_time(ns: f64) -> String {
    let text = time(ns as u64);
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    let number = if number.contains('.') { trimmed(number) } else { number };
    format!("{number} {unit}")
}

/// A number of things a second.
pub(crate) fn per_second(number: f64) -> String {
    match number {
        ..10.0 if number.fract() > 0.0 => format!("{number:.1}/s"),
        _ => format!("{}/s", count(number.round() as u64)),
    }
}

impl Chart {
    /// The chart with its title and legend, as HTML.
    pub(crate) fn html(&self) -> String {
        let mut html = format!("<section><h2>{}</h2><p>{}</p>\n<ul>", self.title, self.about);
        for line in &self.lines {
            let _ = write!(html, "<li class=\"{}\">{}</li>", line.class, line.name);
        }
        let _ = write!(
            html,
            "</ul>\n<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\" \
             data-points='{}'>",
            self.title,
            self.data(),
        );
        self.grid(&mut html);
        for line in &self.lines {
            let _ = write!(html, "<path class=\"{}\" d=\"{}\"/>", line.class, self.path(line));
        }
        html.push_str(
            "<line class=\"cursor\"/></svg><div class=\"tip\"></div></figure></section>\n",
        );
        html
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn grid(&self, html: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in &self.y.ticks {
            let y = self.y(*value);
            let _ = write!(
                html,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"left\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
                LEFT - 10.0,
                y + 4.0,
            );
        }
        for (value, text) in &self.x.ticks {
            let x = self.x(*value);
            let _ = write!(
                html,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                 <text class=\"below\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>",
                bottom + 20.0,
            );
        }
    }

    fn path(&self, line: &Line) -> String {
        let mut path = String::new();
        let mut drawn = false;
        for (x, y) in &line.points {
            if let Some(y) = y {
                let verb = if drawn { 'L' } else { 'M' };
                // A point that stands alone shows as a dot: the ends of lines are round.
                let dot = if drawn { "" } else { "h0" };
                let _ = write!(path, "{verb}{:.1} {:.1}{dot}", self.x(*x), self.y(*y));
            }
            drawn = y.is_some();
        }
        path
    }

    /// For the script: where each x stands, what it is called, and what the lines are there.
    fn data(&self) -> String {
        let points = self.lines.first().map_or(&[][..], |line| &line.points);
        let rows = points.iter().enumerate().map(|(index, (x, _))| {
            let values = self.lines.iter().map(|line| {
                let value = line.points.get(index).and_then(|(_, y)| *y);
                value.map_or("–".to_owned(), |value| (self.y.write)(value))
            });
            let values: Vec<_> = values.collect();
            serde_json::json!([self.x(*x).round(), (self.x.write)(*x), values])
        });
        serde_json::Value::from_iter(rows).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn axes_begin_and_end_at_round_numbers_and_hold_all_values() {
        let rate = Axis::linear(18_300.0, per_second);
        assert_eq!(labels(&rate), ["0/s", "5,000/s", "10,000/s", "15,000/s", "20,000/s"]);
        let latency = Axis::latency(31_000.0, 1_400_000.0);
        let expect = ["20 µs", "50 µs", "100 µs", "200 µs", "500 µs", "1 ms", "2 ms"];
        assert_eq!(labels(&latency), expect);
        let wide = Axis::latency(31_000.0, 2_000_000_000.0);
        assert_eq!(labels(&wide), ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s"]);
        for axis in [&latency, &wide, &Axis::latency(0.0, 0.0), &Axis::latency(1e3, 1e3)] {
            assert!(axis.from < axis.to);
        }
        assert_eq!(labels(&Axis::quantiles(0.9995)), ["0 %", "50 %", "90 %", "99 %", "99.9 %"]);
        assert_eq!(
            labels(&Axis::seconds(0.5)),
            ["0 s", "0.1 s", "0.2 s", "0.3 s", "0.4 s", "0.5 s"]
        );
    }

    #[test]
    fn each_nine_takes_the_same_room() {
        let axis = Axis::quantiles(0.9999);
        let places = [0.0, 0.9, 0.99, 0.999, 0.9999].map(|quantile| axis.place(quantile));
        for (index, place) in places.iter().enumerate() {
            assert!((place - index as f64 / 4.0).abs() < 1e-9, "{places:?}");
        }
    }

    #[test]
    fn a_gap_parts_a_line() {
        let chart = Chart {
            title: "t",
            about: "",
            x: Axis::linear(3.0, per_second),
            y: Axis::linear(10.0, per_second),
            lines: vec![Line {
                name: "a",
                class: "p50",
                points: vec![(0.0, Some(1.0)), (1.0, Some(2.0)), (2.0, None), (3.0, Some(0.0))],
            }],
        };
        let path = chart.path(&chart.lines[0]);
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
        assert!(chart.data().contains("–"));
    }
}

//! `msec press --html`: the result as one page that needs nothing else: no script, style, font or
//! picture from elsewhere. It can be mailed, kept beside a change, and read in ten years.
//!
//! The curve of percentiles has the nines at equal distances, as a tail wants to be looked at; the
//! course over time shows what percentiles of the whole run hide: one bad second.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::course::Step;
use super::options::{Mode, Options};
use super::plot::{Axis, Chart, Line, per_second};
use super::report::{Report, count, time};

/// Points of the curve of percentiles.
const POINTS_COUNT: usize = 240;
/// Fewer answers than that leave nothing to be seen beyond 99 %.
const NINES_LEAST: f64 = 2.0;
const NINES_MOST: f64 = 6.0;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The whole page.
pub(crate) fn html(report: &Report, options: &Options, steps: &[Step]) -> String {
    let title = escaped(&format!("{} at {}", options.method, options.address));
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title} – msec press</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n\
         <header><small>msec press</small><h1>{title}</h1><p>{}</p></header>\n",
        escaped(&report.conditions(options)),
    );
    tiles(&mut html, report);
    for remark in report.remarks(options) {
        let _ = writeln!(html, "<p class=\"remark\">{}</p>", escaped(&remark));
    }
    errors(&mut html, report);
    if !report.tally.latency_ns.is_empty() {
        html.push_str(&percentiles(report, options).html());
    }
    if !steps.is_empty() {
        html.push_str(&latency_over_time(steps).html());
        html.push_str(&rate_over_time(steps).html());
    }
    let json = escaped(&format!("{:#}", report.json(options)));
    let _ = writeln!(html, "<details><summary>All numbers, as JSON</summary><pre>{json}</pre>");
    let _ = write!(html, "</details>\n</main>\n<script>\n{SCRIPT}</script></body></html>\n");
    html
}

fn tiles(html: &mut String, report: &Report) {
    let latency_ns = &report.tally.latency_ns;
    let quantile = |quantile| match latency_ns.is_empty() {
        true => "–".to_owned(),
        false => time(latency_ns.value_at_quantile(quantile)),
    };
    let failed = report.tally.failed_count();
    let mut tile = |class: &str, name: &str, value: &str| {
        let _ = write!(html, "<div class=\"{class}\"><dt>{name}</dt><dd>{value}</dd></div>");
    };
    let unsent = report.tally.unsent;
    tile("", "answered", &per_second(report.answered_per_s()));
    tile("", "p50", &quantile(0.5));
    tile("", "p99", &quantile(0.99));
    tile("", "p99.9", &quantile(0.999));
    tile("", "max", &quantile(1.0));
    tile(if failed > 0 { "bad" } else { "" }, "failed", &count(failed));
    if unsent > 0 {
        tile("bad", "never sent", &count(unsent));
    }
    let begin = html.rfind("</header>\n").map_or(0, |at| at + "</header>\n".len());
    html.insert_str(begin, "<dl>");
    html.push_str("</dl>\n");
}

fn errors(html: &mut String, report: &Report) {
    if report.tally.failed.is_empty() {
        return;
    }
    html.push_str("<section><h2>Failures</h2><table><tr><th>calls</th><th>the first</th></tr>");
    for (number, error) in report.tally.failed.values() {
        let text = escaped(&error.to_string());
        let _ = write!(html, "<tr><td>{}</td><td>{text}</td></tr>", count(*number));
    }
    html.push_str("</table></section>\n");
}

/// Latency by percentile; in an open loop beside it the part that is the generator's own.
fn percentiles(report: &Report, options: &Options) -> Chart {
    let latency_ns = &report.tally.latency_ns;
    let nines = (latency_ns.len() as f64).log10().clamp(NINES_LEAST, NINES_MOST);
    let curve = |histogram: &Histogram<u64>| -> Vec<(f64, Option<f64>)> {
        let quantiles = (0..=POINTS_COUNT).map(|index| {
            let place = index as f64 / POINTS_COUNT as f64;
            1.0 - 10f64.powf(-place * nines)
        });
        quantiles.map(|q| (q, Some(histogram.value_at_quantile(q) as f64))).collect()
    };
    let mut lines = vec![Line { name: "latency", class: "p50", points: curve(latency_ns) }];
    if let Mode::Open { .. } = options.mode {
        let points = curve(&report.tally.late_ns);
        lines.push(Line { name: "of it the generator's own delay", class: "max", points });
    }
    Chart {
        title: "Latency by percentile",
        about: match options.mode {
            Mode::Closed => "So many calls were answered within that time.",
            Mode::Open { .. } => {
                "So many calls were answered within that time, from when they were due."
            }
        },
        x: Axis::quantiles(1.0 - 10f64.powf(-nines)),
        y: latency_axis(&lines),
        lines,
    }
}

fn latency_over_time(steps: &[Step]) -> Chart {
    let line = |name, class, of: fn(&Step) -> u64| {
        let answered = |step: &Step| (step.answered_per_s > 0.0).then(|| of(step) as f64);
        let points = steps.iter().map(|step| (step.ends_s, answered(step))).collect();
        Line { name, class, points }
    };
    let lines = vec![
        line("max", "max", |step| step.max_ns),
        line("p99", "p99", |step| step.p99_ns),
        line("p50", "p50", |step| step.p50_ns),
    ];
    Chart {
        title: "Latency over time",
        about: "Of the answers that came in each step of the run.",
        x: Axis::seconds(steps.last().map_or(0.0, |step| step.ends_s)),
        y: latency_axis(&lines),
        lines,
    }
}

fn rate_over_time(steps: &[Step]) -> Chart {
    let line = |name, class, of: fn(&Step) -> f64| {
        let points = steps.iter().map(|step| (step.ends_s, Some(of(step)))).collect();
        Line { name, class, points }
    };
    let mut lines = vec![
        line("sent", "max", |step| step.sent_per_s),
        line("answered", "p50", |step| step.answered_per_s),
    ];
    if steps.iter().any(|step| step.failed > 0) {
        lines.push(line("failed", "failed", |step| step.failed_per_s));
    }
    let most = lines.iter().flat_map(|line| &line.points).filter_map(|(_, y)| *y);
    Chart {
        title: "Calls over time",
        about: "A second, by when they were sent and when they ended.",
        x: Axis::seconds(steps.last().map_or(0.0, |step| step.ends_s)),
        y: Axis::linear(most.fold(0.0, f64::max), per_second),
        lines,
    }
}

fn latency_axis(lines: &[Line]) -> Axis {
    let values = lines.iter().flat_map(|line| &line.points).filter_map(|(_, y)| *y);
    let values = values.filter(|ns| *ns > 0.0);
    let (least, most) =
        values.fold((f64::MAX, 0.0), |(least, most), ns| (ns.min(least), ns.max(most)));
    Axis::latency(if most > 0.0 { least } else { 1.0 }, most)
}

/// As text of HTML, attributes included.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_named_is_no_html() {
        assert_eq!(escaped("<b a='x'>&\""), "&lt;b a=&#39;x&#39;&gt;&amp;&quot;");
    }
}

//! The comparison of routing algorithms: run once, on virtual time, and judged for each story.
//!
//! It is no row of the table: nothing in it is a server or depends on this machine. Where
//! `adaptive` has the fewest failed calls, or the lowest p99, it is `first`; within two percent of
//! the best, which is what another seed changes, it is `level`; everything else is said as it is.
//! The others never send calls again, so `adaptive+retry` is shown and not judged.

use std::fmt::Write;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::launch::Site;
use super::rows::Program;
use super::table::align;
use crate::process;

/// By which `--rows` calls it.
pub const NAME: &str = "routing";
/// Its program.
pub const PROGRAM: Program = Program::Mode("routing");
const SEED: u64 = 1;
const OURS: &str = "adaptive";
/// The same with calls sent again, which the others do not do.
const NOT_COMPARED: &str = "adaptive+retry";
const LEVEL: f64 = 1.02;

/// One trouble, with every algorithm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Story {
    name: String,
    calls: u64,
    results: Vec<Felt>,
    /// About failed calls, then about the p99; written by the runner.
    #[serde(default)]
    verdicts: Vec<Verdict>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Felt {
    algorithm: String,
    failed: u64,
    p99_ms: f64,
}

/// How `adaptive` stands among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    First,
    Level,
    NotFirst,
}

impl Verdict {
    fn of(ours: f64, best: f64) -> Self {
        match ours {
            _ if ours <= best => Verdict::First,
            _ if ours <= best * LEVEL => Verdict::Level,
            _ => Verdict::NotFirst,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Verdict::First => "first",
            Verdict::Level => "level",
            Verdict::NotFirst => "NOT FIRST",
        }
    }
}

/// Runs it, on the server's processor.
pub fn run(site: &Site) -> Result<Vec<Story>, String> {
    let mut command = Command::new(site.path(PROGRAM));
    command.args([SEED.to_string().as_str(), "--json"]);
    process::pin(&mut command, &[site.server_cpu]);
    let output = command.output().map_err(|error| format!("routing does not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut stories: Vec<Story> = serde_json::from_str(&text)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr).trim()))?;
    stories.iter_mut().for_each(Story::judge);
    Ok(stories)
}

impl Story {
    fn judge(&mut self) {
        let judge = |number: fn(&Felt) -> f64| {
            let ours = self.results.iter().find(|one| one.algorithm == OURS).map(number)?;
            let others =
                self.results.iter().filter(|one| ![OURS, NOT_COMPARED].contains(&&*one.algorithm));
            Some(Verdict::of(ours, others.map(number).min_by(f64::total_cmp)?))
        };
        let found = [judge(|felt| felt.failed as f64), judge(|felt| felt.p99_ms)];
        self.verdicts = found.into_iter().flatten().collect();
    }
}

/// The list of `routing.json`.
pub fn to_json(stories: &[Story]) -> String {
    serde_json::to_string_pretty(stories).expect("stories are texts and numbers")
}

/// A table: for each algorithm failed calls and p99, and what is to be said of `adaptive`.
pub fn to_text(stories: &[Story]) -> String {
    let mut text = format!(
        "routing: failed calls and p99 in ms, on virtual time, seed {SEED}; how {OURS} stands\n\n"
    );
    let Some(first) = stories.first() else { return text };
    let mut columns = vec![("", false), ("calls", true)];
    columns.extend(first.results.iter().map(|felt| (felt.algorithm.as_str(), true)));
    columns.extend([("failed", false), ("p99", false)]);
    let mut lines: Vec<Vec<String>> =
        vec![columns.iter().map(|(name, _)| (*name).to_owned()).collect()];
    for story in stories {
        let mut line = vec![story.name.clone(), story.calls.to_string()];
        let number = |felt: &Felt| format!("{} {:>7.1}", felt.failed, felt.p99_ms);
        line.extend(story.results.iter().map(number));
        line.extend(story.verdicts.iter().map(|verdict| verdict.text().to_owned()));
        line.resize(columns.len(), String::new());
        lines.push(line);
    }
    let _ = write!(text, "{}", align(&columns, &lines));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(results: &[(&str, u64, f64)]) -> Story {
        let felt = |(algorithm, failed, p99_ms): &(&str, u64, f64)| Felt {
            algorithm: (*algorithm).to_owned(),
            failed: *failed,
            p99_ms: *p99_ms,
        };
        let results = results.iter().map(felt).collect();
        let mut story =
            Story { name: "trouble".to_owned(), calls: 1000, results, verdicts: Vec::new() };
        story.judge();
        story
    }

    #[test]
    fn first_is_who_is_no_worse_than_the_best_of_the_others() {
        let story = judged(&[("adaptive", 5, 20.0), ("adaptive+retry", 0, 1.0), ("old", 5, 21.0)]);
        assert_eq!(story.verdicts, [Verdict::First, Verdict::First]);
        let story = judged(&[("adaptive", 101, 20.5), ("old", 100, 30.0), ("new", 700, 20.0)]);
        assert_eq!(story.verdicts, [Verdict::Level, Verdict::NotFirst]);
        let text = to_text(&[story]);
        assert!(text.contains("level") && text.contains("NOT FIRST"), "{text}");
    }

    #[test]
    fn the_json_says_how_it_stands() {
        let text = to_json(&[judged(&[("adaptive", 5, 20.0), ("old", 1, 21.0)])]);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["verdicts"], serde_json::json!(["not-first", "first"]));
    }
}

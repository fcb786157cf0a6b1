//! `msec doctor`: what on this machine helps or hurts a service, and how to mend it.
//!
//! ```text
//!   machine.rs: /proc, /sys, control groups ──┐
//!   msec::machine: io_uring and stacks, tried ┼─► uring.rs, limits.rs, time.rs ─► findings
//!   msec::clock: the price of a reading ──────┘
//! ```
//!
//! A check is a function from facts to a finding, so that the tests hand it the facts of machines
//! that are not at hand. Nothing is changed here: what is to be mended is said, not done.

mod limits;
mod machine;
mod time;
mod uring;

use std::fmt::Write;

use msec::Config;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::flags::Arguments;
use crate::print;
use machine::Machine;

/// Columns of the name of what was looked at, and of the text.
const WHAT_COLUMNS: usize = 20;
const TEXT_COLUMNS: usize = 98;

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Good,
    /// Worth knowing; nothing is lost.
    Note,
    /// Calls fail or cost more because of it.
    Hurts,
}

/// What was found out about one thing.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) what: &'static str,
    pub(crate) state: State,
    /// How it is.
    pub(crate) value: String,
    /// What that means to a service.
    pub(crate) means: String,
    /// What to do; empty if nothing is to be done.
    pub(crate) mend: String,
}

impl Finding {
    fn new(what: &'static str, state: State, value: impl Into<String>) -> Self {
        Self { what, state, value: value.into(), means: String::new(), mend: String::new() }
    }

    fn good(what: &'static str, value: impl Into<String>) -> Self {
        Self::new(what, State::Good, value)
    }

    fn note(what: &'static str, value: impl Into<String>) -> Self {
        Self::new(what, State::Note, value)
    }

    fn hurts(what: &'static str, value: impl Into<String>) -> Self {
        Self::new(what, State::Hurts, value)
    }

    fn means(mut self, means: impl Into<String>) -> Self {
        self.means = means.into();
        self
    }

    fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = mend.into();
        self
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what,
            "state": self.state.name(),
            "value": self.value,
            "means": self.means,
            "mend": self.mend,
        })
    }
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Hurts => "hurts",
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let findings = examine(&Machine::at("/"));
    let hurting = findings.iter().filter(|finding| finding.state == State::Hurts).count();
    if arguments.has("json") {
        let checks: Vec<_> = findings.iter().map(Finding::json).collect();
        print(&format!("{:#}\n", json!({"healthy": hurting == 0, "checks": checks})))?;
    } else {
        print(&text(&findings))?;
    }
    match hurting {
        0 => Ok(()),
        1 => Err(Failure::failed("1 thing hurts")),
        more => Err(Failure::failed(format!("{more} things hurt"))),
    }
}

/// Everything, in the order in which a service meets it.
fn examine(machine: &Machine) -> Vec<Finding> {
    let (config, environment) = match Config::from_env() {
        Ok(config) => (config, Finding::good("environment", "every MSEC_ variable is understood")),
        Err(error) => {
            let finding = Finding::hurts("environment", error.message())
                .means("an engine that reads the environment does not start")
                .mend("set the variable to what is allowed, or unset it");
            (Config::new(), finding)
        }
    };
    let mut findings = vec![environment];
    findings.extend(uring::examine(machine, &config));
    findings.extend(limits::examine(machine, &config));
    findings.extend(time::examine(machine));
    findings
}

/// A line for each finding; what it means and how to mend it below, where it is not simply good.
fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let state = match finding.state {
            State::Good => "ok",
            State::Note => "note",
            State::Hurts => "HURTS",
        };
        let _ = writeln!(text, "{state:6} {:WHAT_COLUMNS$} {}", finding.what, finding.value);
        for (name, what) in [("", &finding.means), ("mend: ", &finding.mend)] {
            let indent = " ".repeat(WHAT_COLUMNS + 8);
            for (index, line) in wrapped(what, TEXT_COLUMNS - indent.len() - 6).enumerate() {
                let name = if index == 0 { name } else { "      " };
                let name = if name.is_empty() || what == &finding.means { "" } else { name };
                let _ = writeln!(text, "{indent}{name}{line}");
            }
        }
    }
    text
}

/// Cuts at spaces into lines of so many columns; a longer word stands alone.
fn wrapped(text: &str, columns: usize) -> impl Iterator<Item = String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_a_line_with_meaning_and_mending_below() {
        let finding = Finding::hurts("open files", "64").means("few ".repeat(40)).mend("more");
        let text = text(&[finding, Finding::good("clock", "tsc")]);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("HURTS  open files"), "{text}");
        assert!(lines[1].trim_start().starts_with("few few"), "{text}");
        assert!(text.contains("mend: more"), "{text}");
        assert!(lines.last().expect("lines").starts_with("ok     clock"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= TEXT_COLUMNS), "{text}");
    }
}

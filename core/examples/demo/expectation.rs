//! What a demo expects of itself, and says at its end.

use std::process::Command;

/// An expectation: whether it was met, what, and the figures.
pub(crate) type Expectation = (bool, String, String);

/// Runs a command that is to say something.
pub(crate) fn called(what: &str, command: &mut Command, expect: &str) -> Expectation {
    let what = what.to_owned();
    match command.output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let line = said.lines().next().unwrap_or_default().to_owned();
            (output.status.success() && line.contains(expect), what, line)
        }
        Err(error) => (false, what, format!("{}: {error}", command.get_program().display())),
    }
}

//! The help texts, out of the table of commands.

use std::ffi::OsString;
use std::fmt::Write;

use crate::commands::{self, COMMANDS, Command};
use crate::failure::Failure;
use crate::print;

/// Columns before the text of a flag.
const FLAG_COLUMNS: usize = 24;

/// `msec help [COMMAND]`.
pub(crate) fn run(words: &[OsString]) -> Result<(), Failure> {
    match words.first() {
        None => print(&overview()),
        Some(name) => print(&of(commands::find(&name.to_string_lossy())?)),
    }
}

/// What there is.
pub(crate) fn overview() -> String {
    let mut text =
        "msec: runs services, calls them, and shows what they do\n\ncommands\n".to_owned();
    for command in COMMANDS {
        line(&mut text, &usage(command)[5..], command.summary);
    }
    line(&mut text, "help COMMAND", "explains a command, with all its flags");
    text.push_str("\nfor example, with `cargo run --release --example echo` in another terminal\n");
    for command in COMMANDS {
        if let Some(example) = command.examples.first() {
            let _ = writeln!(text, "  {}", example.line);
        }
    }
    text
}

/// All about one command.
pub(crate) fn of(command: &Command) -> String {
    let mut text =
        format!("{}\n  {}\n\n{}\n\nflags\n", usage(command), command.summary, command.about,);
    for flag in command.flags() {
        let letter = flag.letter.map_or(String::new(), |letter| format!("-{letter}, "));
        line(&mut text, format!("{letter}--{} {}", flag.name, flag.value).trim_end(), flag.text);
    }
    text.push_str("\nexamples\n");
    for example in command.examples {
        let _ = writeln!(text, "  # {}\n  {}\n", example.does, example.line);
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn usage(command: &Command) -> String {
    let flags = if command.flags.is_empty() { "" } else { " [flags]" };
    let operands: String = command.operands.iter().map(|name| format!(" {name}")).collect();
    format!("msec {}{operands}{flags}", command.name)
}

/// A name and its text in two columns; a long name has the text below it.
fn line(text: &mut String, name: &str, means: &str) {
    let width = FLAG_COLUMNS - 3;
    let _ = match name.len() <= width {
        true => writeln!(text, "  {name:width$} {means}"),
        false => writeln!(text, "  {name}\n{:FLAG_COLUMNS$}{means}", ""),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Arguments;

    /// As a shell would: at spaces, but not within single quotes.
    fn words(line: &str) -> Vec<OsString> {
        let parts = line.split('\'').enumerate();
        let words = parts.flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().collect(),
            _ => vec![part],
        });
        words.map(OsString::from).collect()
    }

    #[test]
    fn every_example_is_a_command_line_that_is_understood() {
        for command in COMMANDS {
            assert!(command.examples.len() >= 2, "{} wants examples", command.name);
            for example in command.examples {
                let mut words = words(example.line);
                // What stands behind is the shell's.
                let end = words.iter().position(|w| w.to_string_lossy().starts_with('>'));
                words.truncate(end.unwrap_or(words.len()));
                assert_eq!(words.remove(0), "msec");
                assert_eq!(words.remove(0), command.name);
                let parsed = Arguments::parse(command, words);
                assert!(parsed.is_ok(), "{}: {:?}", example.line, parsed.err());
            }
        }
    }

    #[test]
    fn help_names_every_flag_and_fits_the_screen() {
        for command in COMMANDS {
            let text = of(command);
            for flag in command.flags() {
                assert!(text.contains(&format!("--{}", flag.name)), "{}", flag.name);
                let same = command.flags().filter(|other| other.name == flag.name).count();
                assert_eq!(same, 1, "--{} is in the table twice", flag.name);
            }
            let prose = text.split("\nexamples\n").next().unwrap_or_default();
            for line in prose.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
        assert!(overview().contains("press ADDRESS [METHOD] [MESSAGE] [flags]"));
    }
}

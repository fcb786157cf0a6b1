//! Command lines: words in, flags and operands out, by the table of a command.
//!
//! [`Arguments::parse`] knows nothing but the table: a flag that is not in it does not exist, and
//! what is in it is in the help. Splitting words is `lexopt`'s business (`--flag value`,
//! `--flag=value`, `-v`, and `--` before operands that look like flags).

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use crate::commands::{Command, Flag};
use crate::failure::Failure;

/// A command line that was taken apart.
pub(crate) struct Arguments {
    command: &'static Command,
    values: Vec<(&'static str, OsString)>,
    operands: Vec<OsString>,
}

impl Arguments {
    /// Takes the words after the command's name apart.
    ///
    /// Fails on unknown flags, with what was probably meant; on a value that is missing or too
    /// much; on a flag that is there twice; on operands that are missing or too many.
    pub(crate) fn parse(command: &'static Command, words: Vec<OsString>) -> Result<Self, Failure> {
        let mut parsed = Self { command, values: Vec::new(), operands: Vec::new() };
        let mut parser = lexopt::Parser::from_args(words);
        while let Some(argument) = parser.next().map_err(|error| parsed.usage(&error))? {
            let flag = match argument {
                lexopt::Arg::Value(operand) => {
                    parsed.operands.push(operand);
                    continue;
                }
                lexopt::Arg::Long(name) => {
                    command.flag(name).ok_or_else(|| parsed.unknown(name))?
                }
                lexopt::Arg::Short(letter) => command
                    .flags()
                    .find(|flag| flag.letter == Some(letter))
                    .ok_or_else(|| parsed.usage(&format!("there is no flag -{letter}")))?,
            };
            if parsed.has(flag.name) && !flag.repeats {
                return Err(parsed.usage(&format!("--{} is there twice", flag.name)));
            }
            let value = match flag.value {
                "" => OsString::new(),
                _ => parser.value().map_err(|_| {
                    parsed.usage(&format!("--{} wants a value: {}", flag.name, flag.value))
                })?,
            };
            parsed.values.push((flag.name, value));
        }
        if !parsed.has("help") {
            parsed.check_operands()?;
        }
        Ok(parsed)
    }

    fn check_operands(&self) -> Result<(), Failure> {
        let names = self.command.operands;
        if let Some(name) = names.get(self.operands.len()).filter(|name| !name.starts_with('[')) {
            return Err(self.usage(&format!("{name} is missing")));
        }
        let repeats = names.last().is_some_and(|name| name.ends_with("..."));
        match self.operands.get(names.len()).filter(|_| !repeats) {
            Some(extra) => {
                let text = format!("`{}` is one argument too many", extra.to_string_lossy());
                Err(self.usage(&text))
            }
            None => Ok(()),
        }
    }

    fn unknown(&self, name: &str) -> Failure {
        let known = self.command.flags().map(|flag| flag.name);
        let meant = match nearest(name, known).first() {
            Some(meant) if strsim::jaro_winkler(name, meant) > 0.7 => {
                format!("; did you mean --{meant}?")
            }
            Some(_) | None => String::new(),
        };
        self.usage(&format!("there is no flag --{name}{meant}"))
    }

    /// A failure that says where the help is.
    pub(crate) fn usage(&self, what: &dyn std::fmt::Display) -> Failure {
        Failure::usage(format!("{what}\n  `msec help {}` says what there is", self.command.name))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    pub(crate) fn value(&self, name: &str) -> Option<&OsStr> {
        debug_assert!(self.command.flag(name).is_some(), "--{name} is in the table");
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_os_str())
    }

    /// All values of a flag that repeats, as text.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&str>, Failure> {
        let values = self.values.iter().filter(|(known, _)| *known == name);
        values.map(|(_, value)| self.utf8(name, value)).collect()
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        self.value(name).map(|value| self.utf8(name, value)).transpose()
    }

    fn utf8<'a>(&self, name: &str, value: &'a OsStr) -> Result<&'a str, Failure> {
        value.to_str().ok_or_else(|| self.usage(&format!("--{name}: not UTF-8")))
    }

    pub(crate) fn operand(&self, index: usize) -> Option<&OsStr> {
        self.operands.get(index).map(OsString::as_os_str)
    }

    pub(crate) fn operands(&self) -> &[OsString] {
        &self.operands
    }

    /// An operand as text; empty if it is not there.
    pub(crate) fn operand_text(&self, index: usize) -> Result<&str, Failure> {
        let operand = self.operand(index).unwrap_or_default();
        operand.to_str().ok_or_else(|| self.usage(&format!("{operand:?}: not UTF-8")))
    }

    /// One of the words that the table has for that flag; the first one unless it is there.
    pub(crate) fn word(&self, name: &str) -> Result<&'static str, Failure> {
        let words = self.command.flag(name).map_or("", |flag| flag.value);
        let Some(text) = self.text(name)? else {
            return Ok(words.split('|').next().unwrap_or_default());
        };
        let known = words.split('|').find(|word| *word == text);
        known.ok_or_else(|| {
            let words = words.replace('|', " or ");
            self.usage(&format!("--{name} `{text}`: {words}"))
        })
    }

    /// A whole number of a range.
    pub(crate) fn count(
        &self,
        name: &str,
        least: usize,
        most: usize,
    ) -> Result<Option<usize>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.parse() {
            Ok(count) if (least..=most).contains(&count) => Ok(Some(count)),
            _ => {
                let what = format!("--{name} `{text}`: a whole number from {least} to {most}");
                Err(self.usage(&what))
            }
        }
    }

    /// A number above 0.
    pub(crate) fn rate(&self, name: &str) -> Result<Option<f64>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.parse::<f64>() {
            Ok(rate) if rate > 0.0 && rate <= 1e9 => Ok(Some(rate)),
            _ => Err(self.usage(&format!("--{name} `{text}`: a number above 0, up to 1e9"))),
        }
    }

    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match parse_duration(text) {
            Some(duration) => Ok(Some(duration)),
            None => Err(self.usage(&format!("--{name} `{text}`: a time like 500ms, 2s or 1.5m"))),
        }
    }
}

/// A number and one of us, ms, s, m, h; up to a day.
fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let unit_s = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * unit_s;
    (0.0..=86_400.0).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// The names, those most like `meant` first.
pub(crate) fn nearest<T: AsRef<str>>(meant: &str, names: impl Iterator<Item = T>) -> Vec<T> {
    let mut names: Vec<T> = names.collect();
    names.sort_by(|a, b| {
        let likeness = |name: &T| strsim::jaro_winkler(meant, name.as_ref());
        likeness(b).total_cmp(&likeness(a))
    });
    names
}

impl Command {
    /// Its own flags and the one that all have.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().copied().flatten().chain(&crate::commands::COMMON)
    }

    pub(crate) fn flag(&self, name: &str) -> Option<&'static Flag> {
        self.flags().find(|flag| flag.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands;

    fn parse(line: &str) -> Result<Arguments, Failure> {
        let mut words = line.split(' ');
        let command = commands::find(words.next().unwrap())?;
        Arguments::parse(command, words.map(OsString::from).collect())
    }

    fn refused(line: &str) -> String {
        format!("{:?}", parse(line).err().expect(line))
    }

    #[test]
    fn times_have_a_unit_and_a_bound() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5m"), Some(Duration::from_secs(90)));
        for bad in ["5", "s", "-1s", "5 s", "1e3s", "25h", "nans", "infs"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn values_and_operands_are_kept_apart() {
        let parsed = parse("press 127.0.0.1:1 a.B.C --depth=3 --rate 10 -v").err();
        assert!(parsed.is_some(), "press has no -v");
        let parsed = parse("press 127.0.0.1:1 a.B.C --depth=3 --rate 10").unwrap();
        assert_eq!(parsed.count("depth", 1, 9).unwrap(), Some(3));
        assert_eq!(parsed.operand_text(1).unwrap(), "a.B.C");
        assert!(parsed.count("depth", 1, 2).is_err());
        let parsed = parse("call x a.B.C --header a=1 --header b=2").unwrap();
        assert_eq!(parsed.texts("header").unwrap(), ["a=1", "b=2"]);
    }

    #[test]
    fn what_is_wrong_is_named_and_the_help_is_shown_the_way_to() {
        assert!(refused("press x --conections 3").contains("did you mean --connections?"));
        assert!(!refused("press x --zzz").contains("did you mean"));
        assert!(refused("press x --depth").contains("--depth wants a value: D"));
        assert!(refused("press x --depth 1 --depth 2").contains("--depth is there twice"));
        assert!(refused("call x").contains("METHOD is missing"));
        assert!(refused("call x a.B.C {} y").contains("`y` is one argument too many"));
        assert!(parse("gen a.proto b.proto").is_ok(), "what ends in dots may be there again");
        assert!(refused("gen").contains("FILE... is missing"));
        assert!(refused("call").contains("`msec help call`"));
        assert!(refused("pres").contains("did you mean `msec press`?"));
    }
}

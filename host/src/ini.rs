//! `config.ini`: sections of keys and values.
//!
//! As the original read it: `#` and `;` begin a comment anywhere in a line, names are
//! case-sensitive, blanks around names and values do not count, and a section that is there twice
//! is an error. Beyond it, a key that is there twice is an error, too: one of the two was meant to
//! be deleted.

use msec::{Code, Error, Result};

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ini {
    entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name in brackets above it.
    pub section: String,
    /// Left of the `=`.
    pub key: String,
    /// Right of it.
    pub value: String,
    /// Counted from 1.
    pub line: usize,
}

/// Sections, keys and values beyond this are no configuration.
const ENTRIES_MAX: usize = 10_000;

impl Ini {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// -1, naming the line.
    pub fn parse(text: &str) -> Result<Ini> {
        let mut ini = Ini::default();
        let mut sections: Vec<String> = Vec::new();
        for (index, whole) in text.lines().enumerate() {
            let line = index + 1;
            let bad = |what: &str| {
                let text = format!("line {line} of config.ini: {what}");
                Err(Error::new(Code::INVALID_PARAMETER, text))
            };
            let text = whole.split(['#', ';']).next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            if let Some(rest) = text.strip_prefix('[') {
                let Some(name) = rest.strip_suffix(']').map(str::trim) else {
                    return bad("a section without its closing `]`");
                };
                if sections.iter().any(|known| known == name) {
                    return bad(&format!("section [{name}] is there twice"));
                }
                sections.push(name.into());
                continue;
            }
            let Some((key, value)) = text.split_once('=') else {
                return bad(&format!("`{text}` is neither `key = value` nor `[section]`"));
            };
            let Some(section) = sections.last() else {
                return bad("a key before the first [section]");
            };
            let (key, value) = (key.trim(), value.trim());
            if ini.value(section, key).is_some() {
                return bad(&format!("{key} is there twice in [{section}]"));
            }
            if key.is_empty() || ini.entries.len() == ENTRIES_MAX {
                return bad("a value without a key, or too many of them");
            }
            let (section, key, value) = (section.clone(), key.into(), value.into());
            ini.entries.push(Entry { section, key, value, line });
        }
        Ok(ini)
    }

    /// The value of a key.
    pub fn value(&self, section: &str, key: &str) -> Option<&str> {
        let found = |entry: &&Entry| entry.section == section && entry.key == key;
        self.entries.iter().find(found).map(|entry| entry.value.as_str())
    }

    /// All of them, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Ini::parse(text).expect_err(text).message().to_owned()
    }

    #[test]
    fn values_are_found_by_section_and_key_without_comments() {
        let text = "# all\n[SRPC]\nlisten = all:7963/tcp ; here\n\n[ LOG ]\nLevel=INFO#x\nempty=\n";
        let ini = Ini::parse(text).unwrap();
        assert_eq!(ini.value("SRPC", "listen"), Some("all:7963/tcp"));
        assert_eq!(ini.value("LOG", "Level"), Some("INFO"));
        assert_eq!(ini.value("LOG", "empty"), Some(""));
        assert_eq!(ini.value("LOG", "level"), None, "names are case-sensitive");
        assert_eq!(ini.entries()[1].line, 6);
        assert_eq!(Ini::parse("").unwrap(), Ini::default());
    }

    #[test]
    fn what_is_malformed_is_named_with_its_line() {
        assert!(refused("[SRPC]\nlisten").starts_with("line 2 of config.ini: `listen` is neither"));
        assert!(refused("[SRPC").contains("line 1 of config.ini: a section without"));
        assert!(refused("a=1").contains("before the first [section]"));
        assert!(refused("[A]\n[B]\n[A]").contains("line 3 of config.ini: section [A] is there"));
        assert!(refused("[A]\nx=1\nx=2").contains("line 3 of config.ini: x is there twice in [A]"));
        assert!(refused("[A]\n=2").contains("without a key"));
    }
}

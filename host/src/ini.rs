//! `config.ini`: sections of keys and values.
//!
//! As the original read it: `#` and `;` begin a comment anywhere in a line, names are
//! case-sensitive, blanks around names and values do not count, and a section that is there twice
//! is an error. Comments may be in any encoding, since files of its time have them in GBK, and a
//! byte order mark is skipped; names and values must be UTF-8, as all is that shows them. Beyond
//! it, a key that is there twice is an error, too: one of the two was meant to be deleted.

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
    /// Reads the content of a file.
    ///
    /// # Errors
    /// -1, naming the line.
    pub fn parse(content: impl AsRef<[u8]>) -> Result<Ini> {
        let text = String::from_utf8_lossy(content.as_ref());
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
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
            if text.contains(char::REPLACEMENT_CHARACTER) {
                return bad("not UTF-8, as names and values must be; comments need not");
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
    fn comments_may_be_in_any_encoding_and_values_may_not() {
        let file = b"\xef\xbb\xbf[LOG] # \xc8\xd5\xd6\xbe\r\nLevel=INFO ; \xbc\xb6\xb1\xf0\r\n";
        assert_eq!(Ini::parse(file).unwrap().value("LOG", "Level"), Some("INFO"));
        let error = Ini::parse(b"[MINE]\ncity=\xb1\xb1\xbe\xa9\n").unwrap_err();
        assert!(error.message().starts_with("line 2 of config.ini: not UTF-8"), "{error}");
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

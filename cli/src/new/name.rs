//! The name of a service, `Level1.level2`, and the names that a project makes of it.

use heck::{ToSnakeCase, ToUpperCamelCase};

use crate::failure::Failure;

/// Longest part of a name: it is a folder, and a label in tables.
const PART_BYTES_MAX: usize = 64;

/// A service's name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServiceName {
    pub(crate) level1: String,
    pub(crate) level2: String,
}

impl ServiceName {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let parts: Vec<&str> = text.split('.').collect();
        let [level1, level2] = parts[..] else {
            return Err(Failure::usage(format!(
                "`{text}` is no name of a service: write two parts, as in Demo.echo"
            )));
        };
        for part in [level1, level2] {
            let is_word = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let begins = part.starts_with(|letter: char| letter.is_ascii_alphabetic());
            if !is_word || !begins || part.len() > PART_BYTES_MAX {
                let text = format!(
                    "`{text}` is no name of a service: each part is a letter and then letters, \
                     digits and underscores, {PART_BYTES_MAX} at most"
                );
                return Err(Failure::usage(text));
            }
        }
        Ok(Self { level1: level1.into(), level2: level2.into() })
    }

    /// The package of its .proto file. Both parts are in it: a namespace `log` or `time` would meet
    /// a function of C.
    pub(crate) fn package(&self) -> String {
        format!("{}_{}", self.level1.to_snake_case(), self.level2.to_snake_case())
    }

    /// What its class is called.
    pub(crate) fn class(&self) -> String {
        self.level2.to_upper_camel_case()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> (String, String) {
        let name = ServiceName::parse(text).expect(text);
        (name.package(), name.class())
    }

    #[test]
    fn a_name_becomes_a_package_and_a_class() {
        let check = |text: &str, package: &str, class: &str| {
            assert_eq!(names(text), (package.to_owned(), class.to_owned()));
        };
        check("Demo.echo", "demo_echo", "Echo");
        check("Demo.EchoServer2", "demo_echo_server2", "EchoServer2");
        check("Login.delete", "login_delete", "Delete");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["echo", "a.b.c", ".b", "a.", "a.b-c", "a.../x", "a.1b", "1.b", "a._", "a.b c"] {
            assert!(ServiceName::parse(bad).is_err(), "{bad}");
        }
        let long = "b".repeat(PART_BYTES_MAX);
        assert!(ServiceName::parse(&format!("a.{long}")).is_ok());
        assert!(ServiceName::parse(&format!("a.{long}b")).is_err());
    }
}

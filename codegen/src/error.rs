//! Why there is no generated code.

use std::fmt;

use miette::Diagnostic;

/// What is wrong, in which file and line of the .proto sources where that is known. Shown as
/// `echo.proto:7: what is wrong`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    file: Option<String>,
    line: Option<usize>,
    what: String,
}

impl Error {
    pub(crate) fn new(what: impl Into<String>) -> Error {
        Error { file: None, line: None, what: what.into() }
    }

    pub(crate) fn at(file: &str, line: Option<usize>, what: impl Into<String>) -> Error {
        Error { file: Some(file.to_string()), line, what: what.into() }
    }

    /// The file as it was found below its include folder.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The line in that file, from one.
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if self.file.is_some() {
            write!(f, " ")?;
        }
        write!(f, "{}", self.what)
    }
}

impl std::error::Error for Error {}

impl From<protox::Error> for Error {
    fn from(error: protox::Error) -> Error {
        let line = (|| {
            let label = error.labels()?.next()?;
            let place = error.source_code()?.read_span(label.inner(), 0, 0).ok()?;
            Some(place.line() + 1)
        })();
        // The reason of the system, as in "permission denied", is a source of its own.
        let what = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Error { file: error.file().map(str::to_string), line, what }
    }
}

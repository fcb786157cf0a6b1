//! Why the command ends with another status than 0, and what the user reads then.

use std::process::ExitCode;

use msec::{Code, Error, Side};

/// What went wrong. The text says to what, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    kind: Kind,
    command: String,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The call or the run failed: status 1.
    Failed,
    /// The command line, a file that it names or the JSON is wrong: status 2.
    Usage,
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, command: String::new(), text: text.into() }
    }

    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self { kind: Kind::Failed, command: String::new(), text: text.into() }
    }

    /// Says in which command it happened.
    pub(crate) fn in_command(mut self, name: &str) -> Self {
        self.command = format!(" {name}");
        self
    }

    /// Writes it for the user; the exit status.
    pub(crate) fn tell(&self) -> ExitCode {
        eprintln!("msec{}: {}", self.command, self.text);
        ExitCode::from(match self.kind {
            Kind::Failed => 1,
            Kind::Usage => 2,
        })
    }
}

/// A call's error: what it says of itself, and what is most likely behind it.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::failed(format!("{error}\n  likely cause: {}", likely_cause(&error)))
    }
}

/// What to look at first. Codes that say nothing here are looked up by whose side they are on.
fn likely_cause(error: &Error) -> &'static str {
    match error.code() {
        Code::INVALID_METHOD => {
            "the server has no such method: another service's port, or an older version of it"
        }
        Code::INVALID_BODY => "the server's messages are not those of the schema given here",
        Code::TIMEOUT => {
            "the server is slow, stopped or unreachable; over UDP the datagram may be lost. \
             --timeout waits longer"
        }
        Code::NETWORK => {
            "no server listens there, it died, a firewall is in between, or the port speaks \
             another protocol"
        }
        Code::NO_ROUTE => "the route table (--routes FILE) has no instance of that service",
        Code::TOO_LARGE => "a limit of bytes: of datagrams 64 KiB, of bodies 16 MiB by default",
        Code::OVERLOADED => "the server is at one of its limits; it may be tried again",
        Code::DRAINING => "the server is about to stop; another instance would answer",
        Code::SERVICE_FAILED => "the method itself failed; the server's log may say more",
        _ => match error.side() {
            Side::Caller => "the request itself; the same request will fail again",
            Side::Peer => "the server, which answered with this code",
            Side::Local => "this machine",
            Side::Platform | Side::Nobody => "what lies between here and the server",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_call_says_code_text_and_likely_cause() {
        let failure = Failure::from(Error::new(Code::TIMEOUT, "no answer from x"));
        assert!(failure.text.starts_with("-10 timeout: no answer from x\n  likely cause: the "));
        assert_eq!(failure.kind, Kind::Failed);
        let unknown = Failure::from(Error::new(Code(-77), "")).text;
        assert!(unknown.contains("likely cause: "), "{unknown}");
    }
}

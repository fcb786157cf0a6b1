//! The result codes: the one list.
//!
//! Each call ends with one code, field `err` of the answer's head. Three families share the
//! number line so that they never meet:
//!
//! ```text
//!       0            success
//!      -1 …   -21    the original engine's codes, with its very texts
//!    -101 …  -109    ours: refusals and endings that the original could not express
//!   -1000            what old Java servers answer when business code threw
//! ```
//!
//! A business result is none of these: it travels in field `result`, which no layer interprets.
//!
//! Every other place that names a code (the C header, Java, the console, the docs) is generated
//! from [`ALL`]. Some texts are misspelt; old monitoring builds its attribute names from the texts
//! (`frm.rpc <text>`), so mending them would split a decade of charts.
use core::fmt;

/// The outcome of a call: zero is success, everything else a failure of a known kind.
///
/// A plain number, since a peer may send one that this version does not know;
/// [`info`] tells what is known of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Code(pub i32);

/// Whose doing a failure is, which is who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Nobody: the call succeeded.
    Nobody,
    /// The caller: the request itself is wrong, and will be wrong the next time.
    Caller,
    /// The service that was called.
    Peer,
    /// This process, before anything was sent or after everything was received.
    Local,
    /// What lies between: network, naming, the machines.
    Platform,
}

/// What is known of a [`Code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeInfo {
    /// The number on the wire.
    pub code: Code,
    /// The name in source code, as other languages spell it: upper case, underscores.
    pub name: &'static str,
    /// The text for people.
    pub text: &'static str,
    /// The method surely did not run, and another attempt, elsewhere or a little later, may do
    /// better. False also where it is unknown whether the method ran: such a call may be repeated
    /// only if the method is idempotent, which the code cannot know.
    pub retryable: bool,
    /// Who has to act.
    pub side: Side,
    /// The status of the modern HTTP form (`POST /pkg.Svc/Method`).
    pub http_status: u16,
}

/// Writes the constants and the table from one list, so that no number is typed twice.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal,
       $retry:ident, $side:ident, $http:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Code = Code($number);)*
        }
        /// Every code this version knows, from 0 downwards.
        pub const ALL: &[CodeInfo] = &[$(CodeInfo {
            code: Code::$name,
            name: stringify!($name),
            text: $text,
            retryable: $retry,
            side: Side::$side,
            http_status: $http,
        }),*];
    };
}

codes! {
    /// The call succeeded.
    OK = 0, "success", false, Nobody, 200;
    /// An argument of the call is not acceptable.
    INVALID_PARAMETER = -1, "invalid parameter", false, Caller, 400;
    /// The operating system refused something.
    SYSTEM_ERROR = -2, "system error", false, Local, 500;
    /// The frame is malformed.
    INVALID_PACKAGE = -3, "invalid package", false, Caller, 400;
    /// The head of a frame is malformed or over a bound.
    INVALID_HEAD = -4, "invalid package header", false, Caller, 400;
    /// The body is not a message of the type that the method takes.
    INVALID_BODY = -5, "invalid package body", false, Caller, 400;
    /// The service has no such method.
    INVALID_METHOD = -6, "invalid method name", false, Caller, 404;
    /// A head was used before it was filled in.
    HEAD_UNSET = -7, "package header uninitialized", false, Local, 500;
    /// A body was used before it was filled in.
    BODY_UNSET = -8, "package body uninitialized", false, Local, 500;
    /// Memory could not be had.
    NO_MEMORY = -9, "no memory", false, Local, 500;
    /// No answer came in time; whether the method ran is unknown.
    TIMEOUT = -10, "timeout", false, Peer, 504;
    /// The connection could not be made or died; whether the method ran is unknown.
    NETWORK = -11, "network error", false, Platform, 502;
    /// The original's blocking clients: nothing was received in time.
    RECV_TIMEOUT = -12, "recevice timeout", false, Peer, 504;
    /// The original's clients: sending or receiving failed.
    SEND_RECV_FAILED = -13, "network sendrecv failed", false, Platform, 502;
    /// The address in a call cannot be understood.
    INVALID_ENDPOINT = -14, "invalid endpoint", false, Caller, 400;
    /// The service name is in no route table.
    NO_ROUTE = -15, "get route failed", true, Platform, 503;
    /// A sequence is not the expected one, or already in flight on its connection; or no answer
    /// came in time but to what was never asked.
    INVALID_SEQUENCE = -16, "invalid sequence", false, Caller, 400;
    /// A body was expected.
    NO_BODY = -17, "no package body", false, Caller, 400;
    /// The business method failed or panicked.
    SERVICE_FAILED = -18, "service implement failed", false, Peer, 500;
    /// A process behind the service failed.
    BACKEND_FAILED = -19, "backend process failed, use GetErrText get more information",
        false, Peer, 502;
    /// Old PHP servers: the script failed.
    PHP_FAILED = -20, "php error", false, Peer, 500;
    /// Old Python servers: the script failed.
    PYTHON_FAILED = -21, "python error", false, Peer, 500;
    /// A limit of the server is reached; the method did not run.
    OVERLOADED = -101, "overloaded", true, Peer, 503;
    /// The caller's deadline had passed before the method could start. Nobody waits any more, so
    /// another attempt is pointless although it would be safe.
    DEADLINE_EXCEEDED = -102, "deadline exceeded before start", false, Peer, 504;
    /// The caller gave up, by a cancel or by its connection's death.
    CANCELLED = -103, "cancelled", false, Caller, 499;
    /// The server is leaving and takes no further calls; the method did not run.
    DRAINING = -104, "draining", true, Peer, 503;
    /// A frame is over its size limit; on a server, the method did not run.
    TOO_LARGE = -105, "message too large", false, Caller, 413;
    /// The caller did not prove who it is.
    UNAUTHENTICATED = -106, "unauthenticated", false, Caller, 401;
    /// The caller may not call this method.
    FORBIDDEN = -107, "forbidden", false, Caller, 403;
    /// The caller is over its quota. Not retryable: the next instance would defeat the quota.
    RATE_LIMITED = -108, "rate limited", false, Caller, 429;
    /// The service is known but none of its instances can be used now.
    NO_HEALTHY_INSTANCE = -109, "no healthy instance", true, Platform, 503;
    /// Old Java servers: business code threw.
    JAVA_FAILED = -1000, "java service exception", false, Peer, 500;
}

/// Stands for every number that is not in [`ALL`].
pub const UNKNOWN: CodeInfo = CodeInfo {
    code: Code(i32::MIN),
    name: "UNKNOWN",
    text: "unkown error",
    retryable: false,
    side: Side::Peer,
    http_status: 500,
};

/// How many of the original's codes there are, 0 included.
const ORIGINAL_COUNT: usize = 22;
/// How many codes of ours follow, from -101 downwards.
const OURS_COUNT: usize = 9;

// `row` finds a code by arithmetic; this is what it relies on.
const _: () = {
    assert!(ALL.len() == ORIGINAL_COUNT + OURS_COUNT + 1);
    let mut index = 0;
    while index < ORIGINAL_COUNT {
        assert!(ALL[index].code.0 == -(index as i32));
        index += 1;
    }
    while index < ORIGINAL_COUNT + OURS_COUNT {
        assert!(ALL[index].code.0 == -101 - (index - ORIGINAL_COUNT) as i32);
        index += 1;
    }
    assert!(ALL[index].code.0 == Code::JAVA_FAILED.0);
};

/// What is known of `code`; [`UNKNOWN`] for a number that is in no list.
#[inline]
pub fn info(code: Code) -> &'static CodeInfo {
    ALL.get(row(code)).unwrap_or(&UNKNOWN)
}

/// The index of a code in [`ALL`]; `ALL.len()` for one that is in no list.
#[inline]
pub fn row(code: Code) -> usize {
    match code.0 {
        -21..=0 => code.0.unsigned_abs() as usize,
        -109..=-101 => ORIGINAL_COUNT + (-101 - code.0) as usize,
        -1000 => ORIGINAL_COUNT + OURS_COUNT,
        _ => ALL.len(),
    }
}

impl Code {
    /// Whether the call succeeded.
    pub fn is_ok(self) -> bool {
        self.0 == 0
    }
    /// The text for people; the same as `info(self).text`.
    pub fn text(self) -> &'static str {
        info(self).text
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", info(*self).name, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn every_row_is_found_by_its_number() {
        for row in ALL {
            assert_eq!(info(row.code), row);
        }
    }

    #[test]
    fn unlisted_numbers_are_unknown_and_keep_their_number() {
        for number in [1, -22, -100, -110, -999, -1001, i32::MIN, i32::MAX] {
            assert_eq!(info(Code(number)), &UNKNOWN, "{number}");
            assert_eq!(format!("{:?}", Code(number)), format!("UNKNOWN({number})"));
        }
    }

    #[test]
    fn the_original_texts_are_kept_letter_by_letter() {
        assert_eq!(Code(-12).text(), "recevice timeout");
        assert_eq!(Code(-19).text(), "backend process failed, use GetErrText get more information");
        assert_eq!(Code(7).text(), "unkown error");
    }

    #[test]
    fn retryable_codes_are_exactly_those_given_before_the_method_runs() {
        let retryable: std::vec::Vec<i32> =
            ALL.iter().filter(|row| row.retryable).map(|row| row.code.0).collect();
        assert_eq!(retryable, [-15, -101, -104, -109]);
    }

    #[test]
    fn names_and_texts_are_unique() {
        for (index, row) in ALL.iter().enumerate() {
            for other in &ALL[..index] {
                assert_ne!(row.name, other.name);
                assert_ne!(row.text, other.text);
            }
        }
    }
}

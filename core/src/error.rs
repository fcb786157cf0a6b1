//! The one error of the public API.
//!
//! Whatever goes wrong inside, with its own narrow enum, leaves the engine as an [`Error`], and
//! each answers the same five questions: what happened (a [`Code`], the same number that travels on
//! the wire), whose side has to act, may it be tried again, in which operation, and a sentence that
//! names the thing it happened to and the likely cause. Side and retryability belong to the code
//! and are looked up, so that no two errors of one code can disagree.
//!
//! The type is one pointer wide, because it sits in every `Result` of the path of a call; what it
//! points at is made only when something has gone wrong.
//!
//! ```text
//! -11 network error: connection to 10.0.0.7:7963 reset by the peer (calling echo.EchoService.Echo)
//! │   │              └ the message                                  └ the operation
//! │   └ the code's text
//! └ the code
//! ```
//!
//! Operating system errors are mapped errno by errno. "Permission denied" says little; that the
//! port is below 1024 says what to do.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::Arc;

use msec_protocol::status;
use msec_protocol::{Code, Side};

/// What the operations of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed.
///
/// A handler returns one to answer its caller with the code and the message; a call returns one
/// with the code that the service answered, or that the engine found itself. Clones share what is
/// inside.
#[derive(Clone)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Clone)]
struct Inner {
    code: Code,
    /// Empty if the code says it all.
    message: Cow<'static, str>,
    /// A verb and its object; empty if unknown.
    operation: Cow<'static, str>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// The request surely has not left.
    unsent: bool,
    /// A service has answered so.
    answered: bool,
}

impl Error {
    /// Makes an error of that code.
    ///
    /// `message` says what happened, to what, and the likely cause: lower case, no full stop, no
    /// user data. It is sent to the caller when a handler returns it, cut after
    /// [`ERR_MSG_BYTES_MAX`](msec_protocol::limits::ERR_MSG_BYTES_MAX) bytes.
    #[cold]
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Error {
        let (message, operation) = (message.into(), Cow::Borrowed(""));
        let (source, unsent, answered) = (None, false, false);
        Error { inner: Box::new(Inner { code, message, operation, source, unsent, answered }) }
    }

    /// The business method failed: [`Code::SERVICE_FAILED`] (-18).
    pub fn failed(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Code::SERVICE_FAILED, message)
    }

    /// The operating system refused something; the code and the likely cause follow from the errno.
    ///
    /// `operation` is a verb and its object: "listen on 0.0.0.0:7963".
    pub fn from_io(operation: &str, error: &io::Error) -> Error {
        let (code, message, source) = match error.raw_os_error() {
            Some(errno) => {
                let (code, cause) = of_errno(errno);
                let source = io::Error::from_raw_os_error(errno);
                (code, format!("{cause} (errno {errno})"), Some(source))
            }
            None => (of_kind(error.kind()), error.to_string(), None),
        };
        let mut made = Error::new(code, message).during(operation.to_owned());
        made.inner.source = source.map(|source| Arc::new(source) as _);
        made
    }

    /// Something inside the engine failed that its user cannot have caused.
    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Code::SYSTEM_ERROR, message)
    }

    /// A blocking operation on no coroutine: on a core thread it would stop all the others.
    pub(crate) fn would_block(operation: &str) -> Error {
        let message = "only a coroutine can wait here: this is a callback method, a callback of \
                       the engine, or a thread that is no core's";
        Error::new(Code::SYSTEM_ERROR, message).during(operation.to_owned())
    }

    /// What a service answered: its code, and its text as it came, in whatever encoding.
    pub(crate) fn answered(code: Code, text: &[u8], method: &str) -> Error {
        let text = String::from_utf8_lossy(text).into_owned();
        let mut error = Error::new(code, text).while_calling(method);
        error.inner.answered = true;
        error
    }

    /// Names the operation in which it happened: a verb and its object. The last one counts.
    #[must_use]
    pub fn during(mut self, operation: impl Into<Cow<'static, str>>) -> Error {
        self.inner.operation = operation.into();
        self
    }

    /// The operation is a call of that method.
    #[must_use]
    pub(crate) fn while_calling(self, method: &str) -> Error {
        self.during(format!("calling {method}"))
    }

    /// Keeps what caused it, for [`source`](std::error::Error::source).
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.inner.source = Some(Arc::new(source));
        self
    }

    /// What happened, as it travels on the wire.
    pub fn code(&self) -> Code {
        self.inner.code
    }

    /// Whether a service has answered so; else whoever called it has found that.
    pub fn is_answer(&self) -> bool {
        self.inner.answered
    }

    /// Who has to act.
    pub fn side(&self) -> Side {
        status::info(self.inner.code).side
    }

    /// Whether the method surely did not run and another attempt may do better.
    ///
    /// False also where it is unknown whether the method ran; an idempotent call may be repeated
    /// even then.
    pub fn retryable(&self) -> bool {
        self.inner.unsent || status::info(self.inner.code).retryable
    }

    /// The request surely has not left, so the method cannot have run.
    #[must_use]
    pub(crate) fn unsent(mut self) -> Error {
        self.inner.unsent = true;
        self
    }

    /// Whether the request surely has not left.
    pub(crate) fn is_unsent(&self) -> bool {
        self.inner.unsent
    }

    /// What was being done: a verb and its object. Empty if unknown.
    pub fn operation(&self) -> &str {
        &self.inner.operation
    }

    /// What happened, to what, and the likely cause. Empty if the code says it all.
    pub fn message(&self) -> &str {
        &self.inner.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { code, message, operation, .. } = &*self.inner;
        write!(formatter, "{} {}", code.0, code.text())?;
        if !message.is_empty() {
            write!(formatter, ": {message}")?;
        }
        if !operation.is_empty() {
            write!(formatter, " ({operation})")?;
        }
        Ok(())
    }
}

/// As it is displayed: `unwrap` and `main` print this form, and it is for people too.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_ref().map(|source| &**source as _)
    }
}

impl From<Code> for Error {
    fn from(code: Code) -> Error {
        Error::new(code, "")
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        let made = Error::from_io("", &error);
        made.with_source(error)
    }
}

/// The code and the likely cause. Texts in the manner of a message: they follow "system error: ".
fn of_errno(errno: i32) -> (Code, &'static str) {
    match errno {
        libc::ECONNREFUSED => (Code::NETWORK, "connection refused: nobody listens there"),
        libc::ECONNRESET => (Code::NETWORK, "connection reset by the peer"),
        libc::ECONNABORTED => (Code::NETWORK, "connection aborted"),
        libc::EPIPE => (Code::NETWORK, "connection closed by the peer"),
        libc::ENOTCONN => (Code::NETWORK, "not connected any more"),
        libc::ESHUTDOWN => (Code::NETWORK, "connection was shut down"),
        libc::ETIMEDOUT => (Code::NETWORK, "the peer does not respond: gone, or behind a firewall"),
        libc::EHOSTUNREACH | libc::EHOSTDOWN => (Code::NETWORK, "host cannot be reached"),
        libc::ENETUNREACH => (Code::NETWORK, "no route to that network"),
        libc::ENETDOWN => (Code::NETWORK, "network interface is down"),
        libc::ENETRESET => (Code::NETWORK, "connection reset by the network"),
        libc::EADDRINUSE => {
            (Code::SYSTEM_ERROR, "address in use: another process listens there, or ports are out")
        }
        libc::EADDRNOTAVAIL => {
            (Code::INVALID_ENDPOINT, "no interface of this machine has that address")
        }
        libc::EAFNOSUPPORT => {
            (Code::INVALID_ENDPOINT, "this machine does not speak that kind of address")
        }
        libc::ENOENT => (Code::SYSTEM_ERROR, "no such file or socket"),
        libc::EACCES => {
            (Code::SYSTEM_ERROR, "permission denied: a file's mode, or a port below 1024")
        }
        libc::EPERM => (
            Code::SYSTEM_ERROR,
            "not permitted: a security filter, a firewall or lack of privilege",
        ),
        libc::EMFILE => {
            (Code::SYSTEM_ERROR, "this process has no file descriptor left (ulimit -n)")
        }
        libc::ENFILE => (Code::SYSTEM_ERROR, "this machine has no file descriptor left"),
        libc::EAGAIN => {
            (Code::SYSTEM_ERROR, "not at this moment: a limit of the system is reached")
        }
        libc::ENOSYS => (Code::SYSTEM_ERROR, "this kernel does not know that system call"),
        libc::EOPNOTSUPP => (Code::SYSTEM_ERROR, "this kernel or file does not support that"),
        libc::EINVAL => (Code::SYSTEM_ERROR, "the kernel does not accept an argument"),
        libc::ENOSPC => (Code::SYSTEM_ERROR, "no space left"),
        libc::ENOMEM => (Code::NO_MEMORY, "the kernel gives no more memory"),
        libc::ENOBUFS => (Code::NO_MEMORY, "the kernel has no buffer space left"),
        libc::EMSGSIZE => (Code::TOO_LARGE, "larger than a datagram may be"),
        libc::ECANCELED => (Code::CANCELLED, "the operation was cancelled"),
        _ => (Code::SYSTEM_ERROR, "the operating system refused it"),
    }
}

/// For errors that carry no errno: they come from libraries, not from the kernel.
fn of_kind(kind: io::ErrorKind) -> Code {
    use io::ErrorKind as Kind;
    if matches!(kind, Kind::UnexpectedEof | Kind::BrokenPipe | Kind::ConnectionReset) {
        Code::NETWORK
    } else if matches!(kind, Kind::TimedOut) {
        Code::TIMEOUT
    } else if matches!(kind, Kind::OutOfMemory) {
        Code::NO_MEMORY
    } else if matches!(kind, Kind::InvalidInput | Kind::InvalidData) {
        Code::INVALID_PARAMETER
    } else {
        Code::SYSTEM_ERROR
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn displays_code_text_message_and_operation_and_leaves_out_what_is_empty() {
        let reset = Error::new(Code::NETWORK, "connection to 127.0.0.1:7963 reset by the peer");
        let full = "-11 network error: connection to 127.0.0.1:7963 reset by the peer \
                    (calling echo.EchoService.Echo)";
        assert_eq!(reset.while_calling("echo.EchoService.Echo").to_string(), full);
        assert_eq!(
            Error::failed("no such user").to_string(),
            "-18 service implement failed: no such user"
        );
        assert_eq!(Error::from(Code::TIMEOUT).during("asking").to_string(), "-10 timeout (asking)");
        assert_eq!(format!("{:?}", Error::from(Code::TIMEOUT)), "-10 timeout");
        assert_eq!(Error::from(Code(77)).to_string(), "77 unkown error", "a code of the future");
    }

    #[test]
    fn side_and_retryability_are_those_of_the_code() {
        for info in status::ALL {
            let error = Error::from(info.code);
            assert_eq!((error.side(), error.retryable()), (info.side, info.retryable));
        }
        assert!(Error::from(Code::OVERLOADED).retryable());
        assert_eq!(Error::failed("").side(), Side::Peer);
    }

    #[test]
    fn an_answer_in_a_foreign_encoding_is_still_an_error() {
        let error = Error::answered(Code(-1000), b"caf\xe9", "a.B.C");
        assert_eq!(error.to_string(), "-1000 java service exception: caf\u{fffd} (calling a.B.C)");
    }

    #[test]
    fn an_errno_tells_its_code_and_its_likely_cause() {
        let check = |errno, code, expect: &str| {
            let error = Error::from_io("listen on x", &io::Error::from_raw_os_error(errno));
            assert_eq!((error.code(), error.message()), (code, expect));
            assert_eq!(error.operation(), "listen on x");
            let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
            assert_eq!(source.and_then(io::Error::raw_os_error), Some(errno));
        };
        let refused = "connection refused: nobody listens there (errno 111)";
        check(libc::ECONNREFUSED, Code::NETWORK, refused);
        let full = "this process has no file descriptor left (ulimit -n) (errno 24)";
        check(libc::EMFILE, Code::SYSTEM_ERROR, full);
        check(libc::ENOMEM, Code::NO_MEMORY, "the kernel gives no more memory (errno 12)");
        check(4095, Code::SYSTEM_ERROR, "the operating system refused it (errno 4095)");
    }

    #[test]
    fn an_io_error_without_errno_goes_by_its_kind_and_keeps_its_text() {
        let error = Error::from(io::Error::new(io::ErrorKind::UnexpectedEof, "half a file"));
        assert_eq!(error.to_string(), "-11 network error: half a file");
        assert_eq!(error.source().expect("it is kept").to_string(), "half a file");
        let error = Error::from(io::Error::from(io::ErrorKind::InvalidInput));
        assert_eq!(error.code(), Code::INVALID_PARAMETER);
    }

    #[test]
    fn it_is_one_pointer_and_goes_anywhere() {
        fn goes_anywhere<T: Send + Sync + Clone + 'static>() {}
        goes_anywhere::<Error>();
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}

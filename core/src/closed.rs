//! Why connections end.

use msec_protocol::BadFrame;

/// Why a connection is closed, for those who wait on it and for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The peer ended its side, or nothing is left to do.
    Ended,
    /// The kernel reports this errno.
    Failed(i32),
    /// The peer broke the protocol.
    Bad(BadFrame),
    /// Its head makes no sense.
    BadHead(msec_protocol::BadHead),
    /// TLS failed, or was not agreed on.
    Tls(String),
    /// What came is not TLS, and that is demanded here.
    NotTls,
    /// The stream ended where TLS says that it goes on.
    Cut,
    /// No progress for too long.
    Stalled,
    /// Calls on it time out and nothing comes.
    Silent,
    /// An answer of another protocol is over the limit of bytes.
    TooMuch,
    /// The engine or server stops, or the pool has no use for it.
    Stopped,
    /// Another process goes on with it.
    HandedOver,
}

impl Closed {
    /// Whether it is the peer's doing, or that of the network: it did not answer as it should.
    pub(crate) fn is_the_peers(&self) -> bool {
        match self {
            Self::Ended | Self::Failed(_) | Self::Bad(_) | Self::BadHead(_) => true,
            Self::Tls(_) | Self::NotTls | Self::Cut => true,
            Self::Stalled | Self::Silent | Self::TooMuch => false,
            Self::Stopped | Self::HandedOver => false,
        }
    }

    /// Whether the peer did what no sane one does: the operator is told.
    pub(crate) fn is_a_breach(&self) -> bool {
        match self {
            Self::Bad(_) | Self::BadHead(_) | Self::Tls(_) | Self::NotTls | Self::Cut => true,
            Self::Stalled | Self::TooMuch => true,
            // Silence is told when the connection is given up, which may be long before it ends.
            Self::Ended | Self::Failed(_) | Self::Silent => false,
            Self::Stopped | Self::HandedOver => false,
        }
    }
}

impl std::fmt::Display for Closed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended => out.write_str("closed by the peer"),
            Self::Failed(errno) => write!(out, "{}", std::io::Error::from_raw_os_error(*errno)),
            Self::Bad(bad) => write!(out, "not the protocol: {bad}"),
            Self::BadHead(bad) => write!(out, "not the protocol: {bad}"),
            Self::Tls(why) => write!(out, "TLS: {why}"),
            Self::NotTls => out.write_str("it speaks plainly, and TLS is demanded here"),
            Self::Cut => out.write_str("TLS: the stream was cut; the peer has not ended it"),
            Self::Stalled => out.write_str("no progress for too long"),
            Self::Silent => out.write_str("calls time out and no byte comes back"),
            Self::TooMuch => out.write_str("the answer is over the limit of bytes"),
            Self::Stopped => out.write_str("closed on our side"),
            Self::HandedOver => out.write_str("handed over to another process"),
        }
    }
}

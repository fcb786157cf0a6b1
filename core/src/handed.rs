//! Connections that go from one process to another, with all that was read of them.
//!
//! ```text
//!   old process: stop reading ─► answer what is under way ─► socket + bytes not looked at ─► heir
//!   new process:                               take_handed ─► those bytes first ─► read on
//! ```
//!
//! The peer notices nothing: not a byte is lost, nothing is asked of it, and it need not connect
//! again. A connection can go when it is between two requests. One that speaks TLS cannot, since
//! its keys are this process's, nor one that speaks HTTP; these are asked to leave. What a
//! connection does to go is in `connection/handing.rs`.

use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A connection on its way from one process to another.
#[derive(Debug)]
pub struct Handed {
    /// Its socket.
    pub socket: OwnedFd,
    /// What was received and not looked at: the beginning of requests.
    pub bytes: Vec<u8>,
}

/// Who gets connections that are handed over. Called on core threads; must not block.
pub(crate) type Heir = Arc<dyn Fn(Handed) + Send + Sync>;

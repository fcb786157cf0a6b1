//! What a call may say beyond its method and message: how long, how often, to whom rather, as what.

use std::sync::Arc;
use std::time::Duration;

use msec_protocol::route::HedgeDelay;
use msec_protocol::{Code, Metadata, Priority, route};

use crate::compress::Compress;
use crate::error::{Error, Result};

/// How long a call waits that says nothing.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);

/// What a call may say beyond its method and message.
///
/// ```
/// use std::time::Duration;
/// let options = msec::CallOptions::new()
///     .timeout(Duration::from_millis(50))
///     .header("tenant", b"blue")?
///     .dyed(true);
/// # Ok::<(), msec::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    timeout: Option<Duration>,
    pub(crate) metadata: Metadata,
    pub(crate) dyed: bool,
    pub(crate) one_way: bool,
    pub(crate) lane: Option<u16>,
    pub(crate) priority: Option<Priority>,
    pub(crate) compress: Compress,
    pub(crate) idempotent: bool,
    pub(crate) hedge: Option<HedgeDelay>,
    pub(crate) key: Option<u64>,
    pub(crate) retries: Option<u8>,
    caller: Option<Arc<str>>,
}

impl CallOptions {
    /// One second, nothing else.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long to wait; connecting, sending and waiting together. Default one second; a nested
    /// call waits no longer than its request's caller does.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Adds a user header: up to 64, of 8 KiB together. -1 if it does not fit.
    pub fn header(mut self, key: &str, value: &[u8]) -> Result<Self> {
        self.metadata.add(key, value).map_err(|_| {
            let text = format!("header `{key}` does not fit: at most 64 headers of 8 KiB together");
            Error::new(Code::INVALID_PARAMETER, text)
        })?;
        Ok(self)
    }

    /// Dyes the request: every service on its way keeps all its log lines and spans.
    pub fn dyed(mut self, dyed: bool) -> Self {
        self.dyed = dyed;
        self
    }

    /// Which request goes first when the callee cannot serve all; without it, that of the request
    /// that this call is made for, or [`Priority::Default`].
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Wants no answer: the call returns when the request is written.
    pub fn one_way(mut self, one_way: bool) -> Self {
        self.one_way = one_way;
        self
    }

    /// Compresses the body, and lets the answer be compressed, once the peer has told that it
    /// understands that: from the second call on a connection on. Over UDP nothing is compressed.
    pub fn compress(mut self, compress: Compress) -> Self {
        self.compress = compress;
        self
    }

    /// Sends the call on the connection of a lane: a core has one connection to a peer for each
    /// lane that is used, apart from those that calls share. Calls on a lane leave in the order in
    /// which they were made. Over UDP there are no lanes.
    pub fn lane(mut self, index: u16) -> Self {
        self.lane = Some(index);
        self
    }

    /// Says that the method may run twice: a call whose connection dies is then sent again, to
    /// another instance. Without it, only what surely did not run is: calls that did not get there
    /// or were refused.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// How often the call may be sent again, 0 to 2; default 2. It is sent again only to another
    /// instance, before its deadline, and as long as such attempts are less than a tenth of the
    /// calls to the service.
    pub fn retries(mut self, count: u8) -> Self {
        self.retries = Some(count);
        self
    }

    /// Sends the call a second time, to another instance, if there is no answer after so long; the
    /// first answer counts, and the other attempt is cancelled. Implies
    /// [`idempotent`](Self::idempotent). Such attempts count as retries do.
    pub fn hedge_after(mut self, delay: Duration) -> Self {
        let delay_ns = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.hedge = Some(HedgeDelay::AfterNs(delay_ns));
        self.idempotent = true;
        self
    }

    /// As [`hedge_after`](Self::hedge_after), when the answer is later than 95 of 100 calls of the
    /// method have been, of late and on this core.
    pub fn hedge_at_p95(mut self) -> Self {
        self.hedge = Some(HedgeDelay::P95);
        self.idempotent = true;
        self
    }

    /// What the call is about, such as a user: calls with one key go to one instance if the
    /// service's policy is `hash`, and to one side of a canary.
    pub fn key(mut self, key: &[u8]) -> Self {
        self.key = Some(route::key_of(key));
        self
    }

    /// The name that the callee sees as caller; without it,
    /// [`Config::service`](crate::Config::service).
    pub fn from_service(mut self, name: &str) -> Self {
        self.caller = Some(name.into());
        self
    }

    pub(crate) fn timeout_or_default(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT_DEFAULT)
    }

    /// The caller that it names, or else this service.
    pub(crate) fn caller_or<'a>(&'a self, service: &'a str) -> &'a str {
        self.caller.as_deref().unwrap_or(service)
    }
}

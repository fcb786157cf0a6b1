//! Third-party protocols: bytes out, and a function that says when an answer is whole.
//!
//! Other protocols have no sequence to match answers by, so a connection carries one request at a
//! time. When its answer is whole the connection is kept for the next request to that address; a
//! connection that fails, is late or says too much is closed, never reused.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use msec_protocol::limits::ATTEMPTS_PER_CALL_MAX;
use msec_protocol::route::{End, Ticket};
use msec_protocol::{Address, Code, Target};
use msec_sys::socket::{self, Socket};

use crate::call;
use crate::client::dead;
use crate::closed::Closed;
use crate::connection::{Connection, Role, Way};
use crate::connections::ConnectionId;
use crate::error::{Error, Result};
use crate::pool::socket_address;
use crate::route::{Leg, Wanted};
use crate::shard::{self, Shard};
use crate::task::{self, Waiter, Woken};

/// What a length function says of the bytes received so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// The answer is not whole, and its length may still be unknown.
    More,
    /// The answer is this many bytes from the first.
    Whole(usize),
    /// These bytes are no answer: the call fails with -3 and the connection is closed.
    Bad,
}

/// What is called, where an error says so.
const WHAT: &str = "a raw protocol";
/// Idle connections kept for one address.
const IDLE_COUNT_MAX: usize = 64;
/// How long an idle connection is kept; most servers close theirs after a minute.
const IDLE_NS_MAX: u64 = 50_000_000_000;

/// Idle connections by address, the one used last at the end.
#[derive(Default)]
pub(crate) struct RawIdle {
    idle: RefCell<std::collections::HashMap<Address, Vec<(ConnectionId, u64)>>>,
}

/// A connection to a peer that speaks something else.
#[derive(Default)]
pub(crate) struct RawSide {
    received: RefCell<Vec<u8>>,
    waiter: RefCell<Option<Waiter>>,
    closed: RefCell<Option<Closed>>,
    connected: Cell<bool>,
}

impl RawSide {
    fn wake(&self, shard: &Rc<Shard>) {
        if let Some(waiter) = self.waiter.borrow().as_ref() {
            waiter.wake(shard);
        }
    }

    pub(crate) fn connected(&self, shard: &Rc<Shard>) {
        self.connected.set(true);
        self.wake(shard);
    }

    pub(crate) fn received(&self, shard: &Rc<Shard>, connection: &Rc<Connection>, bytes: &[u8]) {
        if self.waiter.borrow().is_none() {
            // Nobody asked: the next answer could not be told from this.
            return connection.close(shard, &Closed::Ended);
        }
        let limit = shard.shared.config.limits.body_bytes_max;
        self.received.borrow_mut().extend_from_slice(bytes);
        if self.received.borrow().len() > limit {
            return connection.close(shard, &Closed::TooMuch);
        }
        self.wake(shard);
    }

    pub(crate) fn closed(&self, shard: &Rc<Shard>, why: &Closed) {
        *self.closed.borrow_mut() = Some(why.clone());
        self.wake(shard);
    }
}

/// Sends `request` to `target` and waits for an answer whose end `length` finds.
///
/// The target is a service of the route table (`L1.L2`) or an address: `ip:port`, `ip:port@tls` or
/// `unix:/path`. The answer's bytes are returned as they came, without those after its end.
/// Suspends; usable in coroutines only.
///
/// Of a request on a kept connection that dies without a byte, it is not known whether the peer
/// has read it; almost always the peer had closed an idle connection just before. Such a request
/// is sent again, on another connection. To another instance it is sent only if it cannot have
/// left: no connection was made.
///
/// ```no_run
/// use msec::raw::{self, Length};
/// // A line of text for a line of text.
/// let end_of_line = |bytes: &[u8]| match bytes.iter().position(|byte| *byte == b'\n') {
///     Some(index) => Length::Whole(index + 1),
///     None => Length::More,
/// };
/// let timeout = std::time::Duration::from_millis(100);
/// let answer = raw::call("127.0.0.1:6379", b"PING\r\n", end_of_line, timeout)?;
/// assert_eq!(answer, b"+PONG\r\n");
/// # Ok::<(), msec::Error>(())
/// ```
///
/// # Errors
/// -10 no whole answer in time; -11 the connection failed or died; -3 `length` said
/// [`Length::Bad`]; -105 an answer over the limit of a body; -103 cancelled; -14 neither a service
/// name nor an address; -15 no instance of the service is known.
pub fn call(
    target: &str,
    request: &[u8],
    length: impl Fn(&[u8]) -> Length,
    timeout: Duration,
) -> Result<Vec<u8>> {
    let target = target.parse::<Target>().map_err(|bad| {
        Error::new(Code::INVALID_ENDPOINT, format!("cannot call `{target}`: {bad}"))
    })?;
    let Some(shard) = shard::current().filter(|shard| shard.tasks.current().is_some()) else {
        return Err(Error::would_block("a raw call"));
    };
    let options = crate::CallOptions::new().timeout(timeout);
    let deadline_ns = call::deadline_ns(&options, &crate::inherited(), shard.now_ns());
    let target = Arc::new(target);
    let mut tickets = [Ticket::default(); ATTEMPTS_PER_CALL_MAX];
    let mut failed = None;
    for attempt in 0..ATTEMPTS_PER_CALL_MAX {
        let wanted = Wanted { method: WHAT, key: None, tried: &tickets[..attempt] };
        let (address, leg) = match shard.routes.pick(&shard, &target, &wanted) {
            Ok(picked) => picked,
            // Nobody else is there: how the last attempt failed says more.
            Err(error) => {
                failed.get_or_insert(error);
                break;
            }
        };
        let running = Running { shard: &shard, leg };
        let result = call_at(&shard, &address, request, &length, deadline_ns);
        running.end(end_of(&result));
        let error = match result {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let may_go_on = error.is_unsent() && shard.fresh_ns() < deadline_ns;
        let may_go_on = may_go_on && attempt + 1 < ATTEMPTS_PER_CALL_MAX;
        let leg = leg.filter(|leg| may_go_on && shard.routes.spend(leg));
        failed = Some(error);
        let Some(leg) = leg else { break };
        tickets[attempt] = leg.ticket();
    }
    // Who calls again at once, whatever comes of it, would have the core to himself.
    let _ = crate::yield_now();
    Err(failed.unwrap_or_else(|| Error::internal("a raw call without an attempt")))
}

/// What a raw call tells of the instance.
fn end_of(result: &Result<Vec<u8>>) -> End {
    match result {
        Ok(_) => End::Answered,
        Err(error) if error.code() == Code::INVALID_PACKAGE => End::Faulted,
        Err(error) => call::end_of(error),
    }
}

/// An attempt that the routes are to hear of, also when `length` panics.
struct Running<'a> {
    shard: &'a Rc<Shard>,
    leg: Option<Leg>,
}

impl Running<'_> {
    fn end(mut self, end: End) {
        if let Some(leg) = self.leg.take() {
            self.shard.routes.finished(self.shard, leg, end);
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(leg) = self.leg {
            self.shard.routes.finished(self.shard, leg, End::Abandoned);
        }
    }
}

/// Calls one address.
fn call_at(
    shard: &Rc<Shard>,
    address: &Address,
    request: &[u8],
    length: &impl Fn(&[u8]) -> Length,
    deadline_ns: u64,
) -> Result<Vec<u8>> {
    if let Address::Udp(_) = address {
        let text = format!("`{address}`: raw calls go over streams");
        return Err(Error::new(Code::INVALID_ENDPOINT, text));
    }
    loop {
        let (connection, kept) = take(shard, address)?;
        let Role::Raw(side) = &connection.role else {
            return Err(Error::internal("a raw connection"));
        };
        let _use = Use { shard, side, connection: &connection };
        *side.waiter.borrow_mut() = Some(Waiter::current(shard));
        connection.append(shard, |out| out.append(|bytes, _| bytes.extend_from_slice(request)));
        match wait(shard, address, &connection, side, length, deadline_ns) {
            Ok(answer) => {
                // Whatever follows the answer was not asked for: do not reuse the connection.
                let clean = side.received.borrow().is_empty();
                drop(_use);
                if clean {
                    keep(shard, address, &connection);
                } else {
                    connection.close(shard, &Closed::Ended);
                }
                return Ok(answer);
            }
            // Closed by the server while it was idle, most likely: send it on another one.
            Err(Failed::DiedUnanswered) if kept => {}
            Err(Failed::DiedUnanswered) => {
                let why = side.closed.borrow().clone().unwrap_or(Closed::Ended);
                return Err(dead(address, &why, side.connected.get(), WHAT));
            }
            Err(Failed::Error(error)) => {
                connection.close(shard, &Closed::Stopped);
                return Err(error);
            }
        }
    }
}

/// Nobody waits on the connection any more once this is gone.
struct Use<'a> {
    shard: &'a Rc<Shard>,
    side: &'a RawSide,
    connection: &'a Rc<Connection>,
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        *self.side.waiter.borrow_mut() = None;
        if std::thread::panicking() {
            self.connection.close(self.shard, &Closed::Stopped);
        }
    }
}

enum Failed {
    DiedUnanswered,
    Error(Error),
}

fn wait(
    shard: &Rc<Shard>,
    address: &Address,
    connection: &Rc<Connection>,
    side: &RawSide,
    length: &impl Fn(&[u8]) -> Length,
    deadline_ns: u64,
) -> std::result::Result<Vec<u8>, Failed> {
    let mut looked_bytes = 0;
    loop {
        let received = side.received.borrow().len();
        if received > looked_bytes {
            looked_bytes = received;
            // Taken out: a function that waits for something must find nothing borrowed.
            let bytes = side.received.take();
            let said = length(&bytes);
            let later = side.received.replace(bytes);
            side.received.borrow_mut().extend_from_slice(&later);
            match said {
                Length::More => {}
                Length::Whole(bytes) if bytes > received => {}
                Length::Whole(bytes) => {
                    let mut memory = side.received.borrow_mut();
                    let rest = memory.split_off(bytes);
                    return Ok(std::mem::replace(&mut *memory, rest));
                }
                Length::Bad => {
                    let text = format!("{address} sent what is not the expected protocol");
                    return Err(Failed::Error(Error::new(Code::INVALID_PACKAGE, text)));
                }
            }
        }
        if let Some(why) = side.closed.borrow().as_ref() {
            return Err(if *why == Closed::TooMuch {
                let text = format!("the answer of {address} is over the limit of bytes");
                Failed::Error(Error::new(Code::TOO_LARGE, text))
            } else if received == 0 {
                Failed::DiedUnanswered
            } else {
                Failed::Error(dead(address, why, true, WHAT))
            });
        }
        if shard.tasks.current().is_some_and(|task| task.is_cancelled()) {
            return Err(Failed::Error(call::cancelled(WHAT)));
        }
        if std::thread::panicking() {
            return Err(Failed::Error(call::cancelled(WHAT)));
        }
        if task::park_until(shard, deadline_ns, "an answer") == Woken::TimedOut {
            let what = if connection.is_connecting() { "connect to" } else { "get an answer from" };
            let text = format!("could not {what} {address} within the deadline");
            return Err(Failed::Error(Error::new(Code::TIMEOUT, text)));
        }
    }
}

/// An idle connection to the address, or a new one; and whether it was used before.
fn take(shard: &Rc<Shard>, address: &Address) -> Result<(Rc<Connection>, bool)> {
    loop {
        let idle = shard.raw_idle.idle.borrow_mut().get_mut(address).and_then(Vec::pop);
        let Some((id, since_ns)) = idle else { break };
        let Some(connection) = shard.connections.find(id) else { continue };
        if connection.is_usable() && shard.now_ns() - since_ns < IDLE_NS_MAX {
            return Ok((connection, true));
        }
        connection.close(shard, &Closed::Stopped);
    }
    if shard.is_stopping() {
        return Err(Error::new(Code::NETWORK, "the engine stops"));
    }
    let tls = shard.shared.tls.connect(address)?;
    let socket_address = socket_address(address);
    let fd = socket::connect(&socket_address).map_err(|error| {
        Error::new(Code::NETWORK, format!("cannot connect to {address}: {error}")).unsent()
    })?;
    let role = Role::Raw(RawSide::default());
    let way = Way::Connecting(tls);
    Ok((Connection::open(shard, Socket::new(fd), socket_address, role, way), false))
}

fn keep(shard: &Rc<Shard>, address: &Address, connection: &Rc<Connection>) {
    let mut all = shard.raw_idle.idle.borrow_mut();
    let idle = match all.get_mut(address) {
        Some(idle) => idle,
        None => all.entry(address.clone()).or_default(),
    };
    if idle.len() < IDLE_COUNT_MAX {
        idle.push((connection.id(), shard.now_ns()));
        return;
    }
    drop(all);
    connection.close(shard, &Closed::Stopped);
}

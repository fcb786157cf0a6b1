//! A bounded queue of values between coroutines, with any number of senders and receivers.
//!
//! Two lines stand at it: receivers wait for units of *items*, senders for units of *room*. What is
//! promised to somebody is a number, not a certain value: values stay in the queue until they are
//! taken, so a receiver that leaves its line at the last moment changes neither their order nor
//! loses one.
//!
//! ```text
//!   senders ──► line for room ──► [ value value value ] ──► line for items ──► receivers
//! ```
//!
//! A channel is closed by hand, or when all its senders or all its receivers are gone. Nothing goes
//! in any more then, and what is in can still be received.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use msec_protocol::Code;

use super::line::{Line, Standing, Surplus, Ticket};
use super::select::{self, Current, Wait};
use crate::error::{Error, Result};

/// Makes a channel that holds up to `capacity` values.
///
/// ```
/// use msec::sync::channel;
///
/// # msec::Engine::start()?.run(|| {
/// let (sender, receiver) = channel(2);
/// msec::spawn(move || {
///     for n in 0..5 {
///         sender.send(n)?;
///     }
///     Ok::<(), msec::Error>(())
/// });
/// let mut received = Vec::new();
/// while let Some(n) = receiver.recv()? {
///     received.push(n);
/// }
/// assert_eq!(received, [0, 1, 2, 3, 4]);
/// # Ok::<(), msec::Error>(())
/// # })??;
/// # Ok::<(), msec::Error>(())
/// ```
///
/// # Panics
/// When `capacity` is 0.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel without room carries nothing");
    let shared = Rc::new(Shared {
        values: RefCell::default(),
        items: Line::new(0, Surplus::Kept),
        room: Line::new(capacity, Surplus::Kept),
        closed: Cell::new(false),
        senders_count: Cell::new(1),
        receivers_count: Cell::new(1),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

struct Shared<T> {
    /// Borrowed for a push or a pop only: a value's destructor may use the channel.
    values: RefCell<VecDeque<T>>,
    /// Values that are promised to no receiver.
    items: Line,
    /// Places that are promised to no sender.
    room: Line,
    closed: Cell<bool>,
    senders_count: Cell<usize>,
    receivers_count: Cell<usize>,
}

impl<T> Shared<T> {
    fn close(&self) {
        if !self.closed.replace(true) {
            self.items.close();
            self.room.close();
        }
    }

    /// For whoever holds a unit of room.
    fn push(&self, value: T) {
        self.values.borrow_mut().push_back(value);
        self.items.give(1);
    }

    /// For whoever holds a unit of items.
    fn pop(&self) -> T {
        let value = self.values.borrow_mut().pop_front();
        self.room.give(1);
        value.expect("there is a value for each unit that was promised")
    }
}

/// A value that was not sent, and why.
pub struct Unsent<T> {
    /// The value.
    pub value: T,
    /// Why.
    pub error: Error,
}

impl<T> fmt::Debug for Unsent<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Unsent({})", self.error)
    }
}

impl<T> From<Unsent<T>> for Error {
    fn from(unsent: Unsent<T>) -> Self {
        unsent.error
    }
}

fn closed() -> Error {
    Error::new(Code::SYSTEM_ERROR, "the channel is closed: nobody receives any more").during(SEND)
}

const SEND: &str = "send into a channel";
const RECEIVE: &str = "receive from a channel";

/// The end of a channel that values go in at. Clones are further senders.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders_count.set(self.shared.senders_count.get() + 1);
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = self.shared.senders_count.get() - 1;
        self.shared.senders_count.set(left);
        if left == 0 {
            self.shared.close();
        }
    }
}

impl<T> Sender<T> {
    /// Puts a value in. Suspends while the channel is full.
    ///
    /// # Errors
    /// -2 the channel is closed, or it is full and this is no coroutine; -103 the task was
    /// cancelled. The value comes back with the error.
    pub fn send(&self, value: T) -> std::result::Result<(), Unsent<T>> {
        self.send_within(value, None)
    }

    /// As [`Sender::send`], but not longer than that.
    ///
    /// # Errors
    /// As [`Sender::send`], and -10 the time is up.
    pub fn send_timeout(&self, value: T, timeout: Duration) -> std::result::Result<(), Unsent<T>> {
        self.send_within(value, Some(timeout))
    }

    /// Puts a value in if there is room and nobody waits for it. From any place on the core.
    ///
    /// # Errors
    /// -2 the channel is closed; -101 it is full. The value comes back with the error.
    pub fn try_send(&self, value: T) -> std::result::Result<(), Unsent<T>> {
        if self.shared.closed.get() {
            return Err(Unsent { value, error: closed() });
        }
        if !self.shared.room.try_take(1) {
            let error = Error::new(Code::OVERLOADED, "the channel is full").during(SEND);
            return Err(Unsent { value, error });
        }
        self.shared.push(value);
        Ok(())
    }

    /// Sending as a [`Wait`], for a `select`.
    pub fn sending(&self, value: T) -> Sending<T> {
        Sending { sender: self.clone(), value: Some(value), ticket: Ticket::new(1) }
    }

    /// Closes the channel for all its senders.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether what is sent is refused.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.get()
    }

    /// How many senders wait for room.
    pub fn waiting_count(&self) -> usize {
        self.shared.room.waiting_count()
    }

    fn send_within(
        &self,
        value: T,
        timeout: Option<Duration>,
    ) -> std::result::Result<(), Unsent<T>> {
        let mut sending = self.sending(value);
        match select::wait(&mut sending, timeout, SEND) {
            Ok(outcome) => outcome,
            Err(error) => {
                let value = sending.take().expect("a value that was not sent is still here");
                Err(Unsent { value, error })
            }
        }
    }
}

/// The end of a channel that values come out of. Clones are further receivers: each value goes to
/// one of them.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers_count.set(self.shared.receivers_count.get() + 1);
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = self.shared.receivers_count.get() - 1;
        self.shared.receivers_count.set(left);
        if left == 0 {
            self.shared.close();
            // Nobody will take them. They are out of the channel before they are dropped.
            let values = self.shared.values.take();
            drop(values);
        }
    }
}

impl<T> Receiver<T> {
    /// Takes the next value; `None` when the channel is closed and empty. Suspends while it is
    /// empty.
    ///
    /// # Errors
    /// -103 the task was cancelled; -2 it is empty, and this is no coroutine.
    pub fn recv(&self) -> Result<Option<T>> {
        select::wait(&mut self.receiving(), None, RECEIVE)
    }

    /// As [`Receiver::recv`], but not longer than that.
    ///
    /// # Errors
    /// As [`Receiver::recv`], and -10 the time is up.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<T>> {
        select::wait(&mut self.receiving(), Some(timeout), RECEIVE)
    }

    /// Takes a value if there is one that is promised to nobody. From any place on the core.
    pub fn try_recv(&self) -> Option<T> {
        self.shared.items.try_take(1).then(|| self.shared.pop())
    }

    /// Receiving as a [`Wait`], for a `select`; it may be used again for the next value.
    pub fn receiving(&self) -> Receiving<T> {
        Receiving { receiver: self.clone(), ticket: Ticket::new(1) }
    }

    /// Closes the channel: nothing goes in any more, what is in comes out.
    pub fn close(&self) {
        self.shared.close();
    }

    /// How many values are in it.
    pub fn len(&self) -> usize {
        self.shared.values.borrow().len()
    }

    /// Whether no value is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many receivers wait for a value.
    pub fn waiting_count(&self) -> usize {
        self.shared.items.waiting_count()
    }
}

/// [`Sender::sending`].
pub struct Sending<T> {
    sender: Sender<T>,
    /// Until it is sent or handed back.
    value: Option<T>,
    ticket: Ticket,
}

impl<T> Sending<T> {
    /// The value, if it was not sent. Nothing is waited for any more then.
    pub fn take(&mut self) -> Option<T> {
        self.leave();
        self.value.take()
    }
}

impl<T> Wait for Sending<T> {
    /// Sent, or refused because the channel is closed.
    type Output = std::result::Result<(), Unsent<T>>;

    /// # Panics
    /// When the value was sent or taken back already.
    fn poll(&mut self, current: &Current) -> Option<Self::Output> {
        assert!(self.value.is_some(), "this wait is over: its value is sent");
        let shared = &self.sender.shared;
        if shared.closed.get() {
            let value = self.take()?;
            return Some(Err(Unsent { value, error: closed() }));
        }
        if shared.room.poll(&mut self.ticket, current.waiter()) != Standing::Taken {
            return None;
        }
        shared.push(self.value.take()?);
        Some(Ok(()))
    }

    fn leave(&mut self) {
        self.sender.shared.room.leave(&mut self.ticket);
    }
}

impl<T> Drop for Sending<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// [`Receiver::receiving`].
pub struct Receiving<T> {
    receiver: Receiver<T>,
    ticket: Ticket,
}

impl<T> Wait for Receiving<T> {
    /// A value; `None` when the channel is closed and empty.
    type Output = Option<T>;

    fn poll(&mut self, current: &Current) -> Option<Option<T>> {
        let shared = &self.receiver.shared;
        match shared.items.poll(&mut self.ticket, current.waiter()) {
            Standing::Taken => Some(Some(shared.pop())),
            Standing::Waiting => None,
            Standing::Refused => shared.closed.get().then_some(None),
        }
    }

    fn leave(&mut self) {
        self.receiver.shared.items.leave(&mut self.ticket);
    }
}

impl<T> Drop for Receiving<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

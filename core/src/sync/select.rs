//! Waiting: one loop for everything, and the first of several.
//!
//! Whatever can be waited for is a [`Wait`]: a value that can be asked whether it is over, arranges
//! then that the asking task is woken, and can be told that nobody waits any more. The blocking
//! functions of [`sync`](super) are all the same loop over one of them; `select` is that loop over
//! several.
//!
//! ```text
//!    poll every wait ──► one is over: the others leave, return its outcome
//!         ▲         └──► none: cancelled? time up? ──► all leave, return the error
//!         │                     │ no
//!         └────── woken ◄───── park
//! ```
//!
//! A wait that lost leaves its line at once. That costs it its place, and it has a reason: somebody
//! who stands in line and does not look any more would hold up all behind. What was granted to a
//! wait that leaves goes to the next, so that nothing is lost.

use std::rc::Rc;
use std::time::Duration;

use msec_protocol::Code;
use msec_sys::clock;

use crate::error::{Error, Result};
use crate::shard::{self, Shard};
use crate::task::{self, Waiter, Woken};
use crate::{deadline, vain};

/// Who asks a [`Wait`]: the running coroutine, if it is one.
///
/// Made by the engine. An own `Wait` that is made of others hands it on to them.
pub struct Current {
    shard: Option<Rc<Shard>>,
    waiter: Option<Waiter>,
}

impl Current {
    pub(crate) fn of(shard: Option<Rc<Shard>>) -> Self {
        let waiter = shard.as_ref().and_then(|shard| Waiter::running(shard));
        Self { shard, waiter }
    }

    /// Whom to wake; `None` if the caller cannot wait, and then nothing is to be arranged.
    pub(crate) fn waiter(&self) -> Option<&Waiter> {
        self.waiter.as_ref()
    }

    /// The core, and whom to wake on it.
    pub(crate) fn place(&self) -> Option<(&Rc<Shard>, &Waiter)> {
        self.shard.as_ref().zip(self.waiter.as_ref())
    }
}

/// Something that a coroutine can wait for.
///
/// Made by a method that is named for it: [`Receiver::receiving`](super::Receiver::receiving),
/// [`Sender::sending`](super::Sender::sending), [`Mutex::locking`](super::Mutex::locking),
/// [`Semaphore::acquiring`](super::Semaphore::acquiring),
/// [`Condition::notified`](super::Condition::notified), [`after`](super::after),
/// [`until_readable`](super::until_readable), and a [`JoinHandle`](crate::JoinHandle) is one
/// itself. Making it does nothing; the wait begins when it is first polled, by [`Wait::wait`] or a
/// `select`.
///
/// Own ones are made of others: a `poll` that hands `current` on to theirs.
pub trait Wait {
    /// What it ends with.
    type Output;

    /// The outcome, if it is over. If not, it arranges that the asking coroutine is woken when it
    /// may be, and has to be polled again then; being woken for nothing is allowed.
    ///
    /// # Panics
    /// May panic when it has given its outcome already and cannot be used twice.
    fn poll(&mut self, current: &Current) -> Option<Self::Output>;

    /// Nobody waits any more: takes back what [`poll`](Wait::poll) arranged. Polled again, it
    /// begins anew. Dropping it does the same. Does nothing if there is nothing to take back.
    fn leave(&mut self);

    /// Waits for it. Suspends.
    ///
    /// # Errors
    /// -103 the task was cancelled; -2 it is not over and this is no coroutine.
    fn wait(mut self) -> Result<Self::Output>
    where
        Self: Sized,
    {
        wait(&mut self, None, "a wait")
    }

    /// Waits for it, but not longer than that. Suspends.
    ///
    /// # Errors
    /// -10 the time is up; -103 the task was cancelled; -2 it is not over and this is no coroutine.
    fn wait_timeout(mut self, timeout: Duration) -> Result<Self::Output>
    where
        Self: Sized,
    {
        wait(&mut self, Some(timeout), "a wait")
    }

    /// The same wait with another outcome. For [`select`], where all have to be of one type.
    fn map<Output, F>(self, function: F) -> Map<Self, F>
    where
        Self: Sized,
        F: FnMut(Self::Output) -> Output,
    {
        Map { wait: self, function }
    }
}

impl<W: Wait + ?Sized> Wait for &mut W {
    type Output = W::Output;

    fn poll(&mut self, current: &Current) -> Option<Self::Output> {
        (**self).poll(current)
    }

    fn leave(&mut self) {
        (**self).leave();
    }
}

/// A wait whose outcome goes through a function; see [`Wait::map`].
pub struct Map<W, F> {
    wait: W,
    function: F,
}

impl<W: Wait, Output, F: FnMut(W::Output) -> Output> Wait for Map<W, F> {
    type Output = Output;

    fn poll(&mut self, current: &Current) -> Option<Output> {
        self.wait.poll(current).map(&mut self.function)
    }

    fn leave(&mut self) {
        self.wait.leave();
    }
}

/// Waits for one thing; `operation` names it in errors and for people who look at coroutines.
pub(crate) fn wait<W: Wait + ?Sized>(
    wait: &mut W,
    timeout: Option<Duration>,
    operation: &'static str,
) -> Result<W::Output> {
    let deadline_ns = timeout.map(|timeout| clock::now_ns().saturating_add(nanoseconds(timeout)));
    wait_until(wait, deadline_ns, operation)
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Takes back what was arranged, however the wait ends.
struct Leaving<'a, W: Wait + ?Sized>(&'a mut W);

impl<W: Wait + ?Sized> Drop for Leaving<'_, W> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

fn wait_until<W: Wait + ?Sized>(
    wait: &mut W,
    deadline_ns: Option<u64>,
    operation: &'static str,
) -> Result<W::Output> {
    let leaving = Leaving(wait);
    let current = Current::of(shard::current());
    let mut timed_out = deadline_ns.is_some_and(|deadline_ns| deadline_ns <= clock::now_ns());
    loop {
        if let Some((shard, _)) = current.place() {
            not_cancelled(shard, operation)?;
        }
        if let Some(outcome) = leaving.0.poll(&current) {
            return Ok(outcome);
        }
        if timed_out {
            if let Some((shard, _)) = current.place() {
                vain::out_of_time(shard);
            }
            return Err(Error::new(Code::TIMEOUT, "the time given has passed").during(operation));
        }
        let Some((shard, _)) = current.place() else {
            return Err(Error::would_block(operation));
        };
        not_unwinding(operation)?;
        deadline::watch(shard);
        let woken = task::park_until(shard, deadline_ns.unwrap_or(0), operation);
        timed_out = woken == Woken::TimedOut;
    }
}

/// Whether the running code may suspend, or else why not.
pub(crate) fn may_wait(shard: &Shard, operation: &'static str) -> Result<()> {
    if shard.tasks.current().is_none() {
        return Err(Error::would_block(operation));
    }
    not_cancelled(shard, operation)?;
    not_unwinding(operation)
}

fn not_cancelled(shard: &Shard, operation: &'static str) -> Result<()> {
    if shard.tasks.current().is_none_or(|running| !running.is_cancelled()) {
        return Ok(());
    }
    vain::refused(shard);
    let text = "what this coroutine works for was cancelled, or its deadline has passed";
    Err(Error::new(Code::CANCELLED, text).during(operation))
}

pub(crate) fn not_unwinding(operation: &'static str) -> Result<()> {
    if !std::thread::panicking() {
        return Ok(());
    }
    let text = "a panic unwinds this stack, and a destructor cannot wait meanwhile";
    Err(Error::new(Code::CANCELLED, text).during(operation))
}

/// The first of two waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Either<A, B> {
    /// The outcome of the first argument.
    First(A),
    /// The outcome of the second argument.
    Second(B),
}

/// The first of three waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Either3<A, B, C> {
    /// The outcome of the first argument.
    First(A),
    /// The outcome of the second argument.
    Second(B),
    /// The outcome of the third argument.
    Third(C),
}

struct Both<A, B>(A, B);

impl<A: Wait, B: Wait> Wait for Both<A, B> {
    type Output = Either<A::Output, B::Output>;

    fn poll(&mut self, current: &Current) -> Option<Self::Output> {
        if let Some(outcome) = self.0.poll(current) {
            return Some(Either::First(outcome));
        }
        self.1.poll(current).map(Either::Second)
    }

    fn leave(&mut self) {
        self.0.leave();
        self.1.leave();
    }
}

/// Waits until one of two is over; if both are, the first counts and the second goes on untouched.
///
/// Takes waits, or `&mut` to those that are used again. Suspends.
///
/// ```
/// use std::time::Duration;
/// use msec::sync::{Either, after, channel, select2};
///
/// # msec::Engine::start()?.run(|| {
/// let (sender, receiver) = channel(1);
/// msec::spawn(move || sender.send("news"));
/// match select2(receiver.receiving(), after(Duration::from_secs(1)))? {
///     Either::First(news) => assert_eq!(news, Some("news")),
///     Either::Second(()) => println!("no news is good news"),
/// }
/// # Ok::<(), msec::Error>(())
/// # })??;
/// # Ok::<(), msec::Error>(())
/// ```
///
/// # Errors
/// -103 the task was cancelled; -2 none is over and this is no coroutine.
pub fn select2<A: Wait, B: Wait>(first: A, second: B) -> Result<Either<A::Output, B::Output>> {
    wait(&mut Both(first, second), None, "select")
}

/// Waits until one of three is over, as [`select2`] does.
///
/// # Errors
/// As [`select2`].
pub fn select3<A: Wait, B: Wait, C: Wait>(
    first: A,
    second: B,
    third: C,
) -> Result<Either3<A::Output, B::Output, C::Output>> {
    let outcome = wait(&mut Both(first, Both(second, third)), None, "select")?;
    Ok(match outcome {
        Either::First(outcome) => Either3::First(outcome),
        Either::Second(Either::First(outcome)) => Either3::Second(outcome),
        Either::Second(Either::Second(outcome)) => Either3::Third(outcome),
    })
}

struct Several<'a, 'b, T>(&'a mut [&'b mut dyn Wait<Output = T>]);

impl<T> Wait for Several<'_, '_, T> {
    type Output = (usize, T);

    fn poll(&mut self, current: &Current) -> Option<(usize, T)> {
        let mut waits = self.0.iter_mut().enumerate();
        waits.find_map(|(index, wait)| Some((index, wait.poll(current)?)))
    }

    fn leave(&mut self) {
        self.0.iter_mut().for_each(|wait| wait.leave());
    }
}

/// Waits until one of any number is over; returns its index and its outcome.
///
/// If several are over, the one with the lowest index counts and the others go on untouched: a wait
/// that is always over starves those behind it. [`Wait::map`] brings outcomes to one type. Without
/// any wait it waits until the task is cancelled. Suspends.
///
/// ```
/// use msec::sync::{Wait, channel, select};
///
/// # msec::Engine::start()?.run(|| {
/// let (numbers, number) = channel(1);
/// let (words, word) = channel::<&str>(1);
/// msec::spawn(move || numbers.send(7));
/// let mut number = number.receiving().map(|n| n.map(|n: i32| n.to_string()));
/// let mut word = word.receiving().map(|word| word.map(str::to_owned));
/// let (index, text) = select(&mut [&mut word, &mut number])?;
/// assert_eq!((index, text.as_deref()), (1, Some("7")));
/// # drop(words);
/// # Ok::<(), msec::Error>(())
/// # })??;
/// # Ok::<(), msec::Error>(())
/// ```
///
/// # Errors
/// As [`select2`].
pub fn select<T>(waits: &mut [&mut dyn Wait<Output = T>]) -> Result<(usize, T)> {
    wait(&mut Several(waits), None, "select")
}

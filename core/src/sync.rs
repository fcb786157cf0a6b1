//! Tools for coroutines of one core that work together: locks, signals, channels, and waiting for
//! the first of several things.
//!
//! | | is for |
//! |---|---|
//! | [`Mutex`] | a value that one coroutine at a time works on, also across suspensions |
//! | [`Condition`] | waiting until others have changed something |
//! | [`Semaphore`] | letting in so many at a time |
//! | [`OnceCell`] | a value that the first who needs it makes, while the others wait |
//! | [`channel`] | a queue of values between coroutines, bounded |
//! | [`select2`], [`select3`], [`select`] | waiting for whichever of several is first |
//!
//! All of them belong to one core: they are neither `Send` nor `Sync`, hold an `Rc` inside, and
//! their clones are handles to the same thing. No atomic and no lock is in them. Handlers are
//! shared by all cores, so what the requests of a core share lies in a `thread_local!`:
//!
//! ```
//! use msec::sync::Semaphore;
//!
//! thread_local! {
//!     /// At most eight queries a core at a time.
//!     static QUERIES: Semaphore = Semaphore::new(8);
//! }
//!
//! fn query() -> msec::Result<()> {
//!     let _permit = QUERIES.with(Clone::clone).acquire()?;
//!     // … call the database …
//!     Ok(())
//! }
//! # msec::Engine::start()?.run(query)??;
//! # Ok::<(), msec::Error>(())
//! ```
//!
//! For values that go from core to core there are calls, and [`block_on`](crate::block_on) with any
//! channel that has futures.
//!
//! # Rules that hold for every wait
//!
//! * First come, first served: who waits stands in a line, nobody overtakes, and each event wakes
//!   exactly those that it lets go on.
//! * It ends with -103 when the task is cancelled, also if it would not have had to wait, and with
//!   -10 when the time given has passed. Either way nothing of it stays behind: what was meant for
//!   it goes to the next in line. Who tries again and again does not hold up the core: from the
//!   17th such end on without a wait in between, others come first, and who is cancelled rests for
//!   a millisecond.
//! * On a plain thread, on the loop of a core (callback methods, callbacks) it succeeds if it need
//!   not wait, and else returns an error (-2) at once.
//! * While a panic unwinds the stack it does not wait, but returns -103: destructors may try to use
//!   these tools, and have to cope with a refusal.
//! * There is no poisoning. A guard or permit dropped by a panic is given back like any other; what
//!   a half-done change means is for the owner of the value to know.

mod channel;
mod condition;
mod line;
mod mutex;
mod once;
mod select;
mod semaphore;

pub use crate::future::{Awaiting, awaiting};
pub use crate::readiness::{Readiness, until_readable, until_writable};
pub use crate::sleep::{After, after};
pub use channel::{Receiver, Receiving, Sender, Sending, Unsent, channel};
pub use condition::{Condition, Notified};
pub use mutex::{Locking, Mutex, MutexGuard};
pub use once::OnceCell;
pub use select::{Current, Either, Either3, Map, Wait, select, select2, select3};
pub(crate) use select::{may_wait, nanoseconds, not_unwinding, wait};
pub use semaphore::{Acquiring, Permit, Semaphore};

//! Channels: bounded queues of pointers between coroutines and threads.

use std::ffi::c_void;
use std::sync::Arc;

use async_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use msec::{Code, Error};

use crate::engine::free;
use crate::task::wait;
use crate::{guard, select};

/// A bounded queue of pointers. Usable from every core and thread.
#[allow(non_camel_case_types)]
pub struct msec_channel(Arc<Ends>);

/// What whoever is in one of these functions keeps, though the handle be freed meanwhile: by who
/// received the last item, for one, before who sent it has returned.
pub(crate) struct Ends {
    sender: Sender<Item>,
    receiver: Receiver<Item>,
}

impl msec_channel {
    pub(crate) fn ends(&self) -> Arc<Ends> {
        self.0.clone()
    }
}

impl Ends {
    /// The next item; none any more once the channel is closed and empty.
    pub(crate) async fn next(&self) -> Option<*mut c_void> {
        self.receiver.recv().await.ok().map(|item| item.0)
    }
}

/// What a C program sends.
struct Item(*mut c_void);

// SAFETY: the header says that what is sent may come out on another thread.
unsafe impl Send for Item {}

pub(crate) fn closed() -> Error {
    Error::new(Code::DRAINING, "the channel is closed")
}

/// A channel that holds up to `capacity` items, at least one. To be given back with
/// `msec_channel_free`.
#[unsafe(no_mangle)]
pub extern "C" fn msec_channel_new(capacity: usize) -> *mut msec_channel {
    guard::or(std::ptr::null_mut(), || {
        let (sender, receiver) = bounded(capacity.max(1));
        Box::into_raw(Box::new(msec_channel(Arc::new(Ends { sender, receiver }))))
    })
}

/// Frees a channel that nobody waits for; what is in it is forgotten. NULL is freed without effect.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_channel_free(channel: *mut msec_channel) {
    // SAFETY: NULL, or what `msec_channel_new` gave away.
    guard::or((), || unsafe { free(channel) });
}

/// Puts an item in, and waits for room: suspends the coroutine, or blocks the thread. `timeout_ms`
/// 0 waits as long as it takes.
///
/// Errors: -10 the time is over; -103 the caller was cancelled; -104 the channel is closed; -2 on a
/// core's loop, if it is full. The item is then still the caller's.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_channel_send(
    channel: *const msec_channel,
    item: *mut c_void,
    timeout_ms: u32,
) -> i32 {
    guard!([channel] {
        // SAFETY: not NULL, so live.
        let Ends { sender, .. } = &*unsafe { &*channel }.0.clone();
        match sender.try_send(Item(item)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(closed()),
            Err(TrySendError::Full(item)) => {
                wait(sender.send(item), timeout_ms)?.map_err(|_| closed())
            }
        }
    })
}

/// Takes the oldest item out, and waits for one: suspends the coroutine, or blocks the thread.
/// `timeout_ms` 0 waits as long as it takes.
///
/// Errors: -10 the time is over; -103 the caller was cancelled; -104 the channel is closed and
/// empty; -2 on a core's loop, if it is empty.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_channel_recv(
    channel: *const msec_channel,
    timeout_ms: u32,
    item: *mut *mut c_void,
) -> i32 {
    guard!([channel, item] {
        // SAFETY: not NULL, so live.
        let Ends { receiver, .. } = &*unsafe { &*channel }.0.clone();
        let received = match receiver.try_recv() {
            Ok(received) => received,
            Err(TryRecvError::Closed) => return Err(closed()),
            Err(TryRecvError::Empty) => wait(receiver.recv(), timeout_ms)?.map_err(|_| closed())?,
        };
        // SAFETY: not NULL, and a place for a pointer.
        unsafe { item.write(received.0) };
        Ok(())
    })
}

/// Takes the oldest item out of whichever of several channels has one, and waits for the first to
/// have: suspends the coroutine, or blocks the thread. Of several that have, the first in the list
/// counts; what is closed and empty is passed over. `index` becomes the place of the channel in the
/// list. Ends of tasks and answers can be waited for beside others, by sending something as they
/// come. `timeout_ms` 0 waits as long as it takes.
///
/// Errors: -10 the time is over; -103 the caller was cancelled; -104 all are closed and empty; -2
/// on a core's loop, if all are empty.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_channel_recv_any(
    channels: *const *const msec_channel,
    channels_count: usize,
    timeout_ms: u32,
    index: *mut usize,
    item: *mut *mut c_void,
) -> i32 {
    guard!([channels, index, item] {
        // SAFETY: as many as the caller says.
        let channels = unsafe { std::slice::from_raw_parts(channels, channels_count) };
        // SAFETY: each is NULL or live.
        let channels = channels.iter().map(|channel| Some(unsafe { channel.as_ref() }?.0.clone()));
        let missing = || Error::new(Code::INVALID_PARAMETER, "a channel of the list is NULL");
        let channels = channels.collect::<Option<Vec<_>>>().ok_or_else(missing)?;
        let waits = channels.iter().map(|ends| select::Wait::new(ends.next())).collect();
        let (place, received) = select::first(waits, timeout_ms)?;
        // SAFETY: not NULL, and places for a number and a pointer.
        unsafe {
            index.write(place);
            item.write(received);
        }
        Ok(())
    })
}

/// Lets nothing more in: who waits to send fails, and what is in it can still be received.
///
/// Errors: -1.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_channel_close(channel: *const msec_channel) -> i32 {
    guard!([channel] {
        // SAFETY: not NULL, so live.
        unsafe { &*channel }.0.clone().sender.close();
        Ok(())
    })
}

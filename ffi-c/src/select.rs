//! Select: waiting for the first of several things of several kinds.
//!
//! Each wait is a future; the list is polled in its order, so what stands first goes first. What is
//! waited for is not used up by it but for the item of a channel, which another receiver might take
//! between being told of it and taking it.

use std::ffi::c_void;
use std::future::poll_fn;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll};

use msec::{Code, Error, Result};

use crate::channel::{closed, msec_channel};
use crate::pending::msec_pending;
use crate::task::{msec_task, wait};

/// Something that is waited for: one of the pointers, the others are NULL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct msec_wait {
    /// An item of a channel. A channel that is closed and empty is passed over.
    pub channel: *const msec_channel,
    /// The answer of a call, which `msec_pending_wait` takes then without waiting.
    pub pending: *const msec_pending,
    /// The end of a task, which `msec_task_join` takes then without waiting.
    pub task: *const msec_task,
}

/// Waits for the first of several things: suspends the coroutine, or blocks the thread. If several
/// have come, the first in the list counts. `index` becomes its place in the list, `item` what came
/// out of it if it is a channel, else NULL. `timeout_ms` 0 waits as long as it takes: on a plain
/// thread also for a core that a handler holds up, which `msec_pending_wait` does not.
///
/// Errors: -10 the time is over, also of an empty list; -103 the caller was cancelled; -104 all are
/// channels that are closed and empty; -1 an element of the list is not one thing, or there is
/// neither an element nor a time; -2 on a core's loop, if nothing has come.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_select(
    waits: *const msec_wait,
    waits_count: usize,
    timeout_ms: u32,
    index: *mut usize,
    item: *mut *mut c_void,
) -> i32 {
    guard!([waits, index, item] {
        if waits_count == 0 && timeout_ms == 0 {
            let text = "nothing is waited for, for ever";
            return Err(Error::new(Code::INVALID_PARAMETER, text));
        }
        // SAFETY: as many as the caller says.
        let waits = unsafe { std::slice::from_raw_parts(waits, waits_count) };
        // SAFETY: each pointer is NULL or live, and stays so for the call.
        let waits = waits.iter().map(|wait| unsafe { Wait::of(wait) }).collect::<Result<_>>()?;
        let (place, received) = first(waits, timeout_ms)?;
        // SAFETY: not NULL, and places for a number and a pointer.
        unsafe {
            index.write(place);
            item.write(received);
        }
        Ok(())
    })
}

/// What comes, or that nothing will any more.
pub(crate) struct Wait<'a>(Option<Coming<'a>>);

type Coming<'a> = Pin<Box<dyn Future<Output = Option<*mut c_void>> + 'a>>;

impl<'a> Wait<'a> {
    pub(crate) fn new(coming: impl Future<Output = Option<*mut c_void>> + 'a) -> Self {
        Self(Some(Box::pin(coming)))
    }

    /// # Safety
    /// Each pointer is NULL, or lives as long as the wait.
    unsafe fn of(wait: &msec_wait) -> Result<Wait<'a>> {
        // SAFETY: the caller's promise.
        let (channel, pending, task) =
            unsafe { (wait.channel.as_ref(), wait.pending.as_ref(), wait.task.as_ref()) };
        match (channel, pending, task) {
            (Some(channel), None, None) => {
                let ends = channel.ends();
                Ok(Wait::new(async move { ends.next().await }))
            }
            (None, Some(pending), None) => Ok(Wait::new(async {
                pending.answered().await;
                Some(ptr::null_mut())
            })),
            (None, None, Some(task)) => Ok(Wait::new(async {
                task.ended().await;
                Some(ptr::null_mut())
            })),
            _ => {
                let text = "an element of the list is not one channel, call or task";
                Err(Error::new(Code::INVALID_PARAMETER, text))
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<*mut c_void> {
        let Some(coming) = &mut self.0 else { return Poll::Pending };
        match coming.as_mut().poll(context) {
            Poll::Ready(Some(item)) => Poll::Ready(item),
            Poll::Ready(None) => {
                self.0 = None;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// The place of the first that is over, and what came out of it.
pub(crate) fn first(mut waits: Vec<Wait<'_>>, timeout_ms: u32) -> Result<(usize, *mut c_void)> {
    let first = poll_fn(|context| {
        for (index, wait) in waits.iter_mut().enumerate() {
            if let Poll::Ready(item) = wait.poll(context) {
                return Poll::Ready(Ok((index, item)));
            }
        }
        match !waits.is_empty() && waits.iter().all(|wait| wait.0.is_none()) {
            true => Poll::Ready(Err(closed())),
            false => Poll::Pending,
        }
    });
    wait(first, timeout_ms)?
}

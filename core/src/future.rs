//! Futures in coroutines: any Rust future can be waited for from code that looks blocking.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::cancel::TaskId;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::shard;
use crate::task;

/// Wakes a task of a core from whatever thread finishes the future's work.
struct TaskWaker {
    shared: Arc<Shared>,
    task: TaskId,
    woken: AtomicBool,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Once is enough until the task has looked.
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.shared.cores.wake(self.task);
        }
    }
}

/// Wakes a plain thread.
struct ThreadWaker(Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future: the coroutine parks, or a plain thread blocks.
///
/// The future is polled on this stack; it may belong to any runtime that is running elsewhere (a
/// tokio future needs tokio's own threads for its I/O and timers).
///
/// # Errors
/// -103 when the task is cancelled while it waits: the future is dropped. -1 on a core's loop.
pub fn block_on<F: Future>(future: F) -> Result<F::Output> {
    let mut future = pin!(future);
    let Some(shard) = shard::current() else {
        let waker = Waker::from(Arc::new(ThreadWaker(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(output);
            }
            std::thread::park();
        }
    };
    let Some(running) = shard.tasks.current() else {
        return Err(Error::would_block("block_on"));
    };
    let flag = Arc::new(TaskWaker {
        shared: shard.shared.clone(),
        task: running.id(shard.index),
        woken: AtomicBool::new(false),
    });
    let waker = Waker::from(flag.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        // A swap, not a store: it sees what a wake-up before it has published, and one after it
        // sees the flag down and wakes. With a store both could miss each other.
        flag.woken.swap(false, Ordering::AcqRel);
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        if running.is_cancelled() {
            return Err(crate::call::cancelled("block_on"));
        }
        task::park(&shard, "a future");
    }
}

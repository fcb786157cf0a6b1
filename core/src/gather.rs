//! What cores answer who asks them, from whatever thread.

use std::ops::Range;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use crate::engine::Engine;
use crate::shard::{self, Message, Shard};

impl Engine {
    /// What these cores answer, in whatever order; a core that has stopped does not, and after a
    /// cancellation only those that were quick. Suspends the coroutine, or blocks the thread; not
    /// from a core's loop.
    pub(crate) fn gather<R: Send + 'static>(
        &self,
        cores: Range<usize>,
        ask: impl Fn(&Rc<Shard>) -> R + Clone + Send + 'static,
    ) -> Vec<R> {
        let shared = self.shared();
        let gathering = Arc::new(Mutex::new(Gathering::<R> {
            answers: Vec::new(),
            missing_count: cores.len(),
            waker: None,
        }));
        for core in cores {
            let (ask, duty) = (ask.clone(), Duty(Arc::clone(&gathering)));
            let answer = move |shard: &Rc<Shard>| {
                let answer = ask(shard);
                lock(&duty.0).answers.push(answer);
            };
            let message = Message::Run(Box::new(answer));
            match shard::current().filter(|shard| Arc::ptr_eq(&shard.shared, shared)) {
                Some(shard) => shard.post(core, message),
                None => shared.cores.post_patiently(core, message),
            }
        }
        let complete = std::future::poll_fn(|context| {
            let mut gathering = lock(&gathering);
            if gathering.missing_count == 0 {
                return Poll::Ready(());
            }
            gathering.waker = Some(context.waker().clone());
            Poll::Pending
        });
        // Cancelled: what has come by now is all there is.
        let _ = crate::block_on(complete);
        std::mem::take(&mut lock(&gathering).answers)
    }
}

struct Gathering<R> {
    answers: Vec<R>,
    missing_count: usize,
    waker: Option<Waker>,
}

/// The duty to answer; dropped it is done, answered or not.
struct Duty<R>(Arc<Mutex<Gathering<R>>>);

impl<R> Drop for Duty<R> {
    fn drop(&mut self) {
        let mut gathering = lock(&self.0);
        gathering.missing_count -= 1;
        let waker = if gathering.missing_count == 0 { gathering.waker.take() } else { None };
        drop(gathering);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

//! The load of one core: tasks that call, on lanes.
//!
//! Closed loop: a task for each place in flight, which calls, waits and calls again. Open loop: a
//! task takes what is due and gives it to a free place, each of them a task while it has work; what
//! finds no free place waits, oldest first, with its latency running.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use msec::{CallOptions, Client, block_on, clock};

use super::Window;
use super::options::{Mode, Options};
use super::pace::Feed;
use super::tally::{Ended, Shared};

/// After a failure that took no time the next call waits: a refusal must not become a busy loop.
const REST: Duration = Duration::from_millis(10);
const NO_TIME_NS: u64 = 1_000_000;

/// What a core needs for its part.
pub(crate) struct Load {
    pub(crate) client: Client,
    pub(crate) options: Arc<Options>,
    pub(crate) window: Arc<Window>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) lanes_count: usize,
}

impl Load {
    /// Makes calls until the window ends and all of them have ended. Runs on a core.
    pub(crate) fn run(self) {
        let lane = |index| self.options.call.clone().lane(index as u16);
        let lanes: Rc<[CallOptions]> = (0..self.lanes_count).map(lane).collect();
        let load = Rc::new(self);
        match load.options.mode {
            Mode::Closed => load.run_closed(&lanes),
            Mode::Open { .. } => Open::new(load, lanes).run(),
        }
    }

    fn run_closed(self: &Rc<Self>, lanes: &Rc<[CallOptions]>) {
        // Each lane's first place before any lane's second: connects are not behind calls.
        let places = (0..self.options.depth * lanes.len()).map(|place| place % lanes.len());
        let tasks = places.map(|lane| {
            let (load, lanes) = (self.clone(), lanes.clone());
            msec::spawn(move || load.call_until_end(&lanes[lane]))
        });
        let tasks: Vec<_> = tasks.collect();
        for task in tasks {
            task.join().expect("calling does not panic");
        }
    }

    fn call_until_end(&self, lane: &CallOptions) {
        loop {
            let now_ns = clock::now_ns();
            if now_ns >= self.window.ends_ns() || self.window.is_given_up() {
                return;
            }
            let failed = !self.call(lane, now_ns);
            if failed && clock::now_ns() - now_ns < NO_TIME_NS {
                // Nobody cancels this task: the rest is not cut short.
                let _ = msec::sleep(REST);
            }
        }
    }

    /// Makes a call that is due then; whether it was answered.
    fn call(&self, lane: &CallOptions, due_ns: u64) -> bool {
        let counts = due_ns >= self.window.begins_ns;
        if counts {
            self.shared.sending();
        }
        let body = self.shared.next_of(&self.options.bodies);
        let result = self.client.call_raw(&self.options.method, body, lane);
        let answered_ns = clock::now_ns();
        if counts {
            self.shared.ended(&Ended { due_ns, answered_ns, result: &result });
        }
        result.is_ok()
    }
}

/// An open loop of one core.
struct Open {
    load: Rc<Load>,
    lanes: Rc<[CallOptions]>,
    /// Lanes with a free place, once for each place; used in turn.
    free: RefCell<VecDeque<usize>>,
    /// Due calls that found no place, oldest first.
    waiting: RefCell<VecDeque<u64>>,
    in_flight: Cell<usize>,
    idle: RefCell<Option<Waker>>,
}

impl Open {
    fn new(load: Rc<Load>, lanes: Rc<[CallOptions]>) -> Rc<Self> {
        let places = load.options.depth * lanes.len();
        let free = (0..places).map(|place| place % lanes.len()).collect();
        Rc::new(Self {
            load,
            lanes,
            free: RefCell::new(free),
            waiting: RefCell::default(),
            in_flight: Cell::new(0),
            idle: RefCell::default(),
        })
    }

    fn run(self: Rc<Self>) {
        let load = self.load.clone();
        while let Ok(Some(due)) = block_on(load.feed.next()) {
            let now_ns = clock::now_ns();
            let counted = due.iter().filter(|due_ns| **due_ns >= load.window.begins_ns);
            load.shared.late(counted.map(|due_ns| now_ns.saturating_sub(*due_ns)));
            for due_ns in due {
                self.take(due_ns);
            }
        }
        // Nobody cancels this task: it waits to the end.
        let _ = block_on(poll_fn(|context| match self.in_flight.get() {
            0 => Poll::Ready(()),
            _ => {
                *self.idle.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        }));
    }

    /// Gives a due call to a free place, or lets it wait for one.
    fn take(self: &Rc<Self>, due_ns: u64) {
        let free = self.free.borrow_mut().pop_front();
        let Some(lane) = free else { return self.waiting.borrow_mut().push_back(due_ns) };
        self.in_flight.set(self.in_flight.get() + 1);
        let open = self.clone();
        // Counted by `in_flight`: a handle for each would grow with the run.
        drop(msec::spawn(move || open.call(lane, due_ns)));
    }

    /// Calls on that place, as long as others wait for one.
    fn call(&self, lane: usize, due_ns: u64) {
        let mut next = Some(due_ns);
        while let Some(due_ns) = next {
            if self.load.window.is_given_up() {
                self.give_up(due_ns);
            } else {
                self.load.call(&self.lanes[lane], due_ns);
            }
            next = self.waiting.borrow_mut().pop_front();
        }
        self.free.borrow_mut().push_back(lane);
        self.in_flight.set(self.in_flight.get() - 1);
        let idle = if self.in_flight.get() == 0 { self.idle.take() } else { None };
        if let Some(idle) = idle {
            idle.wake();
        }
    }

    fn give_up(&self, due_ns: u64) {
        if due_ns >= self.load.window.begins_ns {
            self.load.shared.unsent();
        }
    }
}

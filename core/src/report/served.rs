//! What a server counts on one core: a row of counters for each method and caller.
//!
//! ```text
//!   callers: 0 __other__ │ 1 Demo.web │ 2 Demo.shop │ …          the connection remembers its own
//!   grid[caller][method] ─► row: counters, what is slow, kind of span
//! ```
//!
//! Callers name themselves, so anybody could make names up: only the first
//! [`CALLERS_MAX`](limits::CALLERS_MAX) have rows of their own, and the others share one. A
//! connection most often has one caller, whose number it remembers; then a row is found by a
//! comparison of names and two steps through a grid.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use msec_protocol::report::{CallKey, OTHER, Role};
use msec_protocol::trace::Slow;
use msec_protocol::{Code, Counters, limits, report};

use crate::report::Reporter;
use crate::serve::Plan;

/// A row that is not there yet.
const NONE: u32 = u32::MAX;
/// The caller that stands for all that have no row of their own.
const OTHERS: u32 = 0;

/// What was counted of one method and caller.
struct Row {
    method: u32,
    caller: u32,
    /// Of its spans.
    kind: u32,
    slow: Slow,
    counters: Counters,
}

/// How a request that ended is to be recorded.
pub(crate) struct Judged {
    pub(crate) kind: u32,
    pub(crate) is_slow: bool,
}

/// What a server counts on one core.
pub(crate) struct Served {
    methods_count: usize,
    /// By number, the first for all others.
    callers: RefCell<Vec<Box<[u8]>>>,
    numbers: RefCell<HashMap<Box<[u8]>, u32>>,
    /// Rows, by caller and then by method; the last method stands for all that do not exist.
    grid: RefCell<Vec<u32>>,
    rows: RefCell<Vec<Row>>,
}

impl Served {
    pub(crate) fn new(methods_count: usize) -> Served {
        Served {
            methods_count,
            callers: RefCell::new(vec![OTHER.as_bytes().into()]),
            numbers: RefCell::default(),
            grid: RefCell::new(vec![NONE; methods_count + 1]),
            rows: RefCell::default(),
        }
    }

    /// The row of a request; `last` is what its connection remembers. `None` as method: there is no
    /// such method.
    #[inline]
    pub(crate) fn row(
        &self,
        reporter: &Reporter,
        plan: &Plan,
        method: Option<u32>,
        caller: &[u8],
        last: &Cell<u32>,
    ) -> u32 {
        let number = if reporter.is_on { self.caller(caller, last) } else { OTHERS };
        let method = method.map_or(self.methods_count, |method| method as usize);
        let place = number as usize * (self.methods_count + 1) + method;
        match self.grid.borrow()[place] {
            NONE => {}
            row => return row,
        }
        self.add_row(reporter, plan, number, method)
    }

    #[inline]
    fn caller(&self, caller: &[u8], last: &Cell<u32>) -> u32 {
        if self.callers.borrow().get(last.get() as usize).is_some_and(|known| **known == *caller) {
            return last.get();
        }
        let number = self.find_caller(caller);
        last.set(number);
        number
    }

    #[cold]
    fn find_caller(&self, caller: &[u8]) -> u32 {
        if let Some(number) = self.numbers.borrow().get(caller) {
            return *number;
        }
        let mut callers = self.callers.borrow_mut();
        if callers.len() > limits::CALLERS_MAX || caller.len() > limits::SERVICE_NAME_BYTES_MAX {
            return OTHERS;
        }
        callers.push(caller.into());
        let number = callers.len() as u32 - 1;
        self.numbers.borrow_mut().insert(caller.into(), number);
        let places = callers.len() * (self.methods_count + 1);
        self.grid.borrow_mut().resize(places, NONE);
        number
    }

    #[cold]
    fn add_row(&self, reporter: &Reporter, plan: &Plan, caller: u32, method: usize) -> u32 {
        let mut rows = self.rows.borrow_mut();
        let name = plan.methods.list.get(method).map_or(OTHER, |method| method.name.text());
        let kind = reporter.add_kind(Role::Server, name, &self.caller_text(caller));
        let (slow, counters) = (Slow::new(), Counters::new());
        rows.push(Row { method: method as u32, caller, kind, slow, counters });
        let row = rows.len() as u32 - 1;
        self.grid.borrow_mut()[caller as usize * (self.methods_count + 1) + method] = row;
        row
    }

    fn caller_text(&self, number: u32) -> String {
        String::from_utf8_lossy(&self.callers.borrow()[number as usize]).into_owned()
    }

    /// A request begins.
    #[inline]
    pub(crate) fn begin(&self, row: u32) {
        self.rows.borrow_mut()[row as usize].counters.begin();
    }

    /// A request that has begun ends.
    #[inline]
    pub(crate) fn end(&self, reporter: &Reporter, row: u32, ended: &report::Outcome) -> Judged {
        let row = &mut self.rows.borrow_mut()[row as usize];
        row.counters.end(ended);
        let is_slow = match reporter.slow_ns {
            0 => row.slow.is(ended.latency_ns),
            slow_ns => ended.latency_ns > slow_ns,
        };
        Judged { kind: row.kind, is_slow }
    }

    /// A request is refused that never began.
    pub(crate) fn refuse(&self, row: u32, code: Code) -> Judged {
        let row = &mut self.rows.borrow_mut()[row as usize];
        row.counters.refuse(code);
        Judged { kind: row.kind, is_slow: false }
    }

    /// A request that has begun is given up before it was started.
    pub(crate) fn give_up(&self, row: u32, code: Code) -> Judged {
        let row = &mut self.rows.borrow_mut()[row as usize];
        row.counters.give_up(code);
        Judged { kind: row.kind, is_slow: false }
    }

    /// What was counted of each method, by its number.
    pub(crate) fn by_method(&self) -> Vec<Counters> {
        let mut methods = vec![Counters::new(); self.methods_count];
        for row in self.rows.borrow().iter() {
            if let Some(counters) = methods.get_mut(row.method as usize) {
                counters.merge(&row.counters);
            }
        }
        methods
    }

    /// All rows, as a snapshot has them.
    pub(crate) fn rows(&self, plan: &Plan, service: &str, is_on: bool) -> Vec<(CallKey, Counters)> {
        let key = |row: &Row| {
            let method = plan.methods.list.get(row.method as usize);
            CallKey {
                role: Role::Server,
                // Without reporting callers are not told apart, and there is nothing to say.
                caller: if is_on { self.caller_text(row.caller) } else { String::new() },
                callee: service.into(),
                method: method.map_or(OTHER, |method| method.name.text()).into(),
            }
        };
        self.rows.borrow().iter().map(|row| (key(row), row.counters.clone())).collect()
    }
}

//! What a core counts of the calls that it makes: a row of counters for each callee and method.
//!
//! A call is counted from when it is asked for until its caller knows the outcome, whatever that
//! is: an answer, a deadline, a connection that could not be had. A [`Calling`] is that duty; one
//! that is dropped has been given up, and counts as cancelled.
//!
//! Methods are constants of the program and clients are used again, so a row is found in a small
//! table by the addresses of the two, and the names are compared to be sure.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use msec_protocol::report::{CallKey, OTHER, Role};
use msec_protocol::route::Why;
use msec_protocol::trace::{Record, Slow, flags};
use msec_protocol::{Code, Counters, Priority, Target, dye, limits, report};

use crate::client::CallOptions;
use crate::report::Reporter;
use crate::shard::{self, Shard};
use crate::task::Inherited;

/// Places of the small table.
const RECENT_COUNT: usize = 64;

/// What was counted of one callee and method.
struct Row {
    caller: Arc<str>,
    callee: Arc<str>,
    method: Arc<str>,
    /// Of its spans.
    kind: u32,
    slow: Slow,
    counters: Counters,
}

/// Where a row was found of late. Holding the target, nobody else can have its address.
struct Recent {
    target: Arc<Target>,
    row: u32,
}

/// Caller, callee and method.
type Names = (Arc<str>, Arc<str>, Arc<str>);

/// What a core counts of the calls that it makes.
#[derive(Default)]
pub(crate) struct Called {
    rows: Vec<Row>,
    numbers: HashMap<Names, u32>,
    recent: Vec<Option<Recent>>,
}

impl Called {
    /// The row of a call.
    #[inline]
    fn row(
        &mut self,
        reporter: &Reporter,
        target: &Arc<Target>,
        method: &str,
        caller: &str,
    ) -> u32 {
        let place = (Arc::as_ptr(target).addr() >> 4 ^ method.as_ptr().addr()) % RECENT_COUNT;
        if let Some(Some(recent)) = self.recent.get(place)
            && Arc::ptr_eq(&recent.target, target)
            && let row = &self.rows[recent.row as usize]
            && *row.method == *method
            && *row.caller == *caller
        {
            return recent.row;
        }
        let row = self.find(reporter, target, method, caller);
        self.recent.resize_with(RECENT_COUNT, || None);
        self.recent[place] = Some(Recent { target: target.clone(), row });
        row
    }

    #[cold]
    fn find(&mut self, reporter: &Reporter, target: &Target, method: &str, caller: &str) -> u32 {
        let callee = target.to_string();
        let names = (caller.into(), callee.into(), method.into());
        if let Some(row) = self.numbers.get(&names) {
            return *row;
        }
        if self.rows.len() < limits::CALLEES_MAX {
            return self.add(reporter, names);
        }
        // A program may make up callers as well: those have no room of their own for ever, either.
        let has_room = self.rows.len() < limits::CALLEES_MAX + limits::CALLERS_MAX;
        let of_caller: Names = (caller.into(), OTHER.into(), OTHER.into());
        let others = match has_room || self.numbers.contains_key(&of_caller) {
            true => of_caller,
            false => (OTHER.into(), OTHER.into(), OTHER.into()),
        };
        match self.numbers.get(&others) {
            Some(row) => *row,
            None => self.add(reporter, others),
        }
    }

    fn add(&mut self, reporter: &Reporter, names: Names) -> u32 {
        let (caller, callee, method) = names.clone();
        let kind = reporter.add_kind(Role::Client, &method, &callee);
        let (slow, counters) = (Slow::new(), Counters::new());
        self.rows.push(Row { caller, callee, method, kind, slow, counters });
        let row = self.rows.len() as u32 - 1;
        self.numbers.insert(names, row);
        row
    }

    /// All rows, as a snapshot has them.
    pub(crate) fn rows(&self) -> Vec<(CallKey, Counters)> {
        let key = |row: &Row| CallKey {
            role: Role::Client,
            caller: String::from(&*row.caller),
            callee: String::from(&*row.callee),
            method: String::from(&*row.method),
        };
        self.rows.iter().map(|row| (key(row), row.counters.clone())).collect()
    }
}

/// The duty to report a call that was begun.
pub(crate) struct Calling {
    row: u32,
    begun_ns: u64,
    /// Where calls are not reported: that of whoever reports them above.
    pub(crate) span_id: u64,
    parent_id: u64,
    pub(crate) flow_id: u64,
    pub(crate) trace_id: [u8; 16],
    pub(crate) coloring: u32,
    pub(crate) sampled: bool,
    pub(crate) priority: Priority,
    /// Of its last attempt.
    attempt: Cell<u16>,
    /// Numbers of the address and of the frame's bytes, as they become known.
    address: Cell<u32>,
    /// Why its last attempt went there.
    why: Cell<Option<Why>>,
    pub(crate) request_bytes: Cell<u32>,
    is_open: Cell<bool>,
}

impl Calling {
    /// Begins to report a call, at that time.
    #[inline]
    pub(crate) fn begin(
        shard: &Shard,
        now_ns: u64,
        target: &Arc<Target>,
        method: &str,
        options: &CallOptions,
        inherited: &Inherited,
    ) -> Calling {
        let reporter = &shard.reporter;
        let is_root = inherited.flow_id == 0;
        let flow_id = if is_root { shard.random() | 1 } else { inherited.flow_id };
        let drawn = is_root && dye::is_drawn(flow_id, reporter.sampled_parts);
        let mut calling = Calling {
            row: 0,
            begun_ns: now_ns,
            span_id: inherited.span_id,
            parent_id: inherited.span_id,
            flow_id,
            trace_id: inherited.trace_id,
            coloring: inherited.coloring | u32::from(options.dyed),
            sampled: inherited.sampled | drawn,
            priority: options.priority.unwrap_or(inherited.priority),
            attempt: Cell::new(0),
            address: Cell::new(0),
            why: Cell::new(None),
            request_bytes: Cell::new(0),
            is_open: Cell::new(reporter.is_on),
        };
        if reporter.is_on {
            calling.span_id = reporter.next_span_id();
            let caller = options.caller_or(&shard.shared.config.report.service);
            let mut called = reporter.called.borrow_mut();
            calling.row = called.row(reporter, target, method, caller);
            called.rows[calling.row as usize].counters.begin();
        }
        calling
    }

    /// The number of the address that it goes to.
    #[inline]
    pub(crate) fn goes_to(&self, address: u32) {
        self.address.set(address);
    }

    /// Why an instance was picked for it.
    #[inline]
    pub(crate) fn picked(&self, why: Why) {
        self.why.set(Some(why));
    }

    /// Another attempt begins, after one that failed or beside one that is late.
    #[cold]
    pub(crate) fn again(&self, shard: &Shard, attempt: usize, is_hedge: bool) {
        self.attempt.set(attempt as u16);
        if self.is_open.get() {
            let mut called = shard.reporter.called.borrow_mut();
            let efforts = &mut called.rows[self.row as usize].counters.efforts;
            let count = if is_hedge { &mut efforts.hedges } else { &mut efforts.retries };
            *count += 1;
        }
    }

    /// The call has ended, with an answer of so many bytes or without.
    #[inline]
    pub(crate) fn end(&self, shard: &Shard, code: Code, answer_bytes: usize) {
        if self.is_open.replace(false) {
            self.report(shard, code, answer_bytes);
        }
    }

    fn report(&self, shard: &Shard, code: Code, answer_bytes: usize) {
        let reporter = &shard.reporter;
        // The turn's time is when the answer came.
        let latency_ns = shard.now_ns().saturating_sub(self.begun_ns);
        let ended = report::Outcome {
            code,
            latency_ns,
            queue_ns: 0,
            request_bytes: u64::from(self.request_bytes.get()),
            answer_bytes: answer_bytes as u64,
        };
        let mut called = reporter.called.borrow_mut();
        let row = &mut called.rows[self.row as usize];
        row.counters.end(&ended);
        let is_slow = match reporter.slow_ns {
            0 => row.slow.is(latency_ns),
            slow_ns => latency_ns > slow_ns,
        };
        let kind = row.kind;
        let Some(recorder) = &reporter.recorder else { return };
        let dyed = if self.coloring != 0 { flags::DYED } else { 0 };
        let sampled = if self.sampled { flags::SAMPLED } else { 0 };
        let (trace_id, named) = Record::trace(&self.trace_id, self.flow_id);
        let record = Record {
            trace_id,
            span_id: self.span_id,
            parent_id: self.parent_id,
            start_ns: self.begun_ns,
            duration_ns: latency_ns,
            kind,
            address: self.address.get(),
            code,
            attempt: self.attempt.get(),
            flags: dyed | sampled | named,
            why: self.why.get(),
        };
        recorder.borrow_mut().record(&record, is_slow);
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        if self.is_open.get()
            && let Some(shard) = shard::current()
        {
            self.report(&shard, Code::CANCELLED, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::settings::Settings;

    #[test]
    fn names_that_are_made_up_share_rows_and_the_last_row_takes_all_that_have_none() {
        let reporter = Reporter::new(&Settings::new(), 0);
        let mut called = Called::default();
        let target = Arc::new("127.0.0.1:1".parse::<Target>().expect("an address"));
        let mut row = |method: &str, caller: &str| {
            let row = called.row(&reporter, &target, method, caller) as usize;
            let Row { caller, method, .. } = &called.rows[row];
            (String::from(&**caller), String::from(&**method), called.rows.len())
        };
        for number in 0..limits::CALLEES_MAX {
            let (_, method, rows) = row(&format!("a.B.C{number}"), "Demo.web");
            assert_eq!((method, rows), (format!("a.B.C{number}"), number + 1));
        }
        let mut full = limits::CALLEES_MAX;
        for number in 0..limits::CALLERS_MAX {
            let caller = format!("Made.up{number}");
            full += 1;
            assert_eq!(row("a.B.New", &caller), (caller, OTHER.into(), full));
        }
        for number in 0..1000 {
            let got = row("a.B.New", &format!("Made.later{number}"));
            assert_eq!(got, (OTHER.into(), OTHER.into(), full + 1));
        }
        assert_eq!(row("a.B.New", "Made.up7"), ("Made.up7".into(), OTHER.into(), full + 1));
        assert_eq!(row("a.B.C7", "Demo.web"), ("Demo.web".into(), "a.B.C7".into(), full + 1));
    }
}

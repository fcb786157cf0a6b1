//! Tasks seen from outside: spawning, joining, scopes, giving way, futures, offloading, values of
//! their own. On both back ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::process::Command;
use std::rc::Rc;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use msec::sync::{Either, Semaphore, after, awaiting, select2};
use msec::{CallOptions, Client, Code, Error, Result, Server};

use common::{MOMENT, PATIENCE, code, on_each_back_end, run, until};

#[test]
fn a_task_returns_its_value_and_a_panic_is_the_error_of_its_joiner_alone() {
    run(|| {
        let good = msec::spawn(|| 7);
        let bad = msec::spawn(|| -> i32 { panic!("on purpose") });
        let slow = msec::spawn(|| msec::sleep(MOMENT).map(|()| 9));
        let error = bad.join().unwrap_err();
        assert_eq!(error.code(), Code::SERVICE_FAILED);
        assert!(error.message().contains("on purpose"), "{error}");
        assert_eq!(good.join()?, 7);
        assert_eq!(slow.join()??, 9);
        Ok(())
    });
}

#[test]
fn a_join_that_times_out_can_be_repeated() {
    run(|| {
        let gate = Semaphore::new(0);
        let entry = gate.clone();
        let mut task = msec::spawn(move || entry.acquire().map(|_| "done"));
        assert_eq!(code(task.join_timeout(MOMENT)), Code::TIMEOUT);
        assert!(!task.is_finished());
        gate.add(1);
        assert_eq!(task.join()??, "done");
        Ok(())
    });
}

#[test]
fn a_task_whose_handle_is_dropped_goes_on() {
    run(|| {
        let done = Rc::new(Cell::new(false));
        let theirs = done.clone();
        drop(msec::spawn(move || theirs.set(true)));
        until(|| done.get())
    });
}

#[test]
fn ten_thousand_tasks_wait_at_a_time() {
    run(|| {
        let gate = Semaphore::new(0);
        let tasks: Vec<_> = (0..10_000_u64)
            .map(|n| {
                let gate = gate.clone();
                msec::spawn(move || gate.acquire().map(|_| n))
            })
            .collect();
        until(|| gate.waiting_count() == 10_000)?;
        gate.add(1);
        let mut sum = 0;
        for task in tasks {
            sum += task.join()??;
        }
        assert_eq!(sum, 10_000 * 9_999 / 2);
        assert_eq!((gate.waiting_count(), gate.available()), (0, 1));
        Ok(())
    });
}

#[test]
fn ten_thousand_tasks_wait_also_without_the_kernels_guard_pages() {
    let this = std::env::current_exe().unwrap();
    let status = Command::new(this)
        .args(["--exact", "ten_thousand_tasks_wait_at_a_time", "--quiet"])
        .env("MSEC_IO_WITHOUT", "guard")
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_scope_ends_when_all_its_tasks_have_ended_and_tells_the_first_failure() {
    run(|| {
        let ended = Rc::new(Cell::new(0));
        let outcome = msec::scope(|scope| {
            for n in 0..10 {
                let ended = ended.clone();
                scope.spawn(move || {
                    msec::sleep(Duration::from_millis(10 - n)).unwrap();
                    ended.set(ended.get() + 1);
                    assert!(n != 3 && n != 7, "task {n} fails");
                });
            }
            "result"
        });
        assert_eq!(ended.get(), 10);
        let error = outcome.unwrap_err();
        assert_eq!(error.code(), Code::SERVICE_FAILED);
        assert!(error.message().contains("task 3 fails"), "{error}");
        assert_eq!(msec::scope(|_| "result")?, "result");
        Ok(())
    });
}

#[test]
fn a_scope_whose_body_panics_waits_for_its_tasks_first() {
    run(|| {
        let ended = Rc::new(Cell::new(false));
        let theirs = ended.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            msec::scope(|scope| {
                scope.spawn(move || {
                    msec::sleep(MOMENT).unwrap();
                    theirs.set(true);
                });
                panic!("in the body");
            })
        }));
        assert!(ended.get());
        assert_eq!(outcome.unwrap_err().downcast_ref(), Some(&"in the body"));
        msec::sleep(MOMENT)
    });
}

#[test]
fn a_sleep_is_never_short_and_sleepers_wake_in_order() {
    run(|| {
        let order = Rc::new(RefCell::new(Vec::new()));
        msec::scope(|scope| {
            for ms in [24, 3, 12] {
                let order = order.clone();
                scope.spawn(move || {
                    let begin_ns = msec::clock::now_ns();
                    msec::sleep(Duration::from_millis(ms)).unwrap();
                    assert!(msec::clock::now_ns() - begin_ns >= ms * 1_000_000);
                    order.borrow_mut().push(ms);
                });
            }
        })?;
        assert_eq!(*order.borrow(), [3, 12, 24]);
        msec::sleep(Duration::ZERO)?;
        msec::sleep_until(0)
    });
    let begin_ns = msec::clock::now_ns();
    msec::sleep(MOMENT).unwrap();
    msec::yield_now().unwrap();
    assert!(msec::clock::now_ns() - begin_ns >= 5_000_000, "a plain thread sleeps as well");
}

#[test]
fn calls_are_served_while_tasks_do_nothing_but_yield() {
    on_each_back_end(|engine| {
        let server = Server::builder()
            .raw("t.T.Echo", |context| Ok(context.body().to_vec()))
            .listen("127.0.0.1:0")
            .start(engine)
            .unwrap();
        let client = Client::new(engine, &server.addresses()[0]).unwrap();
        let (tell, told) = mpsc::channel();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = stop.clone();
        let runner = engine.clone();
        let yielding = thread::spawn(move || {
            runner.run(move || {
                let counts: Vec<_> = (0..3)
                    .map(|_| {
                        let stopped = stopped.clone();
                        msec::spawn(move || {
                            let mut count = 0_u64;
                            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                                msec::yield_now()?;
                                count += 1;
                            }
                            Ok::<u64, Error>(count)
                        })
                    })
                    .collect();
                tell.send(()).unwrap();
                counts.into_iter().map(|count| count.join()?).collect::<Result<Vec<_>>>()
            })
        });
        told.recv_timeout(PATIENCE).unwrap();
        for n in 0..100_u32 {
            let options = CallOptions::new().timeout(PATIENCE);
            let reply = client.call_raw("t.T.Echo", &n.to_be_bytes(), &options).unwrap();
            assert_eq!(&reply.body[..], n.to_be_bytes());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let counts = yielding.join().unwrap().unwrap().unwrap();
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 0 && most - least <= 2, "they take turns: {counts:?}");
    });
}

/// A future that another thread completes.
#[derive(Clone, Default)]
struct Handed(Arc<Mutex<(Option<u32>, Option<Waker>)>>);

impl Handed {
    fn hand(&self, value: u32) {
        let mut state = self.0.lock().unwrap();
        state.0 = Some(value);
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }
}

impl Future for Handed {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u32> {
        let mut state = self.0.lock().unwrap();
        match state.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                state.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[test]
fn a_future_woken_from_another_thread_is_never_missed() {
    run(|| {
        let (to_thread, requests) = mpsc::channel::<(u32, Handed)>();
        let helper = thread::spawn(move || {
            for (value, handed) in requests {
                handed.hand(value);
            }
        });
        for n in 0..2_000 {
            let handed = Handed::default();
            to_thread.send((n, handed.clone())).unwrap();
            assert_eq!(msec::block_on(handed)?, n);
        }
        drop(to_thread);
        helper.join().unwrap();
        Ok(())
    });
    let handed = Handed::default();
    let theirs = handed.clone();
    thread::spawn(move || theirs.hand(5));
    assert_eq!(msec::block_on(handed).unwrap(), 5, "a plain thread waits as well");
}

#[test]
fn who_must_not_go_before_a_future_waits_on_when_he_is_cancelled() {
    on_each_back_end(|engine| {
        let (tell, told) = mpsc::channel();
        let handed = Handed::default();
        let theirs = handed.clone();
        let stay = move |_: &msec::Context| {
            tell.send(0).unwrap();
            assert_eq!(code(msec::sleep(PATIENCE)), Code::CANCELLED);
            tell.send(1).unwrap();
            assert_eq!(code(msec::block_on(handed.clone())), Code::CANCELLED);
            tell.send(msec::block_on_uncancelled(handed.clone())?).unwrap();
            Ok("")
        };
        let server = Server::builder()
            .raw("t.T.Stay", stay)
            .raw("t.T.Ping", |_| Ok(""))
            .listen("127.0.0.1:0")
            .start(engine)
            .unwrap();
        let client = Client::new(engine, &server.addresses()[0]).unwrap();
        let options = CallOptions::new().timeout(PATIENCE * 2);
        // Cancels are sent to who has shown that he knows them.
        client.call_raw("t.T.Ping", b"", &options).unwrap();
        let call = client.start_body::<()>("t.T.Stay", Vec::new(), &options);
        let next = || told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(next(), 0);
        drop(call);
        assert_eq!(next(), 1);
        assert!(told.recv_timeout(MOMENT).is_err(), "it waits");
        theirs.hand(7);
        assert_eq!(next(), 7);
    });
}

#[test]
fn a_future_takes_part_in_a_select() {
    run(|| {
        let handed = Handed::default();
        let first = select2(awaiting(handed.clone()), after(MOMENT))?;
        assert_eq!(first, Either::Second(()));
        let theirs = handed.clone();
        let helper = thread::spawn(move || theirs.hand(6));
        let first = select2(awaiting(handed), after(PATIENCE))?;
        assert_eq!(first, Either::First(6));
        helper.join().unwrap();
        let mut unpinned = pin!(async { 3 });
        assert_eq!(select2(awaiting(&mut unpinned), after(PATIENCE))?, Either::First(3));
        Ok(())
    });
}

#[test]
fn offloaded_functions_run_elsewhere_and_their_panics_are_errors() {
    run(|| {
        let here = thread::current().id();
        let there = msec::offload(|| thread::current().id())?;
        assert_ne!(here, there);
        let error = msec::offload(|| -> u32 { panic!("off and away") }).unwrap_err();
        assert_eq!(error.code(), Code::SERVICE_FAILED);
        assert!(error.message().contains("off and away"));
        // The core goes on meanwhile.
        let (tell, told) = mpsc::channel();
        let offloaded = msec::spawn(move || msec::offload(move || told.recv().unwrap()));
        msec::sleep(MOMENT)?;
        assert!(!offloaded.is_finished());
        tell.send(11).unwrap();
        assert_eq!(offloaded.join()??, 11);
        Ok(())
    });
    let here = thread::current().id();
    assert_eq!(msec::offload(|| thread::current().id()).unwrap(), here);
}

#[test]
fn a_run_that_panics_says_so_and_leaves_the_core_working() {
    on_each_back_end(|engine| {
        let error = engine.run(|| -> u32 { panic!("first") }).unwrap_err();
        assert_eq!(error.code(), Code::SERVICE_FAILED);
        assert!(error.message().contains("first"));
        assert_eq!(engine.run(|| 2).unwrap(), 2);
    });
}

/// Adds its name to a list when it is dropped.
struct Noted(Rc<RefCell<Vec<&'static str>>>, &'static str);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
        if self.1 == "panics" {
            panic!("a destructor panics");
        }
    }
}

msec::local! {
    static COUNT: Cell<u32> = Cell::new(40);
    static FIRST: RefCell<Option<Noted>> = RefCell::new(None);
    static SECOND: RefCell<Option<Noted>> = RefCell::new(None);
}

#[test]
fn each_task_has_values_of_its_own() {
    run(|| {
        COUNT.with(|count| count.set(1));
        let others: Vec<_> = (2..50)
            .map(|n| {
                msec::spawn(move || {
                    let fresh = COUNT.with(|count| count.replace(n));
                    msec::yield_now()?;
                    // Held over a suspension, and looked at again meanwhile.
                    COUNT.with(|count| {
                        msec::yield_now()?;
                        assert_eq!(COUNT.with(Cell::get), n);
                        Ok::<_, Error>((fresh, count.get()))
                    })
                })
            })
            .collect();
        for (n, other) in (2..).zip(others) {
            assert_eq!(other.join()??, (40, n));
        }
        assert_eq!(COUNT.with(Cell::get), 1);
        assert_eq!(msec::offload(|| COUNT.with(|count| count.replace(9)))?, 40);
        assert_eq!(msec::offload(|| COUNT.with(Cell::get))?, 40, "they end with the job");
        Ok(())
    });
    assert_eq!(COUNT.with(|count| count.replace(3)), 40);
    assert_eq!(COUNT.with(Cell::get), 3, "a plain thread keeps its own");
}

#[test]
fn values_of_a_task_are_dropped_when_it_ends_last_made_first() {
    run(|| {
        let notes = Rc::new(RefCell::new(Vec::new()));
        let note = |name| Some(Noted(notes.clone(), name));
        let (first, second) = (note("first"), note("panics"));
        let task = msec::spawn(move || {
            FIRST.with(|value| value.replace(first));
            SECOND.with(|value| value.replace(second));
            msec::yield_now()
        });
        task.join()??;
        until(|| notes.borrow().len() == 2)?;
        assert_eq!(*notes.borrow(), ["panics", "first"]);
        // The stack and the task are used again, with nothing left behind.
        assert!(msec::spawn(|| FIRST.with(|value| value.borrow().is_none())).join()?);
        Ok(())
    });
}

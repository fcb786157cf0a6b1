//! What a coroutine does, seen from outside.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use msec_sys::coroutine::{Coroutine, Guard, Outcome, Pool, StackConfig, on_coroutine, suspend};
use msec_sys::process::TerminationSignals;

thread_local! {
    static STEPS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

fn step(number: usize) {
    STEPS.with_borrow_mut(|steps| steps.push(number));
}

fn steps() -> Vec<usize> {
    STEPS.take()
}

fn pool() -> Pool {
    Pool::new(StackConfig::default())
}

fn take(pool: &Pool) -> Coroutine {
    pool.take().expect("a test machine has address space for one more stack")
}

/// The message of a panic raised by `action`.
fn panic_message(action: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(action)).expect_err("it panics");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast::<&str>().expect("a panic of panic!").to_string(),
    }
}

#[test]
fn a_job_runs_to_each_suspension_and_then_to_its_end() {
    let pool = pool();
    let mut coroutine = take(&pool);
    assert!(!on_coroutine());
    let job = |argument| {
        assert!(on_coroutine());
        step(argument);
        suspend();
        step(argument + 1);
        suspend();
        step(argument + 2);
    };
    assert!(matches!(coroutine.start(job, 10), Outcome::Suspended));
    assert!(!on_coroutine() && coroutine.is_suspended());
    assert_eq!(steps(), [10]);
    assert!(matches!(coroutine.resume(), Outcome::Suspended));
    assert_eq!(steps(), [11]);
    assert!(matches!(coroutine.resume(), Outcome::Finished));
    assert_eq!(steps(), [12]);
    assert!(!on_coroutine() && !coroutine.is_suspended());
}

#[test]
fn jobs_follow_each_other_on_one_stack() {
    let pool = pool();
    let mut coroutine = take(&pool);
    for number in 0..3 {
        let address = |_| {
            let local = 0u8;
            step((&raw const local).addr());
        };
        assert!(matches!(coroutine.start(address, number), Outcome::Finished));
    }
    let addresses = steps();
    assert_eq!(addresses, [addresses[0]; 3]);
}

#[test]
fn the_coroutine_given_back_last_is_taken_first() {
    let pool = pool();
    let address = |pool: &Pool| {
        let mut coroutine = take(pool);
        _ = coroutine.start(
            |_| {
                let local = 0u8;
                step((&raw const local).addr());
            },
            0,
        );
        (coroutine, steps()[0])
    };
    let (first, first_address) = address(&pool);
    let (second, second_address) = address(&pool);
    assert_ne!(first_address, second_address);
    pool.give_back(first);
    pool.give_back(second);
    let (_second, again) = address(&pool);
    assert_eq!(again, second_address);
    let (_first, again) = address(&pool);
    assert_eq!(again, first_address);
    let stats = pool.stats();
    assert_eq!((stats.taken, stats.idle, stats.leaked), (2, 0, 0));
}

#[test]
fn interleaved_jobs_keep_their_own_locals() {
    let pool = pool();
    let job = |argument| {
        let locals: [usize; 64] = std::array::from_fn(|index| argument * 1000 + index);
        for _ in 0..10 {
            suspend();
            assert!(locals.iter().enumerate().all(|(i, &local)| local == argument * 1000 + i));
        }
        step(argument);
    };
    let mut coroutines: Vec<Coroutine> = (0..100).map(|_| take(&pool)).collect();
    for (argument, coroutine) in coroutines.iter_mut().enumerate() {
        assert!(matches!(coroutine.start(job, argument), Outcome::Suspended));
    }
    for round in 0..10 {
        for coroutine in &mut coroutines {
            match coroutine.resume() {
                Outcome::Suspended => assert!(round < 9),
                Outcome::Finished => assert_eq!(round, 9),
                Outcome::Panicked(payload) => std::panic::resume_unwind(payload),
            }
        }
    }
    assert_eq!(steps(), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_panic_is_an_outcome_and_the_coroutine_goes_on() {
    let pool = pool();
    let mut coroutine = take(&pool);
    let job = |argument| {
        let _last = Dropped(argument);
        suspend();
        panic!("job {argument} fails");
    };
    for number in 0..3 {
        assert!(matches!(coroutine.start(job, number), Outcome::Suspended));
        let Outcome::Panicked(payload) = coroutine.resume() else { panic!("it panics") };
        let message = payload.downcast::<String>().expect("a panic with a formatted message");
        assert_eq!(*message, format!("job {number} fails"));
        assert_eq!(steps(), [number], "destructors ran while unwinding");
        assert!(!coroutine.is_suspended() && !std::thread::panicking());
    }
    assert!(matches!(coroutine.start(step, 7), Outcome::Finished));
    assert_eq!(steps(), [7]);
}

/// Notes its number when dropped.
struct Dropped(usize);

impl Drop for Dropped {
    fn drop(&mut self) {
        step(self.0);
    }
}

#[test]
fn a_panic_caught_within_the_job_is_the_jobs_own() {
    let pool = pool();
    let mut coroutine = take(&pool);
    let job = |_| {
        let caught = catch_unwind(|| {
            suspend();
            panic!("inner");
        });
        suspend();
        step(usize::from(caught.is_err()));
    };
    assert!(matches!(coroutine.start(job, 0), Outcome::Suspended));
    assert!(matches!(coroutine.resume(), Outcome::Suspended));
    assert!(matches!(coroutine.resume(), Outcome::Finished));
    assert_eq!(steps(), [1]);
}

#[test]
fn dropping_a_suspended_coroutine_leaks_it_and_counts_it() {
    let pool = pool();
    let job = |number| {
        let _never = Dropped(number);
        suspend();
        step(number + 1);
    };
    let mut dropped = take(&pool);
    _ = dropped.start(job, 1);
    drop(dropped);
    let mut given_back = take(&pool);
    _ = given_back.start(job, 5);
    pool.give_back(given_back);
    assert_eq!(pool.leaked(), 2);
    assert_eq!(pool.stats().taken, 0);
    assert!(steps().is_empty(), "a job that is given up runs no code, destructors included");
    let mut next = take(&pool);
    assert!(matches!(next.start(step, 9), Outcome::Finished), "on a stack of its own");
    assert_eq!(steps(), [9]);
}

#[test]
fn a_coroutine_outlives_its_pool() {
    let pool = pool();
    let mut coroutine = take(&pool);
    let job = |number| {
        suspend();
        step(number);
    };
    assert!(matches!(coroutine.start(job, 3), Outcome::Suspended));
    drop(pool);
    assert!(matches!(coroutine.resume(), Outcome::Finished));
    assert_eq!(steps(), [3]);
    drop(coroutine);
}

#[test]
fn errno_is_the_jobs_own_across_a_suspension() {
    let pool = pool();
    fn set(value: usize) {
        // SAFETY: the location of this thread's errno is always writable.
        unsafe { *libc::__errno_location() = value as i32 };
    }
    let job = |value| {
        set(value);
        suspend();
        let errno = std::io::Error::last_os_error().raw_os_error();
        step(errno.expect("last_os_error is an errno") as usize);
    };
    let mut coroutines = [take(&pool), take(&pool)];
    for (index, coroutine) in coroutines.iter_mut().enumerate() {
        assert!(matches!(coroutine.start(job, index + 3), Outcome::Suspended));
    }
    for coroutine in &mut coroutines {
        set(99);
        assert!(matches!(coroutine.resume(), Outcome::Finished));
    }
    assert_eq!(steps(), [3, 4]);
}

#[test]
fn misuse_is_refused_with_a_clear_message() {
    assert_eq!(panic_message(suspend), "suspend() was called outside of a coroutine");
    let (one, other) = (pool(), pool());
    let mut coroutine = take(&one);
    let refused = panic_message(|| _ = coroutine.resume());
    assert_eq!(refused, "no job is suspended in this coroutine");
    _ = coroutine.start(|_| suspend(), 0);
    let refused = panic_message(|| _ = coroutine.start(step, 0));
    assert_eq!(refused, "the last job of this coroutine is still suspended");
    assert!(matches!(coroutine.resume(), Outcome::Finished), "the refused start did no harm");
    let refused = panic_message(move || _ = other.give_back(coroutine));
    assert!(refused.contains("another pool"), "{refused}");
}

#[test]
fn a_coroutine_does_not_run_another_one() {
    thread_local! {
        static SECOND: RefCell<Option<Coroutine>> = const { RefCell::new(None) };
    }
    let pool = pool();
    SECOND.set(Some(take(&pool)));
    let mut first = take(&pool);
    let job = |_| {
        SECOND.with_borrow_mut(|second| {
            _ = second.as_mut().expect("set above").start(step, 1);
        });
    };
    let Outcome::Panicked(payload) = first.start(job, 0) else { panic!("refused") };
    assert_eq!(
        *payload.downcast::<&str>().expect("a message"),
        "a coroutine may not run another one"
    );
    assert!(steps().is_empty());
    let second = SECOND.take().expect("set above");
    assert!(!second.is_suspended());
}

#[test]
fn jobs_take_and_give_back_coroutines_of_the_pool_they_run_in() {
    thread_local! {
        static POOL: Pool = pool();
    }
    let mut coroutine = POOL.with(take);
    let job = |_| {
        let other = POOL.with(take);
        POOL.with(|pool| assert_eq!(pool.stats().taken, 2));
        POOL.with(|pool| pool.give_back(other));
        step(1);
    };
    assert!(matches!(coroutine.start(job, 0), Outcome::Finished));
    assert_eq!(steps(), [1]);
}

#[test]
fn a_backtrace_on_a_coroutine_ends_and_reaches_the_resumer() {
    let pool = pool();
    let mut coroutine = take(&pool);
    thread_local! {
        static TRACE: Cell<String> = const { Cell::new(String::new()) };
    }
    let job = |_| {
        suspend();
        TRACE.set(std::backtrace::Backtrace::force_capture().to_string());
    };
    #[inline(never)]
    fn resumer_of_the_traced_job(coroutine: &mut Coroutine) {
        assert!(matches!(coroutine.resume(), Outcome::Finished));
    }
    _ = coroutine.start(job, 0);
    resumer_of_the_traced_job(&mut coroutine);
    let trace = TRACE.take();
    assert!(trace.contains("resumer_of_the_traced_job"), "{trace}");
}

#[test]
fn pools_of_many_threads_do_not_meet() {
    let threads: Vec<_> = (0..4usize)
        .map(|thread| {
            std::thread::spawn(move || {
                let pool = pool();
                let seen = Rc::new(Cell::new(0));
                let mut coroutines: Vec<Coroutine> = (0..50).map(|_| take(&pool)).collect();
                for coroutine in &mut coroutines {
                    _ = coroutine.start(
                        |thread| {
                            suspend();
                            step(thread);
                        },
                        thread,
                    );
                }
                for coroutine in &mut coroutines {
                    assert!(matches!(coroutine.resume(), Outcome::Finished));
                    seen.set(seen.get() + 1);
                }
                assert_eq!((steps(), seen.get()), (vec![thread; 50], 50));
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("the asserts above hold");
    }
}

#[test]
fn both_kinds_of_guard_carry_jobs() {
    for guard in [Guard::Auto, Guard::Mprotect] {
        let pool = Pool::new(StackConfig { guard, ..StackConfig::default() });
        assert!(matches!(take(&pool).start(step, 1), Outcome::Finished));
        assert_eq!(steps(), [1]);
        match guard {
            Guard::Mprotect => assert_eq!(pool.guard(), Guard::Mprotect),
            Guard::Auto | Guard::Madvise => assert_ne!(pool.guard(), Guard::Auto),
        }
    }
}

/// Compiles only while none of these may leave their thread: a `Send` type has two candidates.
const _: () = {
    trait CandidateIfSend<Which> {
        const FOUND: () = ();
    }
    impl<T> CandidateIfSend<()> for T {}
    impl<T: Send> CandidateIfSend<u8> for T {}
    let () = <Coroutine as CandidateIfSend<_>>::FOUND;
    let () = <Pool as CandidateIfSend<_>>::FOUND;
    let () = <TerminationSignals as CandidateIfSend<_>>::FOUND;
};

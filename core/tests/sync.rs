//! The tools of `msec::sync` and waiting for descriptors, seen from outside, on both back ends: who
//! is served in which order, what a wait that ends early leaves behind (nothing), and that neither
//! signals nor values get lost.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use msec::sync::{
    Condition, Either, Either3, Mutex, OnceCell, Semaphore, Wait, after, channel, select, select2,
    select3, until_readable,
};
use msec::{Code, Error, JoinHandle, Result};

use common::{MOMENT, PATIENCE, code, run, until};

/// What happened, in order.
type Notes<T> = Rc<RefCell<Vec<T>>>;

fn join_all<T>(tasks: Vec<JoinHandle<Result<T>>>) -> Result<Vec<T>> {
    tasks.into_iter().map(|task| task.join()?).collect()
}

#[test]
fn a_mutex_is_one_coroutines_at_a_time_and_goes_to_the_first_in_line() {
    run(|| {
        let mutex = Mutex::new(Vec::new());
        let held = mutex.lock()?;
        let mut tasks = Vec::new();
        for n in 0..50 {
            let ours = mutex.clone();
            tasks.push(msec::spawn(move || {
                let mut order = ours.lock()?;
                order.push(n);
                let count = order.len();
                msec::yield_now()?;
                assert_eq!(order.len(), count, "nobody else was at it");
                Ok(())
            }));
            until(|| mutex.waiting_count() == n + 1)?;
        }
        drop(held);
        assert!(mutex.try_lock().is_none(), "it is the first one's already");
        assert_eq!(mutex.lock()?.len(), 50, "and who comes last is served last");
        join_all(tasks)?;
        assert!(mutex.try_lock().unwrap().iter().copied().eq(0..50));
        Ok(())
    });
}

#[test]
fn a_mutex_is_unlocked_by_a_panic_and_by_a_guard_that_was_handed_on() {
    run(|| {
        let mutex = Mutex::new(1);
        let theirs = mutex.clone();
        let task = msec::spawn(move || {
            let mut value = theirs.lock().unwrap();
            *value = 2;
            msec::yield_now().unwrap();
            panic!("while it holds the mutex");
        });
        msec::yield_now()?;
        assert_eq!(*mutex.lock_timeout(PATIENCE)?, 2);
        assert_eq!(code(task.join()), Code::SERVICE_FAILED);
        let guard = mutex.lock()?;
        let task = msec::spawn(move || *guard);
        assert_eq!(*mutex.lock()?, 2);
        assert_eq!(task.join()?, 2);
        Ok(())
    });
}

#[test]
fn a_lock_that_times_out_leaves_the_line() {
    run(|| {
        let mutex = Mutex::new(0);
        let held = mutex.lock()?;
        assert_eq!(code(mutex.lock_timeout(MOMENT)), Code::TIMEOUT);
        assert_eq!(code(mutex.lock_timeout(Duration::ZERO)), Code::TIMEOUT);
        assert_eq!(mutex.waiting_count(), 0);
        let theirs = mutex.clone();
        let task = msec::spawn(move || theirs.lock().map(|_| ()));
        until(|| mutex.waiting_count() == 1)?;
        drop(held);
        task.join()??;
        assert!(mutex.lock_timeout(Duration::ZERO).is_ok(), "what is free is had without waiting");
        Ok(())
    });
}

#[test]
fn a_signal_wakes_the_one_that_has_waited_longest_and_nobody_else() {
    run(|| {
        let (condition, order) = (Condition::new(), Notes::default());
        condition.notify_one();
        let tasks: Vec<_> = (0..5)
            .map(|n| {
                let (condition, order) = (condition.clone(), order.clone());
                msec::spawn(move || {
                    condition.notified().wait()?;
                    order.borrow_mut().push(n);
                    Ok::<(), Error>(())
                })
            })
            .collect();
        until(|| condition.waiting_count() == 5)?;
        for served in 1..=2 {
            condition.notify_one();
            until(|| order.borrow().len() == served)?;
            (0..10).try_for_each(|_| msec::yield_now())?;
            assert_eq!((order.borrow().len(), condition.waiting_count()), (served, 5 - served));
        }
        condition.notify_all();
        join_all(tasks)?;
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
        Ok(())
    });
}

#[test]
fn a_condition_unlocks_while_it_waits_and_a_timeout_leaves_the_mutex_unlocked() {
    run(|| {
        let (mutex, filled) = (Mutex::new(Vec::new()), Condition::new());
        let (ours, tell) = (mutex.clone(), filled.clone());
        let task = msec::spawn(move || {
            for n in 0..3 {
                ours.lock()?.push(n);
                tell.notify_all();
                msec::yield_now()?;
            }
            Ok::<(), Error>(())
        });
        let values = filled.wait_while(mutex.lock()?, |values| values.len() < 3)?;
        assert_eq!(*values, [0, 1, 2]);
        task.join()??;
        assert_eq!(code(filled.wait_timeout(values, MOMENT)), Code::TIMEOUT);
        assert_eq!((filled.waiting_count(), mutex.waiting_count()), (0, 0));
        assert!(mutex.try_lock().is_some());
        Ok(())
    });
}

#[test]
fn a_signal_to_one_that_cannot_use_it_goes_to_the_next() {
    run(|| {
        // The first gets the signal, but not the mutex in time: the second must be told.
        let (mutex, condition) = (Mutex::new(0), Condition::new());
        let (ours, theirs) = ((mutex.clone(), condition.clone()), condition.clone());
        let first = msec::spawn(move || {
            let guard = ours.0.lock()?;
            ours.1.wait_timeout(guard, MOMENT * 4).map(|_| ())
        });
        msec::yield_now()?;
        let second = msec::spawn(move || theirs.notified().wait());
        msec::yield_now()?;
        let held = mutex.lock()?;
        condition.notify_one();
        assert_eq!(code(first.join()?), Code::TIMEOUT);
        second.join()??;
        drop(held);
        // One that is over before the signalled one runs: dropped while it was granted.
        let other = Condition::new();
        let outcome = select2(msec::spawn(|| ()), other.notified())?;
        assert!(matches!(outcome, Either::First(Ok(()))));
        assert_eq!(other.waiting_count(), 0);
        Ok(())
    });
}

#[test]
fn a_large_wish_is_not_overtaken_by_small_ones_and_does_not_block_when_it_gives_up() {
    run(|| {
        let (semaphore, order) = (Semaphore::new(2), Notes::default());
        let first = semaphore.acquire()?;
        let spawn = |wanted, timeout| {
            let (semaphore, order) = (semaphore.clone(), order.clone());
            msec::spawn(move || {
                let permit = semaphore.acquiring(wanted).wait_timeout(timeout)?;
                order.borrow_mut().push(wanted);
                msec::yield_now()?;
                drop(permit);
                Ok::<(), Error>(())
            })
        };
        let large = spawn(2, PATIENCE);
        until(|| semaphore.waiting_count() == 1)?;
        let small = spawn(1, PATIENCE);
        until(|| semaphore.waiting_count() == 2)?;
        assert_eq!(semaphore.available(), 1);
        assert!(semaphore.try_acquire(1).is_none(), "one is free, but others came before");
        drop(first);
        join_all(vec![large, small])?;
        assert_eq!(*order.borrow(), [2, 1]);

        // With the large one's time up, the small one behind it goes on at once.
        let first = semaphore.acquire()?;
        let large = spawn(2, MOMENT);
        msec::yield_now()?;
        let small = spawn(1, PATIENCE);
        assert_eq!(code(large.join()?), Code::TIMEOUT);
        small.join()??;
        first.forget();
        assert_eq!((semaphore.available(), semaphore.waiting_count()), (1, 0));
        semaphore.add(4);
        assert_eq!(semaphore.acquire_many(5)?.forget(), ());
        assert_eq!(code(semaphore.acquire_timeout(MOMENT)), Code::TIMEOUT);
        Ok(())
    });
}

#[test]
fn a_channel_keeps_order_holds_back_senders_and_ends_when_they_are_gone() {
    run(|| {
        let (sender, receiver) = channel(3);
        let sent = Rc::new(Cell::new(0));
        let count = sent.clone();
        let task = msec::spawn(move || {
            for n in 0..20 {
                sender.send(n)?;
                count.set(n + 1);
            }
            Ok::<(), Error>(())
        });
        (0..10).try_for_each(|_| msec::yield_now())?;
        assert_eq!((sent.get(), receiver.len()), (3, 3), "full");
        let mut received = Vec::new();
        while let Some(n) = receiver.recv()? {
            received.push(n);
            assert!(receiver.len() <= 3);
        }
        assert!(received.into_iter().eq(0..20));
        task.join()??;
        assert_eq!(receiver.recv()?, None, "and it stays so");
        Ok(())
    });
}

#[test]
fn each_value_goes_to_one_of_many_receivers_in_turn() {
    run(|| {
        let (sender, receiver) = channel(2);
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let receiver = receiver.clone();
                msec::spawn(move || {
                    let mut mine = Vec::new();
                    while let Some(n) = receiver.recv()? {
                        mine.push(n);
                    }
                    Ok::<_, Error>(mine)
                })
            })
            .collect();
        until(|| receiver.waiting_count() == 4)?;
        let senders: Vec<_> = (0..3)
            .map(|part| {
                let sender = sender.clone();
                msec::spawn(move || {
                    (0..100).try_for_each(|n| Ok::<(), Error>(sender.send(part * 100 + n)?))
                })
            })
            .collect();
        join_all(senders)?;
        drop(sender);
        let parts = join_all(tasks)?;
        assert!(parts.iter().all(|part| part.len() > 30), "none is starved");
        let mut all = parts.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..300));
        Ok(())
    });
}

#[test]
fn what_cannot_be_sent_comes_back() {
    run(|| {
        let (sender, receiver) = channel(1);
        sender.send("in")?;
        let full = sender.try_send("full").unwrap_err();
        assert_eq!((full.value, full.error.code()), ("full", Code::OVERLOADED));
        let late = sender.send_timeout("late", MOMENT).unwrap_err();
        assert_eq!((late.value, late.error.code()), ("late", Code::TIMEOUT));
        assert_eq!(sender.waiting_count(), 0);
        let theirs = sender.clone();
        let task = msec::spawn(move || theirs.send("waits").unwrap_err().value);
        until(|| sender.waiting_count() == 1)?;
        receiver.close();
        assert_eq!(task.join()?, "waits");
        assert!(sender.is_closed());
        assert_eq!(sender.try_send("closed").unwrap_err().error.code(), Code::SYSTEM_ERROR);
        assert_eq!((receiver.recv()?, receiver.recv()?), (Some("in"), None));
        drop(receiver);
        let (sender, receiver) = channel(1);
        let value = Rc::new(());
        sender.send(value.clone())?;
        drop(receiver);
        assert_eq!(Rc::strong_count(&value), 1, "nobody will take it");
        assert!(sender.send(value).is_err());
        Ok(())
    });
}

#[test]
fn receivers_that_time_out_or_lose_a_select_neither_lose_values_nor_change_their_order() {
    run(|| {
        let (sender, receiver) = channel(8);
        assert_eq!(code(receiver.recv_timeout(MOMENT)), Code::TIMEOUT);
        assert_eq!(receiver.waiting_count(), 0);
        // Both of the select are over when it looks: the value is promised, and then given back.
        let (other, gate) = (receiver.clone(), Semaphore::new(0));
        let entry = gate.clone();
        let loser = msec::spawn(move || select2(entry.acquiring(1), other.receiving()));
        until(|| gate.waiting_count() == 1 && receiver.waiting_count() == 1)?;
        let waiting = receiver.clone();
        let next = msec::spawn(move || waiting.recv());
        until(|| receiver.waiting_count() == 2)?;
        sender.send(1)?;
        gate.add(1);
        assert!(matches!(loser.join()??, Either::First(_)));
        assert_eq!(next.join()??, Some(1), "it went to the next in line");
        (2..6).try_for_each(|n| Ok::<(), Error>(sender.send(n)?))?;
        for n in 2..6 {
            assert_eq!(select2(receiver.receiving(), after(PATIENCE))?, Either::First(Some(n)));
        }
        assert_eq!(receiver.try_recv(), None);
        Ok(())
    });
}

#[test]
fn a_value_is_made_once_by_whoever_succeeds_first() {
    run(|| {
        let (cell, made) = (OnceCell::new(), Rc::new(Cell::new(0)));
        let spawn = |fate: u32| {
            let (cell, made) = (cell.clone(), made.clone());
            msec::spawn(move || {
                let make = || {
                    made.set(made.get() + 1);
                    msec::sleep(MOMENT)?;
                    assert_ne!(fate, 0, "the first panics");
                    if fate == 1 { Err(Error::failed("the second fails")) } else { Ok(fate) }
                };
                cell.get_or_try_init(make).copied()
            })
        };
        let mut tasks: Vec<_> = (0..6).map(spawn).collect();
        let rest = tasks.split_off(2);
        assert_eq!(cell.get(), None);
        assert!(tasks.remove(0).join().is_err());
        assert_eq!(tasks.remove(0).join()?.unwrap_err().message(), "the second fails");
        assert_eq!(join_all(rest)?, [2; 4]);
        assert_eq!((made.get(), cell.get()), (3, Some(&2)));
        assert_eq!(cell.set(9), Err(9));
        assert_eq!(*cell.get_or_init(|| 9)?, 2);
        let by_hand = OnceCell::new();
        let theirs = by_hand.clone();
        let set = msec::spawn(move || theirs.set(5));
        let value = *by_hand.get_or_init(|| msec::sleep(MOMENT).map_or(0, |()| 7))?;
        assert_eq!((set.join()?, value), (Ok(()), 5), "what was set by hand meanwhile stays");
        Ok(())
    });
}

#[test]
fn a_select_takes_the_first_of_anything_and_the_others_leave() {
    run(|| {
        let (mutex, semaphore, condition) = (Mutex::new(()), Semaphore::new(0), Condition::new());
        let held = Rc::new(RefCell::new(mutex.try_lock()));
        let (sender, receiver) = channel::<u32>(1);
        sender.send(1)?;
        let (ours, theirs) = UnixStream::pair()?;
        for winner in 0..6 {
            let gate = Semaphore::new(0);
            let entry = gate.clone();
            let mut locking = mutex.locking().map(drop);
            let mut acquiring = semaphore.acquiring(1).map(msec::sync::Permit::forget);
            let mut notified = condition.notified();
            let mut sending = sender.sending(2).map(|sent| sent.unwrap());
            let mut readable = until_readable(&ours)?.map(|ready| ready.unwrap());
            let mut ended = msec::spawn(move || drop(entry.acquire())).map(|ended| ended.unwrap());
            let (held, receiver, to_read) = (held.clone(), receiver.clone(), theirs.try_clone()?);
            let (semaphore, condition, opened) =
                (semaphore.clone(), condition.clone(), gate.clone());
            let lines = (semaphore.clone(), condition.clone());
            let retaken = held.clone();
            let act = msec::spawn(move || {
                until(|| semaphore.waiting_count() == 1)?;
                match winner {
                    0 => drop(held.take()),
                    1 => semaphore.add(1),
                    2 => condition.notify_one(),
                    3 => drop(receiver.recv()?),
                    4 => (&to_read).write_all(b"x")?,
                    _ => opened.add(1),
                }
                Ok::<(), Error>(())
            });
            let (index, ()) = select(&mut [
                &mut locking,
                &mut acquiring,
                &mut notified,
                &mut sending,
                &mut readable,
                &mut ended,
            ])?;
            assert_eq!(index, winner);
            act.join()??;
            let left = [lines.0.waiting_count(), lines.1.waiting_count()];
            assert_eq!((left, mutex.waiting_count(), sender.waiting_count()), ([0, 0], 0, 0));
            gate.add(1);
            match winner {
                0 => drop(retaken.replace(mutex.try_lock())),
                4 => assert_eq!((&ours).read(&mut [0; 8])?, 1),
                _ => {}
            }
        }
        Ok(())
    });
}

#[test]
fn of_several_that_are_over_the_first_counts_and_the_rest_is_untouched() {
    run(|| {
        let (first, second) = (channel(1), channel(1));
        first.0.send('a')?;
        second.0.send('b')?;
        let outcome = select3(after(PATIENCE), second.1.receiving(), first.1.receiving())?;
        assert_eq!(outcome, Either3::Second(Some('b')));
        assert_eq!(first.1.try_recv(), Some('a'));
        let mut end = after(MOMENT);
        assert_eq!(select2(first.1.receiving(), &mut end)?, Either::Second(()));
        assert_eq!(select2(&mut end, first.1.receiving())?, Either::First(()), "it stays over");
        let mut never = first.1.receiving();
        assert_eq!(code((&mut never).wait_timeout(MOMENT)), Code::TIMEOUT);
        assert_eq!(first.1.waiting_count(), 0);
        first.0.send('c')?;
        assert_eq!(never.wait()?, Some('c'), "a wait that lost may be used again");
        Ok(())
    });
}

#[test]
fn a_plain_thread_gets_what_needs_no_wait_and_is_refused_the_rest() {
    let (mutex, semaphore) = (Mutex::new(4), Semaphore::new(1));
    let guard = mutex.lock().unwrap();
    assert_eq!(*guard, 4);
    assert_eq!(code(mutex.lock()), Code::SYSTEM_ERROR);
    drop(guard);
    assert!(mutex.try_lock().is_some());
    let permit = semaphore.acquire().unwrap();
    assert_eq!(code(semaphore.acquire_timeout(PATIENCE)), Code::SYSTEM_ERROR);
    drop(permit);
    assert_eq!((semaphore.available(), semaphore.waiting_count()), (1, 0));
    let (sender, receiver) = channel(1);
    sender.send(1).unwrap();
    assert_eq!(sender.send(2).unwrap_err().error.code(), Code::SYSTEM_ERROR);
    assert_eq!(receiver.recv().unwrap(), Some(1));
    assert_eq!(code(receiver.recv()), Code::SYSTEM_ERROR);
    drop(sender);
    assert_eq!(receiver.recv().unwrap(), None);
    let (ours, _theirs) = UnixStream::pair().unwrap();
    assert_eq!(code(msec::readable(&ours)), Code::SYSTEM_ERROR);
    assert_eq!(code(Condition::new().notified().wait()), Code::SYSTEM_ERROR);
}

/// Numbers that look random (xorshift64, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn nothing_is_lost_among_many_tasks_that_wait_and_give_up_at_random() {
    run(|| {
        let seed = msec::clock::now_ns() | 1;
        println!("seed {seed}");
        let (mutex, semaphore) = (Mutex::new((0, false)), Semaphore::new(5));
        let (sender, receiver) = channel(3);
        let (sent, received) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let tasks: Vec<_> = (0..60)
            .map(|task| {
                let mut numbers = Numbers(seed ^ task << 32);
                let (mutex, semaphore) = (mutex.clone(), semaphore.clone());
                let (sender, receiver) = (sender.clone(), receiver.clone());
                let (sent, received) = (sent.clone(), received.clone());
                msec::spawn(move || {
                    for _ in 0..60 {
                        let timeout = Duration::from_micros(numbers.below(2_500));
                        match numbers.below(5) {
                            0 => {
                                let Ok(mut pair) = mutex.lock_timeout(timeout) else { continue };
                                assert!(!std::mem::replace(&mut pair.1, true));
                                msec::yield_now()?;
                                *pair = (pair.0 + 1, false);
                            }
                            1 => {
                                let wanted = 1 + numbers.below(5) as usize;
                                let wait = semaphore.acquiring(wanted).wait_timeout(timeout);
                                let _permit = wait.inspect_err(expect_timeout);
                                msec::yield_now()?;
                            }
                            2 => match sender.send_timeout(1, timeout) {
                                Ok(()) => sent.set(sent.get() + 1),
                                Err(unsent) => expect_timeout(&unsent.error),
                            },
                            3 => match receiver.recv_timeout(timeout) {
                                Ok(value) => received.set(received.get() + value.unwrap_or(0)),
                                Err(error) => expect_timeout(&error),
                            },
                            _ => {
                                let both = (semaphore.acquiring(2), receiver.receiving());
                                match select3(both.0, both.1, after(timeout))? {
                                    Either3::First(permit) => drop(permit),
                                    Either3::Second(value) => {
                                        received.set(received.get() + value.unwrap_or(0));
                                    }
                                    Either3::Third(()) => {}
                                }
                            }
                        }
                    }
                    Ok::<(), Error>(())
                })
            })
            .collect();
        join_all(tasks)?;
        assert!(!mutex.try_lock().unwrap().1);
        assert_eq!((semaphore.available(), semaphore.waiting_count()), (5, 0));
        assert_eq!((sender.waiting_count(), receiver.waiting_count()), (0, 0));
        assert_eq!(sent.get() - received.get(), receiver.len());
        while receiver.try_recv().is_some() {}
        (0..3).try_for_each(|_| Ok::<(), Error>(sender.try_send(1)?))?;
        assert!(sender.try_send(1).is_err(), "exactly as much room as in the beginning");
        Ok(())
    });
}

fn expect_timeout(error: &Error) {
    assert_eq!(error.code(), Code::TIMEOUT);
}

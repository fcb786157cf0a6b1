//! What coroutine stacks cost, and that they give memory back.
//!
//! These tests read the memory of the whole process, so they take turns.

use std::hint::black_box;
use std::sync::{Mutex, MutexGuard, PoisonError};

use msec_sys::coroutine::{Coroutine, Exhausted, Guard, Outcome, Pool, StackConfig, suspend};
use msec_sys::process::{map_count, rss_bytes};

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn rss() -> u64 {
    rss_bytes().expect("/proc is mounted on a test machine")
}

/// Uses about `bytes` of stack and suspends at the deepest point.
fn park_at_depth(bytes: usize) {
    let mut frame = [1u8; 512];
    black_box(&mut frame);
    if bytes > 1024 {
        park_at_depth(bytes - 512);
    } else {
        suspend();
    }
    black_box(&frame);
}

/// Resident bytes each of `count` coroutines parked after using `depth` bytes of stack.
fn resident_bytes_each(pool: &Pool, count: usize, depth: usize) -> u64 {
    let mut parked: Vec<Coroutine> = Vec::with_capacity(count);
    let before = rss();
    for _ in 0..count {
        let mut coroutine = pool.take().expect("address space is plenty");
        assert!(matches!(coroutine.start(park_at_depth, depth), Outcome::Suspended));
        parked.push(coroutine);
    }
    let each = rss().saturating_sub(before) / count as u64;
    for mut coroutine in parked {
        assert!(matches!(coroutine.resume(), Outcome::Finished));
    }
    each
}

#[test]
fn a_parked_job_costs_the_pages_it_touched() {
    let _turn = turn();
    let count = 20_000;
    let pool = Pool::new(StackConfig::default());
    let shallow = resident_bytes_each(&pool, count, 0);
    assert!((4000..=4710).contains(&shallow), "{shallow} bytes each for a shallow job");
    drop(pool);
    let pool = Pool::new(StackConfig::default());
    let ordinary = resident_bytes_each(&pool, count, 4096);
    assert!((8000..=8704).contains(&ordinary), "{ordinary} bytes each for an ordinary job");
    // Once more on the same stacks: reuse, and the look at the probe, add nothing.
    let again = resident_bytes_each(&pool, count, 4096);
    assert!(again <= 64, "{again} bytes each more the second time");
    let before = rss();
    drop(pool);
    let returned = before - rss();
    assert!(returned >= count as u64 * 8000, "{returned} bytes returned with the pool");
}

#[test]
fn stacks_guarded_by_advice_cost_no_mapping_each() {
    let _turn = turn();
    let pool = Pool::new(StackConfig::default());
    let mappings = map_count().expect("/proc is mounted");
    let coroutines: Vec<_> = (0..3000).map(|_| pool.take().expect("address space")).collect();
    // Give or take what threads of the test harness map and unmap meanwhile.
    let after = map_count().expect("/proc is mounted");
    match pool.guard() {
        Guard::Madvise => assert!(after <= mappings + 8, "{after} after {mappings}"),
        Guard::Mprotect => assert!(after.abs_diff(mappings + 6000) <= 8, "{after}, {mappings}"),
        Guard::Auto => panic!("the first stack decides"),
    }
    drop(coroutines);
}

#[test]
fn guards_by_mprotect_stop_at_a_third_of_the_mappings_and_come_back() {
    let _turn = turn();
    let config = StackConfig { stack_bytes: 64 << 10, guard: Guard::Mprotect };
    let pools = [Pool::new(config), Pool::new(config)];
    let mut coroutines = Vec::new();
    let refused = loop {
        // Two pools, because the bound is the process's and not a pool's.
        match pools[coroutines.len() % 2].take() {
            Ok(coroutine) => coroutines.push(coroutine),
            Err(refused) => break refused,
        }
        assert!(coroutines.len() < 10_000_000, "never refused");
    };
    let Exhausted::Mappings { stacks_max } = refused else { panic!("{refused}") };
    assert_eq!(coroutines.len(), stacks_max);
    assert!(refused.to_string().contains("vm.max_map_count"), "{refused}");
    // What has been handed out still works, and one given back may be taken again.
    let last = coroutines.last_mut().expect("some were taken");
    assert!(matches!(last.start(|_| (), 0), Outcome::Finished));
    let last = coroutines.pop().expect("some were taken");
    drop(last);
    let pool = if stacks_max % 2 == 1 { &pools[0] } else { &pools[1] };
    coroutines.push(pool.take().expect("one is idle"));
    assert!(pools.iter().all(|pool| pool.take().is_err()));
    // A pool that goes away makes room for another one.
    drop(coroutines);
    let [first, second] = pools;
    drop(first);
    drop(second.take().expect("idle ones are still there"));
    let fresh = Pool::new(config);
    drop(fresh.take().expect("the dropped pool made room"));
}

#[test]
fn deep_use_is_given_back_and_remembered() {
    let _turn = turn();
    let pool = Pool::new(StackConfig::default());
    let mut coroutine = pool.take().expect("address space");
    assert!(matches!(coroutine.start(park_at_depth, 100 << 10), Outcome::Suspended));
    assert!(matches!(coroutine.resume(), Outcome::Finished));
    assert!(coroutine.went_deep());
    let deep = coroutine.high_water_bytes();
    assert!((100 << 10..140 << 10).contains(&deep), "{deep}");
    assert_eq!(pool.give_back(coroutine), Some(deep));
    assert_eq!(pool.stats().high_water_bytes, deep);
    let mut coroutine = pool.take().expect("the same one");
    assert!(!coroutine.went_deep());
    assert_eq!(coroutine.high_water_bytes(), 16 << 10, "the kept part stays");
    assert!(matches!(coroutine.start(park_at_depth, 0), Outcome::Suspended));
    assert!(matches!(coroutine.resume(), Outcome::Finished));
    assert_eq!(coroutine.high_water_bytes(), 16 << 10);
}

#[test]
fn deep_use_that_jumps_over_the_probe_is_found_by_the_look_at_every_1024th_use() {
    /// Fills its far end only: the frame spans the probe without writing to it.
    #[inline(never)]
    fn jump(_: usize) {
        let mut frame = std::mem::MaybeUninit::<[u8; 100 << 10]>::uninit();
        let frame = black_box(&mut frame);
        // SAFETY: the first byte of a buffer of 100 KiB.
        unsafe { frame.as_mut_ptr().cast::<u8>().write_volatile(1) };
    }
    let _turn = turn();
    let pool = Pool::new(StackConfig::default());
    let mut coroutine = pool.take().expect("address space");
    assert!(matches!(coroutine.start(jump, 0), Outcome::Finished));
    assert!(!coroutine.went_deep(), "the probe sees nothing of this");
    assert!(coroutine.high_water_bytes() > 100 << 10, "the exact look does");
    pool.give_back(coroutine);
    for _ in 0..1023 {
        pool.give_back(pool.take().expect("the same one"));
    }
    assert!(pool.stats().high_water_bytes > 100 << 10);
    let coroutine = pool.take().expect("the same one");
    assert!(coroutine.high_water_bytes() <= 16 << 10);
}

#[test]
fn a_slab_that_cannot_be_mapped_is_an_error_and_no_harm() {
    let _turn = turn();
    let config = StackConfig { stack_bytes: 64 << 20, guard: Guard::Auto };
    let pools: Vec<Pool> = (0..4096).map(|_| Pool::new(config)).collect();
    // 64 GiB a slab: 128 TiB of address space end after about two thousand.
    let mut taken = Vec::new();
    let refused = pools.iter().find_map(|pool| match pool.take() {
        Ok(coroutine) => {
            taken.push(coroutine);
            None
        }
        Err(refused) => Some(refused),
    });
    let Some(Exhausted::Memory { errno }) = refused else { panic!("{refused:?}") };
    assert_eq!(errno, libc::ENOMEM);
    let first = taken.first_mut().expect("the first slabs fit");
    assert!(matches!(first.start(|_| (), 0), Outcome::Finished));
}

//! Regressions: each trouble from one seed, with the bounds that it must stay within. The bounds
//! leave a little room over what is measured, and none for another order of magnitude.
use super::scenarios::{all, quiet};
use super::*;
use std::vec;

/// The seed of a regression; another one by hand, when looking for trouble.
fn seed() -> u64 {
    let seed = 20_261_122;
    std::println!("seed {seed}");
    seed
}

/// A scenario with a fifth of its callers.
fn felt(name: &str) -> Felt {
    let scenario = all(seed()).into_iter().find(|one| one.name == name).unwrap();
    let mut world = scenario.world;
    world.callers.iter_mut().for_each(|kind| kind.count = kind.count.div_ceil(5));
    world.plans.iter_mut().filter(|plan| plan.callers < usize::MAX).for_each(|p| p.callers /= 5);
    run(&world, |count, _| Box::new(Adaptive::new(count)))
}

#[test]
fn the_logarithm_is_one() {
    for number in [1e-300, 1e-9, 0.1, 0.5, 0.75, 0.999_999, 1.0] {
        assert!((logarithm(number) - f64::ln(number)).abs() < 1e-9, "{number}");
    }
}

#[test]
fn a_run_is_repeated_exactly_by_its_seed() {
    let world = World {
        duration_ns: 3 * SECOND,
        callers: vec![Callers { count: 50, rate: 20.0 }],
        ..quiet(seed())
    };
    let run = || run(&world, |count, _| Box::new(Adaptive::new(count)));
    let (one, other) = (run(), run());
    assert_eq!((one.calls, &one.attempts), (other.calls, &other.attempts));
    assert_eq!(one.latencies_us, other.latencies_us);
}

#[test]
fn instances_without_trouble_share_evenly_and_nothing_fails() {
    let felt = felt("nothing wrong");
    assert_eq!(felt.failed, 0);
    let mean = felt.calls / 10;
    assert!(felt.attempts.iter().all(|count| count.abs_diff(mean) < mean / 5), "{felt:?}");
}

#[test]
fn a_dead_instance_costs_each_caller_about_one_call() {
    for name in ["one of ten dead", "one of ten dark", "dead for 10 s, then back"] {
        let felt = felt(name);
        assert!(felt.failed <= 220, "{name}: {} of 200 callers' calls", felt.failed);
        if name == "dead for 10 s, then back" {
            assert!(felt.share(28, 0) > 0.07, "it has its part again: {}", felt.share(28, 0));
        }
    }
}

#[test]
fn a_slow_instance_is_left_alone_within_a_second_or_two() {
    let felt = felt("one of ten 10x slow");
    assert!(felt.p99_ms() < 30.0, "{}", felt.p99_ms());
    assert!(felt.share(12, 0) < 0.02, "{}", felt.share(12, 0));
}

#[test]
fn an_instance_that_fails_at_times_costs_little() {
    let felt = felt("one of ten fails 30 %");
    assert!(felt.failed < 500, "{}", felt.failed);
}

#[test]
fn failures_everywhere_are_not_made_worse() {
    let felt = felt("all fail 30 %");
    let part = felt.failed as f64 / felt.calls as f64;
    assert!((0.23..0.27).contains(&part), "{part}: 25 of 30 seconds at 30 %");
    let mean = felt.calls / 10;
    assert!(felt.attempts.iter().all(|count| count.abs_diff(mean) < mean / 4));
}

#[test]
fn one_that_flaps_is_trusted_less_each_time() {
    let felt = felt("flapping, 2 s");
    assert!(felt.failed < 480, "{}", felt.failed);
    let (early, late): (u64, u64) =
        (felt.failed_by_second[5..15].iter().sum(), felt.failed_by_second[20..30].iter().sum());
    assert!(late < early, "{early}, then {late}");
}

#[test]
fn after_an_outage_everybody_is_called_again_at_once() {
    let felt = felt("total outage, 5 s");
    let after: u64 = felt.failed_by_second[11..].iter().sum();
    assert_eq!(after, 0, "{:?}", felt.failed_by_second);
    assert!((0..10).all(|instance| felt.share(20, instance) > 0.06));
    assert!(felt.p99_ms() < 30.0, "{}", felt.p99_ms());
}

#[test]
fn a_partition_hurts_only_those_behind_it_and_only_once() {
    let felt = felt("partial partition");
    assert!(felt.failed <= 200, "60 callers, three instances each: {}", felt.failed);
}

#[test]
fn a_cold_instance_is_given_its_part_slowly() {
    let felt = felt("slow start");
    let (early, late) = (felt.share(5, 9), felt.share(25, 9));
    // Rare callers look at one that was slow once in some hundred calls.
    assert!(early < 0.06 && late > 0.03, "{early}, then {late}");
    assert!(felt.p99_ms() < 30.0, "{}", felt.p99_ms());
}

#[test]
fn a_rare_caller_learns_as_well_as_a_busy_one() {
    let felt = felt("5,000/s and 5/s, dead + slow");
    assert!(felt.kinds[0].1 <= 20, "{:?}", felt.kinds);
    assert!(felt.kinds[1].1 <= 60, "40 callers, one dead: {:?}", felt.kinds);
}

#[test]
fn with_retries_a_dead_instance_costs_next_to_nothing() {
    let scenario = all(seed()).into_iter().find(|one| one.name == "one of ten dead").unwrap();
    let world = World { retries: true, ..scenario.world };
    let felt = run(&world, |count, _| Box::new(Adaptive::new(count)));
    assert!(felt.failed <= 20, "{} of a thousand callers' calls", felt.failed);
}

//! Stories about overload that the simulated server goes through.
//!
//! Run with `--nocapture` they print the tables of docs/decisions/0004-overload.md.
use super::sim::{Discipline, Limiting, MS, SECOND, Score, Story, Time, US, run};
use std::println;
use std::vec;

type Control = (Discipline, Limiting);

const OURS: Control = (Discipline::Ours, Limiting::Ours);
const NONE: Control = (Discipline::Arrival, Limiting::None);
const CONTROLS: [(&str, Control); 5] = [
    ("none", NONE),
    ("facebook", (Discipline::Facebook, Limiting::None)),
    ("gradient2", (Discipline::Arrival, Limiting::Gradient2)),
    ("brpc", (Discipline::Arrival, Limiting::Brpc)),
    ("msec", OURS),
];

fn under(story: &Story, (discipline, limiting): Control) -> Score {
    run(&Story { discipline, limiting, ..story.clone() })
}

/// Prints what each control makes of a story; returns what ours does.
fn compare(title: &str, story: &Story) -> Score {
    println!("{title}");
    for (name, control) in CONTROLS {
        let mut score = under(story, control);
        let (goodput, p99_ms) = (score.goodput(), score.p99_ms());
        println!(
            "  {name:10} good {goodput:7.0}/s  p99 {p99_ms:8.1} ms  refused {:6}  late {:6}",
            score.refused, score.late
        );
    }
    under(story, OURS)
}

/// 100 µs of computing, at `load` times what the core can do.
fn computing(load: f64) -> Story {
    Story::computing(Time::Random(100 * US), 100 * US, load)
}

/// Nobody is refused, and nobody is late.
#[track_caller]
fn all_is_well(title: &str, story: &Story) {
    let score = compare(title, story);
    assert!(score.arrived > 100, "{title}: {} is no load", score.arrived);
    assert_eq!((score.refused, score.late), (0, 0), "{title}");
}

#[test]
fn goodput_of_a_computing_server_holds_under_any_overload() {
    for load in [0.5, 0.9, 1.0, 1.5, 2.0, 3.0, 4.0] {
        let story = Story { deadline_ns: 200 * MS, ..computing(load) };
        let mut score = compare(&std::format!("computing at {load}x, deadline 200 ms"), &story);
        let can = 10_000.0 * load.min(1.0);
        assert!(score.goodput() > 0.92 * can, "{load}x: {} of {can}", score.goodput());
        assert!(score.p99_ms() < 45.0, "{load}x: p99 {} ms", score.p99_ms());
    }
}

#[test]
fn goodput_holds_where_callers_wait_for_20_ms_only() {
    for load in [0.8, 3.0] {
        let story = Story { deadline_ns: 20 * MS, ..computing(load) };
        let score = compare(&std::format!("computing at {load}x, deadline 20 ms"), &story);
        let can = 10_000.0 * load.min(1.0);
        assert!(score.goodput() > 0.9 * can, "{load}x: {} of {can}", score.goodput());
    }
}

#[test]
fn without_control_goodput_breaks_down() {
    let story = Story { deadline_ns: 200 * MS, ..computing(3.0) };
    assert!(under(&story, NONE).goodput() < 7_000.0);
}

#[test]
fn goodput_is_back_in_a_tenth_of_a_second_after_the_overload() {
    let rates = vec![(0, 8_000.0), (SECOND, 30_000.0), (2 * SECOND, 8_000.0)];
    let story = Story { rates, ..computing(1.0) };
    let score = compare("3x for a second, then 0.8x", &story);
    assert!(score.goodput_in(11..20) > 9_300.0, "{}", score.goodput_in(11..20));
    assert!(score.goodput_in(21..40) > 7_700.0, "{}", score.goodput_in(21..40));
    // What is refused in the last two seconds: nobody.
    let calm = Story { seconds: 2, rates: vec![(0, 8_000.0), (SECOND, 30_000.0)], ..story };
    assert!(score.refused <= under(&calm, OURS).refused + 400);
}

#[test]
fn to_predict_that_a_deadline_will_not_do_has_nothing_to_save() {
    // Who starts with less than 100 ms left is started in vain.
    let wait = vec![(0, Time::Fixed(100 * MS))];
    let story = Story { wait, deadline_ns: 150 * MS, ..computing(3.0) };
    let begun = compare("100 us of computing around 100 ms asleep, deadline 150 ms, at 3x", &story);
    // Once the overload is known nobody starts late, whatever the deadline.
    let whole = under(&Story { seconds: 8, ..story }, OURS);
    assert!(whole.late - begun.late < 200, "{} late, then {}", begun.late, whole.late);
    assert!(whole.goodput_in(40..80) > 9_300.0, "{}", whole.goodput_in(40..80));
}

#[test]
fn critical_goes_before_the_others_and_sheddable_goes_first() {
    // A tenth is critical, half is not marked, four tenths are sheddable.
    let score = compare("computing at 2x, three priorities", &computing(2.0));
    let [sheddable, default, critical] = score.good.map(|count| count as f64 / 4.0);
    assert!(critical > 0.97 * 2_000.0, "critical {critical}");
    assert!(default > 7_000.0 && sheddable < 0.1 * 8_000.0, "{default}, {sheddable}");
}

#[test]
fn a_server_that_keeps_up_refuses_nobody() {
    all_is_well("computing at 0.95x", &computing(0.95));
    let slow = Story {
        seconds: 60,
        deadline_ns: 5 * SECOND,
        ..Story::computing(Time::Random(20 * MS), 20 * MS, 0.8)
    };
    all_is_well("20 ms of computing at 0.8x", &slow);
    let cpu = Time::Mixed(0.01, 50 * US, 20 * MS);
    let mixed = Story { seconds: 20, ..Story::computing(cpu, 250 * US, 0.8) };
    all_is_well("50 us, one in a hundred 20 ms, at 0.8x", &mixed);
}

#[test]
fn a_burst_is_served_whole() {
    let story = Story { burst: Some((SECOND, 4_000)), ..computing(0.5) };
    all_is_well("4,000 requests at once, 400 ms of computing, at 0.5x", &story);
    let cold = Story { burst: Some((0, 4_000)), rates: vec![(0, 100.0)], ..story };
    all_is_well("the same, as the first that the server gets", &cold);
}

#[test]
fn methods_that_only_wait_are_not_limited() {
    let story = Story {
        seconds: 30,
        deadline_ns: 60 * SECOND,
        ..Story::waiting(Time::Fixed(10 * SECOND), usize::MAX, 500.0)
    };
    all_is_well("asleep for 10 s, 5,000 in flight", &story);
    let burst = Story { rates: vec![(0, 10.0)], burst: Some((SECOND, 5_000)), ..story };
    all_is_well("the same, 5,000 at once", &burst);
}

#[test]
fn latencies_that_shift_without_need_are_nobodys_fault() {
    let mixed = Story {
        seconds: 20,
        wait: vec![
            (0, Time::Mixed(0.05, MS, 200 * MS)),
            (10 * SECOND, Time::Mixed(0.8, MS, 200 * MS)),
        ],
        ..Story::waiting(Time::Fixed(0), usize::MAX, 2_000.0)
    };
    all_is_well("1 ms, one in twenty 200 ms; then four in five", &mixed);
    let moved = Story {
        wait: vec![(0, Time::Fixed(2 * MS)), (10 * SECOND, Time::Fixed(150 * MS))],
        ..mixed.clone()
    };
    all_is_well("a database 2 ms away moves to 150 ms", &moved);
    let idle =
        Story { rates: vec![(0, 2_000.0), (2 * SECOND, 0.0), (18 * SECOND, 4_000.0)], ..moved };
    all_is_well("the same, idle for 16 s, back at twice the rate", &idle);
}

#[test]
fn a_part_of_the_calls_that_hangs_takes_nothing_from_the_others() {
    let story = Story {
        seconds: 10,
        wait: vec![(0, Time::Fixed(2 * MS)), (3 * SECOND, Time::Mixed(0.5, 2 * MS, 60 * SECOND))],
        ..Story::waiting(Time::Fixed(0), usize::MAX, 2_000.0)
    };
    let score = compare("half of the calls hang", &story);
    assert_eq!(score.refused, 0);
    assert!(score.goodput_in(40..90) > 950.0);
}

#[test]
fn something_scarce_behind_a_method_keeps_working_for_those_who_wait() {
    for load in [0.8, 1.5, 3.0] {
        let story =
            Story { seconds: 10, ..Story::waiting(Time::Random(10 * MS), 10, load * 1000.0) };
        let score = compare(&std::format!("ten places of 10 ms, at {load}x"), &story);
        let can = 1000.0 * load.min(1.0);
        // Until the line is a deadline long nothing is wrong; those who stand in it then are lost.
        let goodput = score.goodput_in(50..100);
        assert!(goodput > 0.9 * can, "{load}x: {goodput}");
        if load < 1.0 {
            assert_eq!(score.refused, 0);
        }
    }
}

#[test]
fn the_limit_opens_when_what_was_scarce_is_back() {
    let rates = vec![(0, 800.0), (3 * SECOND, 3_000.0), (8 * SECOND, 800.0)];
    let story = Story { seconds: 14, rates, ..Story::waiting(Time::Random(10 * MS), 10, 0.0) };
    let score = compare("ten places of 10 ms, 0.8x, 3x for 5 s, 0.8x", &story);
    assert!(score.goodput_in(60..80) > 900.0, "{}", score.goodput_in(60..80));
    assert!(score.goodput_in(90..140) > 760.0, "{}", score.goodput_in(90..140));
    // A dependency that hangs for five seconds, for everybody.
    let wait = vec![
        (0, Time::Fixed(5 * MS)),
        (3 * SECOND, Time::Fixed(60 * SECOND)),
        (8 * SECOND, Time::Fixed(5 * MS)),
    ];
    let hung = Story { seconds: 14, wait, ..Story::waiting(Time::Fixed(0), usize::MAX, 2_000.0) };
    let score = compare("a dependency hangs for 5 s", &hung);
    assert!(score.goodput_in(100..140) > 1_950.0, "{}", score.goodput_in(100..140));
}

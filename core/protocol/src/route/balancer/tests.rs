//! Stories of a balancer: calls of given lengths and ends on given time, and where others go then.
use super::super::node::Standing;
use super::super::table::{Instance, Labels};
use super::*;
use std::{format, vec};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

/// A balancer whose calls take as long as the test says.
struct Stage {
    balancer: Balancer,
    now_ns: u64,
    random: u64,
}

fn instances(count: usize) -> Vec<Instance> {
    let address = |n| format!("10.0.0.1:{}", n + 1).parse().unwrap();
    (0..count).map(|n| Instance::new(address(n))).collect()
}

fn service(policy: Policy, instances: Vec<Instance>) -> Service {
    Service { policy, ..Service::new("Demo.echo", instances) }
}

fn index(address: &Address) -> usize {
    let Address::Tcp(at) = address else { panic!("all are called by TCP") };
    usize::from(at.port()) - 1
}

impl Stage {
    fn of(service: Service, zone: &str) -> Stage {
        let balancer = Balancer::new(Arc::new(service), zone, 0);
        Stage { balancer, now_ns: 0, random: 7 }
    }

    fn adaptive(count: usize) -> Stage {
        Stage::of(service(Policy::Adaptive, instances(count)), "")
    }

    fn pick_with(&mut self, key: Option<u64>, tried: &[Ticket]) -> Option<(usize, Ticket, Why)> {
        self.random = mix(self.random);
        let ask = Ask { now_ns: self.now_ns, random: self.random, key, tried };
        let picked = self.balancer.pick(&ask)?;
        Some((index(picked.address), picked.ticket, picked.why))
    }

    fn pick(&mut self) -> (usize, Ticket, Why) {
        self.pick_with(None, &[]).unwrap()
    }

    fn end(&mut self, ticket: Ticket, end: End) {
        self.balancer.finished(ticket, end, MS, self.now_ns);
    }

    /// So many calls of a millisecond, one after the other; how many each instance got.
    fn calls(&mut self, count: usize, end: impl Fn(usize) -> (End, u64)) -> Vec<usize> {
        let all = self.balancer.service.instances.iter();
        let most = all.map(|instance| index(&instance.address)).max().unwrap();
        let mut counts = vec![0; most + 1];
        for _ in 0..count {
            let (index, ticket, _) = self.pick();
            counts[index] += 1;
            let (end, latency_ns) = end(index);
            self.now_ns += MS;
            self.balancer.finished(ticket, end, latency_ns, self.now_ns);
        }
        counts
    }

    fn good_calls(&mut self, count: usize) -> Vec<usize> {
        self.calls(count, |_| (End::Answered, MS))
    }

    fn standing(&self, index: usize) -> Standing {
        self.balancer.explain(self.now_ns).instances[index].standing
    }

    /// Lets whoever dials succeed, or not.
    fn dial(&mut self, connected: bool) -> usize {
        let mut count = 0;
        while let Some((address, _)) = self.balancer.poll_dial() {
            let address = address.clone();
            self.balancer.reached(&address, connected, self.now_ns);
            count += 1;
        }
        count
    }
}

#[test]
fn calls_follow_the_weights_also_between_two() {
    for weights in [vec![300, 100], vec![100, 100, 200], vec![1, 10_000]] {
        let mut all = instances(weights.len());
        for (instance, weight) in all.iter_mut().zip(&weights) {
            instance.weight = *weight;
        }
        for policy in [Policy::Adaptive, Policy::Wrr] {
            let mut stage = Stage::of(service(policy, all.clone()), "");
            let counts = stage.good_calls(20_000);
            let sum: u32 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(&weights) {
                let expect = 20_000.0 * f64::from(*weight) / f64::from(sum);
                let stray = (*count as f64 - expect).abs();
                assert!(stray < 0.05 * expect + 20.0, "{policy:?} {weights:?}: {counts:?}");
            }
        }
    }
}

#[test]
fn a_slow_instance_gets_next_to_nothing_and_comes_back() {
    for policy in [Policy::Adaptive, Policy::P2c] {
        let mut stage = Stage::of(service(policy, instances(3)), "");
        let slow = |index| (End::Answered, if index == 1 { 50 * MS } else { MS });
        stage.calls(200, slow);
        let counts = stage.calls(2000, slow);
        assert!(counts[1] * 20 < 2000, "{policy:?}: {counts:?}");
        if policy == Policy::Adaptive {
            stage.good_calls(10_000);
            let counts = stage.good_calls(3000);
            assert!(counts[1] > 500, "{counts:?}");
        }
    }
}

#[test]
fn silence_is_seen_within_milliseconds_and_ejects_within_200() {
    let mut stage = Stage::adaptive(3);
    stage.good_calls(500);
    // Instance 2 answers no more; a call begins each 300 µs.
    let mut lost = vec![];
    for call in 0..2000u64 {
        let (index, ticket, _) = stage.pick();
        stage.now_ns += 300_000;
        if index == 2 {
            lost.push((call, ticket));
        } else {
            stage.end(ticket, End::Answered);
        }
        if call * 300_000 > 260 * MS {
            assert!(lost.len() < 3 || stage.standing(2) == Standing::Ejected(Cause::Silent));
        }
    }
    assert!(lost.len() <= 5, "{} calls were lost", lost.len());
}

#[test]
fn a_late_answer_brings_a_silent_one_back() {
    let mut stage = Stage::adaptive(2);
    stage.good_calls(100);
    let (mut held, mut others) = (vec![], vec![]);
    while held.len() < 3 {
        let (index, ticket, _) = stage.pick();
        if index == 1 { held.push(ticket) } else { others.push(ticket) }
    }
    others.into_iter().for_each(|ticket| stage.end(ticket, End::Answered));
    for _ in 0..10 {
        stage.now_ns += 50 * MS;
        let (_, ticket, _) = stage.pick();
        stage.end(ticket, End::Answered);
    }
    assert_eq!(stage.standing(1), Standing::Ejected(Cause::Silent));
    stage.end(held[0], End::Answered);
    assert_eq!(stage.standing(1), Standing::Rising);
}

#[test]
fn one_that_cannot_be_reached_is_ejected_at_once_and_dialled_before_it_is_tried() {
    let mut stage = Stage::adaptive(3);
    stage.good_calls(100);
    let unreachable = |index| if index == 0 { (End::Unsent, 0) } else { (End::Answered, MS) };
    let counts = stage.calls(1000, unreachable);
    assert_eq!(counts[0], 1);
    assert_eq!(stage.standing(0), Standing::Ejected(Cause::Unreachable));
    assert_eq!(stage.dial(false), 1);
    assert_eq!(stage.calls(2000, unreachable)[0], 0, "it is dialled, not called");
    assert_eq!(stage.dial(true), 1);
    assert_eq!(stage.standing(0), Standing::HalfOpen(Cause::Unreachable));
    let counts = stage.good_calls(1);
    assert_eq!(counts[0], 1, "the next call tries it");
    assert_eq!(stage.standing(0), Standing::Rising);
    let early = stage.good_calls(300)[0];
    stage.good_calls(3000);
    let late = stage.good_calls(300)[0];
    assert_eq!(stage.standing(0), Standing::Live);
    assert!(early < 60 && late > 70, "slow start: {early}, then {late}");
}

#[test]
fn three_failures_in_a_row_eject_and_each_relapse_rests_longer() {
    let mut stage = Stage::adaptive(3);
    stage.good_calls(100);
    let fails = |index| (if index == 0 { End::Faulted } else { End::Answered }, MS);
    let mut spans = vec![];
    for _ in 0..5 {
        let began_ns = stage.now_ns;
        while stage.calls(1, fails)[0] == 0
            || stage.standing(0) != Standing::Ejected(Cause::Failing)
        {
            assert!(stage.now_ns < began_ns + 60 * SECOND, "it is not tried again");
        }
        spans.push(stage.now_ns - began_ns);
    }
    assert!(spans[4] > 2 * spans[1], "{spans:?}");
    let counts = stage.calls(3000, fails);
    assert!(counts[0] <= 4, "{counts:?}");
}

#[test]
fn failures_everywhere_eject_nobody_for_long_and_are_not_chosen_between() {
    let mut stage = Stage::adaptive(5);
    let failed = core::cell::Cell::new(1u64);
    let third = |_| {
        failed.set(mix(failed.get()));
        (if failed.get().is_multiple_of(3) { End::Faulted } else { End::Answered }, MS)
    };
    stage.calls(500, third);
    let counts = stage.calls(5000, third);
    assert!(counts.iter().all(|count| *count > 400), "{counts:?}");
}

#[test]
fn when_all_are_dead_calls_go_anywhere_and_the_first_answer_wakes_all() {
    let mut stage = Stage::adaptive(4);
    stage.good_calls(100);
    let counts = stage.calls(500, |_| (End::Unsent, 0));
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
    assert!(stage.balancer.explain(stage.now_ns).is_all_dead);
    let (_, ticket, why) = stage.pick();
    assert_eq!(why, Why::AllDead);
    stage.end(ticket, End::Answered);
    for _ in 0..20 {
        stage.good_calls(10);
        stage.dial(true);
    }
    let counts = stage.good_calls(400);
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

#[test]
fn refusals_lower_and_do_not_eject_and_business_is_no_failure() {
    let mut stage = Stage::adaptive(2);
    stage.good_calls(200);
    let full = |index| (if index == 0 { End::Refused } else { End::Answered }, MS);
    stage.calls(1000, full);
    let counts = stage.calls(1000, full);
    assert!(counts[0] < 350 && counts[0] > 10, "{counts:?}");
    for (code, end) in [
        (0, End::Answered),
        (-1, End::Answered),
        (-6, End::Answered),
        (-103, End::Answered),
        (-107, End::Answered),
        (7, End::Answered),
        (-5000, End::Answered),
        (-2, End::Faulted),
        (-18, End::Faulted),
        (-1000, End::Faulted),
        (-101, End::Refused),
        (-102, End::Refused),
        (-108, End::Refused),
        (-109, End::Refused),
        (-104, End::Leaving),
    ] {
        assert_eq!(End::of_answer(crate::Code(code)), end, "{code}");
    }
}

#[test]
fn what_was_tried_is_not_picked_again() {
    for policy in [Policy::Adaptive, Policy::Wrr, Policy::P2c, Policy::Hash] {
        let mut stage = Stage::of(service(policy, instances(3)), "");
        let mut tried = vec![];
        let mut seen = vec![];
        while let Some((index, ticket, _)) = stage.pick_with(Some(3), &tried) {
            seen.push(index);
            tried.push(ticket);
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2], "{policy:?}");
    }
}

#[test]
fn who_is_down_is_never_called_and_nobody_is_picked_of_none() {
    let mut all = instances(2);
    all[1].state = State::Down;
    let mut stage = Stage::of(service(Policy::Adaptive, all), "");
    assert_eq!(stage.calls(200, |_| (End::Unsent, 0)), [200, 0]);
    assert_eq!(stage.standing(1), Standing::Down);
    assert!(Stage::adaptive(0).pick_with(None, &[]).is_none());
}

#[test]
fn a_canary_gets_its_part_and_keys_stick_to_a_side() {
    let labels: Labels = [("version".into(), "2".into())].into();
    let mut all = instances(4);
    all[3].labels = labels.clone();
    let canary = Some(Canary { labels, parts: 500 });
    for policy in [Policy::Adaptive, Policy::Wrr] {
        let service = Service { canary: canary.clone(), ..service(policy, all.clone()) };
        let mut stage = Stage::of(service, "");
        let counts = stage.good_calls(20_000);
        assert!((800..1200).contains(&counts[3]), "{policy:?}: {counts:?}");
        let explained = stage.balancer.explain(stage.now_ns);
        let shares: Vec<f64> = explained.instances.iter().map(|one| one.share).collect();
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-6 && shares[3] == 0.05);
        for key in 0..50 {
            let side = |stage: &mut Stage| {
                let (index, ticket, _) = stage.pick_with(Some(key), &[]).unwrap();
                stage.end(ticket, End::Answered);
                index == 3
            };
            let first = side(&mut stage);
            assert!((0..20).all(|_| side(&mut stage) == first), "key {key}");
        }
        let dead = |index| (if index == 3 { End::Unsent } else { End::Answered }, MS);
        assert!(stage.calls(2000, dead)[3] <= 1, "{policy:?}: the others serve its part");
    }
}

#[test]
fn calls_stay_in_their_zone_until_half_of_it_is_gone() {
    let mut all = instances(8);
    for (n, instance) in all.iter_mut().enumerate() {
        instance.zone = if n < 4 { "here" } else { "there" }.into();
    }
    let mut stage = Stage::of(service(Policy::ZoneFirst, all.clone()), "here");
    let home = |counts: &[usize]| counts[..4].iter().sum::<usize>();
    assert_eq!(home(&stage.good_calls(1000)), 1000);
    let dead_to =
        |dead: usize| move |index| (if index < dead { End::Unsent } else { End::Answered }, MS);
    stage.calls(1000, dead_to(2));
    assert_eq!(home(&stage.calls(1000, dead_to(2))), 1000, "half is enough");
    stage.calls(1000, dead_to(3));
    let counts = stage.calls(4000, dead_to(3));
    assert!((700..1300).contains(&home(&counts)), "a quarter stays: {counts:?}");
    let mut nowhere = Stage::of(service(Policy::ZoneFirst, all), "elsewhere");
    assert!(nowhere.good_calls(800).iter().all(|count| *count > 50));
}

#[test]
fn a_key_stays_with_its_instance_and_spills_under_load() {
    let mut stage = Stage::of(service(Policy::Hash, instances(10)), "");
    let owner = stage.pick_with(Some(42), &[]).unwrap();
    stage.end(owner.1, End::Answered);
    assert_eq!(owner.2, Why::Key);
    let mut others = vec![];
    for _ in 0..40 {
        let (index, ticket, why) = stage.pick_with(Some(42), &[]).unwrap();
        assert_eq!(index == owner.0, why == Why::Key);
        others.push((index, ticket));
    }
    let stayed = others.iter().filter(|(index, _)| *index == owner.0).count();
    assert!((8..=10).contains(&stayed), "{stayed} of 40 at a time");
    for (_, ticket) in others {
        stage.end(ticket, End::Answered);
    }
    assert_eq!(stage.pick_with(Some(42), &[]).unwrap().0, owner.0);
}

#[test]
fn the_policy_changes_live_with_calls_in_flight() {
    let mut all = instances(4);
    for (n, instance) in all.iter_mut().enumerate() {
        instance.zone = if n == 2 { "there" } else { "here" }.into();
    }
    let mut stage = Stage::of(service(Policy::Adaptive, all.clone()), "here");
    stage.good_calls(200);
    let dead = |index| (if index == 3 { End::Unsent } else { End::Answered }, MS);
    stage.calls(100, dead);
    let mut held: Vec<(usize, Ticket)> = vec![];
    let order = [Policy::Wrr, Policy::P2c, Policy::Hash, Policy::ZoneFirst, Policy::Adaptive];
    for policy in order.into_iter().chain(order.into_iter().rev()) {
        stage.balancer.update(Arc::new(service(policy, all.clone())), stage.now_ns);
        for call in 0..30u64 {
            let (index, ticket, why) = stage.pick_with(Some(call), &[]).unwrap();
            let fits = match policy {
                Policy::Wrr => why == Why::Turn,
                Policy::Hash => matches!(why, Why::Key | Why::KeySpill),
                Policy::P2c | Policy::Adaptive => matches!(why, Why::Drawn | Why::Cheaper),
                Policy::ZoneFirst => matches!(why, Why::Drawn | Why::Cheaper) && index != 2,
            };
            assert!(fits, "{policy:?}: {why} for {index}");
            // What one policy has learnt the next one knows.
            assert_ne!(index, 3, "{policy:?} calls who is dead");
            if call < 3 {
                held.push((index, ticket));
            } else {
                stage.now_ns += MS / 2;
                stage.end(ticket, End::Answered);
            }
        }
        let explained = stage.balancer.explain(stage.now_ns);
        assert_eq!(explained.policy, policy);
        for (index, instance) in explained.instances.iter().enumerate() {
            let count = held.iter().filter(|(of, _)| *of == index).count();
            assert_eq!(instance.in_flight as usize, count, "{policy:?}, {index}");
        }
    }
    // They end under another policy than the one that they began under.
    for (_, ticket) in held {
        stage.end(ticket, End::Answered);
    }
    let explained = stage.balancer.explain(stage.now_ns);
    assert!(explained.instances.iter().all(|one| one.in_flight == 0), "{explained:?}");
}

#[test]
fn with_most_in_trouble_nobody_else_is_lowered() {
    let fails_of = |dead: usize| {
        let mut stage = Stage::adaptive(5);
        stage.good_calls(200);
        let turn = core::cell::Cell::new(0u64);
        let ends = |index: usize| {
            // Each third of its own calls: never in a row.
            turn.set(turn.get() + u64::from(index == 4));
            let fails = index == 4 && turn.get().is_multiple_of(3);
            let end = match index < dead {
                true => End::Unsent,
                false if fails => End::Faulted,
                false => End::Answered,
            };
            (end, MS)
        };
        let mut least = 1.0f32;
        for _ in 0..600 {
            stage.calls(1, ends);
            let explained = stage.balancer.explain(stage.now_ns);
            // Until the dead are known, all are judged alike.
            if explained.is_protective == (dead > 2) {
                least = least.min(explained.instances[4].success);
            }
        }
        let explained = stage.balancer.explain(stage.now_ns);
        assert!(dead < 3 || explained.instances[4].standing == Standing::Live, "{explained:?}");
        (explained.is_protective, least)
    };
    let (protective, success) = fails_of(0);
    assert!(!protective && success < 0.75, "{success}: one that fails is lowered");
    assert_eq!(fails_of(3), (true, 1.0), "but not the rest of those that are left");
}

#[test]
fn cores_eject_together_what_fails_a_little_on_each() {
    let service = Arc::new(service(Policy::Adaptive, instances(3)));
    let stage = || {
        let balancer = Balancer::new(Arc::clone(&service), "", 0);
        Stage { balancer, now_ns: 0, random: 7 }
    };
    let mut cores = [stage(), stage(), stage()];
    for core in &mut cores {
        core.good_calls(100);
        core.balancer.take_news();
    }
    for failing in 0..3 {
        let core = &mut cores[failing];
        loop {
            let (index, ticket, _) = core.pick();
            core.end(ticket, if index == 1 { End::Lost } else { End::Answered });
            if index == 1 {
                break;
            }
        }
        assert!(core.balancer.is_urgent());
        let now_ns = core.now_ns;
        let news = core.balancer.take_news();
        assert!(!core.balancer.has_news());
        for other in (0..3).filter(|other| *other != failing) {
            cores[other].balancer.handle_news(&news, now_ns);
        }
    }
    for core in &cores {
        assert_eq!(core.standing(1), Standing::Ejected(Cause::Failing));
    }
}

#[test]
fn news_of_an_ejection_and_of_a_return_are_followed() {
    let service = Arc::new(service(Policy::Adaptive, instances(3)));
    let mut one =
        Stage { balancer: Balancer::new(Arc::clone(&service), "", 0), now_ns: 0, random: 1 };
    let mut other = Stage { balancer: Balancer::new(service, "", 0), now_ns: 0, random: 2 };
    let dead = |index| (if index == 2 { End::Unsent } else { End::Answered }, MS);
    one.calls(100, dead);
    other.balancer.handle_news(&one.balancer.take_news(), 0);
    assert_eq!(other.standing(2), Standing::Ejected(Cause::Unreachable));
    one.calls(300, dead);
    // Out once, whatever was tried since; and counted where it was seen, not where it was heard.
    let counted = |stage: &Stage| stage.balancer.ejections().each().collect::<Vec<_>>();
    assert_eq!(counted(&one), [(Cause::Unreachable, 1)]);
    assert_eq!(counted(&other), []);
    one.dial(true);
    one.good_calls(200);
    assert_eq!(one.standing(2), Standing::Rising);
    other.balancer.handle_news(&one.balancer.take_news(), 0);
    assert_eq!(other.standing(2), Standing::Rising);
}

#[test]
fn a_new_version_keeps_what_is_known_and_forgets_who_is_gone() {
    let mut stage = Stage::adaptive(3);
    stage.good_calls(100);
    let dead = |index| (if index == 0 { End::Unsent } else { End::Answered }, MS);
    stage.calls(100, dead);
    let (_, old, _) = stage.pick();
    let mut all = instances(5);
    all.remove(2);
    stage.balancer.update(Arc::new(service(Policy::Adaptive, all.clone())), stage.now_ns);
    assert_eq!(stage.standing(0), Standing::Ejected(Cause::Unreachable));
    assert_eq!(
        [1, 2, 3].map(|n| stage.standing(n)),
        [Standing::Live, Standing::Rising, Standing::Rising]
    );
    stage.end(old, End::Answered);
    // Another process at its address is no longer the one that was dead.
    all[0].revision = 1;
    stage.balancer.update(Arc::new(service(Policy::Adaptive, all)), stage.now_ns);
    assert_eq!(stage.standing(0), Standing::Rising);
    let counts = stage.good_calls(8000);
    assert!(counts.iter().filter(|count| **count > 1000).count() == 4, "{counts:?}");
}

#[test]
fn who_is_gone_is_not_picked_even_if_nobody_comes_instead() {
    let mut stage = Stage::adaptive(3);
    stage.good_calls(100);
    let one = Arc::new(service(Policy::Adaptive, instances(1)));
    stage.balancer.update(one, stage.now_ns);
    assert_eq!(stage.good_calls(100), [100]);
    stage.balancer.update(Arc::new(service(Policy::Adaptive, vec![])), stage.now_ns);
    assert!(stage.pick_with(None, &[]).is_none());
}

#[test]
fn one_that_leaves_is_passed_over_without_a_failure() {
    let mut stage = Stage::adaptive(2);
    stage.good_calls(100);
    stage.balancer.left(&"10.0.0.1:1".parse().unwrap(), stage.now_ns);
    assert_eq!(stage.standing(0), Standing::Ejected(Cause::Leaving));
    assert_eq!(stage.good_calls(500)[0], 0);
    assert_eq!(stage.balancer.explain(stage.now_ns).instances[0].ejections, 0);
}

#[test]
fn the_same_inputs_give_the_same_picks() {
    let story = || {
        let mut stage = Stage::adaptive(7);
        let moods = |index| match index {
            1 => (End::Lost, 300 * MS),
            2 => (End::Answered, 20 * MS),
            _ => (End::Answered, MS),
        };
        stage.calls(2000, moods)
    };
    assert_eq!(story(), story());
}

#[test]
fn reports_by_host_eject_all_of_it_and_a_good_one_lets_a_half_open_one_rise() {
    let mut stage = Stage::adaptive(2);
    let other = Instance::new("10.0.0.2:3".parse().unwrap());
    let mut all = instances(2);
    all.push(other);
    stage.balancer.update(Arc::new(service(Policy::Adaptive, all)), 0);
    let say = |stage: &mut Stage, about: &str, end| {
        stage.balancer.reported(&about.parse().unwrap(), end, MS, stage.now_ns);
    };
    for _ in 0..10 {
        stage.now_ns += MS;
        say(&mut stage, "10.0.0.2", End::Answered);
    }
    for _ in 0..3 {
        stage.now_ns += MS;
        say(&mut stage, "10.0.0.1:1", End::Lost);
    }
    let failing = Standing::Ejected(Cause::Failing);
    assert_eq!((stage.standing(0), stage.standing(1)), (failing, Standing::Live));
    for _ in 0..3 {
        stage.now_ns += MS;
        say(&mut stage, "10.0.0.1", End::Lost);
    }
    assert_eq!((stage.standing(1), stage.standing(2)), (failing, Standing::Rising));
    stage.now_ns += SECOND;
    say(&mut stage, "10.0.0.3", End::Answered);
    say(&mut stage, "10.0.0.1:1", End::Answered);
    assert_eq!(stage.standing(0), Standing::Rising, "a report is the trial that it waits for");
    assert!(matches!(stage.standing(1), Standing::HalfOpen(_)));
    let explained = stage.balancer.explain(stage.now_ns);
    assert!(explained.instances.iter().all(|instance| instance.in_flight == 0));
}

//! Clocks: a call reads one several times, so a reading must not be a system call.

use msec::clock;

use super::Finding;
use super::machine::Machine;

const WHAT: &str = "clock";
/// The vDSO takes some 20 ns; a system call or a device some hundreds and more.
const READING_NS_MAX: u64 = 150;
const READINGS_COUNT: u64 = 1000;
/// The best of so many rounds: the others were interrupted.
const ROUNDS_COUNT: usize = 20;

const FOLDER: &str = "sys/devices/system/clocksource/clocksource0";

pub(super) fn examine(machine: &Machine) -> Vec<Finding> {
    vec![clock_source(machine, reading_ns())]
}

/// The price of reading the clock.
fn reading_ns() -> u64 {
    let rounds = (0..ROUNDS_COUNT).map(|_| {
        let begin_ns = clock::now_ns();
        for _ in 0..READINGS_COUNT {
            std::hint::black_box(clock::now_ns());
        }
        (clock::now_ns() - begin_ns) / READINGS_COUNT
    });
    rounds.min().unwrap_or_default()
}

fn clock_source(machine: &Machine, reading_ns: u64) -> Finding {
    let file = |name: &str| machine.text(&format!("{FOLDER}/{name}"));
    let current = file("current_clocksource").unwrap_or_else(|| "of unknown source".to_owned());
    let value = format!("{current}, {reading_ns} ns a reading");
    if reading_ns <= READING_NS_MAX {
        return Finding::good(WHAT, value);
    }
    let others = file("available_clocksource").unwrap_or_default();
    let better = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"]
        .into_iter()
        .find(|name| *name != current && others.split_whitespace().any(|other| other == *name));
    let mend = match better {
        Some(name) => format!(
            "echo {name} > /{FOLDER}/current_clocksource, or clocksource={name} \
                               on the kernel's command line"
        ),
        None => {
            "the kernel has no better one here: dmesg says why the TSC was given up; a virtual \
                 machine needs an invariant TSC from its host"
                .to_owned()
        }
    };
    Finding::hurts(WHAT, value)
        .means("each reading is a system call, or worse; a call reads the clock several times")
        .mend(mend)
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::machine::tests::Made;
    use super::*;

    #[test]
    fn a_dear_clock_hurts_and_a_better_one_is_named_if_there_is_one() {
        let source = |name, available| {
            Made::new(
                name,
                &[
                    (&*format!("{FOLDER}/current_clocksource"), "hpet\n"),
                    (&*format!("{FOLDER}/available_clocksource"), available),
                ],
            )
        };
        let made = source("clock-tsc", "tsc hpet acpi_pm \n");
        assert_eq!(clock_source(&made.machine, 25).state, State::Good);
        let dear = clock_source(&made.machine, 900);
        assert_eq!(dear.state, State::Hurts);
        assert!(dear.mend.contains("echo tsc >"), "{dear:?}");
        let made = source("clock-none", "hpet acpi_pm \n");
        assert!(clock_source(&made.machine, 900).mend.contains("dmesg"));
    }
}

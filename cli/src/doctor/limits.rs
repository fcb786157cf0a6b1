//! What the machine grants: descriptors, locked memory, CPUs, memory, mappings, threads.

use msec::{Config, cpu, machine};

use super::Finding;
use super::machine::{Limit, Machine};

/// Descriptors that an engine keeps for other things than connections.
const FILES_RESERVED: u64 = 256;
/// Below this many descriptors a server refuses connections that others would take.
const FILES_FEW: u64 = 4096;
/// With that many nobody thinks of them again.
const FILES_ENOUGH: u64 = 65_536;
/// Threads beside the cores at most, by default: offload threads, watchdog, log, signals.
const THREADS_BESIDE: u64 = 24;
/// A group that is held back in more than this part of all periods shows it in its latencies.
const THROTTLED_MAX: f64 = 0.01;
/// The queue of connections that a server asks the kernel for.
const BACKLOG: u64 = 4096;
/// A container smaller than this has no room for buffers.
const MEMORY_MB_FEW: u64 = 128;

pub(super) fn examine(machine: &Machine, config: &Config) -> Vec<Finding> {
    let guards = machine::guards_cost_nothing(config);
    let found = [
        machine.limit("Max open files").map(|limit| files(machine, limit)),
        machine.limit("Max locked memory").map(|limit| memlock(machine, limit)),
        Some(cpus(machine, cpu::online() as u64)),
        machine.quota().map(|_| quota(machine)),
        machine.limit("Max processes").map(|limit| threads(machine, limit)),
        memory(machine),
        Some(mappings(machine, guards.as_ref().ok().copied())),
        Some(overcommit(machine)),
        machine.number("proc/sys/net/core/somaxconn").map(backlog),
    ];
    found.into_iter().flatten().collect()
}

fn files(machine: &Machine, Limit { soft, hard }: Limit) -> Finding {
    let what = "open files";
    let most = machine.number("proc/sys/fs/nr_open").unwrap_or(1 << 20);
    let amount = |limit: u64| if limit >= most { most } else { limit };
    let (soft, hard) = (amount(soft), amount(hard));
    let connections = soft.saturating_sub(FILES_RESERVED);
    let means = format!("room for {connections} connections; at the cap a server stops accepting");
    let value = format!("{soft} (hard limit {hard})");
    let mend = match hard >= FILES_ENOUGH {
        true => format!("ulimit -n {FILES_ENOUGH}; in a systemd unit LimitNOFILE={FILES_ENOUGH}"),
        false => format!(
            "in a systemd unit LimitNOFILE={FILES_ENOUGH}, in Docker --ulimit \
             nofile={FILES_ENOUGH}, else `nofile` in /etc/security/limits.conf"
        ),
    };
    match soft {
        FILES_ENOUGH.. => Finding::good(what, value),
        FILES_FEW.. => Finding::note(what, value).means(means).mend(mend),
        _ => Finding::hurts(what, value).means(means).mend(mend),
    }
}

fn memlock(machine: &Machine, Limit { soft, .. }: Limit) -> Finding {
    let what = "locked memory";
    let value = bytes(soft);
    match machine.kernel() {
        // A ring and its buffers, of each core.
        Some(version) if ring_is_locked(version) && soft < 8 << 20 => Finding::hurts(what, value)
            .means("this Linux counts a ring's memory as locked: engines fall back to epoll")
            .mend("ulimit -l unlimited; in a systemd unit LimitMEMLOCK=infinity"),
        Some(version) if ring_is_locked(version) => Finding::good(
            what,
            format!("{value}; an engine needs 256 KiB a core, unless it is root's"),
        ),
        Some(_) | None => Finding::good(what, format!("{value}; an engine needs none")),
    }
}

/// Whether that Linux counts a ring's memory as locked by its user: 5.12 ceased to, 6.14 began.
fn ring_is_locked(version: (u32, u32)) -> bool {
    !((5, 12)..(6, 14)).contains(&version)
}

fn cpus(machine: &Machine, usable: u64) -> Finding {
    let what = "CPUs";
    let text = machine.text("proc/cpuinfo").unwrap_or_default();
    let all = text.lines().filter(|line| line.starts_with("processor")).count() as u64;
    match all {
        0 => Finding::good(what, format!("{usable} usable")),
        _ => Finding::good(what, format!("{usable} usable of {all}: so many core threads")),
    }
}

fn quota(machine: &Machine) -> Finding {
    let what = "CPU quota";
    let Some(quota) = machine.quota() else { return Finding::good(what, "none") };
    let percent = quota.throttled * 100.0;
    let period_ms = quota.period_us as f64 / 1e3;
    let value = format!(
        "{:.2} CPUs, by periods of {period_ms} ms; held back in {percent:.1} % of them",
        quota.cpus,
    );
    let means = format!("whoever has used it up stands still, for up to {period_ms} ms");
    let mend = "a higher limit (cpu.max; in Kubernetes limits.cpu, best a whole number or none; \
                docker --cpus), or fewer core threads (MSEC_CORES)";
    if quota.throttled > THROTTLED_MAX || quota.cpus < 1.0 {
        Finding::hurts(what, value).means(means).mend(mend)
    } else if quota.cpus.fract() > 0.01 {
        Finding::note(what, value)
            .means("a part of a CPU: core threads together may want more than it")
            .mend(mend)
    } else {
        Finding::good(what, value)
    }
}

fn threads(machine: &Machine, Limit { soft, .. }: Limit) -> Finding {
    let what = "threads";
    let most = soft.min(machine.threads_max().unwrap_or(u64::MAX));
    let wanted = cpu::online() as u64 + THREADS_BESIDE;
    let value = match most {
        u64::MAX => "no limit".to_owned(),
        most => format!("{most} at most"),
    };
    match most < wanted {
        true => Finding::hurts(what, value)
            .means(format!("an engine has up to {wanted}, and starts no further one"))
            .mend("pids.max of the control group (docker --pids-limit, TasksMax=), or ulimit -u"),
        false => Finding::good(what, value),
    }
}

fn memory(machine: &Machine) -> Option<Finding> {
    let what = "memory";
    let total = machine.field("proc/meminfo", "MemTotal:")? << 10;
    // The engine's own bound says what the control group grants: it is a quarter of that.
    let swap = machine.field("proc/meminfo", "SwapTotal:").unwrap_or(0) << 10;
    let value = format!("{} on this machine, {} of swap", bytes(total), bytes(swap));
    Some(match total >> 20 {
        MEMORY_MB_FEW.. => Finding::good(what, value),
        _ => Finding::hurts(what, value)
            .means("a quarter of it holds what is under way, the longest body included")
            .mend("more memory, or MSEC_BODY_BYTES_MAX and MSEC_REQUESTS_MAX lowered to fit"),
    })
}

/// `free` tells whether the guard of a stack costs no mapping.
fn mappings(machine: &Machine, free: Option<bool>) -> Finding {
    let what = "stacks";
    let most = machine.number("proc/sys/vm/max_map_count").unwrap_or(65_530);
    match free {
        Some(true) => Finding::good(what, "guards cost no mappings: vm.max_map_count is no bound"),
        Some(false) => {
            let value = format!("{} at once: guards cost mappings here", most / 3);
            let means = format!(
                "a third of vm.max_map_count ({most}) bounds the coroutines; requests beyond it \
                 are refused with -101"
            );
            let mend = "Linux 6.13 or later; or sysctl -w vm.max_map_count=1048576";
            match most < 65_530 {
                true => Finding::hurts(what, value).means(means).mend(mend),
                false => Finding::note(what, value).means(means).mend(mend),
            }
        }
        None => Finding::hurts(what, "no coroutine's stack can be made")
            .means("every request is refused with -101")
            .mend("more memory or address space: ulimit -v unlimited, vm.overcommit_memory=0"),
    }
}

fn overcommit(machine: &Machine) -> Finding {
    let what = "address space";
    if let Some(Limit { soft, .. }) = machine.limit("Max address space")
        && soft != u64::MAX
    {
        return Finding::hurts(what, format!("limited to {}", bytes(soft)))
            .means("1,024 stacks reserve 256 MiB of it, of which only touched pages exist")
            .mend("ulimit -v unlimited: bound memory by a control group instead");
    }
    match machine.number("proc/sys/vm/overcommit_memory") {
        Some(2) => Finding::hurts(what, "vm.overcommit_memory is 2: what is reserved counts")
            .means("1,024 stacks count as 256 MiB, touched or not")
            .mend("sysctl -w vm.overcommit_memory=0, or a smaller MSEC_STACK_KB"),
        Some(_) | None => Finding::good(what, "may be reserved without being used"),
    }
}

fn backlog(most: u64) -> Finding {
    let what = "accept queue";
    match most < BACKLOG {
        true => Finding::note(what, format!("net.core.somaxconn is {most}"))
            .means("when many clients come back at once, more connections than that are refused")
            .mend(format!("sysctl -w net.core.somaxconn={BACKLOG}")),
        false => Finding::good(what, format!("net.core.somaxconn is {most}")),
    }
}

/// A size for eyes.
fn bytes(number: u64) -> String {
    match number {
        u64::MAX => "unlimited".to_owned(),
        0..0x10_0000 => format!("{} KiB", number >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", number >> 20),
        _ => format!("{:.1} GiB", number as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::machine::tests::Made;
    use super::*;

    const NONE: &[(&str, &str)] = &[];

    #[test]
    fn few_descriptors_hurt_and_the_remedy_depends_on_who_may_raise_them() {
        let made = Made::new("files", NONE);
        let state = |soft, hard| files(&made.machine, Limit { soft, hard });
        assert_eq!(state(1024, 1024).state, State::Hurts);
        assert!(state(1024, 1024).mend.contains("--ulimit nofile="));
        assert!(state(1024, 524_288).mend.starts_with("ulimit -n 65536"));
        assert!(state(1024, 1024).means.contains("room for 768 connections"));
        assert_eq!(state(20_000, 20_000).state, State::Note);
        assert_eq!(state(u64::MAX, u64::MAX).state, State::Good);
    }

    #[test]
    fn locked_memory_counts_on_old_kernels_and_on_new_ones() {
        let limit = Limit { soft: 64 << 10, hard: 64 << 10 };
        let old = Made::new("memlock-old", &[("proc/sys/kernel/osrelease", "5.10.0\n")]);
        assert_eq!(memlock(&old.machine, limit).state, State::Hurts);
        let new = Made::new("memlock-new", &[("proc/sys/kernel/osrelease", "6.14.0\n")]);
        assert_eq!(memlock(&new.machine, limit).state, State::Hurts);
        let between = Made::new("memlock-between", &[("proc/sys/kernel/osrelease", "6.1.0\n")]);
        assert_eq!(memlock(&between.machine, limit).state, State::Good);
    }

    #[test]
    fn a_quota_hurts_when_it_holds_back_or_is_less_than_a_cpu() {
        let found = |name: &str, max: &str, stat: &str| {
            let files = [
                ("proc/self/cgroup", "0::/\n"),
                ("sys/fs/cgroup/cpu.max", max),
                ("sys/fs/cgroup/cpu.stat", stat),
            ];
            quota(&Made::new(name, &files).machine)
        };
        let calm = "nr_periods 1000\nnr_throttled 0\n";
        assert_eq!(found("whole", "200000 100000", calm).state, State::Good);
        assert_eq!(found("part", "150000 100000", calm).state, State::Note);
        assert_eq!(found("less", "50000 100000", calm).state, State::Hurts);
        let held = found("held", "200000 100000", "nr_periods 1000\nnr_throttled 200\n");
        assert_eq!(held.state, State::Hurts);
        assert!(held.value.contains("held back in 20.0 %"), "{held:?}");
        assert!(held.means.contains("up to 100 ms"), "{held:?}");
    }

    #[test]
    fn address_space_mappings_and_threads_are_enough_or_it_is_said_what_fails() {
        let strict = Made::new("strict", &[("proc/sys/vm/overcommit_memory", "2\n")]);
        assert_eq!(overcommit(&strict.machine).state, State::Hurts);
        let limits = "Max address space         4294967296           4294967296           bytes\n";
        let bounded = Made::new("bounded", &[("proc/self/limits", limits)]);
        assert!(overcommit(&bounded.machine).value.contains("4.0 GiB"));
        let maps = Made::new("maps", &[("proc/sys/vm/max_map_count", "65530\n")]);
        assert!(mappings(&maps.machine, Some(false)).value.starts_with("21843 at once"));
        assert_eq!(mappings(&maps.machine, Some(true)).state, State::Good);
        assert_eq!(mappings(&maps.machine, None).state, State::Hurts);
        let few = Limit { soft: 10, hard: 10 };
        assert_eq!(threads(&maps.machine, few).state, State::Hurts);
        assert_eq!(backlog(128).state, State::Note);
    }

    #[test]
    fn small_memory_hurts() {
        let small = Made::new("small", &[("proc/meminfo", "MemTotal:  65536 kB\n")]);
        assert_eq!(memory(&small.machine).map(|found| found.state), Some(State::Hurts));
    }
}

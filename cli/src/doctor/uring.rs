//! Whether io_uring works, which of its features do, and what stands in the way.
//!
//! The kernel answers EPERM for several reasons and does not say which; the order in which they are
//! looked for here is that in which it looks itself: the filter at the door, then the sysctl.

use std::io;

use msec::Config;
use msec::machine::{self, Feature};

use super::machine::Machine;
use super::{Finding, State};

const WHAT: &str = "io_uring";
/// Errors by their numbers: the same on every Linux but Alpha, MIPS and SPARC, except ENOSYS there.
const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const EMFILE: i32 = 24;
const ENOSYS: i32 = 38;

/// A feature: the kernel that has it, what it does, and how its absence counts.
struct Known {
    name: &'static str,
    what: &'static str,
    since: (u32, u32),
    does: &'static str,
    absent: State,
}

const FEATURES: [Known; 6] = [
    Known {
        name: "defer",
        what: "  defer",
        since: (6, 1),
        does: "completions are worked off when the core asks; without it a request costs 40-80 % \
               more CPU",
        absent: State::Hurts,
    },
    Known {
        name: "coop",
        what: "  coop",
        since: (5, 19),
        does: "no interrupt of another CPU for a completion",
        absent: State::Note,
    },
    Known {
        name: "no_sqarray",
        what: "  no_sqarray",
        since: (6, 6),
        does: "one step less for each operation",
        absent: State::Note,
    },
    Known {
        name: "registered",
        what: "  registered",
        since: (5, 18),
        does: "saves a look-up of the ring's descriptor for each system call",
        absent: State::Note,
    },
    Known {
        name: "multishot",
        what: "  multishot",
        since: (6, 0),
        does: "one operation receives or accepts many times; without it each costs one",
        absent: State::Hurts,
    },
    Known {
        name: "buf_ring",
        what: "  buf_ring",
        since: (5, 19),
        does: "idle connections need no buffer; without it a receive is two steps",
        absent: State::Hurts,
    },
];

pub(super) fn examine(machine: &Machine, config: &Config) -> Vec<Finding> {
    let tried = machine::io_uring(config);
    let mut findings = vec![kernel(machine)];
    match &tried {
        Ok(features) => {
            findings.push(Finding::good(WHAT, "works"));
            let without = std::env::var("MSEC_IO_WITHOUT").unwrap_or_default();
            findings.extend(features.iter().map(|feature| of_feature(machine, feature, &without)));
        }
        Err(error) => findings.push(refused(machine, error)),
    }
    findings.push(choice(tried.is_ok(), &std::env::var("MSEC_IO").unwrap_or_default()));
    findings
}

fn kernel(machine: &Machine) -> Finding {
    let release = machine.text("proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    match machine.kernel() {
        Some(version) if version < (6, 1) => Finding::note("kernel", release)
            .means("io_uring lacks features before 6.1 that an engine lives on")
            .mend("Linux 6.1 or later (6.13 for stacks that cost no mappings)"),
        Some(_) | None => Finding::good("kernel", release),
    }
}

/// Which back end an engine takes, and whether the environment has a say in it.
fn choice(works: bool, forced: &str) -> Finding {
    let what = "back end";
    match (forced.trim(), works) {
        ("epoll", true) => Finding::note(what, "epoll: MSEC_IO=epoll asks for it")
            .means("io_uring would work, and a request would cost less CPU")
            .mend("unset MSEC_IO"),
        ("epoll", false) => Finding::good(what, "epoll: MSEC_IO=epoll asks for it"),
        ("uring", false) => Finding::hurts(what, "none: MSEC_IO=uring asks for what is refused")
            .means("no engine starts")
            .mend("unset MSEC_IO, and epoll is taken; or see above"),
        (_, true) => Finding::good(what, "io_uring"),
        (_, false) => Finding::note(what, "epoll")
            .means("everything works, and a request costs more CPU than with io_uring"),
    }
}

fn of_feature(machine: &Machine, feature: &Feature, without: &str) -> Finding {
    let Some(known) = FEATURES.iter().find(|known| known.name == feature.name) else {
        let value = if feature.on { "on" } else { "off" };
        return Finding::note(WHAT, format!("{}: {value}", feature.name));
    };
    if feature.on {
        return Finding::good(known.what, "on");
    }
    let (major, minor) = known.since;
    let finding = Finding::new(known.what, known.absent, "off").means(known.does);
    if without.split(',').any(|name| name.trim() == known.name) {
        return finding.mend("take it out of MSEC_IO_WITHOUT, which switches it off");
    }
    match machine.kernel() {
        Some(version) if version >= known.since => finding.mend(format!(
            "this kernel should have it ({major}.{minor} or later) and refuses it: a bad back-port \
             is known of some 6.8 kernels; another kernel of the distribution"
        )),
        Some(_) | None => finding.mend(format!("Linux {major}.{minor} or later")),
    }
}

/// Why the kernel would have none of it.
fn refused(machine: &Machine, error: &io::Error) -> Finding {
    let disabled = machine.number("proc/sys/kernel/io_uring_disabled");
    let finding = |cause: &str, mend: &str| {
        Finding::hurts(WHAT, format!("refused: {cause} ({error})"))
            .means("engines fall back to epoll, by which a request costs more CPU")
            .mend(mend)
    };
    let filtered = machine.has_seccomp();
    match error.raw_os_error() {
        Some(EPERM) if disabled == Some(2) => finding(
            "the sysctl kernel.io_uring_disabled is 2: nobody may",
            "sysctl -w kernel.io_uring_disabled=0 on the host, kept in /etc/sysctl.d",
        ),
        Some(EPERM | ENOSYS) if filtered => finding(
            "most likely a seccomp filter, as container engines set by default",
            "a profile that allows io_uring_setup, io_uring_enter and io_uring_register: docker \
             run --security-opt seccomp=FILE; in Kubernetes securityContext.seccompProfile of type \
             Localhost; in a systemd unit SystemCallFilter=@io-event",
        ),
        Some(EPERM) if disabled == Some(1) => finding(
            "the sysctl kernel.io_uring_disabled is 1: only a group and root may",
            "put this user into the group whose number is in kernel.io_uring_group, or set \
             kernel.io_uring_disabled=0",
        ),
        Some(EPERM) => finding(
            "a security module (SELinux, AppArmor), for there is no filter and no sysctl",
            "the module's log (ausearch -m avc, dmesg) names the rule",
        ),
        Some(ENOSYS) => finding(
            "the kernel has none: older than 5.1, built without CONFIG_IO_URING, or no Linux of \
             its own (gVisor)",
            "Linux 6.1 or later with CONFIG_IO_URING",
        ),
        Some(ENOMEM) => finding(
            "no memory may be locked for it",
            "ulimit -l 65536 (before Linux 5.12 and from 6.14 on a ring counts as locked), or more \
             memory",
        ),
        Some(EMFILE) => finding("no descriptor is left", "ulimit -n 65536"),
        Some(_) | None => finding("for a reason of its own", "see io_uring_setup(2)"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::tests::Made;
    use super::*;

    fn blocked(name: &str, errno: i32, files: &[(&str, &str)]) -> Finding {
        let made = Made::new(name, files);
        refused(&made.machine, &io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn what_blocks_io_uring_is_named_with_its_remedy() {
        let sysctl = |value| ("proc/sys/kernel/io_uring_disabled", value);
        let filter = |value| ("proc/self/status", value);
        let (none, some) = (filter("Seccomp:\t0\n"), filter("Seccomp:\t2\n"));
        let cases = [
            (EPERM, vec![sysctl("2\n"), some], "io_uring_disabled is 2", "sysctl -w"),
            (EPERM, vec![sysctl("0\n"), some], "seccomp filter", "--security-opt"),
            (ENOSYS, vec![some], "seccomp filter", "io_uring_setup"),
            (EPERM, vec![sysctl("1\n"), none], "io_uring_disabled is 1", "io_uring_group"),
            (EPERM, vec![sysctl("0\n"), none], "security module", "ausearch"),
            (ENOSYS, vec![none], "older than 5.1", "CONFIG_IO_URING"),
            (ENOMEM, vec![none], "no memory", "ulimit -l"),
            (EMFILE, vec![none], "no descriptor", "ulimit -n"),
            (22, vec![none], "reason of its own", "io_uring_setup(2)"),
        ];
        for (index, (errno, files, cause, mend)) in cases.into_iter().enumerate() {
            let finding = blocked(&format!("blocked-{index}"), errno, &files);
            assert_eq!(finding.state, State::Hurts);
            assert!(finding.value.contains(cause) && finding.mend.contains(mend), "{finding:?}");
        }
    }

    #[test]
    fn a_feature_that_is_off_says_whether_the_kernel_is_too_old_or_the_environment_forbids_it() {
        let off = Feature { name: "no_sqarray", on: false };
        let old = Made::new("old", &[("proc/sys/kernel/osrelease", "6.1.0\n")]);
        assert_eq!(of_feature(&old.machine, &off, "").mend, "Linux 6.6 or later");
        assert_eq!(of_feature(&old.machine, &off, "").state, State::Note);
        let new = Made::new("new", &[("proc/sys/kernel/osrelease", "6.8.0-31-generic\n")]);
        assert!(of_feature(&new.machine, &off, "").mend.contains("bad back-port"));
        assert!(of_feature(&new.machine, &off, "defer, no_sqarray").mend.contains("MSEC_IO_WITH"));
        let off = Feature { name: "defer", on: false };
        assert_eq!(of_feature(&new.machine, &off, "").state, State::Hurts);
        assert_eq!(kernel(&new.machine).state, State::Good);
    }

    #[test]
    fn the_back_end_that_is_forced_is_told_from_the_one_that_is_found() {
        assert_eq!(choice(true, "").state, State::Good);
        assert_eq!(choice(false, "").state, State::Note);
        assert_eq!(choice(true, "epoll").state, State::Note);
        assert!(choice(false, "uring").means.contains("no engine starts"));
    }
}

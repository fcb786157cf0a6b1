//! The facts that the kernel writes into files, read below a root that tests may choose.
//!
//! Every one of them may be absent: an older kernel, a container without /sys, the other version of
//! control groups. Absent is `None`, and no finding.

use std::fs;
use std::path::PathBuf;

/// A machine's files.
pub(crate) struct Machine {
    root: PathBuf,
}

/// What a control group grants of CPU time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quota {
    /// CPUs that may be busy all the time; the tightest on the way up.
    pub(crate) cpus: f64,
    pub(crate) period_us: u64,
    /// The part of all periods in which the group was held back.
    pub(crate) throttled: f64,
}

/// A limit of this process, in the kernel's own units; `u64::MAX` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

impl Machine {
    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A file's text without the white space around it.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// The number after a name at the begin of a line.
    pub(crate) fn field(&self, path: &str, name: &str) -> Option<u64> {
        let text = self.text(path)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// Major and minor number of the kernel.
    pub(crate) fn kernel(&self) -> Option<(u32, u32)> {
        let release = self.text("proc/sys/kernel/osrelease")?;
        let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }

    /// A limit out of /proc/self/limits.
    pub(crate) fn limit(&self, name: &str) -> Option<Limit> {
        let text = self.text("proc/self/limits")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let mut numbers = line.split_whitespace().map(|word| match word {
            "unlimited" => Some(u64::MAX),
            word => word.parse().ok(),
        });
        Some(Limit { soft: numbers.next()??, hard: numbers.next()?? })
    }

    /// Whether this process has a seccomp filter.
    pub(crate) fn has_seccomp(&self) -> bool {
        self.field("proc/self/status", "Seccomp:") == Some(2)
    }

    /// The tightest CPU quota of the control groups that this process is in, if there is one.
    pub(crate) fn quota(&self) -> Option<Quota> {
        let quotas = self.groups("cpu").into_iter().filter_map(|folder| self.quota_of(&folder));
        quotas.min_by(|a, b| a.cpus.total_cmp(&b.cpus))
    }

    fn quota_of(&self, folder: &str) -> Option<Quota> {
        let (quota_us, period_us) = match self.text(&format!("{folder}/cpu.max")) {
            Some(text) => {
                let (quota, period) = text.split_once(' ')?;
                (quota.parse::<u64>().ok()?, period.parse().ok()?)
            }
            // Version 1 writes -1 for none, which is no number here.
            None => (
                self.number(&format!("{folder}/cpu.cfs_quota_us"))?,
                self.number(&format!("{folder}/cpu.cfs_period_us"))?,
            ),
        };
        let stat = |name| self.field(&format!("{folder}/cpu.stat"), name).unwrap_or(0) as f64;
        Some(Quota {
            cpus: quota_us as f64 / period_us.max(1) as f64,
            period_us,
            throttled: stat("nr_throttled ") / stat("nr_periods ").max(1.0),
        })
    }

    /// The tightest bound on threads of the control groups that this process is in.
    pub(crate) fn threads_max(&self) -> Option<u64> {
        let folders = self.groups("pids").into_iter();
        folders.filter_map(|folder| self.number(&format!("{folder}/pids.max"))).min()
    }

    /// The folders, from this process's control group up to the root, in which a controller's files
    /// may stand; of both versions.
    fn groups(&self, controller: &str) -> Vec<String> {
        let mut folders = Vec::new();
        for line in self.text("proc/self/cgroup").unwrap_or_default().lines() {
            // `hierarchy:controllers:path`; version 2 is hierarchy 0 without controllers.
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            let top = match controllers {
                "" => "sys/fs/cgroup".to_owned(),
                list if list.split(',').any(|name| name == controller) => {
                    format!("sys/fs/cgroup/{list}")
                }
                _ => continue,
            };
            let mut folder = format!("{top}{}", path.trim_end_matches('/'));
            // In a namespace of its own the path may lead nowhere; its root does not.
            while folder.len() >= top.len() {
                folders.push(folder.clone());
                let Some(end) = folder.rfind('/') else { break };
                folder.truncate(end);
            }
        }
        folders
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A machine of a few files.
    pub(crate) struct Made {
        pub(crate) machine: Machine,
    }

    impl Made {
        pub(crate) fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let name = format!("msec-doctor-{}-{name}", std::process::id());
            let root = std::env::temp_dir().join(name);
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().expect("it has a folder")).expect("writable");
                fs::write(path, text).expect("writable");
            }
            Self { machine: Machine::at(root) }
        }
    }

    impl Drop for Made {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.machine.root);
        }
    }

    #[test]
    fn quotas_of_both_versions_are_found_on_the_way_up() {
        let made = Made::new(
            "v2",
            &[
                ("proc/self/cgroup", "0::/a/b\n"),
                ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
                ("sys/fs/cgroup/a/cpu.max", "150000 100000\n"),
                ("sys/fs/cgroup/a/cpu.stat", "usage_usec 1\nnr_periods 200\nnr_throttled 50\n"),
                ("sys/fs/cgroup/a/b/pids.max", "33\n"),
                ("sys/fs/cgroup/a/pids.max", "max\n"),
            ],
        );
        let quota = Quota { cpus: 1.5, period_us: 100_000, throttled: 0.25 };
        assert_eq!(made.machine.quota(), Some(quota));
        assert_eq!(made.machine.threads_max(), Some(33));
        let made = Made::new(
            "v1",
            &[
                ("proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/docker/x\n0::/\n"),
                // A container sees its own group as the root.
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ],
        );
        assert_eq!(made.machine.quota().map(|quota| quota.cpus), Some(0.5));
        let made = Made::new("none", &[("proc/self/cgroup", "0::/\n")]);
        assert_eq!(made.machine.quota(), None);
    }

    #[test]
    fn limits_and_the_kernel_are_read_as_they_are_written() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 unlimited            files\n";
        let made = Made::new(
            "limits",
            &[
                ("proc/self/limits", limits),
                ("proc/sys/kernel/osrelease", "6.1.0-13-amd64\n"),
                ("proc/self/status", "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"),
            ],
        );
        let limit = Limit { soft: 1024, hard: u64::MAX };
        assert_eq!(made.machine.limit("Max open files"), Some(limit));
        assert_eq!(made.machine.limit("Max locked memory"), None);
        assert_eq!(made.machine.kernel(), Some((6, 1)));
        assert!(made.machine.has_seccomp());
    }
}

//! What of its machine a service takes: the rights of whoever starts it, and the CPUs that its
//! affinity and its control group leave it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use msec::{Config, Engine};
use msec_tests::ECHO;
use msec_tests::hosted::{Hosted, SERVICE, plugin};
use msec_tests::programs::{command, run};

const CONFIG: &str = "[SRPC]\nlisten=127.0.0.1:0/tcp\ndrain_max_s=2\n";
/// The user and the group of nobody, on every Linux.
const NOBODY: u32 = 65534;

/// A service that was started by another program, which has the command line as its arguments.
fn started_by(runner: &[&str]) -> Hosted {
    let hosted = Hosted::new(Some(&plugin(&[])), CONFIG);
    let start = hosted.command("start");
    let mut by = Command::new(runner[0]);
    run(by.args(&runner[1..]).arg(start.get_program()).args(start.get_args()));
    hosted
}

/// How many core threads its one worker has.
fn cores_count(hosted: &Hosted) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", hosted.workers()[0][2])).unwrap();
    let names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    names.filter(|name| name.starts_with("msec-core-")).count()
}

/// A control group whose processes get one CPU's time together. Empty again, it is removed.
struct Group(PathBuf);

impl Group {
    /// In the hierarchy of version 1 or 2. It takes root, and one that may be written to; else why
    /// there is none.
    fn of_one_cpu() -> Result<Group, String> {
        let name = format!("msec-test-{}", std::process::id());
        let mut failures = Vec::new();
        // Of the default period, which is 100 ms in both.
        for (root, file) in
            [("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us"), ("/sys/fs/cgroup", "cpu.max")]
        {
            let root = Path::new(root);
            // Where there is no such hierarchy there is no such file.
            let made = fs::metadata(root.join("cgroup.procs")).and_then(|_| {
                // Version 2 gives groups CPUs of their own where it is told to.
                let _ = fs::write(root.join("cgroup.subtree_control"), "+cpu");
                fs::create_dir(root.join(&name))?;
                let group = Group(root.join(&name));
                fs::write(group.0.join(file), "100000").map(|()| group)
            });
            match made {
                Ok(group) => return Ok(group),
                Err(error) => failures.push(format!("below {}: {error}", root.display())),
            }
        }
        Err(failures.join("; "))
    }
}

/// How many CPUs' time the control group of this process has, rounded down, by version 2.
fn paid_for() -> Option<usize> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // A group has no more than those that it is in.
    let quota = |folder: &Path| {
        let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        Some(quota.parse::<usize>().ok()? / period.parse::<usize>().unwrap())
    };
    let folder = Path::new("/sys/fs/cgroup").join(path);
    folder
        .ancestors()
        .take_while(|folder| folder.starts_with("/sys/fs/cgroup"))
        .filter_map(quota)
        .min()
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that was killed may be in it for a moment more.
        msec_tests::wait_until("the control group to be empty", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn a_worker_has_a_core_for_each_cpu_that_it_may_use() {
    let hosted = Hosted::new(Some(&plugin(&[])), CONFIG);
    assert!(hosted.host("start").0);
    assert_eq!(cores_count(&hosted), msec::cpu::online());
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"));
    let first = allowed.unwrap().split(['-', ',']).next().unwrap();
    assert_eq!(cores_count(&started_by(&["taskset", "-c", first])), 1);
}

#[test]
fn a_worker_has_a_core_for_each_cpu_that_its_control_group_pays_for() {
    match Group::of_one_cpu() {
        Ok(group) => {
            let enter = format!("echo $$ >{}/cgroup.procs && exec \"$@\"", group.0.display());
            let hosted = started_by(&["sh", "-c", &enter, "sh"]);
            assert_eq!(cores_count(&hosted), 1);
        }
        Err(why) => {
            // Who is no root is in one all the same.
            println!("no control group can be made, so it is ours: {why}");
            let hosted = started_by(&["env"]);
            let most = paid_for().map_or(usize::MAX, |count| count.max(1));
            assert_eq!(cores_count(&hosted), msec::cpu::allowed().unwrap().len().min(most));
        }
    }
}

/// Who starts a service needs no rights beyond its folder; its worker has none either.
#[test]
fn a_service_runs_as_an_ordinary_user() {
    let hosted = Hosted::new(Some(&plugin(&[])), CONFIG);
    // Where nobody may look into the folder of the build, as with one below /root.
    let programs = hosted.root().join("programs");
    fs::create_dir(&programs).unwrap();
    for name in ["msec", "msec-worker", "libmsec.so"] {
        fs::copy(command(name), programs.join(name)).unwrap();
    }
    let mut everything = vec![hosted.root().to_owned()];
    while let Some(path) = everything.pop() {
        // It fails for who is no root, and then it is ours.
        let _ = chown(&path, Some(NOBODY), Some(NOBODY));
        let below = fs::read_dir(&path).into_iter().flatten();
        everything.extend(below.map(|entry| entry.unwrap().path()));
    }
    let ids = ["--reuid", "--regid"].map(|flag| format!("{flag}={NOBODY}"));
    let mut start = Command::new("setpriv");
    match fs::metadata("/proc/self").unwrap().uid() {
        0 => start.args(ids).arg("--clear-groups"),
        _ => start.arg("--no-new-privs"),
    };
    start.arg(programs.join("msec")).args(hosted.command("start").get_args());
    assert_eq!(run(&mut start), format!("Server({SERVICE}) start ok.\n"));
    let status = fs::read_to_string(format!("/proc/{}/status", hosted.workers()[0][2])).unwrap();
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    let engine = Engine::with(Config::new().cores(1)).unwrap();
    assert_eq!(hosted.call(&engine, ECHO, b"hello").unwrap(), "hello");
    assert!(hosted.host("reload").0);
    assert_eq!(hosted.host("stop").1, format!("Server({SERVICE}) stopped.\n"));
}

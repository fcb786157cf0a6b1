//! `msec doctor` on this machine, and on this machine made worse.

mod common;

use std::process::Command;

use common::{Ran, command};
use serde_json::Value;

/// Runs the doctor after a few words of a shell.
fn doctor(before: &str) -> (Ran, Value) {
    let binary = command();
    let line = format!("{before} exec '{}' doctor --json", binary.get_program().display());
    let output = Command::new("bash")
        .args(["-c", &line])
        .env_remove("MSEC_IO")
        .env_remove("MSEC_IO_WITHOUT")
        .output()
        .expect("there is a shell");
    let ran = Ran::from(output);
    let json = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("no JSON: {ran:?}"));
    (ran, json)
}

fn check<'a>(json: &'a Value, what: &str) -> &'a Value {
    let checks = json["checks"].as_array().expect("a list");
    checks.iter().find(|check| check["what"] == what).unwrap_or_else(|| panic!("{what}: {json:#}"))
}

fn contains(value: &Value, part: &str) {
    assert!(value.as_str().is_some_and(|text| text.contains(part)), "{part}: {value}");
}

#[test]
fn the_status_says_whether_anything_hurts_and_every_remark_has_a_meaning_and_a_remedy() {
    let (ran, json) = doctor("");
    let hurting: Vec<_> = json["checks"]
        .as_array()
        .expect("a list")
        .iter()
        .inspect(|check| assert!(["good", "note", "hurts"].iter().any(|s| check["state"] == *s)))
        .filter(|check| check["state"] == "hurts")
        .collect();
    assert_eq!(json["healthy"], hurting.is_empty(), "{json:#}");
    assert_eq!(ran.status, i32::from(!hurting.is_empty()), "{ran:?}");
    for check in hurting {
        assert!(check["means"] != "" && check["mend"] != "", "{check}");
    }
    for what in ["kernel", "io_uring", "open files", "CPUs", "stacks", "address space", "clock"] {
        check(&json, what);
    }
}

#[test]
fn few_descriptors_and_a_misspelt_variable_hurt() {
    let (ran, json) = doctor("ulimit -n 512; MSEC_IO=epol");
    assert_eq!((ran.status, &json["healthy"]), (1, &false.into()));
    let files = check(&json, "open files");
    assert_eq!(
        (&files["state"], &files["value"]),
        (&"hurts".into(), &"512 (hard limit 512)".into())
    );
    contains(&files["means"], "room for 256 connections");
    let environment = check(&json, "environment");
    contains(&environment["value"], "MSEC_IO is `epol`");
    assert!(ran.stderr.contains("things hurt"), "{ran:?}");
}

#[test]
fn little_address_space_hurts() {
    let (_, json) = doctor("ulimit -v 4000000;");
    contains(&check(&json, "address space")["value"], "limited to 3.8 GiB");
}

#[test]
fn a_feature_that_the_environment_switches_off_is_told_from_one_that_is_missing() {
    let (_, json) = doctor("MSEC_IO_WITHOUT=multishot,guard");
    if check(&json, "io_uring")["state"] == "good" {
        contains(&check(&json, "  multishot")["mend"], "take it out of MSEC_IO_WITHOUT");
    }
    contains(&check(&json, "stacks")["value"], "guards cost mappings here");
}

/// Has the kernel answer EPERM to io_uring_setup (425), as container engines do, and then replaces
/// itself: no_new_privs, then a filter of four instructions.
const FILTER: &str = r#"perl -e '
    $code = pack("SCCL" x 4, 0x20,0,0,0, 0x15,0,1,425, 0x06,0,0,0x50001, 0x06,0,0,0x7fff0000);
    $filter = pack("Sx6P", 4, $code);
    syscall(157, 38, 1, 0, 0, 0) == 0 or die "no_new_privs: $!";
    syscall(317, 1, 0, $filter) == 0 or die "seccomp: $!";
    exec @ARGV' "#;

#[test]
fn a_seccomp_filter_that_blocks_io_uring_is_named() {
    let binary = command();
    let line = format!("exec {FILTER} '{}' doctor --json", binary.get_program().display());
    let output = Command::new("bash").args(["-c", &line]).env_remove("MSEC_IO").output();
    let ran = Ran::from(output.expect("there is a shell"));
    let json: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    let uring = check(&json, "io_uring");
    assert_eq!((ran.status, &uring["state"]), (1, &"hurts".into()), "{json:#}");
    contains(&uring["value"], "a seccomp filter");
    contains(&uring["mend"], "--security-opt seccomp=");
    contains(&check(&json, "back end")["value"], "epoll");
}

#[test]
fn without_json_it_is_a_line_each() {
    let ran = Ran::from(command().arg("doctor").output().expect("the binary runs"));
    let kernel = ran.stdout.lines().find(|line| line.contains(" kernel "));
    assert!(kernel.is_some_and(|line| line.starts_with("ok") || line.starts_with("note")));
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 110), "{}", ran.stdout);
}

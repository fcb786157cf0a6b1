//! No part of a request may quietly become dearer: instructions under callgrind, against
//! `instructions.txt`.
//!
//! A count is the difference of two runs divided by the difference of their repetitions, so neither
//! the start of the process nor the preparation is in it. It is the same on every machine with this
//! compiler; the margin is for changes of code elsewhere that move inlining. `MSEC_BLESS=1` writes
//! the file anew; the difference then shows in the change.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use msec_bench_micro::PARTS;

/// A part may become dearer by this, and a part that became cheaper by more wants a new entry.
const MARGIN: f64 = 0.10;
/// Of a part of a handful of instructions one more is beyond any share.
const MARGIN_INSTRUCTIONS: f64 = 2.0;
const TIMES: [u64; 2] = [1000, 6000];

/// The optimised binary, whatever profile the test itself was built with.
fn binary() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cargo = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--release", "--bin", "micro", "--message-format=json"])
        .current_dir(folder)
        // Incremental builds optimise less.
        .env_remove("CARGO_INCREMENTAL")
        .output()
        .unwrap();
    let text = String::from_utf8(cargo.stdout).unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let path = text
        .lines()
        .filter_map(|line| line.split_once("\"executable\":\"")?.1.split_once('"'))
        .find(|(path, _)| path.ends_with("/micro"))
        .unwrap();
    PathBuf::from(path.0)
}

fn instructions(binary: &Path, part: &str, times: u64) -> f64 {
    let valgrind = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(binary)
        .args([part, &times.to_string()])
        .output()
        .expect("valgrind is missing: apt-get install valgrind");
    let text = String::from_utf8_lossy(&valgrind.stderr);
    assert!(valgrind.status.success(), "{part}: {text}");
    let (_, rest) = text.split_once("Collected :").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn no_part_of_a_request_takes_more_instructions_than_it_did() {
    let binary = binary();
    let measured: BTreeMap<&str, f64> = PARTS
        .iter()
        .map(|part| {
            let [few, many] = TIMES.map(|times| instructions(&binary, part.name, times));
            (part.name, (many - few) / (TIMES[1] - TIMES[0]) as f64)
        })
        .collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    if std::env::var_os("MSEC_BLESS").is_some() {
        let mut text = String::from("# Instructions each, under callgrind.\n");
        for (name, count) in &measured {
            writeln!(text, "{name} {count:.1}").unwrap();
        }
        std::fs::write(&file, text).unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap();
    let expected: BTreeMap<&str, f64> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, count)| (name, count.parse().unwrap()))
        .collect();
    for (name, count) in &measured {
        let expected = expected.get(name).unwrap_or_else(|| panic!("{name} has no entry"));
        let margin = (expected * MARGIN).max(MARGIN_INSTRUCTIONS);
        assert!(
            (count - expected).abs() <= margin,
            "{name} takes {count:.1} instructions, it was {expected}; MSEC_BLESS=1 if that is meant"
        );
    }
}

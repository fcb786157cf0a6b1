//! `make without` tells some of the stories once more without each feature of io_uring. What it
//! switches off is a list in the Makefile, which must not fall behind the engine's.

#![allow(clippy::unwrap_used)]

use msec::{Config, Engine, Io, machine};

const MAKEFILE: &str = include_str!("../../Makefile");

fn listed(name: &str) -> Vec<&'static str> {
    let begin = format!("{name} := ");
    let line = MAKEFILE.lines().find_map(|line| line.strip_prefix(begin.as_str()));
    line.unwrap().split(' ').collect()
}

#[test]
fn each_feature_is_switched_off_in_turn() {
    let features = machine::io_uring(&Config::new()).unwrap();
    let names: Vec<_> = features.iter().map(|feature| feature.name).collect();
    assert_eq!(listed("URING_FEATURES"), names);
}

#[test]
fn uring_does_without_what_the_environment_switches_off() {
    // The suite runs in such an environment, and so does this.
    let without = std::env::var("MSEC_IO_WITHOUT").unwrap_or_default();
    let config = msec_tests::config(Io::Uring);
    for feature in machine::io_uring(&config).unwrap() {
        let is_off = without.split(',').any(|name| name.trim() == feature.name);
        assert!(!(is_off && feature.on), "{feature:?} is on although it was switched off");
    }
    assert_eq!(Engine::with(config).unwrap().io_backend(), "uring");
}

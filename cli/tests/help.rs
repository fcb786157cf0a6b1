//! What the command says about itself.

mod common;

use common::msec;

#[test]
fn alone_it_lists_its_commands_with_examples() {
    let ran = msec(&[]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    for part in ["call ADDRESS METHOD", "press ADDRESS", "version", "  msec press 127.0.0.1:7963"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert_eq!(msec(&["help"]).stdout, ran.stdout);
}

#[test]
fn help_of_a_command_is_the_same_by_word_and_by_flag() {
    for command in ["call", "press", "doctor", "completions", "version"] {
        let by_word = msec(&["help", command]);
        assert_eq!((by_word.status, &*by_word.stderr), (0, ""));
        assert!(by_word.stdout.contains("\nexamples\n  # "), "{}", by_word.stdout);
        assert_eq!(msec(&[command, "--help"]).stdout, by_word.stdout);
        assert_eq!(msec(&[command, "-h"]).stdout, by_word.stdout);
    }
}

#[test]
fn an_unknown_command_or_flag_ends_with_2_and_offers_a_known_one() {
    let ran = msec(&["prss"]);
    assert_eq!((ran.status, &*ran.stdout), (2, ""));
    assert!(ran.stderr.contains("did you mean `msec press`?"), "{}", ran.stderr);
    assert_eq!(msec(&["help", "prss"]).stderr, ran.stderr);
    let ran = msec(&["press", "127.0.0.1:1", "--raet", "5"]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("msec press: there is no flag --raet; did you mean --rate?"));
}

#[test]
fn version_tells_the_build_and_which_io_works_here() {
    let ran = msec(&["version"]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with(concat!("msec ", env!("CARGO_PKG_VERSION"))), "{lines:?}");
    assert!(lines[1].starts_with("target: ") && lines[1].contains("linux"), "{lines:?}");
    assert!(lines[2].starts_with("io_uring: "), "{lines:?}");
    assert_eq!(lines[3], "epoll: works");
    let works = if lines[2] == "io_uring: works" { "uring" } else { "epoll" };
    if std::env::var_os("MSEC_IO").is_none() {
        assert_eq!(lines[4], format!("an engine takes: {works}"));
    }
    assert_eq!(msec(&["--version"]).stdout, ran.stdout);
}

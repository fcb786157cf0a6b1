//! Plugins that cannot be started, and configurations that make no sense: `start` says why, and
//! nothing is left behind.

#![allow(clippy::unwrap_used)]

use std::fs;

use msec_tests::hosted::{Hosted, SERVICE, plugin};

const CONFIG: &str = "[SRPC]\nlisten=127.0.0.1:0/tcp\ncores=1\n";

/// `start` fails, says so, and leaves nobody.
#[track_caller]
fn is_refused(hosted: &Hosted, why: &str) {
    let (ok, said) = hosted.host("start");
    assert!(!ok && said.contains(why), "`{why}` is not in `{said}`: {}", hosted.log());
    assert!(!said.contains("msec host: msec host"), "{said}");
    let gone = format!("msec host: Server({SERVICE}) not started.\n");
    assert_eq!(hosted.host("show"), (false, gone));
    let bin = fs::read_dir(hosted.folder().join("bin")).unwrap();
    assert!(bin.count() <= 1, "the private copy is left");
}

#[test]
fn a_plugin_that_is_not_there_is_named() {
    let hosted = Hosted::new(None, CONFIG);
    is_refused(&hosted, "bin/msec.so is not there");
}

#[test]
fn a_file_that_is_no_library_is_refused() {
    let hosted = Hosted::new(None, CONFIG);
    fs::write(hosted.plugin(), "no library").unwrap();
    is_refused(&hosted, "the plugin cannot be loaded: ");
}

#[test]
fn a_library_that_is_no_plugin_is_refused() {
    let hosted = Hosted::new(Some(std::path::Path::new("/lib/x86_64-linux-gnu/libm.so.6")), CONFIG);
    is_refused(&hosted, "is no plugin: it has no msec_plugin_v1");
}

#[test]
fn a_plugin_for_another_abi_is_refused() {
    let hosted = Hosted::new(Some(&plugin(&["-DABI=99"])), CONFIG);
    is_refused(&hosted, "the plugin is made for ABI 99 to 99 of libmsec; this one has 1");
}

#[test]
fn a_plugin_with_two_runtimes_of_cpp_is_refused() {
    let hosted = Hosted::new(Some(&plugin(&["-Wl,--no-as-needed", "-l:libc++.so.1"])), CONFIG);
    is_refused(&hosted, "two runtimes of C++");
}

#[test]
fn an_init_that_throws_is_told_with_its_words() {
    let hosted = Hosted::new(Some(&plugin(&[])), &format!("{CONFIG}[TEST]\ninit=throw\n"));
    is_refused(&hosted, "init of the plugin returned -18: no database");
}

#[test]
fn an_init_that_crashes_is_told_and_reported() {
    let hosted = Hosted::new(Some(&plugin(&[])), &format!("{CONFIG}[TEST]\ninit=crash\n"));
    is_refused(&hosted, "SIGABRT outside of any method");
    assert_eq!(hosted.reports().len(), 1);
}

#[test]
fn an_init_that_takes_too_long_is_ended() {
    let config = format!("{CONFIG}ready_ms=300\n[TEST]\ninit=block\n");
    is_refused(&Hosted::new(Some(&plugin(&[])), &config), "it was not ready within 300 ms");
}

#[test]
fn a_plugin_that_never_becomes_ready_is_ended() {
    let config = format!("{CONFIG}ready_ms=300\n[TEST]\ninit=unready\n");
    is_refused(&Hosted::new(Some(&plugin(&[])), &config), "it was not ready within 300 ms");
}

#[test]
fn a_configuration_without_sense_is_refused_with_the_reason() {
    let plugin = plugin(&[]);
    let check = |config: &str, why: &str| is_refused(&Hosted::new(Some(&plugin), config), why);
    check("[SRPC\n", "line 1 of config.ini: a section without its closing `]`");
    check("[SRPC]\nprocnum=-1", "[SRPC] procnum is `-1`; allowed is 1 to 64");
    check("[SRPC]\nlisten=nowhere0:1/tcp", "no interface `nowhere0` has an address; there are lo");
    check("[SRPC]\nlisten=1/tls", "but [TLS] certificate is not set");
    check("[SRPC]\nlisten=127.0.0.1:5/tcp 127.0.0.1:5/tcp", "has 127.0.0.1:5 twice");
    check("[SRPC]\nlisten=192.0.2.1:7/tcp", "listen on 192.0.2.1:7");
    check("[ENGINE]\nstall_ms=soon", "[ENGINE] stall_ms is `soon`");
}

#[test]
fn without_a_configuration_the_defaults_hold_and_the_log_says_so() {
    // The default port may be taken on the machine of the test: then that is what is said.
    let hosted = Hosted::new(Some(&plugin(&[])), "");
    fs::remove_file(hosted.folder().join("etc/config.ini")).unwrap();
    let (ok, said) = hosted.host("start");
    let log = hosted.log();
    assert!(log.contains("etc/config.ini is not there: defaults hold"), "{log}");
    match ok {
        true => assert_eq!(hosted.addresses(), ["0.0.0.0:7963@udp", "0.0.0.0:7963"]),
        false => assert!(said.contains("7963"), "{said}"),
    }
}

#[test]
fn a_service_that_is_not_there_is_a_question_of_the_root() {
    let hosted = Hosted::new(None, CONFIG);
    fs::remove_dir_all(hosted.folder().join("bin")).unwrap();
    let (ok, said) = hosted.host("start");
    assert!(!ok && said.contains("is --root right?"), "{said}");
}

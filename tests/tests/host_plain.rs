//! A plugin in plain C: what its host tells it, when it is begun, asked and ended, and as which of
//! several headers have it.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use msec::{Config, Engine};
use msec_tests::hosted::{Hosted, SERVICE, plugin_of};

const CONFIG: &str = "[SRPC]\nlisten=127.0.0.1:0/tcp\ncores=1\nconf=../a.xml\n";
const COLOUR: &str = "[PLAIN]\ncolour=blue\n";

fn plain(compiler: &str, flags: &[&str]) -> PathBuf {
    plugin_of("ffi-c/tests/plain.c", compiler, flags)
}

fn with(plugin: PathBuf, config: &str) -> Hosted {
    Hosted::new(Some(&plugin), &format!("{CONFIG}{config}"))
}

/// It starts, answers and ends in order.
#[track_caller]
fn works(plugin: PathBuf) {
    let hosted = with(plugin, COLOUR);
    let started = hosted.host("start");
    assert_eq!(started, (true, format!("Server({SERVICE}) start ok.\n")), "{}", hosted.log());
    let engine = Engine::with(Config::new().cores(1)).unwrap();
    let known = format!("blue of {SERVICE}, conf ../a.xml, worker 0!");
    assert_eq!(hosted.call(&engine, "plain.Plain.Knows", b"").unwrap(), known);
    let address = hosted.address();
    assert_eq!(hosted.call(&engine, "plain.Plain.Asks", address.as_bytes()).unwrap(), known);
    assert!(hosted.host("stop").0);
    let log = hosted.log();
    let lines =
        ["the plugin is build plain 1", "plain begins", "plain ends, and was asked 3 times"];
    let found = lines.map(|line| log.find(line).unwrap_or_else(|| panic!("{line}: {log}")));
    assert!(found.is_sorted(), "{log}");
}

#[test]
fn a_plugin_in_c_knows_its_host_and_is_begun_and_ended() {
    for compiler in ["gcc -std=c99", "gcc -std=c11", "clang -std=c99", "clang -std=c11"] {
        works(plain(compiler, &["-Wextra", "-pedantic"]));
    }
}

#[test]
fn a_plugin_of_an_older_or_newer_header_is_understood() {
    works(plain("gcc -std=c11", &["-DOLDER"]));
    works(plain("gcc -std=c11", &["-DNEWER=0"]));
    let newer = with(plain("gcc -std=c11", &["-DNEWER=1"]), COLOUR);
    let (ok, said) = newer.host("start");
    assert!(!ok && said.contains("msec_plugin uses fields of a newer libmsec"), "{said}");
}

#[test]
fn why_init_fails_is_told() {
    let (ok, said) = with(plain("gcc -std=c11", &[]), "").host("start");
    assert!(!ok && said.contains("init of the plugin returned -1: no colour"), "{said}");
}

#[test]
fn a_plugin_of_another_service_is_refused() {
    let other = plain("gcc -std=c11", &["-DNAME=\"Test.other\""]);
    let (ok, said) = with(other, COLOUR).host("start");
    let why = format!("the plugin is Test.other, and this is {SERVICE}");
    assert!(!ok && said.contains(&why), "{said}");
}

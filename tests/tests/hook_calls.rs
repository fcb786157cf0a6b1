//! Calls of the C library by handlers of a plugin that runs with the hook: each ends as the kernel
//! would have it end, while the core goes on; and what happens to descriptors that are closed,
//! duplicated and inherited meanwhile.
//!
//! The stories themselves are in C, in `hook/tests`.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use msec::{CallOptions, Client, Config, Engine};
use msec_protocol::RequestHead;
use msec_tests::hosted::{Hosted, plugin, plugin_of};
use msec_tests::peer::request;
use msec_tests::programs::command;
use msec_tests::{ECHO, Fleet, Peer, libmsec, wait_until};

const TELL: &str = "hook.Test.Tell";

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::with(Config::new().cores(1)).unwrap());

fn patient() -> CallOptions {
    CallOptions::new().timeout(Duration::from_secs(30))
}

fn hosted(source: &str, config: &str) -> Hosted {
    let flags = ["-Wextra", "-D_GNU_SOURCE", "-pthread"];
    let plugin = plugin_of(&format!("hook/tests/{source}"), "gcc -std=gnu11", &flags);
    Hosted::start(&plugin, config)
}

/// What came of a story.
fn told(client: &Client, story: &str) -> String {
    let reply = client.call_raw(TELL, story.as_bytes(), &patient());
    reply.map_or_else(
        |error| error.to_string(),
        |reply| String::from_utf8(reply.body.to_vec()).unwrap(),
    )
}

/// Tells those stories, one after the other, with either way of I/O.
#[track_caller]
fn are_well(source: &str, stories: &[&str]) {
    for io in ["uring", "epoll"] {
        let hosted = hosted(source, &format!("hook=1\n[ENGINE]\nio={io}\n"));
        let client = Client::new(&ENGINE, &hosted.address()).unwrap();
        let ends = stories.iter().map(|story| (*story, told(&client, story)));
        let ill: Vec<_> = ends.filter(|(_, end)| end != "well").collect();
        assert!(ill.is_empty(), "{source} on {io}: {ill:?}{}", hosted.log());
        assert_eq!(hosted.workers()[0][4], "0", "no worker was replaced");
    }
}

#[test]
fn bytes_are_received_and_sent_as_by_the_kernel() {
    let stories = ["receiving", "receiving_whole", "several", "sending", "sending_rights", "pipes"];
    are_well("calls.c", &stories);
}

#[test]
fn who_does_not_want_to_wait_does_not_and_who_wants_to_waits_no_longer() {
    are_well("calls.c", &["nonblocking", "timeouts"]);
}

#[test]
fn several_descriptors_are_waited_for_at_a_time() {
    are_well("calls.c", &["polling", "selecting"]);
}

#[test]
fn connections_are_made_and_names_are_found() {
    are_well("calls.c", &["connecting", "resolving"]);
}

#[test]
fn to_sleep_is_to_let_others_run() {
    are_well("calls.c", &["sleeping"]);
}

#[test]
fn who_waits_for_a_descriptor_that_is_closed_is_told_so() {
    let stories = [
        "closed",
        "closed_by_a_thread",
        "closed_at_any_time",
        "replaced",
        "closed_while_polled",
        "duplicated",
    ];
    are_well("closing.c", &stories);
}

#[test]
fn children_programs_and_threads_are_left_alone() {
    are_well("closing.c", &["forked", "started", "threads"]);
}

#[test]
fn a_cancelled_request_waits_no_more() {
    let hosted = hosted("closing.c", "hook=1\n");
    let client = Client::new(&ENGINE, &hosted.address()).unwrap();
    let mut peer = Peer::connect(&hosted.address());
    peer.send(&request(1, TELL), b"cancelled");
    let saw = || told(&client, "what_was_cancelled");
    wait_until("the request to wait", || saw() == "waits");
    peer.send(&RequestHead::cancel(1), b"");
    wait_until("the request to end", || saw() != "waits");
    assert_eq!(saw(), ["Operation canceled"; 3].join(", "));
}

#[test]
fn a_request_waits_no_longer_than_its_caller() {
    let hosted = hosted("closing.c", "hook=1\n");
    let client = Client::new(&ENGINE, &hosted.address()).unwrap();
    let mut peer = Peer::connect(&hosted.address());
    // Nobody says that he has given up, and the peers of these waits are silent.
    peer.send(&RequestHead { deadline_ms: 500, ..request(1, TELL) }, b"cancelled");
    let saw = || told(&client, "what_was_cancelled");
    wait_until("the request to wait", || saw() == "waits");
    wait_until("the request to end", || saw() != "waits");
    assert_eq!(saw(), ["Operation canceled"; 3].join(", "));
}

/// Everything that libmsec has, in a process with the hook before it.
fn works_hooked(program: &Path, hook: impl Fn(&mut Command)) {
    for io in ["uring", "epoll"] {
        let mut running = libmsec::program(program, io);
        hook(&mut running);
        let output = running.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.ends_with(libmsec::WORKS), "{said}{wrong}");
    }
}

#[test]
fn programs_that_are_started_or_linked_with_the_hook_work_as_before() {
    let source = "ffi-c/tests/everything.c";
    let started = libmsec::compile("gcc", "c11", source);
    works_hooked(&started, |program| {
        program.env("LD_PRELOAD", command("libmsec_hook.so"));
    });
    let folder = command("libmsec_hook.so").parent().unwrap().to_path_buf();
    let linking = format!("gcc -Wl,--no-as-needed -L{} -lmsec_hook", folder.display());
    let linked = libmsec::compile(&linking, "c11", source);
    works_hooked(&linked, |program| {
        let folders = format!("{}:{}", libmsec::LIBRARY.display(), folder.display());
        program.env("LD_LIBRARY_PATH", folders);
    });
}

/// A process that has no engine, and neither has its child.
#[test]
fn a_process_that_is_none_of_ours_goes_on_as_ever() {
    let script = "use Socket; $| = 1;
        socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die;
        if (fork == 0) { select(undef, undef, undef, 0.05); syswrite($b, 'x' x 1000000); exit }
        my ($got, $bytes, $set) = (0);
        while ($got < 1000000) {
            vec($set = '', fileno($a), 1) = 1;
            select($set, undef, undef, undef) == 1 or die;
            $got += sysread($a, $bytes, 65536) || die;
        }
        gethostbyname('localhost') or die;
        print `sleep 0.01; echo as ever`;";
    let mut perl = Command::new("perl");
    perl.args(["-e", script]).env("LD_PRELOAD", command("libmsec_hook.so"));
    let output = perl.output().unwrap();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "as ever\n", "{wrong}");
}

/// The engine itself makes the same calls, and nothing of it may change.
#[test]
fn a_hooked_worker_serves_and_reloads_as_any_other() {
    let hosted = Hosted::start(&plugin(&[]), "hook=1\n");
    let client = Client::new(&ENGINE, &hosted.address()).unwrap();
    let fleet = Fleet::with(&ENGINE, &client, ECHO, 4, patient());
    for _ in 0..3 {
        fleet.wait_for_more(200);
        // The generation before may still be leaving.
        wait_until("a reload", || hosted.host("reload").0);
    }
    fleet.wait_for_more(200);
    assert_eq!(fleet.failures(), [""; 0]);
    fleet.stop();
    assert!(hosted.host("stop").0);
    assert!(hosted.reports().is_empty());
}

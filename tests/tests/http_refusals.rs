//! What a caller by HTTP is told when there is no room for it: quotas, overload, and the header
//! that says which request goes first.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use msec::{CallOptions, Io};
use msec_protocol::Code;
use msec_tests::http::{post, target};
use msec_tests::load::Loader;
use msec_tests::{
    ECHO, HttpAnswer, HttpPeer, Load, Stage, config, measured, on_both, wait_on_core, wait_until,
};

const BYTES: &str = "Content-Type: application/octet-stream\r\n";
const HOLD: &str = "test.Work.Hold";

/// A server of one core with a method that holds it up for a millisecond, and one that says the
/// priority of its request.
fn stage(io: Io) -> Stage {
    Stage::with(config(io).cores(1), |builder| {
        builder
            .raw(HOLD, |_| {
                wait_on_core(Duration::from_millis(1));
                Ok("held")
            })
            .raw("test.Work.Priority", |context| Ok(context.priority().name()))
            .quota("Demo.batch", 1, 1)
    })
}

/// Calls and takes bytes, with one more header.
fn call(peer: &mut HttpPeer, method: &str, header: &str) -> HttpAnswer {
    peer.send(post(&target(method), &format!("{BYTES}{header}"), ""));
    peer.answer()
}

/// Calls one after the other until told to stop; how many were served, and how many refused.
fn keep_calling(mut peer: HttpPeer, priority: &str, go_on: &AtomicBool) -> (usize, usize) {
    let (mut served, mut refused) = (0, 0);
    let header = format!("msec-meta-msec-priority: {priority}\r\n");
    while go_on.load(Ordering::Acquire) {
        let answer = call(&mut peer, HOLD, &header);
        assert!(answer.keeps(), "a refusal is an answer like any other: {answer:?}");
        if answer.status == 200 {
            served += 1;
        } else {
            assert_eq!((answer.status, answer.code()), (503, Code::OVERLOADED), "{answer:?}");
            refused += 1;
        }
    }
    (served, refused)
}

on_both! {
    fn a_caller_over_its_quota_is_told_429_and_others_are_served(io: Io) {
        let stage = stage(io);
        let mut bystander = stage.bystander();
        let mut peer = HttpPeer::connect(stage.address());
        let mut refused = None;
        wait_until("a refusal", || {
            let answer = call(&mut peer, ECHO, "Caller: Demo.batch\r\n");
            let is_over = answer.status != 200;
            refused = Some(answer);
            is_over
        });
        let refused = refused.unwrap();
        assert_eq!((refused.status, refused.code()), (429, Code::RATE_LIMITED));
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        let text = "caller `Demo.batch` is over its quota of 1 a second";
        assert!(message.contains(text), "{message}");
        // On the same connection somebody else is served; in the original's form it is told, too.
        assert_eq!(call(&mut peer, ECHO, "Caller: Demo.web\r\n").status, 200);
        wait_until("a refusal in that form", || {
            peer.send(post(&format!("/?methodName={ECHO}"), "Caller: Demo.batch\r\n", "{}"));
            let original = peer.answer();
            assert_eq!(original.status, 200);
            original.code() == Code::RATE_LIMITED
        });
        bystander.is_served();
    }

    fn the_header_of_priority_is_read(io: Io) {
        let stage = stage(io);
        let mut peer = HttpPeer::connect(stage.address());
        for (header, priority) in [
            ("", "default"),
            ("msec-meta-msec-priority: critical\r\n", "critical"),
            ("MSEC-Meta-MSEC-Priority: sheddable\r\n", "sheddable"),
            ("msec-meta-msec-priority: first of all\r\n", "default"),
        ] {
            assert_eq!(call(&mut peer, "test.Work.Priority", header).body, priority, "{header}");
        }
    }

    fn under_overload_the_sheddable_are_told_503_and_the_critical_are_served(io: Io) {
        measured(|| {
            let stage = stage(io);
            // Three times what the core can do, which would need a thousand times a millisecond.
            let options = CallOptions::new().timeout(Duration::from_millis(500));
            let load = Load { method: HOLD, rate: 3000.0, options };
            let (loader, go_on) = (Loader::new(stage.address(), 8), AtomicBool::new(true));
            let peer = || HttpPeer::connect(stage.address());
            let [sheddable, critical] = std::thread::scope(|scope| {
                let go_on = &go_on;
                let calling = ["sheddable", "critical"].map(|priority| {
                    let peer = peer();
                    scope.spawn(move || keep_calling(peer, priority, go_on))
                });
                loader.run(&[load], Duration::from_secs(3));
                go_on.store(false, Ordering::Release);
                calling.map(|thread| thread.join().unwrap())
            });
            assert!(sheddable.1 > sheddable.0, "served and refused: {sheddable:?} sheddable");
            assert!(critical.0 > 2 * critical.1, "served and refused: {critical:?} critical");
            msec_tests::wait_for_line("overload", "core 0 is overloaded: requests wait");
            stage.bystander().is_served();
        });
    }
}

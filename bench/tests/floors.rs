//! The floors from outside: the very same bytes come back, and the generator's modes agree with
//! them.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use msec_bench::generator::arrivals::Spacing;
use msec_bench::generator::options::{Mode, Options};
use msec_bench::generator::{self, report::Report};
use msec_bench::process;

struct Floor {
    child: Child,
    address: SocketAddr,
}

impl Floor {
    /// Of two tests that find the same port free one gets it; the other tries again.
    fn start(kind: &str) -> Self {
        let begun = process::now_ns();
        loop {
            let mut floor = Floor::spawn(kind);
            while floor.child.try_wait().unwrap().is_none() {
                // Only the process that has the port is still there when it answers.
                if TcpStream::connect(floor.address).is_ok()
                    && floor.child.try_wait().unwrap().is_none()
                    && process::memory(floor.child.id()).unwrap().resident_kb > 0
                {
                    return floor;
                }
                assert!(process::now_ns() - begun < 10_000_000_000, "{kind} does not accept");
                std::thread::yield_now();
            }
        }
    }

    fn spawn(kind: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_floor"))
            .args([kind, "--listen", &address.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Floor { child, address }
    }

    fn options(&self, mode: Mode) -> Options {
        Options {
            mode,
            connections: 8,
            depth: 4,
            warm: Duration::from_millis(20),
            measure: Duration::from_millis(100),
            server_pid: Some(self.child.id()),
            ..Options::new(self.address)
        }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn assert_clean(report: &Report, what: &str) {
    assert!(report.is_clean() && report.requests > 0, "{what}: {report:?}");
    assert!(report.latency.count > 0 && report.resident_kb > 0, "{what}: {report:?}");
}

#[test]
fn the_very_same_bytes_come_back_and_after_a_half_close_what_was_read_is_answered() {
    for kind in ["uring", "epoll"] {
        let floor = Floor::start(kind);
        // More than any socket buffer takes, so that both ways of a short write are walked.
        let sent: Vec<u8> = (0..32 << 20)
            .map(|index: u32| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let mut stream = TcpStream::connect(floor.address).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let mut received = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(&sent).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            received.resize(sent.len(), 0);
            stream.read_exact(&mut received).unwrap();
        });
        assert!(received == sent, "{kind}: other bytes came back");
        assert_eq!(
            stream.read(&mut [0; 1]).unwrap(),
            0,
            "{kind}: the floor closes after the last byte"
        );
    }
}

#[test]
fn every_mode_of_the_generator_is_answered_rightly_by_both_floors() {
    for kind in ["uring", "epoll"] {
        let floor = Floor::start(kind);
        let open = Mode::Open { rate: 2000.0, spacing: Spacing::Poisson };
        for mode in [Mode::Closed, open, Mode::Short, Mode::Idle] {
            let options = floor.options(mode.clone());
            let report = generator::run(&options).unwrap();
            assert_clean(&report, &format!("{kind} {mode:?}"));
        }
        let large = Options { payload: 65_536, ..floor.options(Mode::Closed) };
        assert_clean(&generator::run(&large).unwrap(), &format!("{kind} 64 KiB"));
    }
}

#[test]
fn a_load_of_many_connections_outgrows_the_first_receive_buffers_and_loses_nothing() {
    let floor = Floor::start("uring");
    let options = Options { connections: 500, depth: 8, ..floor.options(Mode::Closed) };
    assert_clean(&generator::run(&options).unwrap(), "500 connections");
}

#[test]
fn hold_keeps_every_call_until_it_is_told_to_release() {
    let mut floor = Floor::start("hold");
    let mut orders = floor.child.stdin.take().unwrap();
    let mut said = BufReader::new(floor.child.stdout.take().unwrap()).lines();
    let mut options = floor.options(Mode::Once);
    options.measure = Duration::from_secs(20);
    let load = std::thread::spawn(move || generator::run(&options));
    let begun = process::now_ns();
    loop {
        writeln!(orders, "count").unwrap();
        if said.next().unwrap().unwrap() == "held 32" {
            break;
        }
        assert!(process::now_ns() - begun < 10_000_000_000, "the calls do not arrive");
    }
    assert!(!load.is_finished(), "no call may be answered yet");
    writeln!(orders, "release").unwrap();
    let report = load.join().unwrap().unwrap();
    assert!(report.is_clean() && report.requests_total == 32, "{report:?}");
}

//! The generator before servers that do wrong: it must say so, because every number of the bench
//! rests on it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use msec_bench::generator;
use msec_bench::generator::arrivals::Spacing;
use msec_bench::generator::options::{Mode, Options};

/// A request of the default size: 9 bytes of edge, 30 of head, 66 of body, 1 at the end.
const FRAME_BYTES: usize = 106;

/// A server of one connection that passes whole frames to `answer`, which returns what is to be
/// sent.
fn serve(mut answer: impl FnMut(&mut [u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut frame = [0; FRAME_BYTES];
        while stream.read_exact(&mut frame).is_ok() {
            if stream.write_all(&answer(&mut frame)).is_err() {
                return;
            }
        }
    });
    address
}

fn options(address: SocketAddr) -> Options {
    Options {
        connections: 1,
        depth: 4,
        warm: Duration::ZERO,
        measure: Duration::from_millis(50),
        ..Options::new(address)
    }
}

#[test]
fn answers_with_another_body_are_counted_as_wrong() {
    let mut count = 0;
    let address = serve(move |frame| {
        count += 1;
        frame[50] ^= u8::from(count % 2 == 0);
        frame.to_vec()
    });
    let report = generator::run(&options(address)).unwrap();
    assert!(report.wrong > 0 && report.wrong <= report.requests_total.div_ceil(2), "{report:?}");
}

#[test]
fn doubled_answers_are_counted_as_strays() {
    let address = serve(|frame| [&*frame, &*frame].concat());
    let report = generator::run(&options(address)).unwrap();
    assert!(report.strays > 0 && report.wrong == 0, "{report:?}");
}

#[test]
fn a_server_that_closes_ends_the_run_with_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; FRAME_BYTES * 4]).unwrap();
    });
    let error = generator::run(&options(address)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn an_answer_that_never_comes_is_lost_and_ages_until_the_end() {
    let mut count = 0;
    let address = serve(move |frame| {
        count += 1;
        if count == 10 { Vec::new() } else { frame.to_vec() }
    });
    let mode = Mode::Open { rate: 1000.0, spacing: Spacing::Constant };
    let report = generator::run(&Options { mode, ..options(address) }).unwrap();
    assert_eq!((report.lost, report.wrong, report.strays), (1, 0, 0));
    // It was due in the first 50 ms and the generator waits 2.5 s for stragglers.
    assert!(report.latency.max_us > 2_500_000.0, "{report:?}");
}

/// The rule that open-loop numbers rest on: a server that answers nothing for a while cannot hold
/// back what is due, and each request of that while is charged with its own wait.
#[test]
fn a_pause_of_the_server_shows_in_every_request_that_was_due_in_it() {
    let mut held = Vec::new();
    let mut count = 0;
    let address = serve(move |frame| {
        count += 1;
        held.extend_from_slice(frame);
        // Silent until the hundredth request, prompt from then on.
        if count < 100 { Vec::new() } else { std::mem::take(&mut held) }
    });
    let mode = Mode::Open { rate: 1000.0, spacing: Spacing::Constant };
    let measure = Duration::from_millis(200);
    let report =
        generator::run(&Options { mode, depth: 128, measure, ..options(address) }).unwrap();
    assert!(report.is_clean(), "{report:?}");
    // 200 requests, of which the first waited 99 ms, the second 98 ms, and so on.
    assert_eq!(report.latency.count, 200);
    assert!(report.latency.max_us >= 98_000.0, "{report:?}");
    assert!(report.latency.p90_us >= 78_000.0, "{report:?}");
}

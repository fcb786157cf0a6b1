//! The generator before servers that do wrong: it must say so, because every number of the bench
//! rests on it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use msec_bench::generator;
use msec_bench::generator::arrivals::Spacing;
use msec_bench::generator::dialect::{Dialect, Kind};
use msec_bench::generator::options::{Mode, Options, Relief};
use msec_bench::generator::srpc::Srpc;
use msec_bench::runner::certificate::Certificate;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A request of the default size: 9 bytes of edge, 30 of head, 66 of body, 1 at the end.
const FRAME_BYTES: usize = 106;

/// A server of one connection that passes whole frames to `answer`, which returns what is to be
/// sent.
fn serve(answer: impl FnMut(&mut [u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
    serve_frames(FRAME_BYTES, answer)
}

/// As [`serve`], with requests of another size.
fn serve_frames(
    frame_bytes: usize,
    mut answer: impl FnMut(&mut [u8]) -> Vec<u8> + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut frame = vec![0; frame_bytes];
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

#[test]
fn recovery_lasts_until_the_last_request_that_was_not_answered() {
    let deadline = Duration::from_secs(5);
    let frame_bytes = {
        let millis = deadline.as_millis() as u64;
        let dialect = Srpc::with_deadline(generator::ECHO_METHOD, None, 64, millis);
        let mut frame = Vec::new();
        dialect.request(&mut dialect.session(1), 0, Kind::First, &mut frame);
        frame.len()
    };
    let recovery = |silent: usize| {
        let mut count = 0;
        let address = serve_frames(frame_bytes, move |frame| {
            count += 1;
            if count <= silent { Vec::new() } else { frame.to_vec() }
        });
        let options = Options {
            mode: Mode::Open { rate: 1000.0, spacing: Spacing::Constant },
            deadline: Some(deadline),
            depth: 512,
            relief: Some(Relief { rate: 500.0, time: Duration::from_millis(100) }),
            ..options(address)
        };
        let report = generator::run(&options).unwrap();
        assert_eq!((report.lost, report.wrong, report.strays), (silent as u64, 0, 0));
        Duration::from_nanos(report.recovery_ns.unwrap())
    };
    // In the window of 50 ms are 50 requests, so ten are due behind it: 2 ms apart, the first at
    // its end.
    let found = recovery(60);
    assert!(found.abs_diff(Duration::from_millis(18)) < Duration::from_micros(1), "{found:?}");
    assert_eq!(recovery(0), Duration::ZERO);
}

/// A server by TLS that sends back all it reads, and the file of its certificate.
fn serve_sealed(name: &str) -> (SocketAddr, std::path::PathBuf) {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let certificate = Certificate::make(&folder).unwrap();
    let chain = CertificateDer::from_pem_file(&certificate.chain).unwrap();
    let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let config = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut tls = rustls::ServerConnection::new(config.into()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut stream);
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            if stream.write_all(&bytes[..count]).is_err() {
                return;
            }
        }
    });
    (address, certificate.chain)
}

#[test]
fn sealed_answers_are_opened_and_checked() {
    for payload in [64, 100_000] {
        let (address, certificate) = serve_sealed("sealed");
        let tls = Some(certificate);
        let report = generator::run(&Options { tls, payload, ..options(address) }).unwrap();
        assert!(report.is_clean() && report.requests > 0, "{payload}: {report:?}");
    }
}

#[test]
fn a_server_with_a_certificate_of_somebody_else_is_not_loaded() {
    let (address, _) = serve_sealed("one");
    let (_, other) = serve_sealed("other");
    let error = generator::run(&Options { tls: Some(other), ..options(address) }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
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

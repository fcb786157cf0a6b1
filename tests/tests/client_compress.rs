//! Compressed bodies: who may be sent one, what comes back, and what is refused.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use msec::{CallOptions, Client, Compress};
use msec_protocol::{Code, Limits, RequestHead, head};
use msec_tests::peer::request;
use msec_tests::{ECHO, Emulated, Stage, config, on_both};

const KINDS: [Compress; 2] = [Compress::Lz4, Compress::Zstd];

fn text(bytes: usize) -> Vec<u8> {
    b"the same again and again, ".iter().copied().cycle().take(bytes).collect()
}

on_both! {
    fn bodies_come_back_whole_in_both_kinds_and_every_length(io: msec::Io) {
        let stage = Stage::echo(io);
        for kind in KINDS {
            let client = Client::new(&stage.engine, stage.address()).unwrap();
            let options = CallOptions::new().compress(kind);
            for bytes in [0, 1, 255, 256, 10_000, 5_000_000] {
                let body = text(bytes);
                let reply = client.call_raw(ECHO, &body, &options).unwrap();
                assert_eq!(&reply.body[..], &body[..], "{kind:?} of {bytes}");
            }
        }
    }

    fn what_gets_shorter_travels_shorter_and_the_method_sees_it_plain(io: msec::Io) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Seen.Body", move |context| {
                sink.lock().unwrap().push(context.body().to_vec());
                Ok(context.body_bytes())
            })
        });
        let mut peer = stage.peer();
        let lz4 = |body: &[u8]| lz4(body);
        let head = RequestHead { compress: head::COMPRESS_LZ4, ..request(1, "test.Seen.Body") };
        peer.send(&head, &lz4(&text(10_000)));
        let answer = peer.answer();
        assert_eq!((answer.code(), answer.head.compress), (Code::OK, head::COMPRESS_LZ4));
        assert!(answer.body.len() < 1000, "{} bytes", answer.body.len());
        // What is short comes as it is.
        let head = RequestHead { compress: head::COMPRESS_LZ4, ..request(2, "test.Seen.Body") };
        peer.send(&head, &lz4(b"short"));
        let answer = peer.answer();
        assert_eq!((answer.head.compress, &answer.body[..]), (0, &b"short"[..]));
        assert_eq!(*seen.lock().unwrap(), [text(10_000), b"short".to_vec()]);
    }

    fn bombs_lies_and_unknown_kinds_are_refused_and_the_connection_goes_on(io: msec::Io) {
        let limits = Limits { body_bytes_max: 100_000, ..Limits::DEFAULT };
        let stage = Stage::with(config(io).limits(limits), |builder| builder);
        let mut bystander = stage.bystander();
        let mut peer = stage.peer();
        let mut send = |compress: u32, body: &[u8]| {
            let sequence = peer.next_sequence();
            peer.send(&RequestHead { compress, ..request(sequence, ECHO) }, body);
            peer.answer().code()
        };
        let bomb = lz4(&vec![0; 100_001]);
        assert!(bomb.len() < 1000);
        assert_eq!(send(head::COMPRESS_LZ4, &bomb), Code::TOO_LARGE);
        assert_eq!(send(head::COMPRESS_LZ4, &lz4(&vec![0; 100_000])), Code::OK);
        assert_eq!(send(head::COMPRESS_LZ4, b"\xff\xff\xff\x7fblock"), Code::INVALID_BODY);
        assert_eq!(send(head::COMPRESS_LZ4, b"no"), Code::INVALID_BODY);
        assert_eq!(send(head::COMPRESS_ZSTD, b"not zstd at all"), Code::INVALID_BODY);
        // A frame of four gigabytes, by its header: single segment, eight bytes of length.
        let lie = b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\x01\0\0\0\x01\0\0";
        assert_eq!(send(head::COMPRESS_ZSTD, lie), Code::TOO_LARGE);
        // One that does not tell its length.
        let untold = b"\x28\xb5\x2f\xfd\0\x58\x01\0\0";
        assert_eq!(send(head::COMPRESS_ZSTD, untold), Code::INVALID_BODY);
        assert_eq!(send(3, b"x"), Code::INVALID_BODY);
        peer.echo(b"after");
        bystander.is_served();
    }

    fn what_is_held_decompressed_counts_against_the_budget_of_bytes(io: msec::Io) {
        let stage = Stage::with(config(io).buffered_bytes_max(1 << 20), |builder| builder);
        let mut peer = stage.peer();
        let head = RequestHead { compress: head::COMPRESS_LZ4, ..request(1, ECHO) };
        peer.send(&head, &lz4(&vec![0; 2 << 20]));
        assert_eq!(peer.answer().code(), Code::OVERLOADED);
        let head = RequestHead { compress: head::COMPRESS_LZ4, ..request(2, ECHO) };
        peer.send(&head, &lz4(&vec![0; 500_000]));
        assert_eq!(peer.answer().code(), Code::OK);
    }

    fn a_server_that_tells_no_features_is_never_sent_what_is_compressed(io: msec::Io) {
        let stage = Stage::echo(io);
        let old = Emulated::start(msec_tests::emulated::old_cpp);
        let client = Client::new(&stage.engine, &old.address()).unwrap();
        let options = CallOptions::new().compress(Compress::Lz4);
        for _ in 0..3 {
            let body = text(10_000);
            assert_eq!(&client.call_raw(ECHO, &body, &options).unwrap().body[..], &body[..]);
        }
        assert!(old.seen().iter().all(|seen| seen.head.compress == 0));
    }
}

/// A body as `compress` 1 means it: its length, then one block of literals and matches. Written
/// here byte by byte, so that an error which both ends of the engine share would show.
fn lz4(body: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    let period = 26.min(body.len());
    let repeats = body.len() > 100 && body[period..].iter().zip(body).all(|(a, b)| a == b);
    let length = |out: &mut Vec<u8>, mut rest: usize| {
        while rest >= 255 {
            out.push(255);
            rest -= 255;
        }
        out.push(rest as u8);
    };
    let literals = |out: &mut Vec<u8>, bytes: &[u8], low: u8| {
        let count = bytes.len();
        out.push((count.min(15) as u8) << 4 | low);
        if count >= 15 {
            length(out, count - 15);
        }
        out.extend_from_slice(bytes);
    };
    if !repeats {
        literals(&mut out, body, 0);
        return out;
    }
    // The first period as literals, one match for the rest, and the last five bytes as literals.
    let matched = body.len() - period - 5;
    literals(&mut out, &body[..period], 15);
    out.extend_from_slice(&(period as u16).to_le_bytes());
    length(&mut out, matched - 4 - 15);
    literals(&mut out, &body[body.len() - 5..], 0);
    out
}

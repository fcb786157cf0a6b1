//! Fuzz targets: one for each decoder, and for each table that a peer's numbers index.
//!
//! A target is a plain function of bytes. It must not panic, whatever the bytes; most of them
//! also compare the code with a plain model of it, so that a wrong answer is a panic too.
//!
//! ```text
//!             ┌─ src/bin/<target>.rs under cargo-fuzz: libFuzzer finds new bytes
//!   target ◄──┤
//!             └─ tests/replay.rs under cargo test: the corpus, and mutations of it from a seed
//! ```
//!
//! `corpus/<target>/` holds hand-written seeds, by name, and what the fuzzer found to take new
//! paths, as `found_<hash>`. An input that once crashed is kept there for good, under a name that
//! says what it was.
//!
//! Targets that need choices beside their input take them from its first bytes ([`Choices`]), so
//! that the fuzzer controls them too.
use msec_protocol::head::{decode_answer, decode_request, encode_answer, encode_request};
use msec_protocol::route::Address;
use msec_protocol::serve::priority::PRIORITY_KEY;
use msec_protocol::{
    AnswerHead, Arrival, BadFrame, Calls, Code, Cut, Cutter, Head, Limits, Metadata, RequestHead,
    Span, Target, cut, frame, limits,
};
use std::collections::BTreeMap;

pub mod compress;
pub mod http;
pub mod json;
pub mod report;
pub mod routes;

/// A function that must not panic.
pub type FuzzTarget = fn(&[u8]);

/// All targets, by the name of their program and their corpus.
pub const TARGETS: &[(&str, FuzzTarget)] = &[
    ("frame", frame),
    ("cutter", cutter),
    ("head", head),
    ("metadata", metadata),
    ("calls", calls),
    ("route", route),
    ("routes", routes::routes),
    ("http", http::http),
    ("json_read", json::json_read),
    ("json_write", json::json_write),
    ("compress", compress::compress),
    ("snapshot", report::snapshot),
    ("spans", report::spans),
    ("log_record", report::log_record),
    ("dye", report::dye),
];

/// Bytes taken off the front of an input, as decisions.
struct Choices<'input>(&'input [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*first))
    }
}

/// Limits that short inputs can exceed.
fn tight(choice: u8) -> Limits {
    let head_bytes_max = 1 + usize::from(choice % 16) * 8;
    let body_bytes_max = usize::from(choice / 16) * 8;
    Limits { head_bytes_max, body_bytes_max, ..Limits::DEFAULT }
}

/// Cuts a frame off the front of the input.
pub fn frame(input: &[u8]) {
    let Some((choice, input)) = input.split_first() else { return };
    for limits in [Limits::DEFAULT, tight(*choice)] {
        match cut(input, &limits) {
            Cut::Need { total } => {
                assert!(total > input.len());
                assert!(total <= limits.head_bytes_max + limits.body_bytes_max + 10);
            }
            Cut::Frame { head, body, total } => {
                assert!(head.start == 9 && head.end == body.start && body.end + 1 == total);
                assert!((1..=limits.head_bytes_max).contains(&head.len()));
                assert!(body.len() <= limits.body_bytes_max);
                assert_eq!((input[0], input[total - 1]), (b'(', b')'));
                for shorter in 0..total {
                    assert!(matches!(cut(&input[..shorter], &limits), Cut::Need { .. }));
                }
                let datagram = frame::datagram(&input[..total]).expect("it is one frame");
                assert_eq!(datagram.head(), &input[head]);
                assert_eq!(datagram.body(), &input[body]);
            }
            Cut::BodyTooLarge { head, total } => {
                assert!((1..=limits.head_bytes_max).contains(&head.len()));
                assert!(head.end <= input.len() && total - head.end - 1 > limits.body_bytes_max);
            }
            Cut::Bad(bad) => {
                // More bytes do not mend it.
                let longer = [input, b"more"].concat();
                assert_eq!(cut(&longer, &limits), Cut::Bad(bad));
            }
        }
    }
    let is_frame = matches!(
        cut(input, &Limits::DEFAULT),
        Cut::Frame { total, .. } if total == input.len()
    );
    assert_eq!(frame::datagram(input).is_ok(), is_frame);
}

/// What a stream holds: the frames, and how it ends.
#[derive(Debug, Default, PartialEq)]
struct Stream {
    /// Head and body; no body for a frame that was refused.
    frames: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    bad: Option<BadFrame>,
}

impl Stream {
    /// By cutting the whole of it, the plain way.
    fn model(mut input: &[u8], limits: &Limits) -> Stream {
        let mut stream = Stream::default();
        loop {
            match cut(input, limits) {
                Cut::Need { .. } => return stream,
                Cut::Frame { head, body, total } => {
                    stream.frames.push((input[head].to_vec(), Some(input[body].to_vec())));
                    input = &input[total..];
                }
                Cut::BodyTooLarge { head, total } => {
                    stream.frames.push((input[head].to_vec(), None));
                    match input.get(total - 1) {
                        None => return stream,
                        Some(b')') => input = &input[total..],
                        Some(other) => {
                            stream.bad = Some(BadFrame::End(*other));
                            return stream;
                        }
                    }
                }
                Cut::Bad(bad) => {
                    stream.bad = Some(bad);
                    return stream;
                }
            }
        }
    }

    fn push(&mut self, arrival: Arrival<'_>) {
        self.frames.push(match arrival {
            Arrival::Frame(frame) => {
                let (head, body) = (frame.head().to_vec(), frame.body().to_vec());
                let (head_range, body_range) = (frame.head_range(), frame.body_range());
                let bytes = frame.into_bytes();
                assert_eq!((&bytes[head_range], &bytes[body_range]), (&head[..], &body[..]));
                (head, Some(body))
            }
            Arrival::Refused { head, .. } => (head.into_owned(), None),
        });
    }

    /// By a cutter that is given pieces; `abandon` after each of them, or never.
    fn in_pieces(pieces: &[&[u8]], limits: &Limits, abandon: bool) -> Stream {
        let mut stream = Stream::default();
        let mut cutter = Cutter::new();
        let mut fed_bytes = 0;
        for piece in pieces {
            let mut input = *piece;
            loop {
                match cutter.next(limits, &mut input) {
                    Ok(Some(arrival)) => stream.push(arrival),
                    Ok(None) => break,
                    Err(bad) => {
                        stream.bad = Some(bad);
                        return stream;
                    }
                }
            }
            assert!(input.is_empty());
            fed_bytes += piece.len();
            let room = limits::ASSEMBLY_GROWTH_FACTOR * fed_bytes;
            assert!(cutter.buffered() <= room.max(limits::ASSEMBLY_BYTES_MIN));
            if abandon && let Some(refused) = cutter.abandon() {
                assert_eq!(cutter.buffered(), 0);
                stream.push(refused);
            }
        }
        stream
    }
}

/// Cuts a stream that arrives in pieces, and compares with the whole.
///
/// The first byte chooses the limits, the second how many bytes choose lengths of pieces.
pub fn cutter(input: &[u8]) {
    let mut choices = Choices(input);
    let (Some(limits), Some(count)) = (choices.byte(), choices.byte()) else { return };
    let limits = tight(limits);
    let (lengths, stream) = choices.0.split_at(choices.0.len().min(usize::from(count % 16)));
    let whole = Stream::model(stream, &limits);
    let mut pieces = Vec::new();
    let mut rest = stream;
    let mut turns = lengths.iter().cycle();
    while !rest.is_empty() {
        let length = turns.next().map_or(1, |length| usize::from(*length) + 1);
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    assert_eq!(Stream::in_pieces(&[stream], &limits, false), whole);
    assert_eq!(Stream::in_pieces(&pieces, &limits, false), whole);
    // Abandoning takes bodies away, but no frame; the last one may be refused before it is whole.
    let abandoned = Stream::in_pieces(&pieces, &limits, true);
    assert_eq!(abandoned.bad, whole.bad);
    let heads = |stream: &Stream| -> Vec<Vec<u8>> {
        stream.frames.iter().map(|(head, _)| head.clone()).collect()
    };
    let (given, expected) = (heads(&abandoned), heads(&whole));
    assert!(given.starts_with(&expected) && given.len() <= expected.len() + 1);
}

fn span_is_within(span: Span, head_bytes: &[u8]) -> bool {
    span.of(head_bytes).len() == span.len as usize
}

fn head_of(out: &[u8]) -> &[u8] {
    let Cut::Frame { head, .. } = cut(out, &Limits::DEFAULT) else { panic!("not a frame") };
    &out[head]
}

/// Decodes a head as a request and as an answer, writes what was read, and reads it again.
pub fn head(input: &[u8]) {
    if let Ok(head) = decode_request(input) {
        request_comes_back(&head, input);
        answer_repeats(&head, input);
    }
    if let Ok(head) = decode_answer(input) {
        for span in [head.err_msg, head.caller, head.method_name, head.auth] {
            assert!(span_is_within(span, input));
        }
        let guarded = [head.deadline_ms, head.attempt, head.metadata_pairs];
        assert!(head.compress == 0 || head.features & 2 != 0);
        assert!(guarded == [0; 3] && head.trace_id == [0; 16] && head.auth == Span::default());
        assert!(!head.cancel && !head.one_way && !head.sampled);
    }
}

/// A request that was read is read the same after it was written.
fn request_comes_back(head: &Head, input: &[u8]) {
    for span in [head.err_msg, head.caller, head.method_name, head.auth] {
        assert!(span_is_within(span, input));
    }
    assert!(!head.leaving && head.features == 0);
    let copied = Metadata::copied(head, input);
    assert_eq!(copied.is_err(), head.metadata_excess);
    let metadata = copied.unwrap_or_default();
    let request = RequestHead {
        sequence: head.sequence,
        coloring: head.coloring,
        color_id: head.color_id,
        flow_id: head.flow_id,
        caller: head.caller.of(input),
        method_name: head.method_name.of(input),
        deadline_ms: head.deadline_ms,
        trace_id: head.trace_id,
        span_id: head.span_id,
        parent_span_id: head.parent_span_id,
        sampled: head.sampled,
        attempt: head.attempt,
        compress: head.compress,
        metadata: metadata.encoded(),
        priority: head.priority,
        one_way: head.one_way,
        cancel: head.cancel,
        auth: head.auth.of(input),
    };
    let mut out = Vec::new();
    if encode_request(&request, &Limits::DEFAULT, &mut out, |_| {}).is_err() {
        assert!(input.len() > limits::HEAD_BYTES_MAX / 2, "a short head became a long one");
        return;
    }
    let bytes = head_of(&out);
    let again = decode_request(bytes).expect("we wrote it");
    let plain = |head: &Head, bytes: &[u8]| {
        let spans = [head.caller, head.method_name, head.auth];
        let texts = spans.map(|span| span.of(bytes).to_vec());
        let nowhere = Span::default();
        let head = Head {
            // What a request does not say, what was too much, and what only an answer repeats.
            err: Code::OK,
            result: 0,
            err_msg: nowhere,
            metadata_pairs: 0,
            metadata_excess: false,
            has_unknown: false,
            // Where the names lie may differ.
            caller: nowhere,
            method_name: nowhere,
            auth: nowhere,
            ..*head
        };
        (head, texts)
    };
    assert_eq!(plain(&again, bytes), plain(head, input));
    // The priority is written as a header of its own.
    let of_user = again.metadata(bytes).filter(|(key, _)| *key != PRIORITY_KEY);
    assert!(of_user.eq(metadata.iter()));
}

/// The answer to a request that was read has its sequence and its names.
fn answer_repeats(head: &Head, input: &[u8]) {
    let answer = AnswerHead {
        err: head.err,
        result: head.result,
        err_msg: head.err_msg.of(input),
        ..AnswerHead::to(head, input)
    };
    let mut out = Vec::new();
    encode_answer(
        &answer,
        &Limits { head_bytes_max: 1 << 20, ..Limits::DEFAULT },
        &mut out,
        |_| {},
    )
    .expect("it is shorter than the limit");
    let bytes = &out[9..out.len() - 1];
    let again = decode_answer(bytes).expect("we wrote it");
    assert_eq!(
        (again.sequence, again.coloring, again.flow_id, again.err, again.result),
        (head.sequence, head.coloring, head.flow_id, head.err, head.result),
    );
    assert_eq!(again.caller.of(bytes), head.caller.of(input));
    assert_eq!(again.method_name.of(bytes), head.method_name.of(input));
    assert!(head.err_msg.of(input).starts_with(again.err_msg.of(bytes)));
}

/// Reads the input as the content of a user header, and adds user headers made of it.
pub fn metadata(input: &[u8]) {
    // Sequence 1, hop 1, method "m", then the header.
    let mut head_bytes = b"\x50\x01\x88\x05\x01\x9a\x03\x01m\xea\x04".to_vec();
    let mut length = input.len();
    while length >= 0x80 {
        head_bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    head_bytes.push(length as u8);
    head_bytes.extend_from_slice(input);
    head(&head_bytes);
    if let Ok(head) = decode_request(&head_bytes) {
        assert_eq!((head.metadata_pairs, head.metadata(&head_bytes).count()), (1, 1));
        // Of other bytes it may yield anything, but it must end.
        assert!(head.metadata(input).count() <= input.len());
    }
    let mut choices = Choices(input);
    let mut added = Metadata::new();
    let mut model = Vec::new();
    while let (Some(key), Some(value)) = (choices.byte(), choices.byte()) {
        let key = "k".repeat(usize::from(key));
        let value = choices.0[..choices.0.len().min(usize::from(value))].to_vec();
        if added.add(&key, &value).is_ok() {
            model.push((key, value));
        }
    }
    let model = model.iter().map(|(key, value)| (key.as_str(), &value[..]));
    assert!(added.iter().eq(model));
    assert!(added.len() <= limits::METADATA_PAIRS_MAX);
    assert!(added.encoded().len() <= limits::METADATA_BYTES_MAX);
}

/// Plays a connection's calls against answers that come in any order, late, twice or made up.
pub fn calls(input: &[u8]) {
    let mut choices = Choices(input);
    let mut calls = Calls::new(choices.number().unwrap_or(0) as u32);
    let mut model = BTreeMap::new();
    let mut begun = Vec::new();
    let mut ended = BTreeMap::new();
    while let Some(choice) = choices.byte() {
        // Mostly a sequence that was once given away.
        let chosen = usize::from(choices.byte().unwrap_or(0));
        let known = begun.get(chosen % begun.len().max(1)).copied();
        let sequence = match known {
            Some(sequence) if choice & 0x80 == 0 => sequence,
            Some(_) | None => choices.number().unwrap_or(u64::from(choice)),
        };
        let got = match choice % 8 {
            0..=2 => {
                let call = begun.len();
                let sequence = calls.begin(call).expect("far from full");
                assert!((1..=limits::SEQUENCE_MAX).contains(&sequence));
                assert_eq!(model.insert(sequence, call), None, "given away twice");
                begun.push(sequence);
                continue;
            }
            3 | 4 => calls.handle_answer(sequence),
            5 => calls.handle_timeout(sequence),
            6 => calls.cancel(sequence),
            _ if choice == 0x7f => {
                let dead: BTreeMap<u64, usize> = calls.handle_death().collect();
                assert_eq!(dead, std::mem::take(&mut model));
                for call in dead.into_values() {
                    assert_eq!(ended.insert(call, ()), None, "ended twice");
                }
                continue;
            }
            _ => {
                calls.handle_bytes();
                assert!(!calls.is_silent());
                assert_eq!(calls.get(sequence), model.get(&sequence));
                continue;
            }
        };
        assert_eq!(got, model.remove(&sequence));
        if let Some(call) = got {
            assert_eq!(ended.insert(call, ()), None, "ended twice");
        }
    }
    assert_eq!(calls.len(), model.len());
    assert_eq!(
        calls.iter().map(|(sequence, call)| (sequence, *call)).collect::<BTreeMap<_, _>>(),
        model
    );
    assert_eq!(ended.len() + model.len(), begun.len(), "each call ends once");
}

/// Parses a target and an address, writes them, and parses them again.
pub fn route(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(target) = text.parse::<Target>() {
        assert_eq!(target.to_string().parse(), Ok(target));
    }
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse(), Ok(address.clone()));
        // An address is never taken for a service.
        assert_eq!(text.parse(), Ok(Target::Address(address)));
    }
}

/// Runs a target over the files named as arguments: what its program does outside cargo-fuzz.
pub fn run_files(target: FuzzTarget) {
    for path in std::env::args().skip(1) {
        match std::fs::read(&path) {
            Ok(input) => {
                println!("{path}: {} bytes", input.len());
                target(&input);
            }
            Err(error) => eprintln!("{path}: {error}"),
        }
    }
}

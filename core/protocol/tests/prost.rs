//! The hand-written head against prost, in both directions.
//!
//! `schema/srpc.proto` is compiled by protox, and prost reads and writes the messages it
//! describes. What our encoder writes, prost must read as the same fields and nothing else; what
//! prost writes, in any order, repeated and among unknown fields, our decoder must read as the
//! same values, after the guards, which are stated here a second time and as plainly as can be.

#![allow(clippy::unwrap_used)]

use msec_protocol::head::{decode_answer, decode_request, encode_answer, encode_request};
use msec_protocol::{AnswerHead, BadHead, Code, Cut, Head, Limits, Metadata, RequestHead, cut};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use protox::prost::Message;
use protox::prost::encoding::WireType;
use protox::prost_reflect::{DynamicMessage, Kind, MessageDescriptor, UnknownField, Value};
use std::sync::OnceLock;

/// The schema of the head.
fn schema() -> MessageDescriptor {
    static SCHEMA: OnceLock<MessageDescriptor> = OnceLock::new();
    let compile = || {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/schema");
        let mut compiler = protox::Compiler::new([directory]).unwrap();
        compiler.open_file("srpc.proto").unwrap();
        compiler.descriptor_pool().get_message_by_name("srpc.CRpcHead").unwrap()
    };
    SCHEMA.get_or_init(compile).clone()
}

fn read(bytes: &[u8]) -> Option<DynamicMessage> {
    DynamicMessage::decode(schema(), bytes).ok()
}

fn number(message: &DynamicMessage, name: &str) -> u64 {
    let value = message.get_field_by_name(name).unwrap();
    let narrow = || value.as_u32().map(u64::from);
    let signed = || value.as_i32().map(|value| i64::from(value) as u64);
    value.as_u64().or_else(narrow).or_else(signed).unwrap()
}

fn bytes(message: &DynamicMessage, name: &str) -> Vec<u8> {
    message.get_field_by_name(name).unwrap().as_bytes().unwrap().to_vec()
}

fn pairs(message: &DynamicMessage) -> Vec<(String, Vec<u8>)> {
    let metadata = message.get_field_by_name("metadata").unwrap();
    let pair = |value: &Value| {
        let pair = value.as_message().unwrap();
        let key = pair.get_field_by_name("key").unwrap().as_str().unwrap().to_owned();
        (key, bytes(pair, "value"))
    };
    metadata.as_list().unwrap().iter().map(pair).collect()
}

/// All that a head says, in words that both sides can be put into.
#[derive(Clone, Debug, Default, PartialEq)]
struct Plain {
    sequence: u64,
    coloring: u64,
    color_id: u64,
    flow_id: u64,
    err: u64,
    result: u64,
    err_msg: Vec<u8>,
    caller: Vec<u8>,
    method_name: Vec<u8>,
    trace_id: Vec<u8>,
    guarded: Guarded,
    features: u64,
    leaving: bool,
}

/// Fields 70 and 72-80.
#[derive(Clone, Debug, Default, PartialEq)]
struct Guarded {
    deadline_ms: u64,
    span_id: u64,
    parent_span_id: u64,
    sampled: bool,
    attempt: u64,
    compress: u64,
    pairs: Vec<(String, Vec<u8>)>,
    one_way: bool,
    cancel: bool,
    auth: Vec<u8>,
}

impl Plain {
    /// As prost reads a message, without any guard.
    fn unguarded(message: &DynamicMessage) -> Plain {
        let mut caller = bytes(message, "caller");
        while caller.last() == Some(&0) {
            caller.pop();
        }
        let mut trace_id = bytes(message, "trace_id");
        if trace_id.len() != 16 {
            trace_id = vec![0; 16];
        }
        Plain {
            sequence: number(message, "sequence"),
            coloring: number(message, "coloring"),
            color_id: number(message, "color_id"),
            flow_id: number(message, "flow_id"),
            err: number(message, "err"),
            result: number(message, "result"),
            err_msg: bytes(message, "err_msg"),
            caller,
            method_name: bytes(message, "method_name"),
            trace_id,
            guarded: Guarded {
                deadline_ms: number(message, "deadline_ms"),
                span_id: number(message, "span_id"),
                parent_span_id: number(message, "parent_span_id"),
                sampled: number(message, "sampled") != 0,
                attempt: number(message, "attempt"),
                compress: number(message, "compress"),
                pairs: pairs(message),
                one_way: number(message, "one_way") != 0,
                cancel: number(message, "cancel") != 0,
                auth: bytes(message, "auth"),
            },
            features: number(message, "features"),
            leaving: number(message, "leaving") != 0,
        }
    }

    /// As a server must understand a message.
    fn request(message: &DynamicMessage) -> Result<Plain, BadHead> {
        if !message.has_field_by_name("sequence") {
            return Err(BadHead::NoSequence);
        }
        if !message.has_field_by_name("method_name") {
            return Err(BadHead::NoMethodName);
        }
        let mut plain = Plain::unguarded(message);
        let hopped = message.has_field_by_name("hop");
        if !hopped || number(message, "hop") != plain.sequence {
            plain.guarded = Guarded::default();
        }
        if plain.flow_id == 0 {
            plain.flow_id = u64::from_be_bytes(plain.trace_id[8..].try_into().unwrap());
        }
        Ok(Plain { features: 0, leaving: false, ..plain })
    }

    /// As a client must understand a message.
    fn answer(message: &DynamicMessage) -> Result<Plain, BadHead> {
        if !message.has_field_by_name("sequence") {
            return Err(BadHead::NoSequence);
        }
        let plain = Plain::unguarded(message);
        // Whoever tells that it compresses echoes nothing.
        let compress = if plain.features & 2 == 0 { 0 } else { plain.guarded.compress };
        let guarded = Guarded { compress, ..Guarded::default() };
        Ok(Plain { guarded, trace_id: vec![0; 16], ..plain })
    }

    /// As our decoder reads a head.
    fn ours(head: &Head, head_bytes: &[u8]) -> Plain {
        let pairs: Vec<(String, Vec<u8>)> = head
            .metadata(head_bytes)
            .map(|(key, value)| (key.to_owned(), value.to_vec()))
            .collect();
        assert_eq!(pairs.len(), head.metadata_pairs as usize);
        Plain {
            sequence: head.sequence,
            coloring: u64::from(head.coloring),
            color_id: head.color_id,
            flow_id: head.flow_id,
            err: i64::from(head.err.0) as u64,
            result: i64::from(head.result) as u64,
            err_msg: head.err_msg.of(head_bytes).to_vec(),
            caller: head.caller.of(head_bytes).to_vec(),
            method_name: head.method_name.of(head_bytes).to_vec(),
            trace_id: head.trace_id.to_vec(),
            guarded: Guarded {
                deadline_ms: u64::from(head.deadline_ms),
                span_id: head.span_id,
                parent_span_id: head.parent_span_id,
                sampled: head.sampled,
                attempt: u64::from(head.attempt),
                compress: u64::from(head.compress),
                pairs,
                one_way: head.one_way,
                cancel: head.cancel,
                auth: head.auth.of(head_bytes).to_vec(),
            },
            features: head.features,
            leaving: head.leaving,
        }
    }
}

fn ours_of_request(head_bytes: &[u8]) -> Result<Plain, BadHead> {
    decode_request(head_bytes).map(|head| Plain::ours(&head, head_bytes))
}

fn ours_of_answer(head_bytes: &[u8]) -> Result<Plain, BadHead> {
    decode_answer(head_bytes).map(|head| Plain::ours(&head, head_bytes))
}

/// Compares what both sides make of bytes that prost can read.
fn check(head_bytes: &[u8], message: &DynamicMessage) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours_of_request(head_bytes), Plain::request(message));
    prop_assert_eq!(ours_of_answer(head_bytes), Plain::answer(message));
    Ok(())
}

/// Numbers of all lengths, the small ones as often as the large.
fn any_number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0u32..64).prop_map(|(value, shift)| value >> shift)
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..70), vec(any::<u8>(), 100..300)]
}

fn any_trace_id() -> impl Strategy<Value = [u8; 16]> {
    prop_oneof![Just([0; 16]), any::<[u8; 16]>()]
}

prop_compose! {
    /// The parts of a request's head, owned.
    fn any_request()(
        numbers in (any_number(), any_number(), any_number(), any_number(), any_number()),
        more in (any_number(), any_number(), any_number(), any_number()),
        flags in any::<[bool; 3]>(),
        names in (any_bytes(), any_bytes(), option::of(any_bytes())),
        trace_id in any_trace_id(),
        pairs in vec(("[a-zé]{1,8}", any_bytes()), 0..4),
    ) -> (Plain, u64) {
        let plain = Plain {
            sequence: numbers.0,
            coloring: numbers.1 & 0xffff_ffff,
            color_id: numbers.2,
            flow_id: numbers.3,
            caller: names.0,
            method_name: names.1,
            trace_id: trace_id.to_vec(),
            guarded: Guarded {
                deadline_ms: numbers.4 & 0xffff_ffff,
                span_id: more.0,
                parent_span_id: more.1,
                sampled: flags[0],
                attempt: more.2 & 0xffff_ffff,
                compress: more.3 & 0xffff_ffff,
                pairs,
                one_way: flags[1],
                cancel: flags[2],
                auth: names.2.unwrap_or_default(),
            },
            ..Plain::default()
        };
        let hop = plain.sequence;
        (plain, hop)
    }
}

fn head_of(frame: &[u8]) -> &[u8] {
    let Cut::Frame { head, .. } = cut(frame, &Limits::DEFAULT) else { panic!("{frame:x?}") };
    &frame[head]
}

fn encoded_request(plain: &Plain) -> Vec<u8> {
    let mut metadata = Metadata::new();
    for (key, value) in &plain.guarded.pairs {
        metadata.add(key, value).unwrap();
    }
    let request = RequestHead {
        sequence: plain.sequence,
        coloring: plain.coloring as u32,
        color_id: plain.color_id,
        flow_id: plain.flow_id,
        caller: &plain.caller,
        method_name: &plain.method_name,
        deadline_ms: plain.guarded.deadline_ms as u32,
        trace_id: plain.trace_id.as_slice().try_into().unwrap(),
        span_id: plain.guarded.span_id,
        parent_span_id: plain.guarded.parent_span_id,
        sampled: plain.guarded.sampled,
        attempt: plain.guarded.attempt as u32,
        compress: plain.guarded.compress as u32,
        metadata: metadata.encoded(),
        one_way: plain.guarded.one_way,
        cancel: plain.guarded.cancel,
        auth: &plain.guarded.auth,
        // It is one more of the pairs.
        priority: Default::default(),
    };
    let mut out = Vec::new();
    encode_request(&request, &Limits::DEFAULT, &mut out, |_| {}).unwrap();
    head_of(&out).to_vec()
}

/// One field as a wire of its own: concatenated, they are a message.
#[derive(Clone, Debug)]
enum Piece {
    /// A field of the schema, with a value of its type, written by prost.
    Known(Vec<u8>),
    /// A field that no schema has, or a known tag with another wire type: to be skipped.
    Skipped(Vec<u8>),
}

fn known(name: &'static str, value: Value) -> Piece {
    let mut message = DynamicMessage::new(schema());
    message.set_field_by_name(name, value);
    Piece::Known(message.encode_to_vec())
}

fn any_known() -> BoxedStrategy<Piece> {
    let narrow = |name: &'static str| {
        any_number().prop_map(move |value| known(name, Value::U32(value as u32))).boxed()
    };
    let wide = |name: &'static str| {
        any_number().prop_map(move |value| known(name, Value::U64(value))).boxed()
    };
    let signed = |name: &'static str| {
        any::<i32>().prop_map(move |value| known(name, Value::I32(value))).boxed()
    };
    let text = |name: &'static str| {
        any_bytes().prop_map(move |value| known(name, Value::Bytes(value.into()))).boxed()
    };
    // Sequences and hops of few values, so that they are often equal.
    let few = |name: &'static str| {
        (0u64..3).prop_map(move |value| known(name, Value::U64(value))).boxed()
    };
    let trace_id = any_trace_id()
        .prop_map(|value| known("trace_id", Value::Bytes(value.to_vec().into())))
        .boxed();
    let caller = (any_bytes(), 0usize..3)
        .prop_map(|(mut name, nuls)| {
            name.resize(name.len() + nuls, 0);
            known("caller", Value::Bytes(name.into()))
        })
        .boxed();
    let metadata = (option::of("[a-zé]{0,8}"), option::of(any_bytes()))
        .prop_map(|(key, value)| {
            let field = schema().get_field_by_name("metadata").unwrap();
            let mut pair = DynamicMessage::new(field.kind().as_message().unwrap().clone());
            if let Some(key) = key {
                pair.set_field_by_name("key", Value::String(key));
            }
            if let Some(value) = value {
                pair.set_field_by_name("value", Value::Bytes(value.into()));
            }
            known("metadata", Value::List(std::vec![Value::Message(pair)]))
        })
        .boxed();
    let caller_stack = any_bytes()
        .prop_map(|value| known("caller_stack", Value::List(std::vec![Value::Bytes(value.into())])))
        .boxed();
    let mut all = std::vec![few("sequence"), few("hop"), text("method_name")];
    all.extend(["coloring", "deadline_ms", "sampled", "attempt", "compress"].map(narrow));
    all.extend(["one_way", "cancel", "leaving"].map(narrow));
    all.extend(["sequence", "color_id", "flow_id", "span_id", "parent_span_id"].map(wide));
    all.extend(["hop", "features"].map(wide));
    all.extend(["err", "result"].map(signed));
    all.extend(["err_msg", "trace_id", "auth", "method_name"].map(text));
    all.extend([trace_id, caller, metadata, caller_stack]);
    proptest::strategy::Union::new(all).boxed()
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field with any tag and wire type, well-formed.
fn field_of(tag: u64, wire: u64, value: u64, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_varint(&mut out, tag << 3 | wire);
    match wire {
        0 => push_varint(&mut out, value),
        1 => out.extend_from_slice(&value.to_le_bytes()),
        5 => out.extend_from_slice(&(value as u32).to_le_bytes()),
        _ => {
            push_varint(&mut out, content.len() as u64);
            out.extend_from_slice(content);
        }
    }
    out
}

fn wire_of(tag: u32) -> Option<u64> {
    let kind = schema().get_field(tag)?.kind();
    let is_number = matches!(kind, Kind::Uint32 | Kind::Uint64 | Kind::Int32);
    Some(if kind == Kind::Fixed64 {
        1
    } else if is_number {
        0
    } else {
        2
    })
}

/// Unknown tags, and known tags with a wire type that is not theirs: packed numbers, for example.
fn any_skipped() -> impl Strategy<Value = Piece> {
    let tag = prop_oneof![1u32..100, 1u32..(1 << 29), Just((1 << 29) - 1)];
    let wire = prop_oneof![Just(0u64), Just(1), Just(2), Just(5)];
    (tag, wire, any_number(), any_bytes())
        .prop_filter("known", |(tag, wire, _, _)| wire_of(*tag) != Some(*wire))
        .prop_map(|(tag, wire, value, content)| {
            Piece::Skipped(field_of(u64::from(tag), wire, value, &content))
        })
}

fn any_pieces() -> impl Strategy<Value = Vec<Piece>> {
    vec(prop_oneof![4 => any_known(), 1 => any_skipped().boxed()], 0..30)
}

fn has_group<'a>(mut unknown: impl Iterator<Item = &'a UnknownField>) -> bool {
    unknown.any(|field| field.wire_type() == WireType::StartGroup)
}

/// Whether prost has skipped a group, which we refuse.
fn contains_group(message: &DynamicMessage) -> bool {
    let metadata = message.get_field_by_name("metadata").unwrap();
    let mut in_pairs = metadata.as_list().unwrap().iter().map(|pair| pair.as_message().unwrap());
    has_group(message.unknown_fields()) || in_pairs.any(|pair| has_group(pair.unknown_fields()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn prost_reads_the_requests_that_we_write((mut plain, hop) in any_request()) {
        let head_bytes = encoded_request(&plain);
        let message = read(&head_bytes).unwrap();
        prop_assert_eq!(message.unknown_fields().count(), 0);
        prop_assert!(message.has_field_by_name("sequence"));
        prop_assert!(message.has_field_by_name("method_name"));
        prop_assert_eq!(
            message.has_field_by_name("hop"),
            plain.guarded != Guarded::default(),
        );
        if message.has_field_by_name("hop") {
            prop_assert_eq!(number(&message, "hop"), hop);
        }
        while plain.caller.last() == Some(&0) {
            plain.caller.pop();
        }
        prop_assert_eq!(&Plain::unguarded(&message), &plain);
        check(&head_bytes, &message)?;
    }

    #[test]
    fn prost_reads_the_answers_that_we_write(
        numbers in (any_number(), any::<u32>(), any_number(), any::<i32>(), any::<i32>()),
        names in (any_bytes(), any_bytes(), any_bytes()),
        features in any_number(),
        leaving in any::<bool>(),
    ) {
        let answer = AnswerHead {
            sequence: numbers.0,
            coloring: numbers.1,
            flow_id: numbers.2,
            err: Code(numbers.3),
            result: numbers.4,
            err_msg: &names.0,
            caller: &names.1,
            method_name: &names.2,
            compress: 0,
            features,
            leaving,
            unknown_of: &[],
        };
        let mut out = Vec::new();
        encode_answer(&answer, &Limits::DEFAULT, &mut out, |_| {}).unwrap();
        let message = read(head_of(&out)).unwrap();
        prop_assert_eq!(message.unknown_fields().count(), 0);
        prop_assert!(message.has_field_by_name("sequence"));
        prop_assert!(message.has_field_by_name("method_name"));
        prop_assert_eq!(number(&message, "sequence"), answer.sequence);
        prop_assert_eq!(number(&message, "coloring"), u64::from(answer.coloring));
        prop_assert_eq!(number(&message, "flow_id"), answer.flow_id);
        prop_assert_eq!(number(&message, "err") as i32, answer.err.0);
        prop_assert_eq!(number(&message, "result") as i32, answer.result);
        prop_assert_eq!(bytes(&message, "err_msg"), answer.err_msg);
        prop_assert_eq!(bytes(&message, "caller"), answer.caller);
        prop_assert_eq!(bytes(&message, "method_name"), answer.method_name);
        prop_assert_eq!(number(&message, "features"), answer.features);
        prop_assert_eq!(number(&message, "leaving") != 0, answer.leaving);
        check(head_of(&out), &message)?;
    }

    #[test]
    fn we_read_what_prost_writes_in_any_order_repeated_and_among_unknown_fields(
        pieces in any_pieces(),
    ) {
        let mut whole = Vec::new();
        let mut readable = Vec::new();
        for piece in &pieces {
            match piece {
                Piece::Known(piece) => {
                    whole.extend_from_slice(piece);
                    readable.extend_from_slice(piece);
                }
                // prost refuses a known tag of another wire type, so it is not shown them.
                Piece::Skipped(piece) => whole.extend_from_slice(piece),
            }
        }
        check(&whole, &read(&readable).unwrap())?;
    }

    #[test]
    fn where_prost_can_read_mutated_bytes_we_read_the_same(
        pieces in any_pieces(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 0..4),
    ) {
        let mut head_bytes: Vec<u8> = Vec::new();
        for Piece::Known(piece) | Piece::Skipped(piece) in &pieces {
            head_bytes.extend_from_slice(piece);
        }
        for (index, byte, kind) in changes {
            if head_bytes.is_empty() {
                break;
            }
            let index = index.index(head_bytes.len());
            match kind {
                0 => head_bytes[index] = byte,
                1 => head_bytes.insert(index, byte),
                2 => head_bytes.truncate(index),
                _ => drop(head_bytes.remove(index)),
            }
        }
        match read(&head_bytes) {
            // We refuse groups, wherever prost skips them.
            Some(message) if contains_group(&message) => {}
            Some(message) => check(&head_bytes, &message)?,
            // Refused by prost; we may skip or refuse, but not panic.
            None => drop((ours_of_request(&head_bytes), ours_of_answer(&head_bytes))),
        }
    }

    #[test]
    fn where_prost_can_read_random_bytes_we_read_the_same(head_bytes in vec(any::<u8>(), 0..40)) {
        match read(&head_bytes) {
            Some(message) if contains_group(&message) => {}
            Some(message) => check(&head_bytes, &message)?,
            None => drop((ours_of_request(&head_bytes), ours_of_answer(&head_bytes))),
        }
    }
}

#[test]
fn a_group_is_refused_by_us_alone() {
    // Tag 90 as a group that begins and ends.
    let head_bytes = [
        &encoded_request(&Plain { trace_id: vec![0; 16], ..Plain::default() })[..],
        &[0xd3, 0x05, 0xd4, 0x05],
    ]
    .concat();
    assert!(contains_group(&read(&head_bytes).unwrap()));
    assert_eq!(decode_request(&head_bytes), Err(BadHead::Malformed));
}

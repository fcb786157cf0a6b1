//! SRPC as a client sees it: frames from a template, answers cut by their lengths, heads read by
//! hand.
//!
//! A request differs from the one before it only in its sequence, so both kinds of request are laid
//! out once and five bytes are patched. Sequences are drawn from 2²⁸..2²⁹, where a varint is five
//! bytes long:
//!
//! ```text
//!   sequence   1 gggggggggggggggg ssssssssssss      s = slot (12 bits), g = its generation (16)
//! ```
//!
//! The generation makes a late or doubled answer to an earlier request of the slot a stray instead
//! of an answer.
//!
//! An answer is checked for its edges, its sequence, `err`, and its body: byte for byte, except
//! that of long bodies (above [`COMPARED_ALWAYS_BYTES`]) only one in 64 is compared and all are
//! measured, so that comparing does not make the generator slower than the server.

use std::io;

use super::dialect::{
    Answer, Broken, Dialect, Found, Kind, SLOTS_MAX, Verdict, Wire, echo_message, put_varint,
};

/// Longer bodies are compared now and then only.
pub const COMPARED_ALWAYS_BYTES: usize = 4096;
const COMPARED_NOW_AND_THEN: u64 = 64;

const SEQUENCE_BASE: u32 = 1 << 28;
const SLOT_BITS: u32 = 12;
const EDGE_BYTES: usize = 9;
/// Where a template's sequence starts: behind the edge and the field's key.
const SEQUENCE_AT: usize = EDGE_BYTES + 1;
/// More than any server of the bench writes; a longer head means that the stream is out of step.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What servers refuse with: overloaded, deadline exceeded before start, rate limited.
const REFUSALS: [i64; 3] = [-101, -102, -108];

const TAG_SEQUENCE: u64 = 10;
const TAG_ERROR: u64 = 40;

/// The dialect: one template for each kind of request.
pub struct Srpc {
    first: Vec<u8>,
    second: Vec<u8>,
    body: Vec<u8>,
    /// Requests carry a deadline, and with it a second copy of their sequence.
    has_deadline: bool,
}

/// One connection.
pub struct Session {
    /// The sequence in flight in each slot, 0 for none.
    sequences: Vec<u32>,
    generations: Vec<u16>,
    state: State,
    /// The edge and head of a frame that did not arrive in one piece.
    partial: Vec<u8>,
}

enum State {
    /// At the start of a frame or inside its edge or head.
    Head,
    /// Inside a body: how much is left of it and its closing byte, and whom it answers.
    Body { left: usize, at: usize, answer: Option<Answer>, compared: bool },
}

struct Head {
    sequence: u64,
    error: i64,
}

impl Srpc {
    /// Requests to `method`, and for [`Kind::Second`] to `second`, with `payload` bytes in an echo
    /// message.
    pub fn new(method: &str, second: Option<&str>, payload: usize) -> Self {
        Self::with_deadline(method, second, payload, 0)
    }

    /// As [`Srpc::new`], with the time that requests wait; 0: they do not say.
    pub fn with_deadline(
        method: &str,
        second: Option<&str>,
        payload: usize,
        deadline_ms: u64,
    ) -> Self {
        let body = echo_message(payload);
        let template = |method: &str| template(method, &body, deadline_ms);
        let (first, second) = (template(method), second.map_or_else(Vec::new, template));
        Srpc { first, second, body, has_deadline: deadline_ms > 0 }
    }

    /// A fresh connection with `depth` slots.
    pub fn session(&self, depth: usize) -> Session {
        assert!(depth <= SLOTS_MAX);
        Session {
            sequences: vec![0; depth],
            generations: vec![0; depth],
            state: State::Head,
            partial: Vec::new(),
        }
    }

    /// Takes the head of the frame at the start of `bytes` and says how many bytes that was, or
    /// that more are needed.
    fn take_head(
        &self,
        session: &mut Session,
        bytes: &[u8],
        found: &mut Found,
    ) -> Result<Option<usize>, Broken> {
        let Some((head, body_length)) = split(bytes)? else { return Ok(None) };
        let decoded = decode_head(head)?;
        let answer = session.finish(&decoded);
        if answer.is_none() {
            found.strays += 1;
        }
        let answer = answer.map(|slot| {
            let right = decoded.error == 0 && body_length == self.body.len();
            let refused = self.has_deadline && REFUSALS.contains(&decoded.error);
            let verdict = match (right, refused) {
                (true, _) => Verdict::Right,
                (false, true) => Verdict::Refused,
                (false, false) => Verdict::Wrong,
            };
            Answer { slot, verdict }
        });
        let compared = self.body.len() <= COMPARED_ALWAYS_BYTES
            || (decoded.sequence >> SLOT_BITS).is_multiple_of(COMPARED_NOW_AND_THEN);
        session.state = State::Body { left: body_length + 1, at: 0, answer, compared };
        Ok(Some(EDGE_BYTES + head.len()))
    }

    /// Takes as much of the body as `bytes` holds, and says how much that was.
    fn take_body(
        &self,
        session: &mut Session,
        bytes: &[u8],
        found: &mut Found,
    ) -> Result<usize, Broken> {
        let State::Body { left, at, answer, compared } = &mut session.state else { return Ok(0) };
        let taken = bytes.len().min(*left);
        let ends = taken == *left;
        let body = &bytes[..taken - usize::from(ends)];
        if let Some(answer) = answer
            && *compared
            && self.body.get(*at..*at + body.len()) != Some(body)
        {
            // A refusal has no body.
            if answer.verdict == Verdict::Right {
                answer.verdict = Verdict::Wrong;
            }
        }
        *left -= taken;
        *at += body.len();
        if ends {
            if bytes[taken - 1] != b')' {
                return Err(Broken("a frame does not end with its closing byte"));
            }
            found.answers.extend(*answer);
            session.state = State::Head;
        }
        Ok(taken)
    }
}

impl Dialect for Srpc {
    type Session = Session;

    fn open(&self, _wire: &mut dyn Wire, depth: usize) -> io::Result<Session> {
        Ok(self.session(depth))
    }

    fn request(&self, session: &mut Session, slot: u16, kind: Kind, output: &mut Vec<u8>) {
        let template = match kind {
            Kind::First => &self.first,
            Kind::Second => &self.second,
        };
        let sequence = session.begin(slot);
        let at = output.len() + SEQUENCE_AT;
        output.extend_from_slice(template);
        patch(&mut output[at..at + 5], sequence);
        if self.has_deadline {
            let hop_at = output.len() - self.body.len() - 1 - 5;
            patch(&mut output[hop_at..hop_at + 5], sequence);
        }
    }

    fn answers(
        &self,
        session: &mut Session,
        mut input: &[u8],
        _output: &mut Vec<u8>,
        found: &mut Found,
    ) -> Result<(), Broken> {
        while !input.is_empty() {
            if matches!(session.state, State::Body { .. }) {
                let taken = self.take_body(session, input, found)?;
                input = &input[taken..];
            } else if session.partial.is_empty() {
                match self.take_head(session, input, found)? {
                    Some(taken) => input = &input[taken..],
                    None => {
                        session.partial.extend_from_slice(input);
                        return Ok(());
                    }
                }
            } else {
                // What does not belong to the head is not consumed: the difference of the lengths
                // says where it ended.
                let mut partial = std::mem::take(&mut session.partial);
                let before = partial.len();
                partial.extend_from_slice(input);
                match self.take_head(session, &partial, found)? {
                    Some(taken) => input = &input[taken - before..],
                    None => {
                        session.partial = partial;
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

impl Session {
    fn begin(&mut self, slot: u16) -> u32 {
        let index = usize::from(slot);
        self.generations[index] = self.generations[index].wrapping_add(1);
        let generation = u32::from(self.generations[index]) << SLOT_BITS;
        self.sequences[index] = SEQUENCE_BASE | generation | u32::from(slot);
        self.sequences[index]
    }

    /// The slot whose request this head answers; it is free from here on.
    fn finish(&mut self, head: &Head) -> Option<u16> {
        let slot = head.sequence as usize & ((1 << SLOT_BITS) - 1);
        let expected = self.sequences.get_mut(slot)?;
        if head.sequence != u64::from(*expected) {
            return None;
        }
        *expected = 0;
        Some(slot as u16)
    }
}

/// Writes a sequence as a varint of five bytes.
fn patch(bytes: &mut [u8], sequence: u32) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        let more = if index < 4 { 0x80 } else { 0 };
        *byte = (sequence >> (7 * index)) as u8 & 0x7F | more;
    }
}

/// `( head_len body_len head body )` with room for a five-byte sequence; with a deadline, there is
/// room for it at the head's end, too: `hop` equals the sequence, or the deadline does not count.
fn template(method: &str, body: &[u8], deadline_ms: u64) -> Vec<u8> {
    let mut head = vec![0x50];
    put_varint(u64::from(SEQUENCE_BASE), &mut head);
    head.extend_from_slice(&[0x9A, 0x03]);
    put_varint(method.len() as u64, &mut head);
    head.extend_from_slice(method.as_bytes());
    if deadline_ms > 0 {
        head.extend_from_slice(&[0xB0, 0x04]);
        put_varint(deadline_ms, &mut head);
        head.extend_from_slice(&[0x88, 0x05]);
        put_varint(u64::from(SEQUENCE_BASE), &mut head);
    }
    let mut frame = vec![b'('];
    frame.extend_from_slice(&(head.len() as u32).to_be_bytes());
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(body);
    frame.push(b')');
    frame
}

/// The head bytes and the body's length of the frame at the start of `bytes`, once its head is all
/// there.
fn split(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Broken> {
    if bytes[0] != b'(' {
        return Err(Broken("a frame does not start with its opening byte"));
    }
    let Some(edge) = bytes.first_chunk::<EDGE_BYTES>() else { return Ok(None) };
    let head_length = u32::from_be_bytes([edge[1], edge[2], edge[3], edge[4]]) as usize;
    let body_length = u32::from_be_bytes([edge[5], edge[6], edge[7], edge[8]]) as usize;
    if head_length > HEAD_BYTES_MAX {
        return Err(Broken("a head is longer than any server writes"));
    }
    Ok(bytes.get(EDGE_BYTES..EDGE_BYTES + head_length).map(|head| (head, body_length)))
}

/// Reads `sequence` and `err`, passes over all other fields.
fn decode_head(mut head: &[u8]) -> Result<Head, Broken> {
    let mut decoded = Head { sequence: 0, error: 0 };
    while !head.is_empty() {
        let key = take_varint(&mut head)?;
        match (key >> 3, key & 7) {
            (TAG_SEQUENCE, 0) => decoded.sequence = take_varint(&mut head)?,
            (TAG_ERROR, 0) => decoded.error = take_varint(&mut head)? as i64,
            (_, 0) => {
                take_varint(&mut head)?;
            }
            (_, 1) => head = head.get(8..).ok_or(CUT_SHORT)?,
            (_, 2) => {
                let length = take_varint(&mut head)? as usize;
                head = head.get(length..).ok_or(CUT_SHORT)?;
            }
            (_, 5) => head = head.get(4..).ok_or(CUT_SHORT)?,
            _ => return Err(Broken("a head holds a wire type that is none")),
        }
    }
    Ok(decoded)
}

const CUT_SHORT: Broken = Broken("a head ends inside a field");

fn take_varint(bytes: &mut &[u8]) -> Result<u64, Broken> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte < 0x80 {
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err(CUT_SHORT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::ECHO_METHOD;

    /// The frame of the reference: sequence 1, `echo.EchoService.Echo`, a body of "hi".
    const HI: &[u8] = b"(\0\0\0\x1A\0\0\0\x04\x50\x01\x9A\x03\x15echo.EchoService.Echo\x0A\x02hi)";

    fn feed(dialect: &Srpc, session: &mut Session, bytes: &[u8]) -> Result<Found, Broken> {
        let mut found = Found::default();
        dialect.answers(session, bytes, &mut Vec::new(), &mut found)?;
        Ok(found)
    }

    #[test]
    fn a_template_is_the_reference_frame_but_for_its_sequence() {
        let mut frame = template(ECHO_METHOD, b"\x0A\x02hi", 0);
        frame.splice(SEQUENCE_AT..SEQUENCE_AT + 5, [1]);
        frame[4] -= 4;
        assert_eq!(frame, HI);
    }

    #[test]
    fn an_echoed_request_is_its_answer_however_it_is_cut() {
        for payload in [0, 64, 5000] {
            let dialect = Srpc::new(ECHO_METHOD, None, payload);
            for cut in [1, 2, 9, 10, 31, 40, 41, 1000, 100_000] {
                let mut session = dialect.session(3);
                let mut bytes = Vec::new();
                for slot in 0..3 {
                    dialect.request(&mut session, slot, Kind::First, &mut bytes);
                }
                let mut answers = Vec::new();
                for chunk in bytes.chunks(cut) {
                    let found = feed(&dialect, &mut session, chunk).unwrap();
                    assert_eq!(found.strays, 0);
                    answers.extend(found.answers);
                }
                let expected: Vec<_> =
                    (0..3).map(|slot| Answer { slot, verdict: Verdict::Right }).collect();
                assert_eq!(answers, expected, "payload {payload}, cut every {cut} bytes");
            }
        }
    }

    #[test]
    fn a_second_answer_to_one_request_is_a_stray() {
        let dialect = Srpc::new(ECHO_METHOD, None, 8);
        let mut session = dialect.session(1);
        let mut bytes = Vec::new();
        dialect.request(&mut session, 0, Kind::First, &mut bytes);
        let twice = [bytes.clone(), bytes].concat();
        let found = feed(&dialect, &mut session, &twice).unwrap();
        assert_eq!((found.answers.len(), found.strays), (1, 1));
    }

    #[test]
    fn an_answer_to_the_slots_earlier_request_is_a_stray() {
        let dialect = Srpc::new(ECHO_METHOD, None, 8);
        let mut session = dialect.session(1);
        let (mut old, mut new) = (Vec::new(), Vec::new());
        dialect.request(&mut session, 0, Kind::First, &mut old);
        dialect.request(&mut session, 0, Kind::First, &mut new);
        let found = feed(&dialect, &mut session, &old).unwrap();
        assert_eq!((found.answers.len(), found.strays), (0, 1));
    }

    #[test]
    fn an_error_code_or_another_body_makes_an_answer_wrong() {
        let dialect = Srpc::new(ECHO_METHOD, None, 8);
        let mut session = dialect.session(1);
        let mut bytes = Vec::new();
        dialect.request(&mut session, 0, Kind::First, &mut bytes);
        let body_at = bytes.len() - 2;
        bytes[body_at] ^= 1;
        assert_eq!(
            feed(&dialect, &mut session, &bytes).unwrap().answers[0].verdict,
            Verdict::Wrong
        );

        bytes.clear();
        dialect.request(&mut session, 0, Kind::First, &mut bytes);
        // err = -101: a key of two bytes and a varint of ten.
        let mut field = vec![0xC0, 0x02];
        put_varint((-101i64) as u64, &mut field);
        bytes[4] += field.len() as u8;
        bytes.splice(EDGE_BYTES + 6..EDGE_BYTES + 6, field);
        assert_eq!(
            feed(&dialect, &mut session, &bytes).unwrap().answers[0].verdict,
            Verdict::Wrong
        );
    }

    #[test]
    fn a_deadline_comes_with_a_hop_that_equals_the_sequence() {
        let dialect = Srpc::with_deadline(ECHO_METHOD, None, 8, 200);
        let mut session = dialect.session(1);
        let mut bytes = Vec::new();
        dialect.request(&mut session, 0, Kind::First, &mut bytes);
        let (head, _) = split(&bytes).unwrap().unwrap();
        let sequence = &head[1..6];
        assert_eq!(&head[head.len() - 7..head.len() - 5], [0x88, 0x05]);
        assert_eq!(&head[head.len() - 5..], sequence);
        assert!(head.windows(4).any(|window| window == [0xB0, 0x04, 0xC8, 0x01]), "200 ms");
        let answers = feed(&dialect, &mut session, &bytes).unwrap().answers;
        assert_eq!(answers[0].verdict, Verdict::Right);
    }

    #[test]
    fn a_refusal_is_one_where_requests_have_deadlines() {
        for (deadline_ms, code, expect) in [
            (200, -101, Verdict::Refused),
            (200, -108, Verdict::Refused),
            (200, -18, Verdict::Wrong),
            (0, -101, Verdict::Wrong),
        ] {
            let dialect = Srpc::with_deadline(ECHO_METHOD, None, 0, deadline_ms);
            let mut session = dialect.session(1);
            let mut bytes = Vec::new();
            dialect.request(&mut session, 0, Kind::First, &mut bytes);
            let mut field = vec![0xC0, 0x02];
            put_varint(code as u64, &mut field);
            bytes[4] += field.len() as u8;
            bytes.splice(EDGE_BYTES + 6..EDGE_BYTES + 6, field);
            let answers = feed(&dialect, &mut session, &bytes).unwrap().answers;
            assert_eq!(answers[0].verdict, expect, "{code}");
        }
    }

    #[test]
    fn bytes_that_are_no_frame_break_the_connection() {
        let dialect = Srpc::new(ECHO_METHOD, None, 2);
        for (at, byte) in [(0, b'['), (39, b']'), (1, 0xFF), (9, 0x57)] {
            let mut bytes = HI.to_vec();
            bytes[at] = byte;
            let mut session = dialect.session(1);
            assert!(feed(&dialect, &mut session, &bytes).is_err(), "byte {at} is {byte}");
        }
    }
}

//! HTTP/1.1 with JSON as a client sees it: requests from a template, answers cut by their length.
//!
//! Answers come in the order of the requests, so whose an answer is follows from that alone: there
//! is nothing in it that could tell. An answer is right if its status is 200 and its body is, byte
//! for byte, the JSON that was sent; servers write it without blanks, as the template does.

use std::collections::VecDeque;
use std::io;

use super::dialect::{Answer, Broken, Dialect, Found, Kind, SLOTS_MAX, Verdict, Wire};

/// More than any server of the bench writes; a longer head means that the stream is out of step.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The dialect: one request, laid out once.
pub struct Http {
    request: Vec<u8>,
    body: Vec<u8>,
}

/// One connection.
pub struct Session {
    /// Whose answers are due, in order.
    waiting: VecDeque<u16>,
    /// An answer that did not arrive in one piece.
    partial: Vec<u8>,
}

impl Http {
    /// Calls of `method` with `payload` bytes in an echo message.
    pub fn new(method: &str, payload: usize) -> Self {
        let (service, name) = method.rsplit_once('.').unwrap_or(("", method));
        let bytes: Vec<u8> = (0..payload).map(|index| (index * 7 + index / 256) as u8).collect();
        let body = format!("{{\"message\":\"{}\"}}", base64(&bytes)).into_bytes();
        // What a program sends that uses a client of HTTP, and no more.
        let head = format!(
            "POST /{service}/{name} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Http { request: [head.as_bytes(), &body].concat(), body }
    }

    /// Takes the answer at the start of `bytes`; how long it is, or `None` if it is not whole.
    fn take(&self, bytes: &[u8]) -> Result<Option<(usize, Verdict)>, Broken> {
        let Some(end) = find(bytes, b"\r\n\r\n") else {
            let is_too_long = bytes.len() > HEAD_BYTES_MAX;
            return if is_too_long { Err(Broken("a head does not end")) } else { Ok(None) };
        };
        let (head, rest) = (&bytes[..end], &bytes[end + 4..]);
        let length = length(head).ok_or(Broken("an answer tells no length"))?;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let right = head.starts_with(b"HTTP/1.1 200 ") && body == self.body;
        let verdict = if right { Verdict::Right } else { Verdict::Wrong };
        Ok(Some((end + 4 + length, verdict)))
    }
}

impl Dialect for Http {
    type Session = Session;

    fn open(&self, _wire: &mut dyn Wire, depth: usize) -> io::Result<Session> {
        assert!(depth <= SLOTS_MAX);
        Ok(Session { waiting: VecDeque::with_capacity(depth), partial: Vec::new() })
    }

    fn request(&self, session: &mut Session, slot: u16, _kind: Kind, output: &mut Vec<u8>) {
        session.waiting.push_back(slot);
        output.extend_from_slice(&self.request);
    }

    fn answers(
        &self,
        session: &mut Session,
        input: &[u8],
        _output: &mut Vec<u8>,
        found: &mut Found,
    ) -> Result<(), Broken> {
        let mut joined = std::mem::take(&mut session.partial);
        let mut bytes = input;
        if !joined.is_empty() {
            joined.extend_from_slice(input);
            bytes = &joined;
        }
        while let Some((taken, verdict)) = self.take(bytes)? {
            bytes = &bytes[taken..];
            match session.waiting.pop_front() {
                Some(slot) => found.answers.push(Answer { slot, verdict }),
                None => found.strays += 1,
            }
        }
        session.partial = bytes.to_vec();
        Ok(())
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The value of `content-length`.
fn length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"\r\ncontent-length:";
    let at = head.windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME))?;
    let value = head[at + NAME.len()..].split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = (word >> (18 - 6 * index)) & 63;
            let is_there = index <= chunk.len();
            text.push(if is_there { char::from(ALPHABET[digit as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\ndate: x\r\n\r\n{body}", body.len())
            .into_bytes()
    }

    #[test]
    fn base64_is_padded() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
    }

    #[test]
    fn answers_go_to_the_slots_in_order_however_they_are_cut() {
        let dialect = Http::new("echo.EchoService.Echo", 3);
        let right = answer("{\"message\":\"AAcO\"}");
        let bytes = [&right[..], &answer("{}"), &right].concat();
        for cut in 1..bytes.len() {
            let mut session = Session { waiting: VecDeque::new(), partial: Vec::new() };
            for slot in [4, 2] {
                dialect.request(&mut session, slot, Kind::First, &mut Vec::new());
            }
            let mut found = Found::default();
            for piece in bytes.chunks(cut) {
                dialect.answers(&mut session, piece, &mut Vec::new(), &mut found).unwrap();
            }
            let expect = [
                Answer { slot: 4, verdict: Verdict::Right },
                Answer { slot: 2, verdict: Verdict::Wrong },
            ];
            assert_eq!((&found.answers[..], found.strays), (&expect[..], 1), "by {cut}");
        }
    }

    #[test]
    fn what_is_no_answer_is_said() {
        let dialect = Http::new("a.B.C", 0);
        let refused = |bytes: &[u8]| dialect.take(bytes).is_err();
        assert!(refused(b"HTTP/1.1 200 OK\r\n\r\n"));
        assert!(refused(&vec![b'x'; HEAD_BYTES_MAX + 1]));
    }
}

//! gRPC as a client sees it: the part of HTTP/2 (RFC 9113) that unary calls need, written for small
//! cost.
//!
//! All gRPC peers are driven by this client, because the clients of the gRPC libraries cost more
//! than the servers and would be what is measured. Towards the servers it behaves like a good
//! client: the header block of the first call on a connection fills the dynamic table and all later
//! ones are seven bytes (RFC 7541), its windows are as large as they can be, it acknowledges
//! settings and pings, and it never sends beyond a server's windows.
//!
//! ```text
//!   call      HEADERS (7 bytes) · DATA (5-byte prefix + EchoRequest, END_STREAM)
//!   answer    HEADERS · DATA (prefix + EchoResponse) · HEADERS (trailers, END_STREAM)
//! ```
//!
//! An answer is right when its DATA is the message that was sent and the stream ends by trailers.
//! The trailers are not decoded: a server that fails a call sends no message. Bodies are compared
//! where a whole message lies in one DATA frame in one receive, measured otherwise.
//!
//! A stream's slot is found without a search: stream ids only rise, and an id whose place in the
//! table is still taken is passed over (ids may be skipped, RFC 9113 §5.1.1).

use std::collections::VecDeque;
use std::io;

use super::dialect::{
    Answer, Broken, Dialect, Found, Kind, SLOTS_MAX, Verdict, Wire, echo_message,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER_BYTES: usize = 9;
const WINDOW_MAX: u32 = (1 << 31) - 1;
/// RFC 9113 §6.9.2: before any setting and any update.
const WINDOW_INITIAL: i64 = 65_535;
/// Give credit back when half of the connection's window is used.
const CREDIT_STEP: u32 = WINDOW_MAX / 2;
/// The largest DATA frame that we let a server send.
const FRAME_BYTES_MAX: u32 = 1 << 20;
/// Control frames are short; a longer one is an error of the peer.
const CONTROL_BYTES_MAX: usize = 16 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// The dialect.
pub struct Grpc {
    first_headers: Vec<u8>,
    later_headers: Vec<u8>,
    /// The five-byte prefix and the message.
    message: Vec<u8>,
}

/// One connection.
pub struct Session {
    /// By `id / 2 % SLOTS_MAX`; an entry with id 0 is free.
    streams: Vec<Stream>,
    next_id: u32,
    /// Calls whose message did not fit into a window, oldest first.
    blocked: VecDeque<Blocked>,
    connection_window: i64,
    stream_window: i64,
    frame_bytes_max: usize,
    greeted: bool,
    /// Received DATA that the server has no credit for yet.
    owed_credit: u32,
    frame: Option<Frame>,
    /// A frame header that did not arrive in one piece, or the payload of a control frame.
    partial: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
struct Stream {
    id: u32,
    slot: u16,
    received: u32,
    wrong: bool,
}

struct Blocked {
    id: u32,
    sent: usize,
    window: i64,
}

#[derive(Clone, Copy)]
struct Frame {
    kind: u8,
    flags: u8,
    id: u32,
    length: usize,
    left: usize,
}

impl Grpc {
    /// Calls `method` (`package.Service.Method`) with `payload` bytes in an echo message.
    pub fn new(method: &str, payload: usize) -> Self {
        let (service, name) = method.rsplit_once('.').unwrap_or(("", method));
        let path = format!("/{service}/{name}");
        let body = echo_message(payload);
        let mut message = vec![0];
        message.extend_from_slice(&(body.len() as u32).to_be_bytes());
        message.extend_from_slice(&body);
        // RFC 7541 appendix A: 3 is `:method POST`, 6 is `:scheme http`; 0x40 | n enters a literal
        // under name n.
        let mut first_headers = vec![0x83, 0x86];
        for (name_index, name, value) in [
            (4, "", path.as_str()),
            (1, "", "localhost"),
            (31, "", "application/grpc"),
            (0, "te", "trailers"),
            (58, "", "msec-bench"),
        ] {
            first_headers.push(0x40 | name_index);
            if name_index == 0 {
                put_string(name, &mut first_headers);
            }
            put_string(value, &mut first_headers);
        }
        // The newest entry of the dynamic table is 62, so the five entered above are 66 down to 62.
        let later_headers = vec![0x83, 0x86, 0x80 | 66, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62];
        Grpc { first_headers, later_headers, message }
    }

    fn hello(&self) -> Vec<u8> {
        let mut bytes = PREFACE.to_vec();
        let settings = [(2u16, 0), (4, WINDOW_MAX), (5, FRAME_BYTES_MAX)];
        put_frame_header(settings.len() * 6, SETTINGS, 0, 0, &mut bytes);
        for (name, value) in settings {
            bytes.extend_from_slice(&name.to_be_bytes());
            bytes.extend_from_slice(&value.to_be_bytes());
        }
        put_window_update(WINDOW_MAX - WINDOW_INITIAL as u32, &mut bytes);
        bytes
    }

    /// Sends what the windows allow of a call's message; true when all of it has left.
    fn send_message(
        &self,
        session: &mut Session,
        call: &mut Blocked,
        output: &mut Vec<u8>,
    ) -> bool {
        loop {
            let window = call.window.min(session.connection_window).max(0) as usize;
            let rest = self.message.len() - call.sent;
            let length = rest.min(session.frame_bytes_max).min(window);
            if length == 0 {
                return false;
            }
            let flags = if length == rest { END_STREAM } else { 0 };
            put_frame_header(length, DATA, flags, call.id, output);
            output.extend_from_slice(&self.message[call.sent..call.sent + length]);
            call.sent += length;
            call.window -= length as i64;
            session.connection_window -= length as i64;
            if length == rest {
                return true;
            }
        }
    }

    fn unblock(&self, session: &mut Session, output: &mut Vec<u8>) {
        let mut blocked = std::mem::take(&mut session.blocked);
        blocked.retain_mut(|call| !self.send_message(session, call, output));
        session.blocked = blocked;
    }

    /// A stretch of a DATA frame.
    fn handle_data(&self, session: &mut Session, frame: Frame, bytes: &[u8]) -> Result<(), Broken> {
        if frame.flags & PADDED != 0 {
            return Err(Broken("a DATA frame is padded"));
        }
        session.owed_credit += bytes.len() as u32;
        if let Some(stream) = session.stream(frame.id) {
            let whole = stream.received == 0 && bytes.len() == self.message.len();
            stream.wrong |= whole && bytes != self.message;
            stream.received += bytes.len() as u32;
        }
        Ok(())
    }

    fn handle_frame_end(
        &self,
        session: &mut Session,
        frame: Frame,
        output: &mut Vec<u8>,
        found: &mut Found,
    ) -> Result<(), Broken> {
        let payload = std::mem::take(&mut session.partial);
        match frame.kind {
            DATA | HEADERS if frame.flags & END_STREAM != 0 => {
                session.end_stream(frame.id, self.message.len(), frame.kind == HEADERS, found);
            }
            RST_STREAM => session.end_stream(frame.id, usize::MAX, false, found),
            SETTINGS if frame.flags & ACK == 0 => {
                session.handle_settings(&payload)?;
                put_frame_header(0, SETTINGS, ACK, 0, output);
                self.unblock(session, output);
            }
            PING if frame.flags & ACK == 0 => {
                put_frame_header(payload.len(), PING, ACK, 0, output);
                output.extend_from_slice(&payload);
            }
            GOAWAY => return Err(Broken("the server sent GOAWAY")),
            WINDOW_UPDATE => {
                session.handle_window_update(frame.id, &payload)?;
                self.unblock(session, output);
            }
            _ => {}
        }
        session.partial = payload;
        session.partial.clear();
        Ok(())
    }
}

impl Dialect for Grpc {
    type Session = Session;

    fn open(&self, wire: &mut dyn Wire, _depth: usize) -> io::Result<Session> {
        let mut session = Session {
            streams: vec![Stream::default(); SLOTS_MAX],
            next_id: 1,
            blocked: VecDeque::new(),
            connection_window: WINDOW_INITIAL,
            stream_window: WINDOW_INITIAL,
            frame_bytes_max: 16_384,
            greeted: false,
            owed_credit: 0,
            frame: None,
            partial: Vec::new(),
        };
        wire.write_all(&self.hello())?;
        let mut buffer = [0; 4096];
        // The windows that count are in the server's settings, so no call starts before they are
        // read.
        while !session.greeted {
            let count = wire.read(&mut buffer)?;
            if count == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "no HTTP/2 settings came",
                ));
            }
            let (mut output, mut found) = (Vec::new(), Found::default());
            self.answers(&mut session, &buffer[..count], &mut output, &mut found)
                .map_err(|broken| io::Error::new(io::ErrorKind::InvalidData, broken.0))?;
            wire.write_all(&output)?;
        }
        Ok(session)
    }

    fn request(&self, session: &mut Session, slot: u16, _kind: Kind, output: &mut Vec<u8>) {
        let headers = if session.next_id == 1 { &self.first_headers } else { &self.later_headers };
        let id = session.begin_stream(slot);
        put_frame_header(headers.len(), HEADERS, END_HEADERS, id, output);
        output.extend_from_slice(headers);
        let mut call = Blocked { id, sent: 0, window: session.stream_window };
        if !self.send_message(session, &mut call, output) {
            session.blocked.push_back(call);
        }
    }

    fn answers(
        &self,
        session: &mut Session,
        mut input: &[u8],
        output: &mut Vec<u8>,
        found: &mut Found,
    ) -> Result<(), Broken> {
        while let Some(frame) = session.next_frame(&mut input)? {
            let taken = frame.left.min(input.len());
            let (bytes, rest) = input.split_at(taken);
            input = rest;
            match frame.kind {
                DATA => self.handle_data(session, frame, bytes)?,
                HEADERS => {}
                _ => session.partial.extend_from_slice(bytes),
            }
            let left = frame.left - taken;
            session.frame = (left > 0).then_some(Frame { left, ..frame });
            if left > 0 {
                break;
            }
            self.handle_frame_end(session, frame, output, found)?;
        }
        if session.owed_credit >= CREDIT_STEP {
            put_window_update(std::mem::take(&mut session.owed_credit), output);
        }
        Ok(())
    }
}

impl Session {
    /// The frame that the next bytes belong to, or none while its header is not all there.
    fn next_frame(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Broken> {
        if self.frame.is_some() {
            return Ok(self.frame);
        }
        let taken = input.len().min(FRAME_HEADER_BYTES - self.partial.len());
        self.partial.extend_from_slice(&input[..taken]);
        *input = &input[taken..];
        let Some(header) = self.partial.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let id = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) & WINDOW_MAX;
        let frame = Frame { kind: header[3], flags: header[4], id, length, left: length };
        self.partial.clear();
        if !matches!(frame.kind, DATA | HEADERS) && frame.length > CONTROL_BYTES_MAX {
            return Err(Broken("a control frame is longer than any server sends"));
        }
        self.frame = Some(frame);
        Ok(self.frame)
    }

    fn begin_stream(&mut self, slot: u16) -> u32 {
        loop {
            let id = self.next_id;
            self.next_id += 2;
            let stream = &mut self.streams[place(id)];
            if stream.id == 0 {
                *stream = Stream { id, slot, received: 0, wrong: false };
                return id;
            }
        }
    }

    fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        let stream = &mut self.streams[place(id)];
        (stream.id == id && id != 0).then_some(stream)
    }

    fn end_stream(&mut self, id: u32, expected: usize, by_trailers: bool, found: &mut Found) {
        self.blocked.retain(|call| call.id != id);
        let Some(stream) = self.stream(id) else {
            found.strays += 1;
            return;
        };
        let right = by_trailers && !stream.wrong && stream.received as usize == expected;
        let verdict = if right { Verdict::Right } else { Verdict::Wrong };
        found.answers.push(Answer { slot: stream.slot, verdict });
        stream.id = 0;
    }

    fn handle_settings(&mut self, payload: &[u8]) -> Result<(), Broken> {
        for entry in payload.chunks_exact(6) {
            let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
            match u16::from_be_bytes([entry[0], entry[1]]) {
                1 if value < 4096 => return Err(Broken("the server's header table is too small")),
                4 => {
                    let change = i64::from(value) - self.stream_window;
                    self.stream_window = i64::from(value);
                    self.blocked.iter_mut().for_each(|call| call.window += change);
                }
                5 => self.frame_bytes_max = value as usize,
                _ => {}
            }
        }
        self.greeted = true;
        Ok(())
    }

    fn handle_window_update(&mut self, id: u32, payload: &[u8]) -> Result<(), Broken> {
        let increment = payload.first_chunk::<4>().ok_or(Broken("a window update is cut short"))?;
        let increment = i64::from(u32::from_be_bytes(*increment) & WINDOW_MAX);
        if id == 0 {
            self.connection_window += increment;
        } else if let Some(call) = self.blocked.iter_mut().find(|call| call.id == id) {
            call.window += increment;
        }
        Ok(())
    }
}

fn place(id: u32) -> usize {
    (id / 2) as usize % SLOTS_MAX
}

fn put_frame_header(length: usize, kind: u8, flags: u8, id: u32, output: &mut Vec<u8>) {
    let length = (length as u32).to_be_bytes();
    output.extend_from_slice(&[length[1], length[2], length[3], kind, flags]);
    output.extend_from_slice(&id.to_be_bytes());
}

fn put_window_update(increment: u32, output: &mut Vec<u8>) {
    put_frame_header(4, WINDOW_UPDATE, 0, 0, output);
    output.extend_from_slice(&increment.to_be_bytes());
}

/// A string literal of HPACK without Huffman coding; all of ours are short.
fn put_string(text: &str, output: &mut Vec<u8>) {
    assert!(text.len() < 127, "a longer string would need a second length byte");
    output.push(text.len() as u8);
    output.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            streams: vec![Stream::default(); SLOTS_MAX],
            next_id: 1,
            blocked: VecDeque::new(),
            connection_window: WINDOW_INITIAL,
            stream_window: WINDOW_INITIAL,
            frame_bytes_max: 16_384,
            greeted: true,
            owed_credit: 0,
            frame: None,
            partial: Vec::new(),
        }
    }

    /// The frames in `bytes`: kind, flags, id, payload.
    fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
            let id = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
            frames.push((bytes[3], bytes[4], id, bytes[9..9 + length].to_vec()));
            bytes = &bytes[9 + length..];
        }
        frames
    }

    fn answer(grpc: &Grpc, id: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_frame_header(1, HEADERS, END_HEADERS, id, &mut bytes);
        bytes.push(0x88);
        put_frame_header(grpc.message.len(), DATA, 0, id, &mut bytes);
        bytes.extend_from_slice(&grpc.message);
        put_frame_header(1, HEADERS, END_HEADERS | END_STREAM, id, &mut bytes);
        bytes.push(0xBF);
        bytes
    }

    #[test]
    fn a_call_is_answered_however_the_answer_is_cut() {
        let grpc = Grpc::new("echo.EchoService.Echo", 64);
        for cut in 1..120 {
            let mut session = session();
            let mut output = Vec::new();
            grpc.request(&mut session, 5, Kind::First, &mut output);
            let mut found = Found::default();
            for chunk in answer(&grpc, 1).chunks(cut) {
                grpc.answers(&mut session, chunk, &mut output, &mut found).unwrap();
            }
            assert_eq!(found.answers, [Answer { slot: 5, verdict: Verdict::Right }]);
            assert_eq!(found.strays, 0);
        }
    }

    #[test]
    fn an_answer_without_a_message_is_wrong_and_a_second_one_a_stray() {
        let grpc = Grpc::new("echo.EchoService.Echo", 64);
        let mut session = session();
        let mut output = Vec::new();
        grpc.request(&mut session, 0, Kind::First, &mut output);
        let mut trailers_only = Vec::new();
        put_frame_header(1, HEADERS, END_HEADERS | END_STREAM, 1, &mut trailers_only);
        trailers_only.push(0x88);
        let mut found = Found::default();
        grpc.answers(&mut session, &trailers_only, &mut output, &mut found).unwrap();
        grpc.answers(&mut session, &trailers_only, &mut output, &mut found).unwrap();
        assert_eq!(found.answers, [Answer { slot: 0, verdict: Verdict::Wrong }]);
        assert_eq!(found.strays, 1);
    }

    #[test]
    fn a_message_waits_for_the_windows_of_stream_and_connection() {
        let grpc = Grpc::new("echo.EchoService.Echo", 100_000);
        let mut session = session();
        let (mut output, mut found) = (Vec::new(), Found::default());
        grpc.request(&mut session, 0, Kind::First, &mut output);
        let sent = |output: &[u8]| -> usize {
            frames(output).iter().filter(|frame| frame.0 == DATA).map(|frame| frame.3.len()).sum()
        };
        assert_eq!(sent(&output), WINDOW_INITIAL as usize);
        assert!(frames(&output).iter().all(|frame| frame.3.len() <= 16_384));

        let mut update = Vec::new();
        put_frame_header(4, WINDOW_UPDATE, 0, 1, &mut update);
        update.extend_from_slice(&1_000_000u32.to_be_bytes());
        grpc.answers(&mut session, &update, &mut output, &mut found).unwrap();
        assert_eq!(sent(&output), WINDOW_INITIAL as usize, "the connection's window is used up");

        update.clear();
        put_window_update(1_000_000, &mut update);
        grpc.answers(&mut session, &update, &mut output, &mut found).unwrap();
        assert_eq!(sent(&output), grpc.message.len());
        assert_eq!(frames(&output).last().unwrap().1, END_STREAM);
    }

    #[test]
    fn settings_and_pings_are_acknowledged() {
        let grpc = Grpc::new("echo.EchoService.Echo", 1);
        let (mut output, mut found, mut input) = (Vec::new(), Found::default(), Vec::new());
        put_frame_header(0, SETTINGS, 0, 0, &mut input);
        put_frame_header(8, PING, 0, 0, &mut input);
        input.extend_from_slice(b"12345678");
        grpc.answers(&mut session(), &input, &mut output, &mut found).unwrap();
        let expected = [(SETTINGS, ACK, 0, Vec::new()), (PING, ACK, 0, b"12345678".to_vec())];
        assert_eq!(frames(&output), expected);
    }

    #[test]
    fn a_stream_that_is_still_open_keeps_its_place() {
        let grpc = Grpc::new("echo.EchoService.Echo", 1);
        let mut session = session();
        let mut output = Vec::new();
        grpc.request(&mut session, 0, Kind::First, &mut output);
        session.next_id = 1 + 2 * SLOTS_MAX as u32;
        let id = session.begin_stream(1);
        assert_eq!(id, 3 + 2 * SLOTS_MAX as u32);
    }
}

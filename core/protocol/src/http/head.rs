//! The head of a request: what its line and its headers say.
//!
//! `httparse` reads the lines; here stands what they mean together, above all how long the body is.
//! What counts is kept as places in the head's bytes, what does not is skipped.

use super::BadRequest;
use crate::head::Span;
use crate::limits::{HTTP_HEADERS_MAX, METADATA_PAIRS_MAX};
use alloc::vec::Vec;
use core::mem::MaybeUninit;

/// A header whose name begins with this is a user header: `msec-meta-tenant: blue`.
pub const USER_HEADER_PREFIX: &str = "msec-meta-";

/// What is to be done with the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Read a page.
    #[default]
    Get,
    /// As [`Method::Get`], without the body.
    Head,
    /// Call a method.
    Post,
    /// Ask what is possible.
    Options,
    /// Anything else, which is not offered.
    Other,
}

/// How long the body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Length {
    /// None, or so many bytes.
    Bytes(u64),
    /// As the chunks say.
    Chunked,
    /// Nobody said; a request then has none.
    #[default]
    Unsaid,
}

/// What a request says before its body. Places are in the bytes of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// What to do.
    pub method: Method,
    /// With what; see [`Target`](super::Target).
    pub target: Span,
    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    pub version_minor: u8,
    /// The connection may carry another request after this one.
    pub keep_alive: bool,
    /// `Host`.
    pub host: Span,
    /// `Origin`: the page of a browser that asks.
    pub origin: Span,
    /// `Content-Type`.
    pub content_type: Span,
    /// `Accept`.
    pub accept: Span,
    /// `Authorization`.
    pub authorization: Span,
    /// `traceparent`.
    pub traceparent: Span,
    /// `msec-timeout-ms`: how long the caller waits.
    pub timeout_ms: Span,
    /// `msec-dyed`.
    pub dyed: Span,
    /// `caller`: the calling service, as in the original.
    pub caller: Span,
    /// `Access-Control-Request-Headers`, of a browser that asks whether it may.
    pub cors_headers: Span,
    /// A proxy has handed it on, so the peer is not who asks.
    pub forwarded: bool,
    /// User headers, key and value; the key without its prefix, in whatever case it came. One more
    /// than [`METADATA_PAIRS_MAX`] if there are too many.
    pub metadata: Vec<(Span, Span)>,
    pub(super) length: Length,
    pub(super) expects_continue: bool,
    /// Length of the head in bytes, with its empty line.
    pub(super) bytes: usize,
}

/// Reads the head that `input` begins with; `None` if it is not whole.
pub(super) fn parse(input: &[u8]) -> Result<Option<Head>, BadRequest> {
    let mut headers = [const { MaybeUninit::uninit() }; HTTP_HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let status = request.parse_with_uninit_headers(input, &mut headers).map_err(of_httparse)?;
    let httparse::Status::Complete(bytes) = status else { return Ok(None) };
    if has_bare_line_feed(&input[..bytes]) {
        return Err(BadRequest::BareLineFeed);
    }
    let target = request.path.unwrap_or_default().as_bytes();
    let mut head = Head {
        method: match request.method.unwrap_or_default() {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "OPTIONS" => Method::Options,
            _ => Method::Other,
        },
        target: span(input, target),
        version_minor: request.version.unwrap_or_default(),
        bytes,
        ..Head::default()
    };
    let mut seen = Seen::default();
    for header in request.headers.iter() {
        take(&mut head, &mut seen, input, header)?;
    }
    finish(head, &seen).map(Some)
}

fn of_httparse(error: httparse::Error) -> BadRequest {
    match error {
        httparse::Error::TooManyHeaders => BadRequest::TooManyHeaders,
        httparse::Error::Version => BadRequest::Version,
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token => BadRequest::Malformed,
    }
}

/// `httparse` takes LF for CR LF; see the essay of [`http`](super).
pub(super) fn has_bare_line_feed(bytes: &[u8]) -> bool {
    let mut before = 0;
    bytes.iter().any(|byte| {
        let bare = *byte == b'\n' && before != b'\r';
        before = *byte;
        bare
    })
}

/// The place of `part`, which is a part of `whole`.
fn span(whole: &[u8], part: &[u8]) -> Span {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    // An empty part may be anywhere.
    if part.is_empty() {
        return Span::default();
    }
    Span { start: start as u32, len: part.len() as u32 }
}

/// What the headers have said beyond what the head keeps.
#[derive(Default)]
struct Seen {
    host: bool,
    length: bool,
    coding: bool,
    close: bool,
    keep_alive: bool,
}

fn take(
    head: &mut Head,
    seen: &mut Seen,
    input: &[u8],
    header: &httparse::Header<'_>,
) -> Result<(), BadRequest> {
    let (name, value) = (header.name, header.value);
    let place = span(input, value);
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    // By length first: most names are then compared with one or two.
    match name.len() {
        4 if is("host") => {
            if core::mem::replace(&mut seen.host, true) || !is_host(value) {
                return Err(BadRequest::Host);
            }
            head.host = place;
        }
        6 if is("accept") => head.accept = place,
        6 if is("origin") => head.origin = place,
        6 if is("caller") => head.caller = place,
        6 if is("expect") => {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(BadRequest::Expectation);
            }
            head.expects_continue = true;
        }
        9 if is("msec-dyed") => head.dyed = place,
        9 if is("forwarded") => head.forwarded = true,
        10 if is("connection") => {
            for token in value.split(|byte| *byte == b',') {
                let token = token.trim_ascii();
                seen.close |= token.eq_ignore_ascii_case(b"close");
                seen.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        11 if is("traceparent") => head.traceparent = place,
        12 if is("content-type") => head.content_type = place,
        13 if is("authorization") => head.authorization = place,
        14 if is("content-length") => {
            let length = digits(value).ok_or(BadRequest::Length)?;
            if core::mem::replace(&mut seen.length, true) {
                return Err(BadRequest::Length);
            }
            head.length = Length::Bytes(length);
        }
        15 if is("msec-timeout-ms") => head.timeout_ms = place,
        15 if is("x-forwarded-for") => head.forwarded = true,
        17 if is("transfer-encoding") => {
            if core::mem::replace(&mut seen.coding, true) {
                return Err(BadRequest::Ambiguous);
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(BadRequest::Coding);
            }
        }
        30 if is("access-control-request-headers") => head.cors_headers = place,
        _ => take_user_header(head, input, name, place),
    }
    Ok(())
}

fn take_user_header(head: &mut Head, input: &[u8], name: &str, value: Span) {
    let prefix = USER_HEADER_PREFIX.as_bytes();
    let Some((begin, key)) = name.as_bytes().split_at_checked(prefix.len()) else { return };
    let counts = begin.eq_ignore_ascii_case(prefix) && !key.is_empty();
    if counts && head.metadata.len() <= METADATA_PAIRS_MAX {
        head.metadata.push((span(input, key), value));
    }
}

/// What follows from the headers together.
fn finish(mut head: Head, seen: &Seen) -> Result<Head, BadRequest> {
    let is_old = head.version_minor == 0;
    if !seen.host && !is_old {
        return Err(BadRequest::Host);
    }
    if seen.coding {
        if seen.length || is_old {
            return Err(BadRequest::Ambiguous);
        }
        head.length = Length::Chunked;
    }
    head.keep_alive = !seen.close && (!is_old || seen.keep_alive);
    // A client of HTTP/1.0 knows no interim answer (RFC 9110 §10.1.1).
    head.expects_continue &= !is_old;
    Ok(head)
}

/// A number of digits and nothing else.
fn digits(text: &[u8]) -> Option<u64> {
    let all = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if !all {
        return None;
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// A name, an address or an address in brackets, with or without a port; empty is allowed.
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|byte| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'%')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;

    fn parsed(text: &str) -> Head {
        parse(text.as_bytes()).unwrap().expect("it is whole")
    }

    /// A request with these headers, each of them with its line's end.
    fn with(headers: &str) -> Result<Option<Head>, BadRequest> {
        parse(format!("POST /a.B/C HTTP/1.1\r\nHost: h\r\n{headers}\r\n").as_bytes())
    }

    #[track_caller]
    fn check_bad(headers: &str, expect: BadRequest) {
        assert_eq!(with(headers), Err(expect), "{headers:?}");
    }

    #[test]
    fn known_headers_are_found_in_any_case() {
        let text = "POST /a.B/C?x HTTP/1.1\r\nHOST: h:1\r\ncontent-TYPE:  application/json \r\n\
                    Caller: a.b\r\nmsec-meta-Tenant: blue\r\nMsec-Meta-: none\r\nX-Other: y\r\n\
                    MSEC-timeout-ms: 50\r\nContent-Length: 12\r\n\r\n";
        let head = parsed(text);
        let of = |span: Span| std::str::from_utf8(span.of(text.as_bytes())).unwrap();
        assert_eq!((head.method, of(head.target)), (Method::Post, "/a.B/C?x"));
        assert_eq!((of(head.host), of(head.content_type)), ("h:1", "application/json"));
        assert_eq!((of(head.caller), of(head.timeout_ms)), ("a.b", "50"));
        let metadata: Vec<_> = head.metadata.iter().map(|(k, v)| (of(*k), of(*v))).collect();
        assert_eq!(metadata, [("Tenant", "blue")]);
        assert_eq!((head.length, head.bytes), (Length::Bytes(12), text.len()));
        assert!(head.keep_alive && !head.forwarded);
    }

    #[test]
    fn lengths_that_are_not_one_number_are_refused() {
        for value in ["+5", "-5", "5,5", "5 5", "0x5", "", "5\t6", "18446744073709551616"] {
            check_bad(&format!("Content-Length: {value}\r\n"), BadRequest::Length);
        }
        check_bad("Content-Length: 5\r\nContent-Length: 5\r\n", BadRequest::Length);
        check_bad("Content-Length: 5\r\ncontent-length: 6\r\n", BadRequest::Length);
    }

    #[test]
    fn a_body_that_is_told_in_two_ways_is_refused() {
        let chunked = "Transfer-Encoding: chunked\r\n";
        check_bad(&format!("{chunked}Content-Length: 5\r\n"), BadRequest::Ambiguous);
        check_bad(&format!("Content-Length: 5\r\n{chunked}"), BadRequest::Ambiguous);
        check_bad(&format!("{chunked}{chunked}"), BadRequest::Ambiguous);
        for value in ["identity", "gzip, chunked", "chunked, chunked", "xchunked", "\"chunked\""] {
            check_bad(&format!("Transfer-Encoding: {value}\r\n"), BadRequest::Coding);
        }
        assert_eq!(with(chunked).unwrap().unwrap().length, Length::Chunked);
        let old = format!("POST / HTTP/1.0\r\n{chunked}\r\n");
        assert_eq!(parse(old.as_bytes()), Err(BadRequest::Ambiguous));
    }

    #[test]
    fn lines_that_readers_split_differently_are_refused() {
        check_bad("X: y\r\n folded\r\n", BadRequest::Malformed);
        check_bad("X : y\r\n", BadRequest::Malformed);
        check_bad(" X: y\r\n", BadRequest::Malformed);
        check_bad("X: a\0b\r\n", BadRequest::Malformed);
        check_bad("X: a\rb\r\n", BadRequest::Malformed);
        check_bad("no colon\r\n", BadRequest::Malformed);
        check_bad("X: y\nContent-Length: 5\r\n", BadRequest::BareLineFeed);
        assert_eq!(parse(b"GET / HTTP/1.1\nHost: h\r\n\r\n"), Err(BadRequest::BareLineFeed));
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: h\r\n\n"), Err(BadRequest::BareLineFeed));
    }

    #[test]
    fn a_host_is_there_once() {
        assert_eq!(parse(b"GET / HTTP/1.1\r\n\r\n"), Err(BadRequest::Host));
        check_bad("Host: h\r\n", BadRequest::Host);
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), Err(BadRequest::Host));
        assert!(parse(b"GET / HTTP/1.0\r\n\r\n").unwrap().is_some());
        assert!(parse(b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n").unwrap().is_some());
    }

    #[test]
    fn versions_decide_who_keeps_the_connection() {
        let keeps =
            |line: &str, header: &str| parsed(&format!("{line}\r\nHost: h\r\n{header}\r\n"));
        assert!(keeps("GET / HTTP/1.1", "").keep_alive);
        assert!(!keeps("GET / HTTP/1.1", "Connection: x, Close\r\n").keep_alive);
        assert!(!keeps("GET / HTTP/1.0", "").keep_alive);
        assert!(keeps("GET / HTTP/1.0", "Connection: keep-alive\r\n").keep_alive);
        assert_eq!(parse(b"GET / HTTP/2.0\r\n\r\n"), Err(BadRequest::Version));
    }

    #[test]
    fn only_one_thing_can_be_expected() {
        assert!(with("Expect: 100-Continue\r\n").unwrap().unwrap().expects_continue);
        check_bad("Expect: 200-ok\r\n", BadRequest::Expectation);
        assert!(!parsed("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expects_continue);
    }

    #[test]
    fn headers_are_bounded_in_number() {
        let many = |count| (0..count).map(|n| format!("x{n}: y\r\n")).collect::<String>();
        assert!(with(&many(HTTP_HEADERS_MAX - 1)).is_ok());
        check_bad(&many(HTTP_HEADERS_MAX), BadRequest::TooManyHeaders);
        let users = (0..METADATA_PAIRS_MAX + 9).map(|n| format!("msec-meta-{n}: y\r\n"));
        let head = with(&users.collect::<String>()).unwrap().unwrap();
        assert_eq!(head.metadata.len(), METADATA_PAIRS_MAX + 1);
    }
}

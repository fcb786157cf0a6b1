//! Writing answers.

use alloc::vec::Vec;

/// What tells a client that it may send the body; see [`Arrival::Continue`](super::Arrival).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// An answer. Everything is sent as it stands: no part may hold a line's end.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The minor version of the request.
    pub version_minor: u8,
    /// The connection may carry another request.
    pub keep_alive: bool,
    /// The time, as [`imf_fixdate`](super::imf_fixdate) writes it.
    pub date: &'a [u8],
    /// The type of the body; empty for none.
    pub content_type: &'a str,
    /// Further headers, name and value.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body.
    pub body: &'a [u8],
    /// The request was a HEAD: the body is left out, and its length told.
    pub without_body: bool,
}

/// Appends an answer.
pub fn encode(answer: &Answer<'_>, out: &mut Vec<u8>) {
    out.reserve(160 + answer.body.len());
    out.extend_from_slice(b"HTTP/1.1 ");
    put_number(out, answer.status.into());
    out.push(b' ');
    out.extend_from_slice(reason(answer.status).as_bytes());
    out.extend_from_slice(b"\r\ndate: ");
    out.extend_from_slice(answer.date);
    if !answer.keep_alive {
        out.extend_from_slice(b"\r\nconnection: close");
    } else if answer.version_minor == 0 {
        out.extend_from_slice(b"\r\nconnection: keep-alive");
    }
    if !answer.content_type.is_empty() {
        out.extend_from_slice(b"\r\ncontent-type: ");
        out.extend_from_slice(answer.content_type.as_bytes());
    }
    // These have no body, so no length either (RFC 9110 §8.6).
    if answer.status >= 200 && answer.status != 204 {
        out.extend_from_slice(b"\r\ncontent-length: ");
        put_number(out, answer.body.len() as u64);
    }
    for (name, value) in answer.headers {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
    }
    out.extend_from_slice(b"\r\n\r\n");
    if !answer.without_body && answer.status != 204 {
        out.extend_from_slice(answer.body);
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The text for people behind a status. 499 is nginx's: the client has closed the request.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        499 => "Client Closed Request",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status;
    use std::string::String;

    const PLAIN: Answer<'_> = Answer {
        status: 200,
        version_minor: 1,
        keep_alive: true,
        date: b"Thu, 01 Jan 1970 00:00:00 GMT",
        content_type: "application/json",
        headers: &[],
        body: b"{}",
        without_body: false,
    };

    #[track_caller]
    fn check(answer: &Answer<'_>, expect: &str) {
        let mut out = Vec::new();
        encode(answer, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn an_answer_tells_its_length_and_who_keeps_the_connection() {
        let date = "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
        let kind = "content-type: application/json\r\n";
        let length = "content-length: 2\r\n";
        check(&PLAIN, &std::format!("HTTP/1.1 200 OK\r\n{date}{kind}{length}\r\n{{}}"));
        check(
            &Answer { version_minor: 0, ..PLAIN },
            &std::format!(
                "HTTP/1.1 200 OK\r\n{date}connection: keep-alive\r\n{kind}{length}\r\n{{}}"
            ),
        );
        check(
            &Answer { keep_alive: false, without_body: true, headers: &[("a", b"b")], ..PLAIN },
            &std::format!(
                "HTTP/1.1 200 OK\r\n{date}connection: close\r\n{kind}{length}a: b\r\n\r\n"
            ),
        );
        check(
            &Answer { status: 204, content_type: "", body: b"", ..PLAIN },
            &std::format!("HTTP/1.1 204 No Content\r\n{date}\r\n"),
        );
    }

    #[test]
    fn every_status_of_a_code_has_a_text() {
        for row in status::ALL {
            assert_ne!(reason(row.http_status), "", "{}", row.http_status);
        }
    }
}

//! Reads a built-in page of a running server, as JSON, by HTTP of the plainest form.
//!
//! One GET a connection, on std's own sockets: the pages are asked once a second at most, and
//! whoever looks at a server in trouble wants as few parts in between as can be.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::failure::Failure;

/// Beyond what a page waits by itself: a server that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(15);
/// A page of a hundred thousand rows; more than that is not a page of ours.
const PAGE_BYTES_MAX: u64 = 64 << 20;

/// Fetches a page; `target` is its path and query.
pub(crate) fn fetch(address: &str, target: &str) -> Result<Value, Failure> {
    let answer = get(address, target).map_err(|error| {
        Failure::failed(format!(
            "no page from {address}: {error}\n  likely cause: no server of msec listens there, or \
             its pages are at another address (admin)"
        ))
    })?;
    let (status, body) = parse(&answer).ok_or_else(|| {
        Failure::failed(format!(
            "{address} does not speak HTTP: no server of msec, or one with TLS"
        ))
    })?;
    match status {
        200 => serde_json::from_slice(body)
            .map_err(|error| Failure::failed(format!("{address}{target} is no JSON: {error}"))),
        403 => Err(Failure::failed(format!(
            "{address} shows this page to its own machine only: run this there, or open its pages"
        ))),
        404 => Err(Failure::failed(format!("{address} has no such page: an older version?"))),
        other => Err(Failure::failed(format!("{address} answered {other} to {target}"))),
    }
}

/// The whole answer, head and body.
fn get(address: &str, target: &str) -> io::Result<Vec<u8>> {
    let (mut stream, host): (Box<dyn ReadWrite>, _) = match address.strip_prefix("unix:") {
        Some(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            (Box::new(stream), "localhost")
        }
        None => {
            let mut addresses = address.to_socket_addrs()?;
            let first = addresses.next().ok_or(io::ErrorKind::NotFound)?;
            let stream = TcpStream::connect_timeout(&first, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            (Box::new(stream), address)
        }
    };
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(PAGE_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// The status and the body of an answer that ends with its connection.
fn parse(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
    Some((status, &answer[end + 4..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_status_and_a_body_or_none_at_all() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\na: b\r\n\r\n{}"), Some((200, &b"{}"[..])));
        for bad in [&b""[..], b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 x\r\n\r\n"] {
            assert_eq!(parse(bad), None);
        }
    }
}

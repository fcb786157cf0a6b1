//! A client of HTTP on a raw socket, which sends any bytes and reads answers strictly; and `curl`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use msec_protocol::Code;

use crate::PATIENCE;
use crate::peer::End;

/// The method that [`mirror`] describes: a raw one, which answers with its request.
pub const MIRROR: &str = "test.Mirror.Same";

/// The descriptor set of [`MIRROR`].
pub fn mirror() -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/schema");
    let mut compiler = protox::Compiler::new([folder]).unwrap();
    compiler.include_imports(true).open_file("mirror.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

/// An answer of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl HttpAnswer {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("`{}` is no JSON: {error}", self.body))
    }

    /// The code that the body tells, in either form.
    #[track_caller]
    pub fn code(&self) -> Code {
        let json = self.json();
        let code = json.get("code").or_else(|| json.get("ret")).and_then(|code| code.as_i64());
        Code(code.expect("an answer tells a code") as i32)
    }

    /// Whether the server keeps the connection.
    pub fn keeps(&self) -> bool {
        self.header("connection") != Some("close")
    }
}

/// A request with a body and its length; `more` are further header lines, each with its end.
pub fn post(target: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: h\r\n{more}Content-Length: {length}\r\n\r\n{body}")
}

/// The target of a method in the modern form.
pub fn target(method: &str) -> String {
    let (service, method) = method.rsplit_once('.').unwrap();
    format!("/{service}/{method}")
}

/// A stream to a server of HTTP.
#[derive(Debug)]
pub struct HttpPeer {
    stream: TcpStream,
    input: Vec<u8>,
    /// Lines of the log that were there before it.
    lines_before: usize,
}

impl HttpPeer {
    /// Connects to `ip:port`.
    #[track_caller]
    pub fn connect(address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let lines_before = crate::lines_count();
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, input: Vec::new(), lines_before }
    }

    /// The same connection once more, for another thread.
    pub fn again(&self) -> Self {
        let (stream, lines_before) = (self.stream.try_clone().unwrap(), self.lines_before);
        Self { stream, input: Vec::new(), lines_before }
    }

    /// Waits for what the log says of this connection first, and returns it.
    #[track_caller]
    pub fn wait_for_line(&self) -> crate::Line {
        let address = self.stream.local_addr().unwrap().to_string();
        crate::wait_for_line_after(self.lines_before, "connection", &address)
    }

    /// Sends any bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends as much as the server takes before it closes.
    pub fn send_until_refused(&mut self, bytes: impl AsRef<[u8]>) {
        // What cannot be sent any more was refused already.
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Ends our side.
    pub fn end(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Closes with a reset.
    pub fn reset(self) {
        let linger = Some(std::time::Duration::ZERO);
        socket2::SockRef::from(&self.stream).set_linger(linger).unwrap();
    }

    /// Calls a method in the modern form.
    #[track_caller]
    pub fn call(&mut self, method: &str, body: &str) -> HttpAnswer {
        self.send(post(&target(method), "", body));
        self.answer()
    }

    /// Asks for a page.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> HttpAnswer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"));
        self.answer()
    }

    /// The next answer to a request other than HEAD.
    #[track_caller]
    pub fn answer(&mut self) -> HttpAnswer {
        self.try_answer(true).expect("the connection was to answer, not to end")
    }

    /// The next answer to a HEAD.
    #[track_caller]
    pub fn answer_without_body(&mut self) -> HttpAnswer {
        self.try_answer(false).expect("the connection was to answer, not to end")
    }

    /// Waits for the end; panics if an answer comes instead.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> End {
        match self.try_answer(true) {
            Err(end) => end,
            Ok(answer) => panic!("the connection was to end, but answered {answer:?}"),
        }
    }

    #[track_caller]
    fn try_answer(&mut self, with_body: bool) -> Result<HttpAnswer, End> {
        let head_end = loop {
            let found = self.input.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            match found {
                Some(at) => break at + 4,
                None => self.receive()?,
            }
        };
        let head = String::from_utf8(self.input[..head_end].to_vec()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap().strip_prefix("HTTP/1.1 ").expect("a status line");
        let status: u16 = line.split(' ').next().unwrap().parse().unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a header");
            assert_eq!(name, name.to_ascii_lowercase());
            (name.to_string(), value.to_string())
        });
        let mut answer = HttpAnswer { status, headers: headers.collect(), body: String::new() };
        let length = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
        let body_bytes: usize = if with_body { length } else { 0 };
        while self.input.len() < head_end + body_bytes {
            self.receive()?;
        }
        let body = self.input[head_end..head_end + body_bytes].to_vec();
        answer.body = String::from_utf8_lossy(&body).into_owned();
        self.input.drain(..head_end + body_bytes);
        Ok(answer)
    }

    #[track_caller]
    fn receive(&mut self) -> Result<(), End> {
        let mut memory = [0; 64 * 1024];
        match self.stream.read(&mut memory) {
            Ok(0) => Err(End::Fin),
            Ok(count) => {
                self.input.extend_from_slice(&memory[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) => panic!("waited in vain for an answer or the end: {error}"),
        }
    }
}

/// Runs `curl` with these arguments and returns what it writes; `input` is its standard input.
#[track_caller]
pub fn curl(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "15", "--noproxy", "*"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl is installed by `make deps-test`");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "curl {arguments:?} failed: {:?}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

//! Asks a server that speaks the protocol of Redis:
//! `raw_protocol --to 127.0.0.1:6379 SET color blue`
//!
//! The engine does not know that protocol. It sends the bytes it is given, collects what comes, and
//! asks a function whether the answer is whole. Connecting, keeping connections alive, deadlines
//! and cancellation are the engine's; the calling coroutine parks as it does in any other call.
//!
//! ```text
//!   SET color blue ──► *3\r\n$3\r\nSET\r\n$5\r\ncolor\r\n$4\r\nblue\r\n
//!               OK ◄── +OK\r\n
//! ```
//!
//! See <https://redis.io/docs/latest/develop/reference/protocol-spec/> for the protocol.

use std::time::Duration;

use msec::raw::{self, Length};
use msec::{Config, Engine};

/// Answers may hold arrays in arrays; a peer that nests deeper is not understood.
const DEPTH_MAX: usize = 8;

/// A command as an array of strings.
fn encode(words: &[String]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    out
}

/// An answer.
enum Value {
    Text(String),
    Error(String),
    Nothing,
    Array(Vec<Value>),
}

/// The answer at the beginning of `bytes` and its length, or why there is none.
fn parse(bytes: &[u8], depth: usize) -> Result<(Value, usize), Length> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").ok_or(Length::More)?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| Length::Bad)?;
    let (kind, rest) = line.split_at_checked(1).ok_or(Length::Bad)?;
    let line_bytes = end + 2;
    let count = || rest.parse::<usize>().map_err(|_| Length::Bad);
    match kind {
        "+" | ":" => Ok((Value::Text(rest.to_owned()), line_bytes)),
        "-" => Ok((Value::Error(rest.to_owned()), line_bytes)),
        "$" | "*" if rest == "-1" => Ok((Value::Nothing, line_bytes)),
        "$" => {
            let text = line_bytes..line_bytes.checked_add(count()?).ok_or(Length::Bad)?;
            let total = text.end.checked_add(2).ok_or(Length::Bad)?;
            if bytes.len() < total {
                return Err(Length::More);
            }
            let text = String::from_utf8_lossy(&bytes[text]).into_owned();
            Ok((Value::Text(text), total))
        }
        "*" if depth < DEPTH_MAX => {
            let mut total = line_bytes;
            let mut values = Vec::new();
            // The peer chose the count, so memory grows with what has come, not with what it says.
            for _ in 0..count()? {
                let (value, value_bytes) = parse(&bytes[total..], depth + 1)?;
                values.push(value);
                total += value_bytes;
            }
            Ok((Value::Array(values), total))
        }
        _ => Err(Length::Bad),
    }
}

/// What the engine asks with every packet. It may read from the start each time: answers are short.
fn length(bytes: &[u8]) -> Length {
    match parse(bytes, 0) {
        Ok((_, bytes)) => Length::Whole(bytes),
        Err(length) => length,
    }
}

/// Prints an answer, an item a line.
fn show(value: &Value) {
    match value {
        Value::Text(text) => println!("{text}"),
        Value::Error(text) => println!("(error) {text}"),
        Value::Nothing => println!("(nil)"),
        Value::Array(values) => values.iter().for_each(show),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut to = "127.0.0.1:6379".to_owned();
    let mut words = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(word) = arguments.next() {
        match word.as_str() {
            "--to" => to = arguments.next().ok_or("--to wants an address")?,
            _ => words.push(word),
        }
    }
    if words.is_empty() {
        words.push("PING".to_owned());
    }
    let engine = Engine::with(Config::from_env()?.cores(1))?;
    // Raw calls suspend, so they are made on a coroutine; a handler would call the same way.
    let request = encode(&words);
    let answer = engine.run(move || raw::call(&to, &request, length, Duration::from_secs(1)))??;
    let (value, _) = parse(&answer, 0).map_err(|_| "the answer changed")?;
    show(&value);
    match value {
        Value::Error(_) => Err("the server refused the command".into()),
        Value::Text(_) | Value::Nothing | Value::Array(_) => Ok(()),
    }
}

//! What `call` and `press` ask for: a method, a body, and how its answer is read.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};

use msec::{CallOptions, Client, Config, Engine};
use prost_reflect::MessageDescriptor;

use crate::failure::Failure;
use crate::flags::Arguments;
use crate::schema::{self, Schema};

/// A method, and the bytes to send to it.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) body: Vec<u8>,
    pub(crate) answer: Form,
}

/// How bodies are written for people.
pub(crate) enum Form {
    Json(MessageDescriptor),
    Hex,
    Raw,
}

impl Request {
    /// From the operands and flags; `None` where they name neither a schema nor a form.
    pub(crate) fn of(arguments: &Arguments, method: &str) -> Result<Option<Self>, Failure> {
        if !method.contains('.') {
            let text = format!("`{method}` is no method: write package.Service.Method");
            return Err(arguments.usage(&text));
        }
        let schema = Schema::of(arguments)?;
        let forms = [schema.is_some(), arguments.has("hex"), arguments.has("raw")];
        if forms.iter().filter(|given| **given).count() > 1 {
            return Err(arguments.usage(&"a schema, --hex or --raw: one of them is enough"));
        }
        let read = || read(arguments.operand(2), "MESSAGE");
        let (body, answer) = if let Some(schema) = schema {
            let found = schema.method(method)?;
            let (json, source) = read()?;
            (schema::encode(found.input(), &json, &source)?, Form::Json(found.output()))
        } else if arguments.has("hex") {
            let (text, source) = read()?;
            (from_hex(&text, &source)?, Form::Hex)
        } else if arguments.has("raw") {
            (read()?.0, Form::Raw)
        } else {
            return Ok(None);
        };
        Ok(Some(Self { method: method.to_owned(), body, answer }))
    }
}

/// The messages that `--data` says: JSON, one after another.
pub(crate) fn messages(
    arguments: &Arguments,
    method: &str,
    data: &OsStr,
) -> Result<Vec<Vec<u8>>, Failure> {
    let Some(schema) = Schema::of(arguments)? else {
        return Err(arguments.usage(&"--data is JSON: it needs --proto or --descriptors"));
    };
    let found = schema.method(method)?;
    let (json, source) = read(Some(data), "--data")?;
    let bodies = schema::encode_all(&found.input(), &json, &source)?;
    match bodies.is_empty() {
        true => Err(Failure::usage(format!("{source} has no message in it"))),
        false => Ok(bodies),
    }
}

impl Form {
    /// An answer's body, ready to be printed.
    pub(crate) fn write(&self, body: &[u8]) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Json(message) => schema::decode(message.clone(), body).map(String::into_bytes),
            Self::Hex => Ok((to_hex(body) + "\n").into_bytes()),
            Self::Raw => Ok(body.to_vec()),
        }
    }
}

/// What an operand or value of that name stands for, and what to call it: `-` is standard input,
/// `@` a file.
fn read(operand: Option<&OsStr>, name: &str) -> Result<(Vec<u8>, String), Failure> {
    let Some(operand) = operand else { return Ok((Vec::new(), String::new())) };
    let bytes = operand.as_encoded_bytes();
    let (result, source) = match bytes {
        b"-" => {
            let mut bytes = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut bytes);
            (read.map(|_| bytes), "standard input".to_owned())
        }
        [b'@', ..] => {
            let name = operand.to_string_lossy()[1..].to_owned();
            (fs::read(&name), name)
        }
        _ => (Ok(bytes.to_vec()), name.to_owned()),
    };
    match result {
        Ok(bytes) => Ok((bytes, source)),
        Err(error) => Err(Failure::usage(format!("cannot read {source}: {error}"))),
    }
}

/// Pairs of digits; white space between them does not count.
fn from_hex(text: &[u8], source: &str) -> Result<Vec<u8>, Failure> {
    let mut digits = Vec::new();
    for (index, letter) in text.iter().enumerate().filter(|(_, l)| !l.is_ascii_whitespace()) {
        match char::from(*letter).to_digit(16) {
            Some(digit) => digits.push(digit as u8),
            None => {
                let text =
                    format!("{source} is not hex: `{}` at {}", char::from(*letter), index + 1);
                return Err(Failure::usage(text));
            }
        }
    }
    if digits.len() % 2 != 0 {
        return Err(Failure::usage(format!("{source} is not hex: it ends in half a byte")));
    }
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The options of the flags that both commands have.
pub(crate) fn options(arguments: &Arguments) -> Result<CallOptions, Failure> {
    let mut options = CallOptions::new().dyed(arguments.has("dye")).from_service("msec");
    for header in arguments.texts("header")? {
        let Some((key, value)) = header.split_once('=') else {
            return Err(arguments.usage(&format!("--header `{header}`: write KEY=VALUE")));
        };
        options = options
            .header(key, value.as_bytes())
            .map_err(|error| Failure::usage(error.to_string()))?;
    }
    Ok(options)
}

/// An engine to call on, and a client of the first operand.
pub(crate) fn client(arguments: &Arguments, config: Config) -> Result<(Engine, Client), Failure> {
    let address = arguments.operand_text(0)?;
    let engine = Engine::with(config)?;
    if let Some(file) = arguments.text("routes")? {
        engine
            .load_routes(file)
            .map_err(|error| Failure::usage(format!("--routes {file}: {}", error.message())))?;
    }
    let client = Client::new(&engine, address).map_err(|error| {
        Failure::usage(format!(
            "{}\n  an address is ip:port, ip:port@udp or unix:/path",
            error.message()
        ))
    })?;
    Ok((engine, client))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways_and_says_where_it_is_wrong() {
        assert_eq!(from_hex(b"0a 05\nFf", "x"), Ok(vec![10, 5, 255]));
        assert_eq!(to_hex(&[10, 5, 255]), "0a05ff");
        let refused = |text: &[u8]| format!("{:?}", from_hex(text, "x").err());
        assert!(refused(b"0a0g").contains("x is not hex: `g` at 4"));
        assert!(refused(b"0a0").contains("half a byte"));
    }
}

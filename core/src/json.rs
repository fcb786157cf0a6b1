//! Messages as JSON: the two mappings, over descriptors.
//!
//! | | [`Mapping::Proto3`], of `POST /pkg.Svc/Method` | [`Mapping::Original`], of `?methodName=` |
//! |---|---|---|
//! | field names written | lowerCamelCase | as in the .proto file |
//! | 64-bit numbers written | as strings | as numbers |
//! | enums written | by name | by number |
//! | bytes | base64 | base64 |
//! | fields at their default | left out | left out |
//!
//! Both read the same: either field name, numbers as numbers or strings, enums as names or numbers,
//! `null` as absent. A field that the message does not have is an error, as both mappings ask: a
//! misspelt name must not be a default value. Nothing at all is an empty message.
//!
//! Text is checked for depth before it is parsed ([`DEPTH_MAX`]): parsing recurses on the stack of
//! a coroutine, which is small.

use msec_protocol::Code;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions,
};

use crate::error::{Error, Result};

/// Objects and lists within each other at most. A level takes most of a kilobyte of stack, and
/// stacks may be as small as 64 KiB.
const DEPTH_MAX: usize = 32;

/// Which JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mapping {
    /// That of Protocol Buffers.
    Proto3,
    /// That of the original engine.
    Original,
}

/// The messages of one method.
pub(crate) struct Messages {
    request: MessageDescriptor,
    response: MessageDescriptor,
}

impl Messages {
    pub(crate) fn of(method: &MethodDescriptor) -> Self {
        Self { request: method.input(), response: method.output() }
    }

    /// Appends a request, serialized, that came as JSON.
    pub(crate) fn read(&self, json: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if json.trim_ascii().is_empty() {
            return Ok(());
        }
        if depth(json) > DEPTH_MAX {
            let text = format!("the request nests deeper than {DEPTH_MAX} levels");
            return Err(Error::new(Code::INVALID_BODY, text));
        }
        let mut parser = serde_json::Deserializer::from_slice(json);
        let options = DeserializeOptions::new();
        let message = self.request.clone();
        DynamicMessage::deserialize_with_options(message, &mut parser, &options)
            .and_then(|message| parser.end().map(|()| message))
            .map(|message| {
                prost::Message::encode(&message, out).expect("a vector has room for it");
            })
            .map_err(|error| {
                let name = self.request.full_name();
                Error::new(Code::INVALID_BODY, format!("not a {name} in JSON: {error}"))
            })
    }

    /// Appends a response, which is serialized, as JSON.
    pub(crate) fn write(&self, mapping: Mapping, message: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let bad = |error: &dyn std::fmt::Display| {
            let name = self.response.full_name();
            Error::new(Code::SERVICE_FAILED, format!("the answer is not a {name}: {error}"))
        };
        let decoded =
            DynamicMessage::decode(self.response.clone(), message).map_err(|error| bad(&error))?;
        let options = match mapping {
            Mapping::Proto3 => SerializeOptions::new(),
            Mapping::Original => SerializeOptions::new()
                .stringify_64_bit_integers(false)
                .use_enum_numbers(true)
                .use_proto_field_name(true),
        };
        let mut writer = serde_json::Serializer::new(out);
        decoded.serialize_with_options(&mut writer, &options).map_err(|error| bad(&error))
    }
}

/// How deep objects and lists lie within each other; brackets within strings do not count.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

//! Schemas: from a method's name to its messages, and from JSON to bytes and back.

use std::path::Path;

use msec_codegen::Build;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};

use crate::failure::Failure;
use crate::flags::{Arguments, nearest};

/// Names that are offered in place of an unknown one.
const OFFERED_COUNT_MAX: usize = 8;

/// The services and messages that the command line names.
pub(crate) struct Schema {
    pool: DescriptorPool,
    source: String,
}

impl Schema {
    /// From `--proto` or `--descriptors`; `None` if neither is given.
    pub(crate) fn of(arguments: &Arguments) -> Result<Option<Self>, Failure> {
        match (arguments.value("proto"), arguments.value("descriptors")) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                Err(arguments.usage(&"--proto and --descriptors: one of them is enough"))
            }
            (Some(file), None) => {
                Self::compile(file.as_ref(), &arguments.texts("include")?).map(Some)
            }
            (None, Some(file)) => Self::read(file.as_ref()).map(Some),
        }
    }

    fn compile(file: &Path, includes: &[&str]) -> Result<Self, Failure> {
        let source = file.display().to_string();
        if !file.exists() {
            return Err(Failure::usage(format!("--proto {source}: there is no such file")));
        }
        let mut build = Build::new();
        build.proto(file);
        for folder in includes {
            build.include(folder);
        }
        let set = build
            .descriptors()
            .map_err(|error| Failure::usage(format!("--proto {source}: {error}")))?;
        let pool = DescriptorPool::from_file_descriptor_set(set)
            .map_err(|error| Failure::usage(format!("--proto {source}: {error}")))?;
        Ok(Self { pool, source })
    }

    fn read(file: &Path) -> Result<Self, Failure> {
        let source = file.display().to_string();
        let bad = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("--descriptors {source}: {error}"))
        };
        let bytes = std::fs::read(file).map_err(|error| bad(&error))?;
        let pool = DescriptorPool::decode(&*bytes)
            .map_err(|error| bad(&format!("not a FileDescriptorSet: {error}")))?;
        Ok(Self { pool, source })
    }

    /// The method of that full name.
    pub(crate) fn method(&self, name: &str) -> Result<MethodDescriptor, Failure> {
        let services: Vec<_> = self.pool.services().collect();
        let mut methods = services.iter().flat_map(|service| service.methods());
        let Some(method) = methods.find(|method| method.full_name() == name) else {
            return Err(self.unknown(name));
        };
        if method.is_client_streaming() || method.is_server_streaming() {
            let text = format!("{name} streams; a call is one message for one");
            return Err(Failure::usage(text));
        }
        Ok(method)
    }

    /// Names the methods that there are, the likeliest first.
    fn unknown(&self, name: &str) -> Failure {
        let services: Vec<_> = self.pool.services().collect();
        let methods = services.iter().flat_map(|service| service.methods());
        let known = nearest(name, methods.map(|method| method.full_name().to_owned()));
        let mut text = format!("{} has no method `{name}`", self.source);
        if known.is_empty() {
            text.push_str(", and no other either: it declares no service");
        } else {
            text.push_str("; it has");
        }
        for name in known.iter().take(OFFERED_COUNT_MAX) {
            text.push_str("\n  ");
            text.push_str(name);
        }
        if known.len() > OFFERED_COUNT_MAX {
            text.push_str(&format!("\n  and {} more", known.len() - OFFERED_COUNT_MAX));
        }
        Failure::usage(text)
    }
}

/// The bytes of a message out of JSON that came from `source`; nothing means an empty message.
pub(crate) fn encode(
    message: MessageDescriptor,
    json: &[u8],
    source: &str,
) -> Result<Vec<u8>, Failure> {
    if json.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    let name = message.full_name().to_owned();
    let mut parser = serde_json::Deserializer::from_slice(json);
    let parsed = DynamicMessage::deserialize(message, &mut parser)
        .and_then(|parsed| parser.end().map(|()| parsed));
    match parsed {
        Ok(parsed) => Ok(parsed.encode_to_vec()),
        Err(error) => Err(Failure::usage(format!("{source} is not a {name} in JSON: {error}"))),
    }
}

/// The bytes of each of several messages, which stand one after another.
pub(crate) fn encode_all(
    message: &MessageDescriptor,
    json: &[u8],
    source: &str,
) -> Result<Vec<Vec<u8>>, Failure> {
    let mut parser = serde_json::Deserializer::from_slice(json);
    let mut bodies = Vec::new();
    while parser.end().is_err() {
        let parsed = DynamicMessage::deserialize(message.clone(), &mut parser);
        let parsed = parsed.map_err(|error| {
            let (name, number) = (message.full_name(), bodies.len() + 1);
            let text = format!("message {number} of {source} is not a {name} in JSON: {error}");
            Failure::usage(text)
        })?;
        bodies.push(parsed.encode_to_vec());
    }
    Ok(bodies)
}

/// A message as JSON of several lines.
pub(crate) fn decode(message: MessageDescriptor, bytes: &[u8]) -> Result<String, Failure> {
    let name = message.full_name().to_owned();
    let decoded = DynamicMessage::decode(message, bytes).map_err(|error| {
        Failure::failed(format!(
            "the answer is no {name}: {error}\n  likely cause: the server has another version of \
             the schema; --raw shows the bytes"
        ))
    })?;
    serde_json::to_string_pretty(&decoded)
        .map(|text| text + "\n")
        .map_err(|error| Failure::failed(format!("the answer cannot be written as JSON: {error}")))
}

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
//! either alphabet of base64, `null` as absent. A field that the message does not have, or that is
//! there twice, is an error: a misspelt name must not be a default value. Nothing at all is an
//! empty message.
//!
//! ```text
//!   JSON ─ read, one pass ─► message, serialized ─ the method ─► the same ─ write ─► JSON
//!            └───────────────────── schema ───────────────────────────────────┘
//! ```
//!
//! No message is built as an object in between, which would take twenty times the memory of the
//! text and deep recursion. `fuzz/` compares the result with prost-reflect, which does build it.
//! Times, field masks and wrapped scalars, which have forms of their own and are short, are left
//! to prost-reflect.
//!
//! Both directions recurse on the stack of a coroutine, so depth is bounded (`DEPTH_MAX`).

mod read;
mod schema;
mod text;
mod write;

use std::sync::Arc;

use msec_protocol::Code;
use prost_reflect::MethodDescriptor;

pub(crate) use schema::Schema;

use crate::error::{Error, Result};

/// Messages within each other at most. Protocol Buffers allow 100; a level takes a few hundred
/// bytes of stack here, and a stack may be as small as 64 KiB.
const DEPTH_MAX: usize = 48;

/// Which JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mapping {
    /// That of Protocol Buffers.
    Proto3,
    /// That of the original engine.
    Original,
}

/// The messages of one method.
pub struct Messages {
    schema: Arc<Schema>,
    request: u32,
    response: u32,
}

impl Messages {
    /// Of a method whose messages the schema describes.
    pub(crate) fn of(method: &MethodDescriptor, schema: &Arc<Schema>) -> Option<Self> {
        Some(Self {
            request: schema.find(method.input().full_name())?,
            response: schema.find(method.output().full_name())?,
            schema: schema.clone(),
        })
    }

    /// Appends a request, serialized, that came as JSON; -5 if it is none.
    pub fn read(&self, json: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let bad = |what: String| {
            let name = self.schema.name(self.request);
            Error::new(Code::INVALID_BODY, format!("no {name} in JSON: {what}"))
        };
        let text = std::str::from_utf8(json).map_err(|error| bad(error.to_string()))?;
        if text.trim_ascii().is_empty() {
            return Ok(());
        }
        read::read(&self.schema, self.request, text, out).map_err(|error| {
            let before = &json[..error.at.min(json.len())];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
            bad(format!("{} at line {line} column {column}", error.what))
        })
    }

    /// Appends a response, which is serialized, as JSON; -18 if it is not the message.
    pub fn write(&self, mapping: Mapping, message: &[u8], out: &mut Vec<u8>) -> Result<()> {
        write::write((&self.schema, self.response), mapping, message, out).map_err(|what| {
            let name = self.schema.name(self.response);
            Error::new(Code::SERVICE_FAILED, format!("the answer is no {name} in JSON: {what}"))
        })
    }
}

/// The messages of a method of a serialized descriptor set.
pub fn messages(set: &[u8], method: &str) -> Result<Option<Messages>> {
    let mut descriptors = crate::descriptors::Descriptors::default();
    descriptors.add(set.to_vec());
    Ok(descriptors.finish()?.messages(method))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror() -> Messages {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schema");
        let mut compiler = protox::Compiler::new([folder]).unwrap();
        compiler.include_imports(true).open_file("mirror.proto").unwrap();
        messages(&compiler.encode_file_descriptor_set(), "test.Mirror.Same").unwrap().unwrap()
    }

    /// What a message in JSON is when it comes back in both mappings.
    #[track_caller]
    fn check(json: &str, proto3: &str, original: &str) {
        let (messages, mut bytes) = (mirror(), Vec::new());
        messages.read(json.as_bytes(), &mut bytes).unwrap();
        for (mapping, expect) in [(Mapping::Proto3, proto3), (Mapping::Original, original)] {
            let mut text = Vec::new();
            messages.write(mapping, &bytes, &mut text).unwrap();
            assert_eq!(String::from_utf8(text).unwrap(), expect, "{mapping:?} of {json}");
        }
    }

    #[track_caller]
    fn check_bad(json: &str, part: &str) {
        let error = mirror().read(json.as_bytes(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), Code::INVALID_BODY);
        assert!(error.message().contains(part), "`{}` has no `{part}`", error.message());
    }

    #[test]
    fn numbers_of_64_bits_are_strings_in_one_mapping_and_numbers_in_the_other() {
        check(
            r#"{"bigNumber":"-9223372036854775808","huge":18446744073709551615}"#,
            r#"{"bigNumber":"-9223372036854775808","huge":"18446744073709551615"}"#,
            r#"{"big_number":-9223372036854775808,"huge":18446744073709551615}"#,
        );
    }

    #[test]
    fn enums_are_read_by_name_or_number_and_written_as_the_mapping_says() {
        check(r#"{"colour":"RED"}"#, r#"{"colour":"RED"}"#, r#"{"colour":1}"#);
        check(r#"{"colour":-2}"#, r#"{"colour":"BLUE"}"#, r#"{"colour":-2}"#);
        check(r#"{"colour":77}"#, r#"{"colour":77}"#, r#"{"colour":77}"#);
    }

    #[test]
    fn either_name_of_a_field_is_read() {
        check(r#"{"big_number":5}"#, r#"{"bigNumber":"5"}"#, r#"{"big_number":5}"#);
    }

    #[test]
    fn bytes_are_base64_and_texts_are_escaped() {
        let json = r#"{"raw":"/+8=","text":"é\"\\\n\u0001€"}"#;
        check(json, json, json);
        check(r#"{"raw":"_-8"}"#, r#"{"raw":"/+8="}"#, r#"{"raw":"/+8="}"#);
    }

    #[test]
    fn lists_tables_and_messages_nest() {
        let proto3 = r#"{"list":[1,-2],"table":{"a":"1"},"nested":{"nested":{"list":[3]}}}"#;
        let original = r#"{"list":[1,-2],"table":{"a":1},"nested":{"nested":{"list":[3]}}}"#;
        check(proto3, proto3, original);
    }

    #[test]
    fn well_known_types_have_their_own_forms() {
        let json = concat!(
            r#"{"at":"2026-11-22T21:45:56.500Z","extra":{"a":[1.0,"x",true,null,{"b":{}}]},"#,
            r#""value":"any","any":{"@type":"type.googleapis.com/test.Every","small":7},"#,
            r#""lasts":"1.500s","mask":"a,bC","empty":{},"values":[]}"#
        );
        check(json, json, json);
        check(
            r#"{"boxed":"5","value":null}"#,
            r#"{"value":null,"boxed":"5"}"#,
            r#"{"value":null,"boxed":5}"#,
        );
        check_bad(r#"{"at":"yesterday"}"#, "at line 1 column");
        check_bad(r#"{"any":{"@type":"x/test.Nothing"}}"#, "not found");
    }

    #[test]
    fn null_and_nothing_are_absent_and_absence_is_kept_where_it_means_something() {
        check("", "{}", "{}");
        check(" {} ", "{}", "{}");
        check(r#"{"text":null,"nested":null,"list":null,"maybe":null}"#, "{}", "{}");
        check(r#"{"maybe":false,"text":""}"#, r#"{"maybe":false}"#, r#"{"maybe":false}"#);
    }

    #[test]
    fn what_is_no_such_message_is_refused_with_its_place() {
        check_bad(r#"{"tex":"x"}"#, "tex");
        check_bad(r#"{"text":5}"#, "line 1 column");
        check_bad("{\"text\":\"x\"}\n more", "something follows the message at line 2 column 2");
        check_bad(r#"{"text":"x""#, "expected `}` at line 1 column 12");
        check_bad(r#"{"text":"x","text":"y"}"#, "twice");
        check_bad(r#"{"left":1,"right":"2"}"#, "twice");
        check_bad(r#"{"text":"\ud800"}"#, "surrogate");
        check_bad("{\"text\":\"\n\"}", "control");
        check_bad(r#"{"colour":"GREEN"}"#, "GREEN");
        check_bad(r#"{"list":[1.5]}"#, "line 1");
        check_bad(r#"{"raw":"?"}"#, "line 1");
        check_bad(r#"{"small":-1}"#, "line 1");
        check_bad("[]", "expected `{`");
    }

    #[test]
    fn depth_is_bounded_and_brackets_in_texts_do_not_count() {
        let nested = |depth: usize| {
            format!("{}{{}}{}", "{\"nested\":".repeat(depth - 1), "}".repeat(depth - 1))
        };
        let (messages, mut bytes) = (mirror(), Vec::new());
        messages.read(nested(DEPTH_MAX).as_bytes(), &mut bytes).unwrap();
        messages.write(Mapping::Proto3, &bytes, &mut Vec::new()).unwrap();
        check_bad(&nested(DEPTH_MAX + 1), "deeper");
        check_bad(&"{\"nested\":".repeat(100_000), "deeper");
        let text = format!(r#"{{"text":"\"{}"}}"#, "[".repeat(100));
        check(&text, &text, &text);
    }
}

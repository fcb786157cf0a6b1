//! JSON: what the engine reads and writes without building messages, compared with prost-reflect,
//! which builds them.

use std::sync::OnceLock;

use msec::json::{Mapping, Messages, messages};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;

struct Schema {
    ours: Messages,
    theirs: MessageDescriptor,
}

/// A message with fields of every kind.
fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/schema");
        let mut compiler = protox::Compiler::new([folder]).expect("the folder is there");
        compiler.include_imports(true).open_file("mirror.proto").expect("it compiles");
        let set = compiler.encode_file_descriptor_set();
        let ours = messages(&set, "test.Mirror.Same").expect("a set").expect("a method");
        let pool = DescriptorPool::decode(&*set).expect("a set");
        let theirs = pool.get_message_by_name("test.Every").expect("a message");
        Schema { ours, theirs }
    })
}

fn decoded(bytes: &[u8]) -> Option<DynamicMessage> {
    DynamicMessage::decode(schema().theirs.clone(), bytes).ok()
}

/// As prost-reflect writes it; not numbers are texts there, so that this can be compared.
fn as_value(message: &DynamicMessage, mapping: Mapping) -> Option<Value> {
    let options = match mapping {
        Mapping::Proto3 => SerializeOptions::new(),
        Mapping::Original => SerializeOptions::new()
            .stringify_64_bit_integers(false)
            .use_enum_numbers(true)
            .use_proto_field_name(true),
    };
    let mut text = Vec::new();
    let mut writer = serde_json::Serializer::new(&mut text);
    message.serialize_with_options(&mut writer, &options).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Reads a text as a message.
pub fn json_read(input: &[u8]) {
    let mut bytes = Vec::new();
    let ours = schema().ours.read(input, &mut bytes);
    let mut parser = serde_json::Deserializer::from_slice(input);
    let theirs = DynamicMessage::deserialize(schema().theirs.clone(), &mut parser)
        .and_then(|message| parser.end().map(|()| message));
    match (ours, theirs) {
        (Ok(()), Ok(theirs)) => {
            let ours = decoded(&bytes).expect("what was read is a message");
            let proto3 = Mapping::Proto3;
            assert_eq!(as_value(&ours, proto3), as_value(&theirs, proto3));
        }
        (Ok(()), Err(error)) => {
            assert!(input.trim_ascii().is_empty(), "we read what they refuse: {error}");
        }
        (Err(error), Ok(theirs)) => {
            let stricter = ["twice", "deeper"].iter().any(|why| error.message().contains(why));
            // What is just beyond the range becomes the greatest number there.
            let text = as_value(&theirs, Mapping::Proto3).map(|value| value.to_string());
            let saturated = ["18446744073709551615", "9223372036854775807"];
            let saturated = text.is_some_and(|text| saturated.iter().any(|n| text.contains(n)));
            assert!(stricter || saturated, "we refuse what they read: {error}");
        }
        (Err(_), Err(_)) => {}
    }
}

/// Writes bytes as a message.
pub fn json_write(input: &[u8]) {
    for mapping in [Mapping::Proto3, Mapping::Original] {
        let mut text = Vec::new();
        let ours = schema().ours.write(mapping, input, &mut text);
        let theirs = decoded(input).and_then(|message| as_value(&message, mapping));
        match (ours, theirs) {
            (Ok(()), Some(theirs)) => {
                let ours: Value = serde_json::from_slice(&text).expect("what is written is JSON");
                assert_eq!(ours, theirs);
            }
            (Ok(()), None) => {
                serde_json::from_slice::<Value>(&text).expect("what is written is JSON");
            }
            (Err(error), Some(theirs)) => {
                // They do not look at how an entry of a map is encoded.
                let stricter = ["group", "too deep", "another type"]
                    .iter()
                    .any(|why| error.message().contains(why));
                assert!(stricter, "we do not write what they do: {error}, {theirs}");
            }
            (Err(_), None) => {}
        }
    }
}

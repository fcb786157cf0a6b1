//! From a message to JSON, straight from its bytes: the fields are found and put into the order of
//! their numbers, then written; nothing is built in between.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde::Serialize;

use super::schema::{
    Field, Kind, Message, Repeat, Scalar, Schema, Shape, WIRE_32, WIRE_64, WIRE_BYTES, WIRE_VARINT,
};
use super::{DEPTH_MAX, Mapping};

type Written = Result<(), &'static str>;

const MALFORMED: &str = "its bytes are malformed";

/// Appends the message of that type that the bytes are.
pub(super) fn write(
    (schema, message): (&Schema, u32),
    mapping: Mapping,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Written {
    Writer { schema, mapping, found: Vec::new(), depth: 0 }.message(message, bytes, out)
}

/// A field that was found in a message's bytes.
#[derive(Clone, Copy)]
struct Found {
    /// Its index in the message.
    field: u32,
    wire: u32,
    /// Its content, without key and length.
    start: u32,
    end: u32,
}

struct Writer<'a> {
    schema: &'a Schema,
    mapping: Mapping,
    /// The fields of the messages that are written, the innermost last.
    found: Vec<Found>,
    depth: usize,
}

impl<'a> Writer<'a> {
    fn message(&mut self, index: u32, bytes: &[u8], out: &mut Vec<u8>) -> Written {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("it nests too deep");
        }
        let schema = self.schema;
        let message = &schema.messages[index as usize];
        match message.shape {
            Shape::Object => {
                out.push(b'{');
                self.fields(message, bytes, out)?;
                close(b'}', out);
            }
            Shape::Any => self.any(message, bytes, out)?,
            Shape::Special => self.special(message, bytes, out)?,
            Shape::Struct | Shape::List | Shape::Value => self.bare(message, bytes, out)?,
        }
        self.depth -= 1;
        Ok(())
    }

    /// Writes fields as members of an object, each with a comma behind it.
    fn fields(&mut self, message: &'a Message, bytes: &[u8], out: &mut Vec<u8>) -> Written {
        let start = self.found.len();
        self.find(message, bytes)?;
        let mut at = start;
        while at < self.found.len() {
            let next = self.next_group(at);
            let field = &message.fields[self.found[at].field as usize];
            let before = out.len();
            let key = match self.mapping {
                Mapping::Proto3 => &field.camel_key,
                Mapping::Original => &field.proto_key,
            };
            out.extend_from_slice(key.as_bytes());
            if self.field(field, bytes, at..next, out)? {
                out.push(b',');
            } else {
                out.truncate(before);
            }
            at = next;
        }
        self.found.truncate(start);
        Ok(())
    }

    /// Where the fields with the same index as that at `at` end.
    fn next_group(&self, at: usize) -> usize {
        let same = self.found[at..].iter().take_while(|one| one.field == self.found[at].field);
        at + same.count()
    }

    /// Notes the fields of a message, by number; of a choice only the last that was made.
    fn find(&mut self, message: &Message, bytes: &[u8]) -> Written {
        let first = self.found.len();
        let (mut at, mut guess, mut has_choice) = (0, 0, false);
        while at < bytes.len() {
            let (key, value_at) = varint(bytes, at)?;
            let (number, wire) = ((key >> 3) as u32, (key & 7) as u32);
            let (start, end) = extent(bytes, value_at, number, wire)?;
            at = end;
            let Some(index) = message.with_number(number, guess) else { continue };
            // The next one is mostly the same or the one behind it.
            let field = &message.fields[index];
            guess = index + usize::from(field.repeat == Repeat::One);
            let packed = field.repeat == Repeat::List && wire == WIRE_BYTES;
            if wire != field.kind.wire() && !packed {
                return Err("a field is encoded as another type");
            }
            has_choice |= field.choice.is_some();
            let (start, end) = (start as u32, end as u32);
            self.found.push(Found { field: index as u32, wire, start, end });
        }
        let found = &mut self.found[first..];
        if has_choice {
            let mut last: BTreeMap<u32, u32> = BTreeMap::new();
            let choice = |one: &Found| message.fields[one.field as usize].choice;
            for one in &*found {
                if let Some(choice) = choice(one) {
                    last.insert(choice, one.field);
                }
            }
            let all = self.found.split_off(first);
            let holds = |one: &Found| choice(one).is_none_or(|choice| last[&choice] == one.field);
            self.found.extend(all.into_iter().filter(holds));
        }
        let found = &mut self.found[first..];
        if !found.is_sorted_by_key(|one| one.field) {
            found.sort_by_key(|one| one.field);
        }
        Ok(())
    }

    /// Writes a field, of which there are those of `self.found` in `range`; false if it is at its
    /// default, and that is not known from its absence.
    fn field(
        &mut self,
        field: &Field,
        bytes: &[u8],
        range: std::ops::Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<bool, &'static str> {
        match field.repeat {
            Repeat::One => return self.one(field, bytes, range, out),
            Repeat::Map => self.map(field, bytes, range, out)?,
            Repeat::List => {
                let before = out.len();
                out.push(b'[');
                for at in range {
                    self.elements(field.kind, bytes, self.found[at], out)?;
                }
                close(b']', out);
                // An empty packed list is no list.
                return Ok(out.len() > before + 2);
            }
        }
        Ok(true)
    }

    fn one(
        &mut self,
        field: &Field,
        bytes: &[u8],
        range: std::ops::Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<bool, &'static str> {
        let last = self.found[range.end - 1];
        let content = &bytes[last.start as usize..last.end as usize];
        if let Kind::Message(index) = field.kind {
            if range.len() == 1 {
                self.message(index, content, out)?;
            } else {
                // Messages that are there twice are one, joined.
                let all = self.found[range].iter();
                let parts = all.map(|one| &bytes[one.start as usize..one.end as usize]);
                let joined: Vec<u8> = parts.flatten().copied().collect();
                self.message(index, &joined, out)?;
            }
            return Ok(true);
        }
        let is_default = match field.kind {
            Kind::Scalar(scalar) => scalar.is_default(bits(scalar.wire(), content)?),
            Kind::Text | Kind::Bytes | Kind::Message(_) | Kind::Group => content.is_empty(),
        };
        if is_default && !field.presence {
            return Ok(false);
        }
        self.value(field.kind, content, out)?;
        Ok(true)
    }

    /// Writes the elements of a list that one field holds, each with a comma behind it.
    fn elements(&mut self, kind: Kind, bytes: &[u8], found: Found, out: &mut Vec<u8>) -> Written {
        let content = &bytes[found.start as usize..found.end as usize];
        if kind.wire() == found.wire {
            self.value(kind, content, out)?;
            out.push(b',');
            return Ok(());
        }
        let mut at = 0;
        while at < content.len() {
            let (start, end) = extent(content, at, 1, kind.wire())?;
            self.value(kind, &content[start..end], out)?;
            out.push(b',');
            at = end;
        }
        Ok(())
    }

    fn map(
        &mut self,
        field: &Field,
        bytes: &[u8],
        range: std::ops::Range<usize>,
        out: &mut Vec<u8>,
    ) -> Written {
        let Kind::Message(entry) = field.kind else { return Err(MALFORMED) };
        let schema = self.schema;
        let entry = &schema.messages[entry as usize];
        let [_, value] = &entry.fields[..] else { return Err(MALFORMED) };
        // Of entries with the same key the last counts.
        let mut all: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for at in range {
            let found = self.found[at];
            let content = &bytes[found.start as usize..found.end as usize];
            let (key, value) = self.entry(entry, content)?;
            all.insert(key, value);
        }
        out.push(b'{');
        for (key, content) in all {
            put_text(&key, out);
            out.push(b':');
            self.value(value.kind, &content, out)?;
            out.push(b',');
        }
        close(b'}', out);
        Ok(())
    }

    /// The key of an entry as text, and the content of its value.
    fn entry(&mut self, entry: &Message, bytes: &[u8]) -> Result<(String, Vec<u8>), &'static str> {
        let first = self.found.len();
        self.find(entry, bytes)?;
        let (mut key, mut value) = (None, Vec::new());
        for found in &self.found[first..] {
            let content = &bytes[found.start as usize..found.end as usize];
            let kind = entry.fields[found.field as usize].kind;
            if found.field == 0 {
                key = Some(content);
            } else if let Kind::Message(_) = kind {
                value.extend_from_slice(content);
            } else {
                value = content.to_vec();
            }
        }
        self.found.truncate(first);
        let [key_field, value_field] = &entry.fields[..] else { return Err(MALFORMED) };
        if value.is_empty() {
            // What is absent is at its default.
            value.resize(
                match value_field.kind.wire() {
                    WIRE_64 => 8,
                    WIRE_32 => 4,
                    WIRE_VARINT => 1,
                    _ => 0,
                },
                0,
            );
        }
        let key = match (key_field.kind, key) {
            (Kind::Text, key) => utf8(key.unwrap_or_default())?.to_string(),
            (Kind::Scalar(Scalar::Bool), None) => "false".into(),
            (_, None) => "0".into(),
            (kind, Some(content)) => {
                let mut text = Vec::new();
                let mapping = std::mem::replace(&mut self.mapping, Mapping::Original);
                let written = self.value(kind, content, &mut text);
                self.mapping = mapping;
                written?;
                String::from_utf8(text).map_err(|_| MALFORMED)?
            }
        };
        Ok((key, value))
    }

    fn value(&mut self, kind: Kind, content: &[u8], out: &mut Vec<u8>) -> Written {
        match kind {
            Kind::Message(index) => return self.message(index, content, out),
            Kind::Scalar(scalar) => self.scalar(scalar, bits(scalar.wire(), content)?, out),
            Kind::Text => put_text(utf8(content)?, out),
            Kind::Bytes => put_base64(content, out),
            Kind::Group => return Err("a group has no JSON"),
        }
        Ok(())
    }

    /// Writes a number, truth or enum.
    fn scalar(&self, scalar: Scalar, bits: u64, out: &mut Vec<u8>) {
        match scalar {
            Scalar::Bool => out.extend_from_slice(if bits == 0 { b"false" } else { b"true" }),
            Scalar::Null => out.extend_from_slice(b"null"),
            Scalar::Int32 | Scalar::Sfixed32 => put(&(bits as i32), out),
            Scalar::Uint32 | Scalar::Fixed32 => put(&(bits as u32), out),
            Scalar::Sint32 => put(&(unzigzag(u64::from(bits as u32)) as i32), out),
            Scalar::Int64 | Scalar::Sfixed64 => self.put_64(&(bits as i64), out),
            Scalar::Uint64 | Scalar::Fixed64 => self.put_64(&bits, out),
            Scalar::Sint64 => self.put_64(&unzigzag(bits), out),
            Scalar::Double => match f64::from_bits(bits) {
                float if float.is_finite() => put(&float, out),
                float => put_infinite(float, out),
            },
            Scalar::Float => match f32::from_bits(bits as u32) {
                float if float.is_finite() => put(&float, out),
                float => put_infinite(float.into(), out),
            },
            Scalar::Enum(index) => {
                let number = bits as i32;
                let known = self.schema.enums[index as usize].get_value(number);
                match known {
                    Some(value) if self.mapping == Mapping::Proto3 => put_text(value.name(), out),
                    Some(_) | None => put(&number, out),
                }
            }
        }
    }

    fn put_64(&self, number: &impl Serialize, out: &mut Vec<u8>) {
        match self.mapping {
            Mapping::Original => put(number, out),
            Mapping::Proto3 => {
                out.push(b'"');
                put(number, out);
                out.push(b'"');
            }
        }
    }

    /// A struct, list or value: what its field holds, without the field's name.
    fn bare(&mut self, message: &'a Message, bytes: &[u8], out: &mut Vec<u8>) -> Written {
        let first = self.found.len();
        self.find(message, bytes)?;
        match self.found.get(first).map(|one| one.field) {
            Some(index) => {
                let field = &message.fields[index as usize];
                let next = self.next_group(first);
                let before = out.len();
                if !self.field(field, bytes, first..next, out)? && out.len() == before {
                    out.extend_from_slice(b"null");
                }
            }
            None if message.shape == Shape::Struct => out.extend_from_slice(b"{}"),
            None if message.shape == Shape::List => out.extend_from_slice(b"[]"),
            None => out.extend_from_slice(b"null"),
        }
        self.found.truncate(first);
        Ok(())
    }

    /// A message of a type that it names itself.
    fn any(&mut self, message: &'a Message, bytes: &[u8], out: &mut Vec<u8>) -> Written {
        let first = self.found.len();
        self.find(message, bytes)?;
        let (mut url, mut content): (&[u8], &[u8]) = (b"", b"");
        for found in &self.found[first..] {
            let part = &bytes[found.start as usize..found.end as usize];
            if found.field == 0 {
                url = part;
            } else {
                content = part;
            }
        }
        self.found.truncate(first);
        let url = utf8(url)?;
        let name = url.rsplit('/').next().unwrap_or_default();
        let schema = self.schema;
        let index = schema.find(name).ok_or("it holds a message of an unknown type")?;
        let inner = &schema.messages[index as usize];
        out.extend_from_slice(b"{\"@type\":");
        put_text(url, out);
        out.push(b',');
        if inner.shape == Shape::Object {
            self.fields(inner, content, out)?;
        } else {
            out.extend_from_slice(b"\"value\":");
            self.message(index, content, out)?;
        }
        close(b'}', out);
        Ok(())
    }

    /// What has a form of its own: flat, and short.
    fn special(&mut self, message: &Message, bytes: &[u8], out: &mut Vec<u8>) -> Written {
        let decoded =
            DynamicMessage::decode(message.descriptor.clone(), bytes).map_err(|_| MALFORMED)?;
        let options = match self.mapping {
            Mapping::Proto3 => SerializeOptions::new(),
            Mapping::Original => SerializeOptions::new().stringify_64_bit_integers(false),
        };
        let written =
            decoded.serialize_with_options(&mut serde_json::Serializer::new(out), &options);
        written.map_err(|_| "a time or a field mask is out of its range")
    }
}

/// Ends a list or an object, whose last element may have a comma behind it.
fn close(bracket: u8, out: &mut Vec<u8>) {
    match out.last_mut() {
        Some(last) if *last == b',' => *last = bracket,
        Some(_) | None => out.push(bracket),
    }
}

/// Where the content of a field lies, and so where the next one begins.
fn extent(bytes: &[u8], at: usize, number: u32, wire: u32) -> Result<(usize, usize), &'static str> {
    let (start, length) = match wire {
        WIRE_VARINT => (at, varint(bytes, at)?.1 - at),
        WIRE_64 => (at, 8),
        WIRE_32 => (at, 4),
        WIRE_BYTES => {
            let (length, start) = varint(bytes, at)?;
            (start, usize::try_from(length).map_err(|_| MALFORMED)?)
        }
        3 | 4 => return Err("a group has no JSON"),
        _ => return Err(MALFORMED),
    };
    if number == 0 || length > bytes.len().saturating_sub(start) {
        return Err(MALFORMED);
    }
    Ok((start, start + length))
}

/// A number of up to 64 bits, and where it ends.
fn varint(bytes: &[u8], at: usize) -> Result<(u64, usize), &'static str> {
    let mut number = 0;
    for (index, byte) in bytes.get(at..).unwrap_or_default().iter().take(10).enumerate() {
        if index == 9 && *byte > 1 {
            break;
        }
        number |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return Ok((number, at + index + 1));
        }
    }
    Err(MALFORMED)
}

fn utf8(content: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(content).map_err(|_| "a text is not UTF-8")
}

/// The bits of a number.
fn bits(wire: u32, content: &[u8]) -> Result<u64, &'static str> {
    match wire {
        WIRE_64 => content.try_into().map(u64::from_le_bytes).map_err(|_| MALFORMED),
        WIRE_32 => content.try_into().map(u32::from_le_bytes).map(u64::from).map_err(|_| MALFORMED),
        _ => varint(content, 0).map(|(number, _)| number),
    }
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn put(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a vector takes every number");
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a vector takes every text");
}

fn put_infinite(float: f64, out: &mut Vec<u8>) {
    let name = match float {
        f64::INFINITY => "\"Infinity\"",
        f64::NEG_INFINITY => "\"-Infinity\"",
        _ => "\"NaN\"",
    };
    out.extend_from_slice(name.as_bytes());
}

fn put_base64(content: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + content.len().div_ceil(3) * 4, 0);
    let written = BASE64_STANDARD.encode_slice(content, &mut out[start..]);
    out.truncate(start + written.expect("there is room for it"));
    out.push(b'"');
}

//! From JSON to a message, in one pass: each field is appended to the serialized message as it is
//! read, and nothing is built in between.
//!
//! The length of a message within a message is not known before its end: one byte is left for it,
//! and what follows is moved up where that is too little.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage};

use super::DEPTH_MAX;
use super::schema::{
    Field, Kind, Message, Repeat, Scalar, Schema, Shape, WIRE_32, WIRE_64, WIRE_BYTES,
};
use super::text::{Bad, Number, Read, Text};

/// Levels within a value that is not read here.
const SPECIAL_DEPTH_MAX: usize = 4;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Appends the message of that type that the text is.
pub(super) fn read(schema: &Schema, message: u32, text: &str, out: &mut Vec<u8>) -> Read<()> {
    let mut reader = Reader { schema, text: Text::new(text), seen: Vec::new(), depth: 0 };
    reader.message(message, out)?;
    if reader.text.is_over() { Ok(()) } else { reader.text.bad("something follows the message") }
}

struct Reader<'a> {
    schema: &'a Schema,
    text: Text<'a>,
    /// The bits of the messages that are read, the innermost last.
    seen: Vec<u64>,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// Appends the content of a message.
    fn message(&mut self, index: u32, out: &mut Vec<u8>) -> Read<()> {
        self.enter()?;
        let schema = self.schema;
        let message = &schema.messages[index as usize];
        match message.shape {
            Shape::Object => self.object(message, out)?,
            Shape::Struct => self.members(message, out)?,
            Shape::List => self.elements(message, out)?,
            Shape::Value => self.any_value(message, out)?,
            Shape::Any | Shape::Special => self.special(message, out)?,
        }
        self.depth -= 1;
        Ok(())
    }

    fn enter(&mut self) -> Read<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.text.bad(format!("nests deeper than {DEPTH_MAX} levels"));
        }
        Ok(())
    }

    fn object(&mut self, message: &'a Message, out: &mut Vec<u8>) -> Read<()> {
        self.text.expect(b'{')?;
        if self.text.eat(b'}') {
            return Ok(());
        }
        let seen_start = self.seen.len();
        self.seen.resize(seen_start + message.bits_count.div_ceil(64), 0);
        loop {
            let at = self.text.at;
            let name = self.text.string()?;
            self.text.expect(b':')?;
            let Some(index) = message.find(&name) else {
                return Err(Bad { at, what: format!("there is no field `{name}`").into() });
            };
            let field = &message.fields[index];
            if !self.is_absent(field) {
                let bits = std::iter::once(index as u32).chain(field.choice);
                for bit in bits {
                    let word = &mut self.seen[seen_start + bit as usize / 64];
                    let mask = 1 << (bit % 64);
                    if *word & mask != 0 {
                        let what = format!("field `{name}`, or its choice, is there twice");
                        return Err(Bad { at, what: what.into() });
                    }
                    *word |= mask;
                }
                self.field(field, out)?;
            }
            if !self.text.eat(b',') {
                break;
            }
        }
        self.seen.truncate(seen_start);
        self.text.expect(b'}')
    }

    /// Takes a `null` that means that the field is not there.
    fn is_absent(&mut self, field: &Field) -> bool {
        let is_value = match field.kind {
            Kind::Scalar(scalar) => scalar == Scalar::Null,
            Kind::Message(index) => self.schema.messages[index as usize].shape == Shape::Value,
            Kind::Text | Kind::Bytes | Kind::Group => false,
        };
        let means_something = is_value && field.repeat == Repeat::One;
        !means_something && self.text.eat_word("null")
    }

    fn field(&mut self, field: &Field, out: &mut Vec<u8>) -> Read<()> {
        match field.repeat {
            Repeat::One => self.one(field.kind, (field.number, field.presence), out),
            Repeat::List => self.list(field, out),
            Repeat::Map => self.map(field, out),
        }
    }

    fn list(&mut self, field: &Field, out: &mut Vec<u8>) -> Read<()> {
        self.text.expect(b'[')?;
        if self.text.eat(b']') {
            return Ok(());
        }
        let packed = field.packed.then(|| begin(field.number, out));
        loop {
            match (packed, field.kind) {
                (Some(_), Kind::Scalar(scalar)) => {
                    let bits = self.bits(scalar)?;
                    put_bits(scalar, bits, out);
                }
                (_, kind) => self.one(kind, (field.number, true), out)?,
            }
            if !self.text.eat(b',') {
                break;
            }
        }
        if let Some(start) = packed {
            end(start, out);
        }
        self.text.expect(b']')
    }

    fn map(&mut self, field: &Field, out: &mut Vec<u8>) -> Read<()> {
        let Kind::Message(entry) = field.kind else { return self.text.bad("not a table") };
        let schema = self.schema;
        let [key, value] = &schema.messages[entry as usize].fields[..] else {
            return self.text.bad("not a table");
        };
        self.text.expect(b'{')?;
        if self.text.eat(b'}') {
            return Ok(());
        }
        loop {
            let start = begin(field.number, out);
            let name = self.text.string()?;
            self.key(key, &name, out)?;
            self.text.expect(b':')?;
            self.one(value.kind, (value.number, true), out)?;
            end(start, out);
            if !self.text.eat(b',') {
                break;
            }
        }
        self.text.expect(b'}')
    }

    fn key(&mut self, key: &Field, name: &str, out: &mut Vec<u8>) -> Read<()> {
        if key.kind == Kind::Text {
            put_bytes(key.number, name.as_bytes(), out);
            return Ok(());
        }
        let bits = match key.kind {
            Kind::Scalar(Scalar::Bool) => name.parse::<bool>().ok().map(u64::from),
            Kind::Scalar(scalar) => parsed(scalar, name),
            Kind::Text | Kind::Bytes | Kind::Message(_) | Kind::Group => None,
        };
        let (Some(bits), Kind::Scalar(scalar)) = (bits, key.kind) else {
            return self.text.bad("a key is not of its type");
        };
        put_key(key.number, scalar.wire(), out);
        put_bits(scalar, bits, out);
        Ok(())
    }

    /// Appends one value with its key. Without presence a default value is left out.
    fn one(&mut self, kind: Kind, (number, presence): (u32, bool), out: &mut Vec<u8>) -> Read<()> {
        match kind {
            Kind::Message(index) => {
                let start = begin(number, out);
                self.message(index, out)?;
                end(start, out);
            }
            Kind::Text => {
                let text = self.text.string()?;
                if presence || !text.is_empty() {
                    put_bytes(number, text.as_bytes(), out);
                }
            }
            Kind::Bytes => {
                let text = self.text.string()?;
                let Some(bytes) = base64(&text) else { return self.text.bad("not base64") };
                if presence || !bytes.is_empty() {
                    put_bytes(number, &bytes, out);
                }
            }
            Kind::Group => return self.text.bad("a group has no JSON"),
            Kind::Scalar(scalar) => {
                let bits = self.bits(scalar)?;
                if presence || !scalar.is_default(bits) {
                    put_key(number, scalar.wire(), out);
                    put_bits(scalar, bits, out);
                }
            }
        }
        Ok(())
    }

    /// A number, truth or enum, as its bits on the wire.
    fn bits(&mut self, scalar: Scalar) -> Read<u64> {
        let is_text = self.text.peek() == b'"';
        if scalar == Scalar::Bool || scalar == Scalar::Null {
            return self.word(scalar);
        }
        let bits = if !is_text {
            let number = self.text.number()?;
            fitted(scalar, number)
        } else if let Scalar::Enum(index) = scalar {
            let name = self.text.string()?;
            let known = self.schema.enums[index as usize].get_value_by_name(&name);
            let Some(value) = known else {
                return self.text.bad(format!("there is no value `{name}`"));
            };
            Some(i64::from(value.number()) as u64)
        } else {
            let text = self.text.string()?;
            parsed(scalar, &text)
        };
        bits.map_or_else(|| self.text.bad("a number is not of its type"), Ok)
    }

    fn word(&mut self, scalar: Scalar) -> Read<u64> {
        if scalar == Scalar::Null {
            let is_null = self.text.eat_word("null") || self.text.eat_word("\"NULL_VALUE\"");
            return if is_null { Ok(0) } else { self.text.bad("expected null") };
        }
        if self.text.eat_word("true") {
            return Ok(1);
        }
        if self.text.eat_word("false") { Ok(0) } else { self.text.bad("expected true or false") }
    }

    /// `google.protobuf.Struct`.
    fn members(&mut self, message: &'a Message, out: &mut Vec<u8>) -> Read<()> {
        match &message.fields[..] {
            [fields] => self.map(fields, out),
            _ => self.text.bad("not a struct"),
        }
    }

    /// `google.protobuf.ListValue`.
    fn elements(&mut self, message: &'a Message, out: &mut Vec<u8>) -> Read<()> {
        match &message.fields[..] {
            [values] => self.list(values, out),
            _ => self.text.bad("not a list"),
        }
    }

    /// `google.protobuf.Value`, whose fields are null, number, text, truth, struct and list.
    fn any_value(&mut self, message: &'a Message, out: &mut Vec<u8>) -> Read<()> {
        let index = match self.text.peek() {
            b'n' => 0,
            b'"' => 2,
            b't' | b'f' => 3,
            b'{' => 4,
            b'[' => 5,
            _ => 1,
        };
        let Some(field) = message.fields.get(index) else { return self.text.bad("not a value") };
        self.one(field.kind, (field.number, true), out)
    }

    /// What has a form of its own, and is short.
    fn special(&mut self, message: &Message, out: &mut Vec<u8>) -> Read<()> {
        let at = self.text.at;
        let (text, depth) = self.text.value()?;
        if depth > SPECIAL_DEPTH_MAX {
            return self.text.bad(format!("nests deeper than {SPECIAL_DEPTH_MAX} levels"));
        }
        let mut parser = serde_json::Deserializer::from_str(text);
        let (kind, options) = (message.descriptor.clone(), DeserializeOptions::new());
        let parsed = DynamicMessage::deserialize_with_options(kind, &mut parser, &options)
            .and_then(|parsed| parser.end().map(|()| parsed));
        match parsed {
            Ok(parsed) => {
                parsed.encode(out).expect("a vector has room for it");
                Ok(())
            }
            Err(error) => Err(Bad { at, what: Cow::Owned(error.to_string()) }),
        }
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    // Both alphabets are read, but not mixed.
    BASE64.decode(text).or_else(|_| BASE64_URL.decode(text)).ok()
}

/// The bits of a number that is written as a string.
fn parsed(scalar: Scalar, text: &str) -> Option<u64> {
    match scalar {
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => {
            text.parse::<i32>().ok().map(|number| signed(scalar, number.into()))
        }
        Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => {
            text.parse::<i64>().ok().map(|number| signed(scalar, number))
        }
        Scalar::Uint32 | Scalar::Fixed32 => text.parse::<u32>().ok().map(u64::from),
        Scalar::Uint64 | Scalar::Fixed64 => text.parse().ok(),
        Scalar::Float => text.parse::<f32>().ok().map(|number| number.to_bits().into()),
        Scalar::Double => text.parse::<f64>().ok().map(f64::to_bits),
        Scalar::Bool | Scalar::Enum(_) | Scalar::Null => None,
    }
}

/// The bits of a number, if it is within the range of its type.
fn fitted(scalar: Scalar, number: Number) -> Option<u64> {
    let whole = match number {
        Number::Unsigned(number) => Some(i128::from(number)),
        Number::Negative(number) => Some(i128::from(number)),
        Number::Float(number) => {
            (number.fract() == 0.0 && number.abs() < 1e30).then_some(number as i128)
        }
    };
    match scalar {
        Scalar::Enum(_) if matches!(number, Number::Float(_)) => None,
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 | Scalar::Enum(_) => {
            i32::try_from(whole?).ok().map(|number| signed(scalar, number.into()))
        }
        Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => {
            i64::try_from(whole?).ok().map(|number| signed(scalar, number))
        }
        Scalar::Uint32 | Scalar::Fixed32 => u32::try_from(whole?).ok().map(u64::from),
        Scalar::Uint64 | Scalar::Fixed64 => u64::try_from(whole?).ok(),
        Scalar::Float => {
            let float = match number {
                Number::Unsigned(number) => number as f32,
                Number::Negative(number) => number as f32,
                Number::Float(number) => number as f32,
            };
            float.is_finite().then_some(float.to_bits().into())
        }
        Scalar::Double => Some(match number {
            Number::Unsigned(number) => (number as f64).to_bits(),
            Number::Negative(number) => (number as f64).to_bits(),
            Number::Float(number) => number.to_bits(),
        }),
        Scalar::Bool | Scalar::Null => None,
    }
}

fn signed(scalar: Scalar, number: i64) -> u64 {
    let zigzag = matches!(scalar, Scalar::Sint32 | Scalar::Sint64);
    if zigzag { (number << 1 ^ number >> 63) as u64 } else { number as u64 }
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_key(number: u32, wire: u32, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | u64::from(wire), out);
}

fn put_bits(scalar: Scalar, bits: u64, out: &mut Vec<u8>) {
    match scalar.wire() {
        WIRE_64 => out.extend_from_slice(&bits.to_le_bytes()),
        WIRE_32 => out.extend_from_slice(&(bits as u32).to_le_bytes()),
        _ => put_varint(bits, out),
    }
}

fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_key(number, WIRE_BYTES, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Begins a field whose length is not known yet; where that belongs.
fn begin(number: u32, out: &mut Vec<u8>) -> usize {
    put_key(number, WIRE_BYTES, out);
    out.push(0);
    out.len() - 1
}

/// Ends the field whose length belongs to `start`.
fn end(start: usize, out: &mut Vec<u8>) {
    let mut length = out.len() - start - 1;
    if length < 0x80 {
        out[start] = length as u8;
        return;
    }
    let bytes = (usize::BITS - length.leading_zeros()).div_ceil(7) as usize;
    let content = start + 1..out.len();
    out.resize(out.len() + bytes - 1, 0);
    out.copy_within(content, start + bytes);
    for byte in &mut out[start..start + bytes] {
        let more = if length >= 0x80 { 0x80 } else { 0 };
        *byte = length as u8 & 0x7f | more;
        length >>= 7;
    }
}

//! What messages look like, in the form in which reading and writing want to know it: fields by
//! name and by number, keys already written, types of fields as indexes.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, MessageDescriptor};

/// All messages of one descriptor set.
pub(crate) struct Schema {
    pub(super) messages: Vec<Message>,
    pub(super) enums: Vec<EnumDescriptor>,
    names: HashMap<String, u32>,
}

/// One type of message.
pub(super) struct Message {
    pub(super) descriptor: MessageDescriptor,
    pub(super) shape: Shape,
    /// By number, ascending.
    pub(super) fields: Vec<Field>,
    /// Indexes of fields, by both names of each.
    names: HashMap<String, u32>,
    /// Bits to note which fields and which choices were seen.
    pub(super) bits_count: usize,
}

/// What the message is in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object of its fields.
    Object,
    /// `google.protobuf.Struct`: any object.
    Struct,
    /// `google.protobuf.Value`: any value.
    Value,
    /// `google.protobuf.ListValue`: any list.
    List,
    /// `google.protobuf.Any`: a message with its type.
    Any,
    /// Times, field masks and wrapped scalars, which have a form of their own.
    Special,
}

/// How often a field may be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    One,
    List,
    Map,
}

/// One field.
pub(super) struct Field {
    pub(super) number: u32,
    /// Its name as a key of JSON, with quotes and colon: in lowerCamelCase, and as in the file.
    pub(super) camel_key: Box<str>,
    pub(super) proto_key: Box<str>,
    pub(super) kind: Kind,
    pub(super) repeat: Repeat,
    pub(super) packed: bool,
    /// Whether it is there is known also at its default value.
    pub(super) presence: bool,
    /// The bit of the choice (oneof) that it belongs to.
    pub(super) choice: Option<u32>,
}

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Scalar(Scalar),
    Text,
    Bytes,
    Message(u32),
    /// A message in the old encoding by groups: it has no JSON here.
    Group,
}

/// What is a number on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scalar {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    Enum(u32),
    /// `google.protobuf.NullValue`.
    Null,
}

pub(super) const WIRE_VARINT: u32 = 0;
pub(super) const WIRE_64: u32 = 1;
pub(super) const WIRE_BYTES: u32 = 2;
pub(super) const WIRE_32: u32 = 5;

impl Kind {
    /// How a single one is encoded.
    pub(super) fn wire(self) -> u32 {
        match self {
            Kind::Scalar(scalar) => scalar.wire(),
            Kind::Text | Kind::Bytes | Kind::Message(_) | Kind::Group => WIRE_BYTES,
        }
    }
}

impl Scalar {
    /// How a single one is encoded.
    pub(super) fn wire(self) -> u32 {
        match self {
            Scalar::Double | Scalar::Fixed64 | Scalar::Sfixed64 => WIRE_64,
            Scalar::Float | Scalar::Fixed32 | Scalar::Sfixed32 => WIRE_32,
            Scalar::Int32
            | Scalar::Int64
            | Scalar::Uint32
            | Scalar::Uint64
            | Scalar::Sint32
            | Scalar::Sint64
            | Scalar::Bool
            | Scalar::Enum(_)
            | Scalar::Null => WIRE_VARINT,
        }
    }

    /// Whether the bits are zero, as a number: minus zero is.
    pub(super) fn is_default(self, bits: u64) -> bool {
        match self.wire() {
            WIRE_64 if self == Scalar::Double => bits << 1 == 0,
            WIRE_32 if self == Scalar::Float => (bits as u32) << 1 == 0,
            _ => bits == 0,
        }
    }
}

impl Schema {
    pub(crate) fn of(pool: &DescriptorPool) -> Schema {
        let descriptors: Vec<_> = pool.all_messages().collect();
        let enums: Vec<_> = pool.all_enums().collect();
        let named = |names: Vec<&str>| -> HashMap<String, u32> {
            names.into_iter().zip(0..).map(|(name, index)| (name.into(), index)).collect()
        };
        let names = named(descriptors.iter().map(MessageDescriptor::full_name).collect());
        let enum_names = named(enums.iter().map(EnumDescriptor::full_name).collect());
        let kinds = Kinds { messages: &names, enums: &enum_names };
        let messages = descriptors.into_iter().map(|message| kinds.message(message)).collect();
        Schema { messages, enums, names }
    }

    /// The full name of a message.
    pub(super) fn name(&self, index: u32) -> &str {
        self.messages[index as usize].descriptor.full_name()
    }

    /// The index of the message with that full name.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }
}

impl Message {
    /// The index of the field with that name, in either spelling.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).map(|index| *index as usize)
    }

    /// The index of the field with that number; `guess` is tried first.
    pub(super) fn with_number(&self, number: u32, guess: usize) -> Option<usize> {
        if self.fields.get(guess).is_some_and(|field| field.number == number) {
            return Some(guess);
        }
        self.fields.binary_search_by_key(&number, |field| field.number).ok()
    }
}

/// The indexes of types, while fields are looked at.
struct Kinds<'a> {
    messages: &'a HashMap<String, u32>,
    enums: &'a HashMap<String, u32>,
}

impl Kinds<'_> {
    fn message(&self, descriptor: MessageDescriptor) -> Message {
        let choices: Vec<_> =
            descriptor.oneofs().map(|choice| choice.full_name().to_string()).collect();
        let mut all: Vec<_> = descriptor.fields().collect();
        all.sort_by_key(FieldDescriptor::number);
        let mut names = HashMap::new();
        for (field, index) in all.iter().zip(0..) {
            names.insert(field.json_name().to_string(), index);
        }
        for (field, index) in all.iter().zip(0..) {
            names.entry(field.name().to_string()).or_insert(index);
        }
        let fields_count = all.len();
        let field = |field: &FieldDescriptor| {
            let choice = field
                .containing_oneof()
                .and_then(|own| choices.iter().position(|name| name == own.full_name()));
            self.field(field, choice.map(|index| (fields_count + index) as u32))
        };
        Message {
            shape: shape(descriptor.full_name()),
            fields: all.iter().map(field).collect(),
            names,
            bits_count: fields_count + choices.len(),
            descriptor,
        }
    }

    fn field(&self, field: &FieldDescriptor, choice: Option<u32>) -> Field {
        let key = |name: &str| format!("\"{name}\":").into_boxed_str();
        Field {
            number: field.number(),
            camel_key: key(field.json_name()),
            proto_key: key(field.name()),
            kind: if field.is_group() { Kind::Group } else { self.kind(&field.kind()) },
            repeat: match (field.is_map(), field.is_list()) {
                (true, _) => Repeat::Map,
                (false, true) => Repeat::List,
                (false, false) => Repeat::One,
            },
            packed: field.is_packed(),
            presence: field.supports_presence(),
            choice,
        }
    }

    fn kind(&self, kind: &prost_reflect::Kind) -> Kind {
        match kind {
            prost_reflect::Kind::Double => Kind::Scalar(Scalar::Double),
            prost_reflect::Kind::Float => Kind::Scalar(Scalar::Float),
            prost_reflect::Kind::Int32 => Kind::Scalar(Scalar::Int32),
            prost_reflect::Kind::Int64 => Kind::Scalar(Scalar::Int64),
            prost_reflect::Kind::Uint32 => Kind::Scalar(Scalar::Uint32),
            prost_reflect::Kind::Uint64 => Kind::Scalar(Scalar::Uint64),
            prost_reflect::Kind::Sint32 => Kind::Scalar(Scalar::Sint32),
            prost_reflect::Kind::Sint64 => Kind::Scalar(Scalar::Sint64),
            prost_reflect::Kind::Fixed32 => Kind::Scalar(Scalar::Fixed32),
            prost_reflect::Kind::Fixed64 => Kind::Scalar(Scalar::Fixed64),
            prost_reflect::Kind::Sfixed32 => Kind::Scalar(Scalar::Sfixed32),
            prost_reflect::Kind::Sfixed64 => Kind::Scalar(Scalar::Sfixed64),
            prost_reflect::Kind::Bool => Kind::Scalar(Scalar::Bool),
            prost_reflect::Kind::String => Kind::Text,
            prost_reflect::Kind::Bytes => Kind::Bytes,
            prost_reflect::Kind::Message(message) => {
                Kind::Message(self.messages.get(message.full_name()).copied().unwrap_or_default())
            }
            prost_reflect::Kind::Enum(one) if one.full_name() == "google.protobuf.NullValue" => {
                Kind::Scalar(Scalar::Null)
            }
            prost_reflect::Kind::Enum(one) => {
                let index = self.enums.get(one.full_name()).copied().unwrap_or_default();
                Kind::Scalar(Scalar::Enum(index))
            }
        }
    }
}

fn shape(name: &str) -> Shape {
    match name.strip_prefix("google.protobuf.") {
        Some("Struct") => Shape::Struct,
        Some("Value") => Shape::Value,
        Some("ListValue") => Shape::List,
        Some("Any") => Shape::Any,
        Some(
            "Timestamp" | "Duration" | "FieldMask" | "BoolValue" | "BytesValue" | "DoubleValue"
            | "FloatValue" | "Int32Value" | "Int64Value" | "StringValue" | "UInt32Value"
            | "UInt64Value",
        ) => Shape::Special,
        Some(_) | None => Shape::Object,
    }
}

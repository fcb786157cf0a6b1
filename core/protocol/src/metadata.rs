//! User headers: a small list of (key, value) that travels with a request.
//!
//! In the head they are field 77, repeated, each a message {key=1 string, value=2 bytes}. They
//! are read rarely and passed on often, so they are held as they are on the wire: sending them is
//! one copy, receiving them is a walk over the head when somebody asks.
//!
//! Keys may repeat; order is kept. The bounds are in [`limits`](crate::limits): whoever adds one
//! too many is told, and a request that comes with too many is refused when it is admitted.
use crate::head;
use crate::limits::{METADATA_BYTES_MAX, METADATA_KEY_BYTES_MAX, METADATA_PAIRS_MAX};
use crate::serve::priority::{PRIORITY_KEY, Priority};
use crate::varint;
use alloc::vec::Vec;
use core::fmt;

/// User headers that can be added to and sent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Invariant: a sequence of whole fields 77, each well-formed.
    encoded: Vec<u8>,
    /// Fields in `encoded`.
    pairs: usize,
}

/// User headers are at their bound; nothing was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataFull;

impl fmt::Display for MetadataFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("user headers are at their bound")
    }
}

impl core::error::Error for MetadataFull {}

impl Metadata {
    /// None.
    pub const fn new() -> Metadata {
        Metadata { encoded: Vec::new(), pairs: 0 }
    }

    /// A copy of the headers of a request; `bytes` are those that `head` was decoded from. Its
    /// priority is not among them: calls inherit it.
    /// Fails where [`Head::metadata_excess`](head::Head::metadata_excess) is set.
    pub fn copied(head: &head::Head, bytes: &[u8]) -> Result<Metadata, MetadataFull> {
        let mut metadata = Metadata::new();
        for (key, value) in head.metadata(bytes).filter(|(key, _)| *key != PRIORITY_KEY) {
            metadata.add(key, value)?;
        }
        Ok(metadata)
    }

    /// Adds a header after the others.
    ///
    /// `key` is 1 to 128 bytes long ([`METADATA_KEY_BYTES_MAX`]), there are at most 64 headers
    /// ([`METADATA_PAIRS_MAX`]) of together at most 8 KiB ([`METADATA_BYTES_MAX`]).
    pub fn add(&mut self, key: &str, value: &[u8]) -> Result<(), MetadataFull> {
        let bytes = self.encoded.len() + pair_bytes(key, value);
        if !is_key(key) || self.pairs == METADATA_PAIRS_MAX || bytes > METADATA_BYTES_MAX {
            return Err(MetadataFull);
        }
        self.encoded.extend_from_slice(&head::METADATA_KEY);
        push_length(&mut self.encoded, content_bytes(key, value));
        self.encoded.push(PAIR_KEY);
        push_length(&mut self.encoded, key.len());
        self.encoded.extend_from_slice(key.as_bytes());
        self.encoded.push(PAIR_VALUE);
        push_length(&mut self.encoded, value.len());
        self.encoded.extend_from_slice(value);
        self.pairs += 1;
        Ok(())
    }

    /// The headers in order.
    pub fn iter(&self) -> Pairs<'_> {
        Pairs { bytes: &self.encoded, at: 0 }
    }

    /// The value of the first header with this key.
    pub fn find(&self, key: &str) -> Option<&[u8]> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pairs
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs == 0
    }

    /// The headers as they travel: what [`RequestHead::metadata`](crate::RequestHead) takes.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets; keys are not.
        f.debug_list().entries(self.iter().map(|(key, _)| key)).finish()
    }
}

/// The user headers in the bytes of a head, in order.
///
/// Comes from a head that was decoded from the same bytes, so all of them are well-formed. Given
/// other bytes it ends early or yields what they contain; it never panics.
#[derive(Clone, Debug)]
pub struct Pairs<'head> {
    bytes: &'head [u8],
    at: usize,
}

impl<'head> Pairs<'head> {
    pub(crate) fn within(bytes: &'head [u8]) -> Pairs<'head> {
        Pairs { bytes, at: 0 }
    }
}

impl<'head> Iterator for Pairs<'head> {
    type Item = (&'head str, &'head [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.bytes.len() {
            let field = head::field(self.bytes, self.at)?;
            self.at = field.end;
            if field.key == head::METADATA {
                return decode_pair(&self.bytes[field.start..field.end]);
            }
        }
        None
    }
}

/// What the user headers in the bytes of a head say to the engine.
pub(crate) struct Survey {
    /// They are such as could be added to a [`Metadata`].
    pub(crate) are_within_bounds: bool,
    pub(crate) priority: Priority,
}

/// Looks at the user headers in the bytes of a head; `None` if one of them cannot be read.
///
/// The header of the priority is the engine's, which adds it beside the user's: it does not count.
pub(crate) fn survey(bytes: &[u8], pairs_count: usize) -> Option<Survey> {
    let mut priority = Priority::Default;
    let mut pairs = 0;
    let mut pairs_of_user = 0;
    let mut pairs_bytes = 0;
    let mut are_keys = true;
    for (key, value) in Pairs::within(bytes) {
        pairs += 1;
        if key == PRIORITY_KEY {
            priority = Priority::from_value(value).unwrap_or(priority);
            continue;
        }
        pairs_of_user += 1;
        // As they would be passed on, which may be shorter than how they came.
        pairs_bytes += pair_bytes(key, value);
        are_keys &= is_key(key);
    }
    let are_within_bounds =
        are_keys && pairs_of_user <= METADATA_PAIRS_MAX && pairs_bytes <= METADATA_BYTES_MAX;
    (pairs == pairs_count).then_some(Survey { are_within_bounds, priority })
}

fn is_key(key: &str) -> bool {
    (1..=METADATA_KEY_BYTES_MAX).contains(&key.len())
}

const PAIR_KEY: u8 = 1 << 3 | 2;
const PAIR_VALUE: u8 = 2 << 3 | 2;

/// Unknown fields in a pair are skipped, the last of a repeated one counts, an absent one is
/// empty, as in any protobuf message.
fn decode_pair(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let mut key = "";
    let mut value: &[u8] = &[];
    let mut at = 0;
    while at < bytes.len() {
        let field = head::field(bytes, at)?;
        let content = &bytes[field.start..field.end];
        if field.key == u64::from(PAIR_KEY) {
            key = core::str::from_utf8(content).ok()?;
        } else if field.key == u64::from(PAIR_VALUE) {
            value = content;
        }
        at = field.end;
    }
    Some((key, value))
}

/// Bytes of a user header as a field of a head.
fn pair_bytes(key: &str, value: &[u8]) -> usize {
    let content = content_bytes(key, value);
    head::METADATA_KEY.len() + varint::bytes_count(content as u64) + content
}

fn content_bytes(key: &str, value: &[u8]) -> usize {
    field_bytes(key.len()) + field_bytes(value.len())
}

/// Bytes of a field with a one-byte key and `length` bytes of content.
fn field_bytes(length: usize) -> usize {
    1 + varint::bytes_count(length as u64) + length
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    let (word, count) = varint::encoded(length as u64);
    out.extend_from_slice(&word.to_le_bytes()[..count]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{RequestHead, decode_request, encode_request};
    use crate::limits::Limits;
    use std::format;
    use std::vec;

    fn collected(metadata: &Metadata) -> Vec<(&str, &[u8])> {
        metadata.iter().collect()
    }

    #[test]
    fn headers_keep_their_order_and_repeated_keys() {
        let mut metadata = Metadata::new();
        let pairs = [("b", &b"1"[..]), ("a", b""), ("b", b"\0\xff")];
        for (key, value) in pairs {
            metadata.add(key, value).unwrap();
        }
        assert_eq!(collected(&metadata), pairs);
        assert_eq!(metadata.find("b"), Some(&b"1"[..]));
        assert_eq!(metadata.find("c"), None);
        assert_eq!((metadata.len(), metadata.is_empty()), (3, false));
    }

    #[test]
    fn the_bounds_hold_and_nothing_is_added_beyond_them() {
        let mut metadata = Metadata::new();
        let long = "k".repeat(METADATA_KEY_BYTES_MAX + 1);
        assert_eq!(metadata.add("", b"v"), Err(MetadataFull));
        assert_eq!(metadata.add(&long, b"v"), Err(MetadataFull));
        assert_eq!(metadata.add(&long[1..], b"v"), Ok(()));
        assert_eq!(metadata.add("k", &vec![0; METADATA_BYTES_MAX]), Err(MetadataFull));
        for _ in 1..METADATA_PAIRS_MAX {
            metadata.add("k", b"v").unwrap();
        }
        let before = metadata.clone();
        assert_eq!(metadata.add("k", b"v"), Err(MetadataFull));
        assert_eq!(metadata, before);
    }

    #[test]
    fn the_bytes_bound_is_exact() {
        // 2 key + 2 length, then 1 + 1 + 1 for the key and 1 + 2 for the value.
        let value = vec![0; METADATA_BYTES_MAX - 10];
        let mut metadata = Metadata::new();
        assert_eq!(metadata.add("k", &[&value[..], b"x"].concat()), Err(MetadataFull));
        metadata.add("k", &value).unwrap();
        assert_eq!(metadata.encoded().len(), METADATA_BYTES_MAX);
        assert_eq!(metadata.find("k"), Some(&value[..]));
    }

    #[test]
    fn received_headers_are_excessive_exactly_where_they_could_not_be_passed_on() {
        let pairs = |count: usize, key: &str, value_bytes: usize| {
            let value = vec![7; value_bytes];
            let mut bytes = b"\x50\x01\x9a\x03\x01m\x88\x05\x01".to_vec();
            for _ in 0..count {
                bytes.extend_from_slice(&head::METADATA_KEY);
                push_length(&mut bytes, content_bytes(key, &value));
                bytes.push(PAIR_KEY);
                push_length(&mut bytes, key.len());
                bytes.extend_from_slice(key.as_bytes());
                bytes.push(PAIR_VALUE);
                push_length(&mut bytes, value.len());
                bytes.extend_from_slice(&value);
            }
            bytes
        };
        let longest = "k".repeat(METADATA_KEY_BYTES_MAX);
        let longer = "k".repeat(METADATA_KEY_BYTES_MAX + 1);
        for (bytes, excess) in [
            (pairs(METADATA_PAIRS_MAX, "k", 1), false),
            (pairs(METADATA_PAIRS_MAX + 1, "k", 1), true),
            (pairs(1, &longest, 1), false),
            (pairs(1, &longer, 1), true),
            (pairs(1, "", 1), true),
            (pairs(1, "k", METADATA_BYTES_MAX - 10), false),
            (pairs(1, "k", METADATA_BYTES_MAX - 9), true),
        ] {
            let head = decode_request(&bytes).unwrap();
            assert_eq!(head.metadata_excess, excess);
            assert_eq!(Metadata::copied(&head, &bytes).is_err(), excess);
        }
    }

    #[test]
    fn headers_are_found_among_the_other_fields_of_a_head() {
        let mut metadata = Metadata::new();
        metadata.add("first", b"1").unwrap();
        metadata.add("second", b"2").unwrap();
        let request = RequestHead {
            sequence: 9,
            method_name: b"m",
            span_id: 1,
            metadata: metadata.encoded(),
            auth: b"a",
            ..RequestHead::default()
        };
        let mut out = Vec::new();
        encode_request(&request, &Limits::DEFAULT, &mut out, |_| {}).unwrap();
        let bytes = &out[9..out.len() - 1];
        let head = decode_request(bytes).unwrap();
        assert_eq!(head.metadata(bytes).collect::<Vec<_>>(), collected(&metadata));
        assert_eq!(head.metadata_pairs, 2);
    }

    #[test]
    fn a_pair_is_read_as_any_protobuf_message() {
        let swapped = b"\x12\x01v\x18\x05\x0a\x01x\x0a\x01k";
        assert_eq!(decode_pair(swapped), Some(("k", &b"v"[..])));
        assert_eq!(decode_pair(b""), Some(("", &b""[..])));
    }

    #[test]
    fn values_are_not_shown_in_logs() {
        let mut metadata = Metadata::new();
        metadata.add("token", b"secret").unwrap();
        assert_eq!(format!("{metadata:?}"), r#"["token"]"#);
    }
}

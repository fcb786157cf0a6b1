//! Snapshots as bytes: `schema/report.proto`, message `msec.report.Snapshot`.
//!
//! The same numbers are always the same bytes. What is read comes from other processes, so nothing
//! of it is believed: numbers of buckets are checked, rows beyond the bound of a snapshot are
//! merged, and a row that comes twice counts twice, as its sender said.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::attribute::{Kind, Value};
use super::counters::Counters;
use super::histogram::Histogram;
use super::snapshot::{AttributeKey, CallKey, Origin, Role, Snapshot};
use crate::status::{self, ALL, Code, UNKNOWN};
use crate::wire::{BadMessage, Field, Writer, fields, numbers, unzigzag, zigzag};

/// The bytes are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSnapshot;

impl core::fmt::Display for BadSnapshot {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str("the bytes are no snapshot: they are cut, or another message")
    }
}

impl core::error::Error for BadSnapshot {}

impl From<BadMessage> for BadSnapshot {
    fn from(_: BadMessage) -> BadSnapshot {
        BadSnapshot
    }
}

type Result<T> = core::result::Result<T, BadSnapshot>;

impl Snapshot {
    /// Appends it as a message `msec.report.Snapshot`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        let origin = &self.origin;
        writer.fixed(1, origin.epoch);
        writer.number(2, origin.sequence);
        writer.fixed(3, origin.wall_ns);
        writer.bytes(4, origin.service.as_bytes());
        writer.bytes(5, origin.instance.as_bytes());
        for (key, counters) in &self.calls {
            writer.message(6, |writer| put_calls(writer, key, counters));
        }
        for (key, value) in &self.attributes {
            writer.message(7, |writer| put_attribute(writer, key, value));
        }
    }

    /// Reads a message `msec.report.Snapshot`.
    ///
    /// # Errors
    /// When the bytes are not such a message.
    pub fn decode(bytes: &[u8]) -> Result<Snapshot> {
        let mut snapshot = Snapshot::default();
        let mut origin = Origin::default();
        for field in fields(bytes) {
            match field? {
                (1, Field::Fixed(epoch)) => origin.epoch = epoch,
                (2, Field::Number(sequence)) => origin.sequence = sequence,
                (3, Field::Fixed(wall_ns)) => origin.wall_ns = wall_ns,
                (4, Field::Bytes(text)) => origin.service = string(text),
                (5, Field::Bytes(text)) => origin.instance = string(text),
                (6, Field::Bytes(message)) => {
                    let (key, counters) = calls(message)?;
                    snapshot.add_calls(key, &counters);
                }
                (7, Field::Bytes(message)) => {
                    let (key, value) = attribute(message)?;
                    snapshot.add_attribute(key, &value);
                }
                _ => {}
            }
        }
        snapshot.origin = origin;
        Ok(snapshot)
    }
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).to_string()
}

fn put_calls(writer: &mut Writer<'_>, key: &CallKey, counters: &Counters) {
    writer.number(
        1,
        match key.role {
            Role::Client => 1,
            Role::Server => 2,
        },
    );
    writer.bytes(2, key.caller.as_bytes());
    writer.bytes(3, key.callee.as_bytes());
    writer.bytes(4, key.method.as_bytes());
    writer.number(5, zigzag(counters.in_flight));
    writer.number(6, counters.request_bytes);
    writer.number(7, counters.answer_bytes);
    writer.message(8, |writer| put_histogram(writer, &counters.queue_ns));
    let mut codes: Vec<_> = counters.others.iter().collect();
    codes.sort_by_key(|ended| ended.row);
    if counters.succeeded_ns.count() != 0 {
        writer.message(9, |writer| put_code(writer, Code::OK, 0, &counters.succeeded_ns));
    }
    for ended in codes {
        let code = ALL.get(ended.row).map_or(UNKNOWN.code, |info| info.code);
        writer.message(9, |writer| put_code(writer, code, ended.refused, &ended.latency_ns));
    }
    writer.number(10, counters.efforts.retries);
    writer.number(11, counters.efforts.hedges);
}

fn put_code(writer: &mut Writer<'_>, code: Code, refused: u64, latency_ns: &Histogram) {
    writer.number(1, zigzag(i64::from(code.0)));
    writer.number(2, refused);
    writer.message(3, |writer| put_histogram(writer, latency_ns));
}

fn put_histogram(writer: &mut Writer<'_>, histogram: &Histogram) {
    writer.packed(1, histogram.numbered().map(|(bucket, _)| u64::from(bucket)));
    writer.packed(2, histogram.numbered().map(|(_, count)| count));
    writer.number(3, histogram.sum());
    writer.number(4, histogram.max());
}

fn put_attribute(writer: &mut Writer<'_>, key: &AttributeKey, value: &Value) {
    writer.bytes(1, key.name.as_bytes());
    for (key, value) in &key.labels {
        writer.message(2, |writer| {
            writer.bytes(1, key.as_bytes());
            writer.bytes(2, value.as_bytes());
        });
    }
    match value {
        Value::Sum(sum) => writer.number_always(3, *sum),
        Value::Last(last) => writer.number_always(4, zigzag(*last)),
        Value::Spread(spread) => writer.message(5, |writer| put_histogram(writer, spread)),
    }
}

fn calls(bytes: &[u8]) -> Result<(CallKey, Counters)> {
    let (caller, callee, method) = (String::new(), String::new(), String::new());
    let mut key = CallKey { role: Role::Client, caller, callee, method };
    let mut counters = Counters::new();
    for field in fields(bytes) {
        match field? {
            (1, Field::Number(1)) => key.role = Role::Client,
            (1, Field::Number(2)) => key.role = Role::Server,
            (2, Field::Bytes(text)) => key.caller = string(text),
            (3, Field::Bytes(text)) => key.callee = string(text),
            (4, Field::Bytes(text)) => key.method = string(text),
            (5, Field::Number(word)) => counters.in_flight = unzigzag(word),
            (6, Field::Number(bytes)) => counters.request_bytes = bytes,
            (7, Field::Number(bytes)) => counters.answer_bytes = bytes,
            (8, Field::Bytes(message)) => counters.queue_ns = histogram(message)?,
            (9, Field::Bytes(message)) => code(message, &mut counters)?,
            (10, Field::Number(count)) => counters.efforts.retries = count,
            (11, Field::Number(count)) => counters.efforts.hedges = count,
            _ => {}
        }
    }
    Ok((key, counters))
}

fn code(bytes: &[u8], counters: &mut Counters) -> Result<()> {
    let (mut code, mut refused, mut latency_ns) = (Code::OK, 0, Histogram::new());
    for field in fields(bytes) {
        match field? {
            (1, Field::Number(word)) => code = Code(unzigzag(word) as i32),
            (2, Field::Number(count)) => refused = count,
            (3, Field::Bytes(message)) => latency_ns = histogram(message)?,
            _ => {}
        }
    }
    if code == Code::OK {
        counters.succeeded_ns.merge(&latency_ns);
    } else {
        let ended = counters.other(status::row(code));
        ended.refused = ended.refused.saturating_add(refused);
        ended.latency_ns.merge(&latency_ns);
    }
    Ok(())
}

fn histogram(bytes: &[u8]) -> Result<Histogram> {
    let (mut buckets, mut counts): (&[u8], &[u8]) = (&[], &[]);
    let (mut sum, mut max) = (0, 0);
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(packed)) => buckets = packed,
            (2, Field::Bytes(packed)) => counts = packed,
            (3, Field::Number(value)) => sum = value,
            (4, Field::Number(value)) => max = value,
            _ => {}
        }
    }
    let mut pairs = Vec::new();
    for (bucket, count) in numbers(buckets).zip(numbers(counts)) {
        let bucket = u32::try_from(bucket?).map_err(|_| BadSnapshot)?;
        pairs.push((bucket, count?));
    }
    Histogram::from_numbered(pairs, sum, max).ok_or(BadSnapshot)
}

fn attribute(bytes: &[u8]) -> Result<(AttributeKey, Value)> {
    let mut key = AttributeKey { name: String::new(), labels: Vec::new(), kind: Kind::Sum };
    let mut value = Value::Sum(0);
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(text)) => key.name = string(text),
            (2, Field::Bytes(message)) => key.labels.push(label(message)?),
            (3, Field::Number(sum)) => value = Value::Sum(sum),
            (4, Field::Number(last)) => value = Value::Last(unzigzag(last)),
            (5, Field::Bytes(message)) => value = Value::Spread(histogram(message)?),
            _ => {}
        }
    }
    key.kind = value.kind();
    key.labels.sort();
    Ok((key, value))
}

fn label(bytes: &[u8]) -> Result<(String, String)> {
    let mut label = (String::new(), String::new());
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(text)) => label.0 = string(text),
            (2, Field::Bytes(text)) => label.1 = string(text),
            _ => {}
        }
    }
    Ok(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Attributes, Folder, Outcome};

    /// A snapshot with some of everything.
    fn some() -> Snapshot {
        let mut folder = Folder::new(Origin {
            epoch: 0x1234_5678_9abc_def0,
            sequence: 7,
            wall_ns: 1_795_373_622_123_456_789,
            service: "Demo.shop".into(),
            instance: "127.0.0.1:7963".into(),
        });
        let mut counters = Counters::new();
        counters.begin();
        for (code, latency_ns) in [(0, 0), (0, 900), (-18, 1 << 40), (77, 5)] {
            counters.begin();
            let (queue_ns, request_bytes, answer_bytes) = (latency_ns / 2, 100, 200);
            let code = Code(code);
            let outcome = Outcome { code, latency_ns, queue_ns, request_bytes, answer_bytes };
            counters.end(&outcome);
        }
        counters.refuse(Code::OVERLOADED);
        counters.efforts.retries = 3;
        for (role, caller) in [(Role::Client, ""), (Role::Server, "Demo.a")] {
            let (callee, method) = ("Demo.b".into(), "a.B.C".into());
            folder.calls(CallKey { role, caller: caller.into(), callee, method }, &counters);
        }
        let mut table = Attributes::new(1);
        let slots = [Kind::Sum, Kind::Last, Kind::Spread];
        let slots = slots.map(|kind| table.slot(kind, "größe", &[("stadt", "köln")]));
        table.set(slots[1], -5, 1);
        table.record(slots[2], 123);
        folder.attributes(&table);
        folder.finish()
    }

    #[test]
    fn what_is_written_is_read_and_always_the_same() {
        let snapshot = some();
        let mut bytes = Vec::new();
        snapshot.encode(&mut bytes);
        let read = Snapshot::decode(&bytes).unwrap();
        assert_eq!(read, snapshot);
        let mut again = Vec::new();
        read.encode(&mut again);
        assert_eq!(again, bytes);
    }

    #[test]
    fn cut_and_altered_bytes_never_panic_and_cut_ones_are_bad() {
        let mut bytes = Vec::new();
        some().encode(&mut bytes);
        let whole = Snapshot::decode(&bytes).unwrap();
        for cut in 1..bytes.len() {
            // A cut between two fields leaves a smaller message.
            assert_ne!(Snapshot::decode(&bytes[..cut]).as_ref(), Ok(&whole), "{cut}");
        }
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut altered = bytes.clone();
                altered[place] ^= 1 << bit;
                let _ = Snapshot::decode(&altered);
            }
        }
    }

    #[test]
    fn a_bucket_that_does_not_exist_is_refused() {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).message(6, |calls| {
            calls.message(8, |histogram| {
                histogram.packed(1, [496].into_iter());
                histogram.packed(2, [1].into_iter());
            });
        });
        assert_eq!(Snapshot::decode(&bytes), Err(BadSnapshot));
    }
}

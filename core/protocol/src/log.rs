//! Records of the log: levels, what a record says, and how it is written down.
//!
//! A record is made where something is logged, as the bytes of a message
//! (`schema/report.proto`, `msec.report.LogRecord`): one piece of memory that goes through a queue,
//! to a file as a line of text, and to other processes as it is.
//!
//! ```text
//! 2026-11-22T18:53:42.123456Z INFO order placed pieces=3 ReqID=77 RPCName=shop.Shop.Order
//! └ wall time, UTC            │    └ text        └ fields, then those of the request
//!                             └ level
//! ```
//!
//! (On one line.) A field whose value has blanks, quotes or an equals sign is quoted, and what
//! would break the line is escaped, so that a line is one record and can be taken apart again.
//! Texts and fields together are cut at [`LOG_RECORD_BYTES_MAX`].

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use crate::limits::{LOG_FIELDS_MAX, LOG_KEY_BYTES_MAX, LOG_RECORD_BYTES_MAX};
use crate::wire::{BadMessage, Field, Writer, fields};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[repr(u8)]
pub enum Level {
    /// Each step, for whoever hunts one error.
    Trace = 0,
    /// Detail for whoever looks for it.
    Debug = 1,
    /// What happens in the ordinary course.
    Info = 2,
    /// Something an operator may want to act on.
    Warn = 3,
    /// Something failed that should not; of the engine's own lines, a bug.
    Error = 4,
    /// The process cannot go on as it should.
    Fatal = 5,
}

impl Level {
    /// The names, as configuration spells them.
    pub const ALL: [(&'static str, Level); 6] = [
        ("trace", Level::Trace),
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("warn", Level::Warn),
        ("error", Level::Error),
        ("fatal", Level::Fatal),
    ];

    /// The name, in lower case.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

/// What a record says of where it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About<'a> {
    /// The time of day, in ns since 1970.
    pub wall_ns: u64,
    /// The request's id in all services; 0: no request.
    pub flow_id: u64,
    /// The span; 0: none.
    pub span_id: u64,
    /// Its request is dyed.
    pub dyed: bool,
    /// The place in the program, `file:line`.
    pub source: &'a str,
}

/// A record that is being made.
pub struct Draft {
    bytes: Vec<u8>,
    /// Bytes of text and fields that there is still room for.
    room: usize,
    fields_count: usize,
    scratch: String,
}

/// As much as fits of what is written.
struct Bounded<'a> {
    text: &'a mut String,
    room: usize,
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let kept = &text[..text.floor_char_boundary(self.room)];
        self.room -= kept.len();
        self.text.push_str(kept);
        // What is formatted behind the end is not formatted at all.
        if kept.len() < text.len() {
            self.room = 0;
            return Err(fmt::Error);
        }
        Ok(())
    }
}

impl Draft {
    /// Begins a record.
    pub fn new(level: Level, about: &About<'_>, text: fmt::Arguments<'_>) -> Draft {
        let (bytes, scratch) = (Vec::with_capacity(256), String::new());
        let mut draft = Draft { bytes, room: LOG_RECORD_BYTES_MAX, fields_count: 0, scratch };
        draft.format(text);
        let mut writer = Writer::new(&mut draft.bytes);
        writer.fixed(1, about.wall_ns);
        writer.number(2, level as u64);
        writer.bytes(3, draft.scratch.as_bytes());
        writer.fixed(5, about.flow_id);
        writer.fixed(6, about.span_id);
        writer.number(7, u64::from(about.dyed));
        writer.bytes(8, about.source.as_bytes());
        draft
    }

    /// Formats into the scratch what there is room for.
    fn format(&mut self, text: fmt::Arguments<'_>) {
        self.scratch.clear();
        let room = self.room;
        // An error is the end of the room, or of a value that cannot be formatted.
        let _ = Bounded { text: &mut self.scratch, room }.write_fmt(text);
        self.room = room - self.scratch.len();
    }

    /// Adds a field; one that has no room is cut, and left out beyond [`LOG_FIELDS_MAX`].
    pub fn field(&mut self, key: &str, value: fmt::Arguments<'_>) {
        let key = &key[..key.floor_char_boundary(LOG_KEY_BYTES_MAX)];
        if self.fields_count == LOG_FIELDS_MAX || self.room < key.len() {
            return;
        }
        self.fields_count += 1;
        self.room -= key.len();
        self.format(value);
        let Draft { bytes, scratch, .. } = self;
        Writer::new(bytes).message(4, |writer| {
            writer.bytes(1, key.as_bytes());
            writer.bytes(2, scratch.as_bytes());
        });
    }

    /// The record's bytes.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// A record, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// How bad it is.
    pub level: Level,
    /// Where it comes from.
    pub about: About<'a>,
    /// What it says.
    pub text: &'a str,
    /// Keys and values, in the order in which they were added.
    pub fields: Vec<(&'a str, &'a str)>,
}

/// The bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRecord;

impl fmt::Display for BadRecord {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the bytes are no log record: they are cut, or another message")
    }
}

impl core::error::Error for BadRecord {}

impl From<BadMessage> for BadRecord {
    fn from(_: BadMessage) -> BadRecord {
        BadRecord
    }
}

impl<'a> Record<'a> {
    /// Reads a message `msec.report.LogRecord`.
    ///
    /// # Errors
    /// When the bytes are not such a message.
    pub fn decode(bytes: &'a [u8]) -> Result<Record<'a>, BadRecord> {
        let (level, about, fields_of) = (Level::Trace, About::default(), Vec::new());
        let mut record = Record { level, about, text: "", fields: fields_of };
        for field in fields(bytes) {
            match field? {
                (1, Field::Fixed(ns)) => record.about.wall_ns = ns,
                (2, Field::Number(level)) => {
                    let row = Level::ALL.get(level as usize).ok_or(BadRecord)?;
                    record.level = row.1;
                }
                (3, Field::Bytes(text)) => record.text = utf8(text)?,
                (4, Field::Bytes(message)) => record.fields.push(pair(message)?),
                (5, Field::Fixed(id)) => record.about.flow_id = id,
                (6, Field::Fixed(id)) => record.about.span_id = id,
                (7, Field::Number(dyed)) => record.about.dyed = dyed != 0,
                (8, Field::Bytes(text)) => record.about.source = utf8(text)?,
                _ => {}
            }
        }
        Ok(record)
    }

    /// Appends it as a line, with its end.
    pub fn render(&self, out: &mut String) {
        out.push_str(&utc_us(self.about.wall_ns));
        out.push(' ');
        let level = self.level.name();
        level.chars().for_each(|letter| out.push(letter.to_ascii_uppercase()));
        out.push(' ');
        push_escaped(self.text, out);
        for (key, value) in &self.fields {
            push_field(key, value, out);
        }
        if self.about.flow_id != 0 {
            push_field("ReqID", &format!("{}", self.about.flow_id), out);
        }
        if self.about.dyed {
            push_field("Coloring", "1", out);
        }
        if !self.about.source.is_empty() {
            push_field("FileLine", self.about.source, out);
        }
        out.push('\n');
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, BadRecord> {
    core::str::from_utf8(bytes).map_err(|_| BadRecord)
}

fn pair(bytes: &[u8]) -> Result<(&str, &str), BadRecord> {
    let mut pair = ("", "");
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(text)) => pair.0 = utf8(text)?,
            (2, Field::Bytes(text)) => pair.1 = utf8(text)?,
            _ => {}
        }
    }
    Ok(pair)
}

fn push_field(key: &str, value: &str, out: &mut String) {
    out.push(' ');
    let mend = |letter: char| {
        if letter.is_control() || " =\"".contains(letter) { '_' } else { letter }
    };
    out.extend(key.chars().map(mend));
    out.push('=');
    let is_plain = |letter: char| !letter.is_control() && !" =\"\\".contains(letter);
    if !value.is_empty() && value.chars().all(is_plain) {
        out.push_str(value);
        return;
    }
    out.push('"');
    for letter in value.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            _ => push_letter(letter, out),
        }
    }
    out.push('"');
}

fn push_escaped(text: &str, out: &mut String) {
    text.chars().for_each(|letter| push_letter(letter, out));
}

fn push_letter(letter: char, out: &mut String) {
    match letter {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // A terminal must not be told what to do by whoever is logged.
        _ if letter.is_control() => out.extend(letter.escape_unicode()),
        _ => out.push(letter),
    }
}

/// A time of day since 1970 as RFC 3339 writes it, in UTC, to the millisecond.
pub fn utc_ms(wall_ns: u64) -> String {
    let (seconds, ns) = (wall_ns / 1_000_000_000, wall_ns % 1_000_000_000);
    format!("{}.{:03}Z", utc(seconds), ns / 1_000_000)
}

/// As [`utc_ms`], to the microsecond.
pub fn utc_us(wall_ns: u64) -> String {
    let (seconds, ns) = (wall_ns / 1_000_000_000, wall_ns % 1_000_000_000);
    format!("{}.{:06}Z", utc(seconds), ns / 1000)
}

fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days: years start
    // in March, so that the leap day is the last one, and come in eras of 400.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days = day_of_era / 1460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL_NS: u64 = 1_795_373_622_123_456_789;

    fn about() -> About<'static> {
        About { wall_ns: WALL_NS, flow_id: 77, span_id: 5, dyed: true, source: "src/a.rs:12" }
    }

    fn line(bytes: &[u8]) -> String {
        let mut out = String::new();
        Record::decode(bytes).unwrap().render(&mut out);
        out
    }

    #[test]
    fn a_record_is_read_as_it_was_made_and_is_one_line() {
        let mut draft = Draft::new(Level::Info, &about(), format_args!("order {} placed", 5));
        draft.field("pieces", format_args!("{}", 3));
        draft.field("RPCName", format_args!("shop.Shop.Order"));
        let bytes = draft.finish();
        let record = Record::decode(&bytes).unwrap();
        assert_eq!((record.level, record.text), (Level::Info, "order 5 placed"));
        assert_eq!(record.about, about());
        assert_eq!(record.fields, [("pieces", "3"), ("RPCName", "shop.Shop.Order")]);
        let expect = "2026-11-22T18:53:42.123456Z INFO order 5 placed pieces=3 \
                      RPCName=shop.Shop.Order ReqID=77 Coloring=1 FileLine=src/a.rs:12\n";
        assert_eq!(line(&bytes), expect);
    }

    #[test]
    fn what_would_break_a_line_or_a_terminal_is_escaped() {
        let about = About { wall_ns: WALL_NS, ..About::default() };
        let mut draft = Draft::new(Level::Warn, &about, format_args!("a\nb\x1b[31m \"ü\""));
        draft.field("a b=", format_args!("x \"y\"\\\r\n"));
        draft.field("none", format_args!(""));
        let expect = "2026-11-22T18:53:42.123456Z WARN a\\nb\\u{1b}[31m \"ü\" \
                      a_b_=\"x \\\"y\\\"\\\\\\r\\n\" none=\"\"\n";
        assert_eq!(line(&draft.finish()), expect);
    }

    #[test]
    fn text_and_fields_are_cut_at_a_character_and_bounded_together() {
        let long = "é".repeat(LOG_RECORD_BYTES_MAX);
        let mut draft = Draft::new(Level::Info, &About::default(), format_args!("{long}"));
        draft.field("k", format_args!("{long}"));
        let bytes = draft.finish();
        let record = Record::decode(&bytes).unwrap();
        assert_eq!(record.text.len(), LOG_RECORD_BYTES_MAX);
        assert_eq!(record.fields, [], "not even its key had room");
        let mut draft = Draft::new(Level::Info, &About::default(), format_args!("x"));
        for number in 0..2 * LOG_FIELDS_MAX {
            draft.field(&long, format_args!("{number}"));
        }
        let bytes = draft.finish();
        let record = Record::decode(&bytes).unwrap();
        assert_eq!(record.fields.len(), LOG_FIELDS_MAX);
        assert_eq!(record.fields[0].0.len(), LOG_KEY_BYTES_MAX);
    }

    #[test]
    fn bytes_that_are_no_record_are_refused_and_never_panic() {
        let mut draft = Draft::new(Level::Fatal, &about(), format_args!("text"));
        draft.field("key", format_args!("value"));
        let bytes = draft.finish();
        for cut in 0..bytes.len() {
            let _ = Record::decode(&bytes[..cut]);
            for bit in 0..8 {
                let mut altered = bytes.clone();
                altered[cut] ^= 1 << bit;
                let _ = Record::decode(&altered);
            }
        }
        assert_eq!(Record::decode(&[0x10, 6]), Err(BadRecord), "there is no such level");
        assert_eq!(Record::decode(&[0x1a, 1, 0xff]), Err(BadRecord), "no text");
    }

    #[test]
    fn levels_are_in_order_and_have_their_names() {
        for (row, (name, level)) in Level::ALL.iter().enumerate() {
            assert_eq!((*level as usize, level.name()), (row, *name));
        }
        assert!(Level::Trace < Level::Fatal);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let check = |s: u64, expect: &str| assert_eq!(utc_ms(s * 1_000_000_000), expect);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_399, "2000-02-28T23:59:59.000Z");
        check(951_782_400, "2000-02-29T00:00:00.000Z");
        check(951_868_800, "2000-03-01T00:00:00.000Z");
        check(1_704_067_199, "2023-12-31T23:59:59.000Z");
        check(4_107_542_400, "2100-03-01T00:00:00.000Z");
    }
}

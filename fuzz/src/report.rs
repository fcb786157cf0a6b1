//! What processes tell of themselves: snapshots, spans, log records; and rules that operators type.

use msec_protocol::dye::{Asked, Rule, Rules};
use msec_protocol::log::Record;
use msec_protocol::report::{Origin, Snapshot};
use msec_protocol::trace::{decode_spans, encode_spans};

/// Reads a snapshot; what was read is written and read again without a change.
pub fn snapshot(input: &[u8]) {
    let Ok(snapshot) = Snapshot::decode(input) else { return };
    let mut bytes = Vec::new();
    snapshot.encode(&mut bytes);
    let again = Snapshot::decode(&bytes).expect("it was written by us");
    let mut same = Vec::new();
    again.encode(&mut same);
    assert_eq!(bytes, same, "the same numbers are always the same bytes");
    // What a collector does with it.
    let mut sum = Snapshot::default();
    sum.merge(&snapshot);
    sum.merge(&again);
    let _ = sum.since(&again);
}

/// Reads spans; what was read is written and read again without a change.
pub fn spans(input: &[u8]) {
    let Ok(spans) = decode_spans(input) else { return };
    let (service, instance) = match spans.first() {
        Some(span) => (span.service.clone(), span.instance.clone()),
        None => return,
    };
    let mut bytes = Vec::new();
    encode_spans(&Origin { service, instance, ..Origin::default() }, &spans, &mut bytes);
    assert_eq!(decode_spans(&bytes).expect("it was written by us"), spans);
}

/// Reads a log record; it is rendered as one line, whatever it says.
pub fn log_record(input: &[u8]) {
    let Ok(record) = Record::decode(input) else { return };
    let mut line = String::new();
    record.render(&mut line);
    assert!(line.ends_with('\n') && line.matches(['\n', '\r']).count() == 1, "{line:?}");
}

/// Reads a dye rule, and asks it.
pub fn dye(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(rule) = text.parse::<Rule>() else { return };
    assert!(rule.parts_per_million <= 1_000_000);
    // What it says of itself without its spaces is the same rule.
    let words: Vec<_> = text.split_whitespace().collect();
    assert_eq!(words.join(" ").parse(), Ok(rule.clone()));
    for now_ns in [0, u64::MAX / 2] {
        let rules = Rules::new([rule.clone()], now_ns);
        let caller = rule.caller.as_deref().unwrap_or("Demo.web");
        let method = rule.method.as_deref().unwrap_or("shop.Stock.Count");
        let asked = Asked { caller, method, flow_id: 7, now_ns };
        let is_dyed = rules.dye(&asked, |_| None);
        // Of a rule without field and share all that it names is dyed.
        if rule.field.is_none() && rule.parts_per_million == 1_000_000 {
            assert!(is_dyed, "{rule:?}");
        }
    }
}

//! Spans as bytes: `schema/report.proto`, message `msec.report.Spans`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Reason, Span, TraceId};
use crate::report::{BadSnapshot, Origin, Role};
use crate::route::Why;
use crate::status::Code;
use crate::wire::{Field, Writer, fields, unzigzag, zigzag};

/// Appends spans as a message `msec.report.Spans`. All of them are of the process that `origin`
/// names, so service and instance are written once.
pub fn encode_spans(origin: &Origin, spans: &[Span], out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    writer.fixed(1, origin.epoch);
    writer.bytes(2, origin.service.as_bytes());
    writer.bytes(3, origin.instance.as_bytes());
    for span in spans {
        writer.message(4, |writer| put(writer, span));
    }
}

fn put(writer: &mut Writer<'_>, span: &Span) {
    writer.bytes(1, &span.trace_id.to_bytes());
    writer.fixed(2, span.span_id);
    writer.fixed(3, span.parent_id);
    writer.number(
        4,
        match span.role {
            Role::Client => 1,
            Role::Server => 2,
        },
    );
    writer.bytes(5, span.method.as_bytes());
    writer.bytes(6, span.peer.as_bytes());
    writer.bytes(7, span.address.as_bytes());
    writer.number(8, zigzag(i64::from(span.code.0)));
    writer.fixed(9, span.start_wall_ns);
    writer.number(10, span.duration_ns);
    writer.number(11, u64::from(span.attempt));
    writer.number(12, u64::from(span.flags));
    writer.number(13, span.reason.map_or(0, |reason| reason as u64 + 1));
    for (after_ns, text) in &span.annotations {
        writer.message(14, |writer| {
            writer.number(1, *after_ns);
            writer.bytes(2, text.as_bytes());
        });
    }
    writer.number(15, span.why.map_or(0, |why| why as u64 + 1));
}

/// Reads a message `msec.report.Spans`: the spans, with service and instance of their process.
///
/// # Errors
/// When the bytes are not such a message.
pub fn decode_spans(bytes: &[u8]) -> Result<Vec<Span>, BadSnapshot> {
    let (mut service, mut instance) = (String::new(), String::new());
    let mut spans = Vec::new();
    for field in fields(bytes) {
        match field? {
            (2, Field::Bytes(text)) => service = string(text),
            (3, Field::Bytes(text)) => instance = string(text),
            (4, Field::Bytes(message)) => spans.push(span(message)?),
            _ => {}
        }
    }
    for span in &mut spans {
        span.service.clone_from(&service);
        span.instance.clone_from(&instance);
    }
    Ok(spans)
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).to_string()
}

fn span(bytes: &[u8]) -> Result<Span, BadSnapshot> {
    let mut span = Span::default();
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(id)) => {
                let id = id.try_into().map_err(|_| BadSnapshot)?;
                span.trace_id = TraceId::from_bytes(id);
            }
            (2, Field::Fixed(id)) => span.span_id = id,
            (3, Field::Fixed(id)) => span.parent_id = id,
            (4, Field::Number(1)) => span.role = Role::Client,
            (4, Field::Number(2)) => span.role = Role::Server,
            (5, Field::Bytes(text)) => span.method = string(text),
            (6, Field::Bytes(text)) => span.peer = string(text),
            (7, Field::Bytes(text)) => span.address = string(text),
            (8, Field::Number(word)) => span.code = Code(unzigzag(word) as i32),
            (9, Field::Fixed(ns)) => span.start_wall_ns = ns,
            (10, Field::Number(ns)) => span.duration_ns = ns,
            (11, Field::Number(attempt)) => span.attempt = attempt as u32,
            (12, Field::Number(flags)) => span.flags = flags as u8,
            (13, Field::Number(reason)) => {
                let row = (reason as usize).checked_sub(1).and_then(|row| Reason::ALL.get(row));
                span.reason = row.map(|(reason, _)| *reason);
            }
            (14, Field::Bytes(message)) => span.annotations.push(annotation(message)?),
            (15, Field::Number(why)) => {
                let row = (why as usize).checked_sub(1).and_then(|row| Why::ALL.get(row));
                span.why = row.map(|(why, _)| *why);
            }
            _ => {}
        }
    }
    Ok(span)
}

fn annotation(bytes: &[u8]) -> Result<(u64, String), BadSnapshot> {
    let mut annotation = (0, String::new());
    for field in fields(bytes) {
        match field? {
            (1, Field::Number(ns)) => annotation.0 = ns,
            (2, Field::Bytes(text)) => annotation.1 = string(text),
            _ => {}
        }
    }
    Ok(annotation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_cut_bytes_never_panic() {
        let origin = Origin {
            epoch: 7,
            service: "Demo.shop".into(),
            instance: "127.0.0.1:1".into(),
            ..Origin::default()
        };
        let server = Span {
            trace_id: TraceId { high: 1, low: 2 },
            span_id: 3,
            parent_id: 4,
            role: Role::Server,
            service: origin.service.clone(),
            instance: origin.instance.clone(),
            method: "shop.Shop.Order".into(),
            peer: "Demo.web".into(),
            address: String::new(),
            why: None,
            code: Code::SERVICE_FAILED,
            start_wall_ns: 1_795_373_622_123_456_789,
            duration_ns: 1_000_000,
            attempt: 1,
            flags: 3,
            reason: Some(Reason::Related),
            annotations: std::vec![(0, "begun".into()), (77, "cache miss".into())],
        };
        let (address, annotations) = ("127.0.0.1:2".into(), Vec::new());
        let role = Role::Client;
        let client = Span { role, address, reason: None, annotations, ..server.clone() };
        let picked = Why::ALL.map(|(why, _)| Span { why: Some(why), ..client.clone() });
        let spans: Vec<_> = [server, client].into_iter().chain(picked).collect();
        let mut bytes = Vec::new();
        encode_spans(&origin, &spans, &mut bytes);
        assert_eq!(decode_spans(&bytes).unwrap(), spans);
        for cut in 0..bytes.len() {
            let _ = decode_spans(&bytes[..cut]);
        }
        assert_eq!(decode_spans(&bytes[..bytes.len() - 1]), Err(BadSnapshot));
    }
}

//! HTTP: a stream cut in pieces is the stream cut as a whole, and nothing in it panics.

use msec_protocol::Limits;
use msec_protocol::http::{Arrival, BadRequest, Cutter, Target};
use msec_protocol::limits::{ASSEMBLY_BYTES_MIN, ASSEMBLY_GROWTH_FACTOR, HTTP_HEAD_BYTES_MAX};
use msec_protocol::trace::TraceParent;

/// The requests of a stream (target, body, user headers, whether the connection is kept), and how
/// it ends.
#[derive(Debug, Default, PartialEq)]
struct Stream {
    requests: Vec<(Vec<u8>, Vec<u8>, usize, bool)>,
    bad: Option<BadRequest>,
}

impl Stream {
    fn in_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]>, limits: &Limits) -> Stream {
        let (mut stream, mut cutter, mut fed_bytes) = (Stream::default(), Cutter::new(), 0);
        for piece in pieces {
            let mut input = piece;
            loop {
                match cutter.next(limits, &mut input) {
                    Ok(Some(Arrival::Request(request))) => stream.push(&request, limits),
                    Ok(Some(Arrival::Continue)) => assert!(!cutter.at_boundary()),
                    Ok(None) => break,
                    Err(bad) => {
                        assert!((400..600).contains(&bad.status()));
                        stream.bad = Some(bad);
                        return stream;
                    }
                }
            }
            assert!(input.is_empty());
            fed_bytes += piece.len();
            let room = ASSEMBLY_GROWTH_FACTOR * (fed_bytes + HTTP_HEAD_BYTES_MAX);
            assert!(cutter.buffered() <= room.max(ASSEMBLY_BYTES_MIN));
        }
        stream
    }

    fn push(&mut self, request: &msec_protocol::http::Request<'_>, limits: &Limits) {
        let head = &request.head;
        assert!(request.body().len() <= limits.body_bytes_max);
        let target = request.of(head.target);
        let split = Target::split(target);
        let _ = (split.method_name(), split.service_and_method(), split.value("format"));
        if let Some(trace) = TraceParent::parse(request.of(head.traceparent)) {
            assert_eq!(TraceParent::parse(&trace.to_bytes()), Some(trace));
        }
        for place in [head.host, head.origin, head.caller, head.authorization, head.accept] {
            assert!(!request.of(place).iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
        let (target, body) = (target.to_vec(), request.body().to_vec());
        self.requests.push((target, body, head.metadata.len(), head.keep_alive));
    }
}

/// Cuts a stream as a whole and in pieces. The first byte chooses the length of the pieces, the
/// second the limit of bodies.
pub fn http(input: &[u8]) {
    let [piece_bytes, body_bytes_max, stream @ ..] = input else { return };
    let limits = Limits { body_bytes_max: usize::from(*body_bytes_max), ..Limits::DEFAULT };
    let whole = Stream::in_pieces(std::iter::once(stream), &limits);
    let pieces = Stream::in_pieces(stream.chunks(usize::from(*piece_bytes) + 1), &limits);
    // A fault may be found earlier in the whole, and which of several may differ; what came before
    // it must not.
    assert!(whole.bad.is_some() || pieces.bad.is_none(), "{whole:?} {pieces:?}");
    assert_eq!(whole.requests, pieces.requests);
}

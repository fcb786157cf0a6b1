//! Bodies that are compressed, or say so.

use msec::compress::{Compress, close, open};

/// Longest plain body that is allowed here, in bytes.
const PLAIN_BYTES_MAX: usize = 1 << 16;

/// Decompresses a body; what came out comes back when it is compressed.
pub fn compress(input: &[u8]) {
    let Some((choice, body)) = input.split_first() else { return };
    let kind = match choice % 2 {
        0 => Compress::Lz4,
        _ => Compress::Zstd,
    };
    if let Ok(plain) = open(kind, body, PLAIN_BYTES_MAX) {
        assert!(plain.len() <= PLAIN_BYTES_MAX);
        let packed = close(kind, &plain).expect("memory suffices");
        assert_eq!(open(kind, &packed, PLAIN_BYTES_MAX).ok(), Some(plain));
    }
    // Any bytes survive the way there and back.
    let packed = close(kind, body).expect("memory suffices");
    assert_eq!(open(kind, &packed, PLAIN_BYTES_MAX).ok().as_deref(), Some(body));
}

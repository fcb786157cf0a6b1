//! Compressed bodies: LZ4 where CPU is dear, Zstandard where the network is.
//!
//! ```text
//!   call with .compress(…) ─► has this peer told that it understands? ─ no ─► as it is
//!                                           │ yes
//!                                           ▼
//!        body ─► compressed ─► frame, tag 76 ─► decompressed where the method runs      
//!                                                        │
//!        body ◄─ decompressed ◄─ frame, tag 76 ◄─ compressed likewise, if it gets shorter
//! ```
//!
//! Compressing and decompressing run where the method runs, not where frames are cut, so a long
//! body holds up nobody that the method would not.
//!
//! What a body decompresses to is told at its beginning, looked at before memory is taken, bounded
//! by the limit of plain bodies and counted against the process's budget of bytes as long as the
//! request lives. A few bytes that unfold to gigabytes (a bomb) end at the first of these. The
//! decompressors are told the exact length, and more or less than that is an error.

use std::cell::RefCell;

use msec_protocol::{Code, head};

use crate::error::{Error, Result};

/// How the body of a call is compressed on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Compress {
    /// Not at all.
    #[default]
    None,
    /// LZ4: about half the length of text, at hundreds of megabytes a second and more.
    Lz4,
    /// Zstandard: about a third of the length of text, at a fraction of that speed.
    Zstd,
}

/// The level of Zstandard, its default.
const ZSTD_LEVEL: i32 = 3;
/// Bytes before a block of LZ4.
const LZ4_PREFIX_BYTES: usize = 4;
/// A byte of LZ4 stands for at most 255 (one byte of a match's length), so a block that promises
/// more lies.
const LZ4_RATIO_MAX: usize = 255;

thread_local! {
    /// Made once a thread: each holds about a megabyte of tables.
    static ZSTD: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static UNZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        const { RefCell::new(None) };
}

impl Compress {
    /// The value of a head's field.
    pub(crate) fn of(number: u32) -> Option<Compress> {
        match number {
            head::COMPRESS_NONE => Some(Compress::None),
            head::COMPRESS_LZ4 => Some(Compress::Lz4),
            head::COMPRESS_ZSTD => Some(Compress::Zstd),
            _ => None,
        }
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            Compress::None => head::COMPRESS_NONE,
            Compress::Lz4 => head::COMPRESS_LZ4,
            Compress::Zstd => head::COMPRESS_ZSTD,
        }
    }
}

/// A body, compressed.
pub(crate) fn compress(kind: Compress, body: &[u8]) -> Result<Vec<u8>> {
    match kind {
        Compress::None => Ok(body.to_vec()),
        Compress::Lz4 => Ok(lz4_flex::block::compress_prepend_size(body)),
        Compress::Zstd => ZSTD.with(|kept| {
            let mut kept = kept.borrow_mut();
            let compressor = match &mut *kept {
                Some(compressor) => compressor,
                none => {
                    let made = zstd::bulk::Compressor::new(ZSTD_LEVEL);
                    none.insert(made.map_err(|error| Error::from_io("compress a body", &error))?)
                }
            };
            compressor.compress(body).map_err(|error| Error::from_io("compress a body", &error))
        }),
    }
}

/// A body, compressed.
///
/// # Errors
/// -2 when there is no memory for it.
#[doc(hidden)]
pub fn close(kind: Compress, body: &[u8]) -> Result<Vec<u8>> {
    compress(kind, body)
}

/// A body of up to `bytes_max` bytes, decompressed.
///
/// # Errors
/// -105 when it is longer, -5 when it is not compressed like that.
#[doc(hidden)]
pub fn open(kind: Compress, body: &[u8], bytes_max: usize) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    decompress(kind, body, plain_bytes(kind, body, bytes_max)?, &mut plain)?;
    Ok(plain)
}

/// What a compressed body says that it decompresses to, in bytes.
pub(crate) fn plain_bytes(kind: Compress, body: &[u8], bytes_max: usize) -> Result<usize> {
    let bytes = match kind {
        Compress::None => body.len(),
        Compress::Lz4 => {
            let prefix = body.first_chunk::<LZ4_PREFIX_BYTES>();
            let bytes = u32::from_le_bytes(*prefix.ok_or_else(not_compressed)?) as usize;
            if bytes > (body.len() - LZ4_PREFIX_BYTES) * LZ4_RATIO_MAX {
                return Err(not_compressed());
            }
            bytes
        }
        Compress::Zstd => {
            let told = zstd::zstd_safe::get_frame_content_size(body).ok().flatten();
            usize::try_from(told.ok_or_else(not_compressed)?).unwrap_or(usize::MAX)
        }
    };
    if bytes > bytes_max {
        let text = format!("the body decompresses to {bytes} bytes, over the limit");
        return Err(Error::new(Code::TOO_LARGE, text));
    }
    Ok(bytes)
}

/// Appends a body that decompresses to `bytes`, as [`plain_bytes`] has told.
pub(crate) fn decompress(
    kind: Compress,
    body: &[u8],
    bytes: usize,
    out: &mut Vec<u8>,
) -> Result<()> {
    match kind {
        Compress::None => out.extend_from_slice(body),
        Compress::Lz4 => {
            let start = out.len();
            out.resize(start + bytes, 0);
            let block = body.get(LZ4_PREFIX_BYTES..).unwrap_or_default();
            let written = lz4_flex::block::decompress_into(block, &mut out[start..]);
            if written.ok() != Some(bytes) {
                return Err(not_compressed());
            }
        }
        Compress::Zstd => out.extend_from_slice(&unzstd(body, bytes)?),
    }
    Ok(())
}

fn unzstd(body: &[u8], bytes: usize) -> Result<Vec<u8>> {
    let plain = UNZSTD.with(|kept| {
        let mut kept = kept.borrow_mut();
        let decompressor = match &mut *kept {
            Some(decompressor) => decompressor,
            none => none.insert(zstd::bulk::Decompressor::new()?),
        };
        decompressor.decompress(body, bytes)
    });
    let plain: Vec<u8> = plain.map_err(|_: std::io::Error| not_compressed())?;
    // Less than was told, by a second frame that nobody looked at or by a lie.
    if plain.len() == bytes { Ok(plain) } else { Err(not_compressed()) }
}

fn not_compressed() -> Error {
    Error::new(Code::INVALID_BODY, "the body is not compressed as its head says")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Compress; 3] = [Compress::None, Compress::Lz4, Compress::Zstd];
    const MAX: usize = 1 << 20;

    fn open(kind: Compress, body: &[u8]) -> Result<Vec<u8>> {
        let mut out = b"head".to_vec();
        decompress(kind, body, plain_bytes(kind, body, MAX)?, &mut out)?;
        Ok(out.split_off(4))
    }

    #[test]
    fn what_was_compressed_comes_back() {
        for kind in KINDS {
            for bytes in [0, 1, 100, 100_000] {
                let body: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
                let packed = compress(kind, &body).unwrap();
                assert_eq!(open(kind, &packed).unwrap(), body, "{kind:?} of {bytes}");
                assert!(bytes < 1000 || kind == Compress::None || packed.len() < bytes / 2);
            }
            assert_eq!(Compress::of(kind.number()), Some(kind));
        }
        assert_eq!(Compress::of(3), None);
    }

    #[test]
    fn a_bomb_is_refused_before_memory_is_taken() {
        for kind in [Compress::Lz4, Compress::Zstd] {
            let bomb = compress(kind, &vec![0; MAX + 1]).unwrap();
            assert!(bomb.len() < MAX / 200);
            assert_eq!(open(kind, &bomb).map_err(|error| error.code()), Err(Code::TOO_LARGE));
        }
        // A length that its block cannot have.
        let lie = [&1_000_000_u32.to_le_bytes()[..], b"block"].concat();
        assert_eq!(
            open(Compress::Lz4, &lie).map_err(|error| error.code()),
            Err(Code::INVALID_BODY)
        );
    }

    #[test]
    fn what_is_cut_off_changed_or_goes_on_is_refused_and_never_a_panic() {
        let body: Vec<u8> = (0..2000_u32).flat_map(|n| (n / 3).to_le_bytes()).collect();
        for kind in [Compress::Lz4, Compress::Zstd] {
            let packed = compress(kind, &body).unwrap();
            for end in 0..packed.len() {
                assert!(open(kind, &packed[..end]).is_err(), "{kind:?} cut at {end}");
            }
            for at in 0..packed.len() {
                let mut changed = packed.clone();
                changed[at] ^= 0x55;
                if let Ok(other) = open(kind, &changed) {
                    assert!(other.len() <= MAX);
                }
            }
            let twice = [&packed[..], &packed].concat();
            assert!(open(kind, &twice).is_err(), "{kind:?} twice");
        }
    }
}

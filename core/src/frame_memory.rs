//! Memory of large frames, which goes round.
//!
//! A request with a large body is kept as [`Bytes`], which its handler may keep, hand on or put
//! into its answer. When the last of them lets go on a core, the memory goes to that core's spares,
//! and the next large frame comes into it. To free and allocate it instead would give its pages
//! back to the kernel and fault them in again each time: for 64 KiB that costs more than all else.

use std::borrow::Cow;

use bytes::Bytes;
use msec_protocol::Cutter;
use msec_protocol::frame::LENT_BYTES_MIN;

use crate::shard::{self, Shard};

/// Memory that goes to the spares of the core where it is dropped.
struct FrameMemory(Vec<u8>);

impl AsRef<[u8]> for FrameMemory {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for FrameMemory {
    fn drop(&mut self) {
        if let Some(shard) = shard::current() {
            shard.spares.give_frame(std::mem::take(&mut self.0));
        }
    }
}

/// The bytes of a frame, shared from now on.
pub(crate) fn share(frame: Cow<'_, [u8]>) -> Bytes {
    match frame {
        _ if frame.len() < LENT_BYTES_MIN => Bytes::from(frame.into_owned()),
        Cow::Owned(bytes) => Bytes::from_owner(FrameMemory(bytes)),
        Cow::Borrowed(bytes) => {
            let mut memory = shard::current().map(|shard| shard.spares.frame()).unwrap_or_default();
            if memory.capacity() / 4 > bytes.len() {
                // It would be kept with the few bytes.
                memory = Vec::new();
            }
            memory.extend_from_slice(bytes);
            Bytes::from_owner(FrameMemory(memory))
        }
    }
}

/// Lends memory to the cutter of an input that may end within a large frame.
#[inline]
pub(crate) fn lend(shard: &Shard, cutter: &mut Cutter, input_bytes: usize) {
    if input_bytes >= LENT_BYTES_MIN {
        cutter.lend(shard.spares.frame());
    }
}

/// Takes back what was lent and not needed.
#[inline]
pub(crate) fn take_back(shard: &Shard, cutter: &mut Cutter) {
    if let Some(memory) = cutter.take_lent() {
        shard.spares.give_frame(memory);
    }
}

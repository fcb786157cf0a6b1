//! The two buffers of a poller: memory of Java's, outside of its heap.
//!
//! Java makes them, keeps them as long as the engine, and touches them on the poller's thread only.
//! They are written and read here while that thread is in `poll` or `submit`, so never by two.

use jni::Env;
use jni::objects::JByteBuffer;
use jni::refs::Global;

use crate::batch::{self, Record};
use crate::guard::{Result, invalid};

/// Buffers that Java has lent for good.
pub(crate) struct Buffers {
    records: Lent,
    answers: Lent,
}

struct Lent {
    start: *mut u8,
    size: usize,
    /// Keeps the collector from taking it back.
    _buffer: Global<JByteBuffer<'static>>,
}

// SAFETY: memory of the process, which stays where it is as long as the reference is held; who may
// use it when is told above, and the poller's lock sees to it.
unsafe impl Send for Lent {}

impl Lent {
    fn of(env: &Env<'_>, buffer: &JByteBuffer<'_>) -> Result<Self> {
        let start = env.get_direct_buffer_address(buffer)?;
        let size = env.get_direct_buffer_capacity(buffer)?;
        if size != batch::BUFFER_BYTES as usize || !start.addr().is_multiple_of(8) {
            return Err(invalid(format!("a buffer of {size} bytes at {start:p} is none of ours")));
        }
        Ok(Self { start, size, _buffer: env.new_global_ref(buffer)? })
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: so many bytes are there, by the JVM's word, as long as the reference; nobody else
        // uses them while the poller is here, as told above.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.size) }
    }
}

impl Buffers {
    /// # Errors
    /// -1 a buffer of another size, or none outside of the heap.
    pub(crate) fn of(
        env: &Env<'_>,
        records: &JByteBuffer<'_>,
        answers: &JByteBuffer<'_>,
    ) -> Result<Self> {
        Ok(Self { records: Lent::of(env, records)?, answers: Lent::of(env, answers)? })
    }

    /// Where records go.
    pub(crate) fn records(&mut self) -> &mut [u8] {
        self.records.bytes()
    }

    /// Where answers come from.
    pub(crate) fn answers(&mut self) -> &[u8] {
        self.answers.bytes()
    }
}

/// The bytes of a record's head.
pub(crate) fn bytes_of(record: &Record) -> &[u8] {
    let start = std::ptr::from_ref(record).cast::<u8>();
    // SAFETY: a struct of numbers without gaps, which `reserved` fills up, borrowed for as long.
    unsafe { std::slice::from_raw_parts(start, size_of::<Record>()) }
}

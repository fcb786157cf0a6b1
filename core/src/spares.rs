//! Memory that a core keeps for reuse: output buffers and contexts, in bounded number and size.

use std::cell::RefCell;

use msec_protocol::frame::LENT_BYTES_MIN;
use msec_sys::output::Output;

use crate::context::Context;

/// Of each kind, so many are kept.
const SPARES_COUNT_MAX: usize = 256;
/// So many frames are kept: as many as are handled at a time, and at most 16 MiB.
const FRAMES_COUNT_MAX: usize = 64;
/// An output or a frame that grew beyond this is not kept.
const SPARE_BYTES_MAX: usize = 256 * 1024;

/// The spare objects of a core.
#[derive(Default)]
pub(crate) struct Spares {
    outputs: RefCell<Vec<Output>>,
    // The box is what is kept: a context moves through queues as a pointer.
    #[expect(clippy::vec_box)]
    contexts: RefCell<Vec<Box<Context>>>,
    /// Memory of large frames.
    frames: RefCell<Vec<Vec<u8>>>,
}

impl Spares {
    /// An empty output.
    #[inline]
    pub(crate) fn output(&self) -> Output {
        self.outputs.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes an output back.
    #[inline]
    pub(crate) fn give_output(&self, mut output: Output) {
        // What it shares may have a destructor that wants an output: nothing is borrowed yet.
        output.clear();
        let mut outputs = self.outputs.borrow_mut();
        let bytes = output.capacity();
        if bytes > 0 && bytes <= SPARE_BYTES_MAX && outputs.len() < SPARES_COUNT_MAX {
            outputs.push(output);
        }
    }

    /// Memory for a large frame; none of it if there is no spare.
    #[inline]
    pub(crate) fn frame(&self) -> Vec<u8> {
        self.frames.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes the memory of a large frame back.
    pub(crate) fn give_frame(&self, mut memory: Vec<u8>) {
        let mut frames = self.frames.borrow_mut();
        let bytes = memory.capacity();
        if (LENT_BYTES_MIN..=SPARE_BYTES_MAX).contains(&bytes) && frames.len() < FRAMES_COUNT_MAX {
            memory.clear();
            frames.push(memory);
        }
    }

    /// A context to be filled.
    #[inline]
    pub(crate) fn context(&self) -> Box<Context> {
        self.contexts.borrow_mut().pop().unwrap_or_else(Context::new)
    }

    /// Takes a context back.
    pub(crate) fn give_context(&self, context: Box<Context>) {
        self.give_settled(context, false);
    }

    /// Takes the context of a settled request back; `kept`: the table of flights has kept its flag.
    #[inline]
    pub(crate) fn give_settled(&self, mut context: Box<Context>, kept: bool) {
        context.recycle(kept);
        let mut contexts = self.contexts.borrow_mut();
        if contexts.len() < SPARES_COUNT_MAX {
            contexts.push(context);
        }
    }
}

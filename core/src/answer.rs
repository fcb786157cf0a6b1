//! Answers: what came back of a call.

use bytes::Bytes;
use msec_protocol::{Code, Frame, Head};

use crate::error::{Error, Result};
use crate::frame_memory;

/// A whole answer, with its frame's bytes.
pub(crate) struct Answer {
    pub(crate) head: Head,
    frame: Bytes,
    head_start: usize,
    head_end: usize,
}

impl Answer {
    /// Keeps a frame; one that was assembled moves in without a copy.
    #[inline]
    pub(crate) fn keep(head: Head, frame: Frame<'_>) -> Self {
        let range = frame.head_range();
        let frame = frame_memory::share(frame.into_bytes());
        Self { head, frame, head_start: range.start, head_end: range.end }
    }

    /// To a call that wants no answer.
    pub(crate) fn nothing() -> Self {
        Self { head: Head::default(), frame: Bytes::from_static(b")"), head_start: 0, head_end: 0 }
    }

    /// What the callee says came of it.
    pub(crate) fn code(&self) -> Code {
        self.head.err
    }

    /// Length of its frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame.len()
    }

    /// The body, or the error that the server answered with.
    pub(crate) fn into_reply(self, method: &str) -> Result<Reply> {
        if self.head.err != Code::OK {
            let text = self.head.err_msg.of(&self.frame[self.head_start..self.head_end]);
            return Err(Error::answered(self.head.err, text, method));
        }
        let body = self.frame.slice(self.head_end..self.frame.len() - 1);
        Ok(Reply { body, result: self.head.result })
    }
}

/// A successful answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The body as it came.
    pub body: Bytes,
    /// The business return value; see [`Context::set_result`](crate::Context::set_result).
    pub result: i32,
}

impl Reply {
    /// Decodes the body.
    pub(crate) fn decode<M: prost::Message + Default>(self) -> Result<M> {
        M::decode(self.body).map_err(|error| {
            Error::new(Code::INVALID_BODY, format!("the answer is not the message: {error}"))
        })
    }
}

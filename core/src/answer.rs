//! Answers: what came back of a call.

use bytes::Bytes;
use msec_protocol::{Code, Frame, Head, Limits, head};

use crate::compress::{self, Compress};
use crate::error::{Error, Result};
use crate::frame_memory;

/// A whole answer, with its frame's bytes.
pub(crate) struct Answer {
    pub(crate) head: Head,
    frame: Bytes,
    head_start: usize,
    head_end: usize,
    /// Longest body that a compressed one may become, in bytes.
    body_bytes_max: usize,
}

impl Answer {
    /// Keeps a frame; one that was assembled moves in without a copy.
    #[inline]
    pub(crate) fn keep(head: Head, frame: Frame<'_>, limits: &Limits) -> Self {
        let range = frame.head_range();
        let frame = frame_memory::share(frame.into_bytes());
        let (head_start, head_end) = (range.start, range.end);
        Self { head, frame, head_start, head_end, body_bytes_max: limits.body_bytes_max }
    }

    /// To a call that wants no answer.
    pub(crate) fn nothing() -> Self {
        let (head, frame) = (Head::default(), Bytes::from_static(b")"));
        Self { head, frame, head_start: 0, head_end: 0, body_bytes_max: 0 }
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
        let mut body = self.frame.slice(self.head_end..self.frame.len() - 1);
        if self.head.compress != head::COMPRESS_NONE {
            body = self.decompress(&body).map_err(|error| error.while_calling(method))?;
        }
        Ok(Reply { body, result: self.head.result })
    }

    #[cold]
    fn decompress(&self, body: &[u8]) -> Result<Bytes> {
        let kind = Compress::of(self.head.compress).ok_or_else(|| {
            let text =
                format!("the answer is compressed in an unknown way, {}", self.head.compress);
            Error::new(Code::INVALID_BODY, text)
        })?;
        let bytes = compress::plain_bytes(kind, body, self.body_bytes_max)?;
        let mut plain = Vec::with_capacity(bytes);
        compress::decompress(kind, body, bytes, &mut plain)?;
        Ok(plain.into())
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

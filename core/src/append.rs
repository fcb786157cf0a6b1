//! Appending to output, all or nothing.

use msec_protocol::{AnswerHead, Limits, RequestHead, TooLarge, head};
use msec_sys::output::{Mark, Output, Pieces, Writer};

/// Appends by `write`. What was appended is taken back if it panics, so that no half frame is ever
/// sent.
#[inline]
pub(crate) fn whole<R>(output: &mut Output, write: impl FnOnce(&mut Output) -> R) -> R {
    Undo { mark: output.mark(), output, done: false }.run(write)
}

/// Appends a request; nothing if it is too large.
#[inline]
pub(crate) fn request(
    output: &mut Output,
    head: &RequestHead<'_>,
    limits: &Limits,
    write_body: impl FnOnce(&mut Writer<'_, '_>),
) -> Result<(), TooLarge> {
    let mark = output.mark();
    let written = output.append(|bytes, pieces| {
        head::encode_request(head, limits, bytes, |bytes| {
            write_body(&mut Writer::new(bytes, pieces));
            pieces.bytes()
        })
    });
    written.inspect_err(|_| output.undo(mark))
}

/// Appends an answer; nothing if it is too large.
#[inline]
pub(crate) fn answer(
    output: &mut Output,
    head: &AnswerHead<'_>,
    limits: &Limits,
    write_body: impl FnOnce(&mut Writer<'_, '_>),
) -> Result<(), TooLarge> {
    let mark = output.mark();
    let written = output.append(|bytes, pieces| {
        head::encode_answer(head, limits, bytes, |bytes| {
            write_body(&mut Writer::new(bytes, pieces));
            pieces.bytes()
        })
    });
    written.inspect_err(|_| output.undo(mark))
}

/// As [`request`], in one piece, for a datagram.
pub(crate) fn request_whole(
    output: &mut Output,
    head: &RequestHead<'_>,
    limits: &Limits,
    write_body: impl FnOnce(&mut Writer<'_, '_>),
) -> Result<(), TooLarge> {
    let copy = |bytes: &mut Vec<u8>| write_body(&mut Writer::new(bytes, &mut Pieces::default()));
    output.append(|bytes, _| head::encode_request(head, limits, bytes, copy))
}

/// As [`answer`], in one piece, for a datagram.
pub(crate) fn answer_whole(
    output: &mut Output,
    head: &AnswerHead<'_>,
    limits: &Limits,
    write_body: impl FnOnce(&mut Writer<'_, '_>),
) -> Result<(), TooLarge> {
    let copy = |bytes: &mut Vec<u8>| write_body(&mut Writer::new(bytes, &mut Pieces::default()));
    output.append(|bytes, _| head::encode_answer(head, limits, bytes, copy))
}

/// What a writer writes, in one piece.
pub(crate) fn written(write: impl FnOnce(&mut Writer<'_, '_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Writer::new(&mut bytes, &mut Pieces::default()));
    bytes
}

struct Undo<'a> {
    output: &'a mut Output,
    mark: Mark,
    done: bool,
}

impl Undo<'_> {
    #[inline]
    fn run<R>(mut self, write: impl FnOnce(&mut Output) -> R) -> R {
        let result = write(self.output);
        self.done = true;
        result
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.output.undo(self.mark);
        }
    }
}

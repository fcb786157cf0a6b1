//! Appending to output, all or nothing.

/// Appends by `write`. What was appended is taken back if it panics, so that no half frame is ever
/// sent.
#[inline]
pub(crate) fn whole<R>(output: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    Undo { length: output.len(), output, done: false }.run(write)
}

struct Undo<'a> {
    output: &'a mut Vec<u8>,
    length: usize,
    done: bool,
}

impl Undo<'_> {
    #[inline]
    fn run<R>(mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let result = write(self.output);
        self.done = true;
        result
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.output.truncate(self.length);
        }
    }
}

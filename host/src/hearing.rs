//! All that comes of one worker, heard by one thread in the order in which it was sent.
//!
//! A worker prints on two pipes, tells its supervisor lines on a socket, and ends. What it printed
//! before it told something is passed on before that, so that a log reads in the order of what
//! happened, and what it told before its end comes before the end:
//!
//! ```text
//!   wait for any ─► told or ended? ─► read what both pipes hold ─► told ─► ended
//!        ▲                no └─► read the pipe that has something              │
//!        └─────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A read takes all that a pipe holds, and no more follows before the worker is heard again: one
//! that prints without end is not taken for one that is silent. Pipes are read to their ends, also
//! after the worker's own, for whom the worker forked may hold them.

use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus};

use msec_sys::process::Target;
use msec_sys::readable::{Wait, readable};

/// Longest line; what is longer counts as several.
const LINE_BYTES_MAX: usize = 8 << 10;
/// What a pipe holds if nobody has changed it (pipe(7)).
const PIPE_BYTES: usize = 64 << 10;

/// What is heard of a worker.
pub(crate) enum News<'a> {
    /// It printed a line.
    Printed(&'a str),
    /// It told the supervisor a line.
    Told(&'a str),
    /// It has ended, and says no more; those it forked may still print.
    Ended(ExitStatus),
}

/// Where a worker is heard.
pub(crate) struct Hearing {
    child: Child,
    end: Target,
    has_ended: bool,
    told: Source,
    printed: [Source; 2],
}

/// One stream of lines; none once it has ended.
struct Source {
    file: Option<File>,
    /// What came of a line that has not ended.
    begun: Vec<u8>,
}

impl Hearing {
    /// Of a child that was started with pipes for what it prints, and tells on `socket`; `end` is
    /// of the same process.
    pub(crate) fn of(mut child: Child, end: Target, socket: UnixStream) -> Hearing {
        let printed =
            [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
        Hearing {
            child,
            end,
            has_ended: false,
            told: Source::of(Some(socket.into())),
            printed: printed.map(Source::of),
        }
    }

    /// Hears until nothing more can come. Blocks the thread.
    pub(crate) fn run(mut self, mut each: impl FnMut(News<'_>)) {
        let heard = self.hear(&mut each);
        if heard.is_err() && !self.has_ended {
            // The kernel has no memory for a wait: the end is all that can be told.
            self.tell_end(&mut each);
        }
    }

    fn hear(&mut self, each: &mut impl FnMut(News<'_>)) -> io::Result<()> {
        let mut buffer = vec![0; PIPE_BYTES];
        while self.wait()? {
            // These two before the pipes: what was printed before it is in them by now.
            let tells = self.told.has_some()?;
            let ends = !self.has_ended && readable(&[self.end.as_fd()], Wait::Never)?[0];
            for source in &mut self.printed {
                if source.has_some()? {
                    source.read(&mut buffer, |line| each(News::Printed(line)));
                }
            }
            if tells {
                self.told.read(&mut buffer, |line| each(News::Told(line)));
            }
            if ends {
                while self.told.has_some()? {
                    self.told.read(&mut buffer, |line| each(News::Told(line)));
                }
                self.tell_end(each);
            }
        }
        Ok(())
    }

    /// Waits for any of what is still heard; whether there is anything.
    fn wait(&self) -> io::Result<bool> {
        let sources = self.printed.iter().chain([&self.told]);
        let files = sources.filter_map(|source| source.file.as_ref());
        let end = (!self.has_ended).then(|| self.end.as_fd());
        let all: Vec<_> = files.map(File::as_fd).chain(end).collect();
        if all.is_empty() {
            return Ok(false);
        }
        readable(&all, Wait::Forever)?;
        Ok(true)
    }

    fn tell_end(&mut self, each: &mut impl FnMut(News<'_>)) {
        self.has_ended = true;
        // Whom it forked may hold the other sides, and go on with a line that it began.
        self.told.file = None;
        for source in &mut self.printed {
            source.end_line(|line| each(News::Printed(line)));
        }
        // It cannot be waited for only if somebody else did.
        each(News::Ended(self.child.wait().unwrap_or_default()));
    }
}

impl Source {
    fn of(descriptor: Option<OwnedFd>) -> Source {
        Source { file: descriptor.map(File::from), begun: Vec::new() }
    }

    fn has_some(&self) -> io::Result<bool> {
        match &self.file {
            Some(file) => Ok(readable(&[file.as_fd()], Wait::Never)?[0]),
            None => Ok(false),
        }
    }

    /// Reads once, which must not block, and passes on the lines that have ended.
    fn read(&mut self, buffer: &mut [u8], mut each: impl FnMut(&str)) {
        let Some(file) = &mut self.file else { return };
        let count = match file.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(_) => 0,
        };
        if count == 0 {
            self.file = None;
        }
        for piece in buffer[..count].split_inclusive(|&byte| byte == b'\n') {
            for part in piece.chunks(LINE_BYTES_MAX) {
                self.begun.extend_from_slice(part);
                if part.ends_with(b"\n") || self.begun.len() >= LINE_BYTES_MAX {
                    self.end_line(&mut each);
                }
            }
        }
        if count == 0 {
            self.end_line(each);
        }
    }

    fn end_line(&mut self, mut each: impl FnMut(&str)) {
        if !self.begun.is_empty() {
            each(String::from_utf8_lossy(&mem::take(&mut self.begun)).trim_end_matches('\n'));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn one_that_prints_without_end_is_heard_and_its_last_words_too() {
        let (ours, theirs) = UnixStream::pair().expect("descriptors are free");
        // What it tells comes by its standard input, which is that socket.
        let script = "yes & echo alive >&0; sleep 0.1; kill $!; wait $!; printf done >&2; exit 3";
        let mut command = Command::new("bash");
        command.args(["-c", script]).stdin(OwnedFd::from(theirs));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        drop(command);
        let child = child.expect("there is a bash");
        let end = Target::of(child.id()).expect("nobody has waited for it");
        let (mut heard, mut yes_count) = (Vec::new(), 0);
        Hearing::of(child, end, ours).run(|news| match news {
            News::Printed("y") => yes_count += 1,
            News::Printed(line) => heard.push(format!("printed {line}")),
            News::Told(line) => heard.push(format!("told {line}")),
            News::Ended(status) => heard.push(format!("ended {:?}", status.code())),
        });
        assert_eq!(heard, ["told alive", "printed done", "ended Some(3)"]);
        assert!(yes_count > PIPE_BYTES / 2, "{yes_count} lines");
    }

    #[test]
    fn lines_are_cut_where_they_are_too_long_and_end_with_the_stream() {
        let (mut ours, theirs) = UnixStream::pair().expect("descriptors are free");
        let mut source = Source::of(Some(theirs.into()));
        let mut lines = Vec::new();
        let long = "x".repeat(LINE_BYTES_MAX + 5);
        for bytes in ["one\ntw", "o\n", &long, "\nend"] {
            io::Write::write_all(&mut ours, bytes.as_bytes()).expect("there is room");
            source.read(&mut vec![0; PIPE_BYTES], |line| lines.push(line.to_owned()));
        }
        drop(ours);
        while source.file.is_some() {
            source.read(&mut [0; 8], |line| lines.push(line.to_owned()));
        }
        assert_eq!(lines, ["one", "two", &long[..LINE_BYTES_MAX], "xxxxx", "end"]);
    }
}

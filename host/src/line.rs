//! What a worker and its supervisor say to each other: lines of text on a socket.
//!
//! ```text
//!   worker ─► `ready`          it takes calls
//!             `failed TEXT`    it cannot start, and ends
//!             `alive`          all its cores have looked just now; each second
//!   worker ◄─ `leave MS`       end once the peers have left, or after so many milliseconds
//!             `bequeath MS`    the same, after giving its connections to those who come next
//! ```
//!
//! The end of the socket says that the other one is gone: a worker without a supervisor stops.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Longest line that is taken.
const LINE_BYTES_MAX: u64 = 16 << 10;

/// What a worker tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FromWorker {
    /// It takes calls.
    Ready,
    /// It cannot start.
    Failed(String),
    /// Its cores have looked.
    Alive,
}

/// What a worker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToWorker {
    /// End once the peers have left, or after so long.
    Leave(Duration),
    /// The same, after giving connections to those who come next.
    Bequeath(Duration),
}

impl FromWorker {
    /// As a line, without its end.
    pub(crate) fn line(&self) -> String {
        match self {
            FromWorker::Ready => "ready".into(),
            FromWorker::Failed(text) => format!("failed {}", text.replace('\n', "; ")),
            FromWorker::Alive => "alive".into(),
        }
    }

    /// Reads a line; `None` for one that is none of these.
    pub(crate) fn parse(line: &str) -> Option<FromWorker> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("ready", "") => Some(FromWorker::Ready),
            ("failed", text) => Some(FromWorker::Failed(text.into())),
            ("alive", "") => Some(FromWorker::Alive),
            _ => None,
        }
    }
}

impl ToWorker {
    /// As a line, without its end.
    pub(crate) fn line(&self) -> String {
        match self {
            ToWorker::Leave(grace) => format!("leave {}", grace.as_millis()),
            ToWorker::Bequeath(grace) => format!("bequeath {}", grace.as_millis()),
        }
    }

    /// Reads a line; `None` for one that is none of these.
    pub(crate) fn parse(line: &str) -> Option<ToWorker> {
        let (word, ms) = line.split_once(' ')?;
        let grace = Duration::from_millis(ms.parse().ok()?);
        match word {
            "leave" => Some(ToWorker::Leave(grace)),
            "bequeath" => Some(ToWorker::Bequeath(grace)),
            _ => None,
        }
    }
}

/// Sends a line. An error says that the other one is gone.
pub(crate) fn say(socket: &UnixStream, line: &str) -> io::Result<()> {
    let mut socket = socket;
    socket.write_all(format!("{line}\n").as_bytes())
}

/// Hears lines until the other one is gone.
pub(crate) fn hear(socket: UnixStream, mut each: impl FnMut(&str)) {
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    loop {
        line.clear();
        let read = io::Read::take(&mut reader, LINE_BYTES_MAX).read_line(&mut line);
        match read {
            Ok(count) if count > 0 => each(line.trim_end()),
            Ok(_) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_meant() {
        let all =
            [FromWorker::Ready, FromWorker::Failed("init: no database".into()), FromWorker::Alive];
        for told in all {
            assert_eq!(FromWorker::parse(&told.line()), Some(told));
        }
        assert_eq!(FromWorker::Failed("a\nb".into()).line(), "failed a; b");
        assert_eq!(FromWorker::parse("readyy"), None);
        for to in [ToWorker::Leave, ToWorker::Bequeath] {
            let to = to(Duration::from_millis(1500));
            assert_eq!(ToWorker::parse(&to.line()), Some(to));
        }
        assert_eq!(ToWorker::parse("leave soon"), None);
    }

    #[test]
    fn whoever_hears_is_told_of_the_end() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        say(&ours, "one").unwrap();
        say(&ours, "two").unwrap();
        drop(ours);
        let mut heard = Vec::new();
        hear(theirs, |line| heard.push(line.to_owned()));
        assert_eq!(heard, ["one", "two"]);
    }
}

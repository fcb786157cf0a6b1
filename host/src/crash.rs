//! Reports of workers that ended by themselves: what they said last, with the stack that a crash
//! writes, and the requests that they took last.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use msec::log::utc_ms;
use msec_sys::clock;
use msec_sys::process::Recent;

/// Lines of a worker that are kept for its report.
const LINES_MAX: usize = 200;
/// A longer line is cut.
const LINE_BYTES_MAX: usize = 2000;
/// Reports that are kept; the oldest go.
const REPORTS_MAX: usize = 20;

/// The last lines that a worker wrote.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastLines {
    lines: VecDeque<String>,
}

impl LastLines {
    /// It wrote another one.
    pub(crate) fn push(&mut self, line: &str) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        let end = line.floor_char_boundary(LINE_BYTES_MAX);
        self.lines.push_back(line[..end].into());
    }

    /// What a crash said in one line, if it did.
    pub(crate) fn crash(&self) -> Option<&str> {
        let is_crash = |line: &&String| {
            let rest = line.strip_prefix("msec: ");
            rest.is_some_and(|rest| rest.starts_with("SIG") || rest.starts_with("stack overflow"))
        };
        self.lines.iter().rev().find(is_crash).map(|line| &line["msec: ".len()..])
    }
}

/// A worker that ended.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    /// `L1.L2`.
    pub(crate) service: &'a str,
    /// Its index among the workers.
    pub(crate) worker: usize,
    /// Its process.
    pub(crate) pid: u32,
    /// How it ended: a status, a signal, or what was done to it.
    pub(crate) why: &'a str,
    /// What it wrote last.
    pub(crate) lines: &'a LastLines,
    /// What it was asked last, the newest last.
    pub(crate) requests: &'a [Recent],
}

impl Ended<'_> {
    /// Writes the report into a folder, and removes the oldest of too many; where it is.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn report(&self, folder: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let time = utc_ms(clock::wall_ns());
        let path = folder.join(format!("{}-{}.txt", time.replace(':', ""), self.pid));
        fs::write(&path, self.text(&time, clock::now_ns()))?;
        let mut reports: Vec<_> =
            fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        // Names begin with the time.
        reports.sort();
        for old in reports.iter().take(reports.len().saturating_sub(REPORTS_MAX)) {
            fs::remove_file(old)?;
        }
        Ok(path)
    }

    fn text(&self, time: &str, now_ns: u64) -> String {
        let Ended { service, worker, pid, why, lines, requests } = self;
        let mut text = format!(
            "service   {service}\ntime      {time}\nworker    {worker}, process {pid}\n\
             ended     {why}\n"
        );
        text.push_str("\nrequests taken last, the newest at the end\n");
        text.push_str("     ago  method  caller  flow id  body bytes\n");
        for recent in *requests {
            let ago_ms = now_ns.saturating_sub(recent.time_ns) as f64 / 1e6;
            let Recent { method, caller, flow_id, body_bytes, .. } = recent;
            // A String takes everything.
            let _ = writeln!(text, "{ago_ms:>5.0} ms  {method}  {caller}  {flow_id}  {body_bytes}");
        }
        text.push_str("\nwritten last; a stack is read by addr2line -Cfe FILE +OFFSET\n");
        for line in &lines.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_the_requests_and_the_last_lines_and_old_ones_go() {
        let mut lines = LastLines::default();
        (0..LINES_MAX + 5).for_each(|number| lines.push(&format!("line {number}")));
        lines.push(&"ü".repeat(LINE_BYTES_MAX));
        assert_eq!(lines.crash(), None);
        lines.push("msec: SIGSEGV at 0x10 in method a.B.C (core 0)");
        lines.push("/lib/x.so(+0x5)[0x7]");
        assert_eq!(lines.crash(), Some("SIGSEGV at 0x10 in method a.B.C (core 0)"));
        let requests = [Recent {
            time_ns: 5_000_000,
            flow_id: 9,
            body_bytes: 3,
            method: "a.B.C".into(),
            caller: "Demo.shop".into(),
        }];
        let ended = Ended {
            service: "Demo.echo",
            worker: 1,
            pid: 77,
            why: "SIGSEGV",
            lines: &lines,
            requests: &requests,
        };
        let text = ended.text("now", 8_000_000);
        assert!(text.contains("\nended     SIGSEGV\n"), "{text}");
        assert!(text.contains("    3 ms  a.B.C  Demo.shop  9  3\n"), "{text}");
        assert!(text.contains("line 204\n") && !text.contains("line 7\n"), "{text}");
        let folder = std::env::temp_dir().join(format!("msec-crash-{}", std::process::id()));
        for pid in 0..REPORTS_MAX as u32 + 3 {
            let path = Ended { pid, ..ended }.report(&folder).unwrap();
            assert!(path.exists());
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), REPORTS_MAX);
        fs::remove_dir_all(&folder).unwrap();
    }
}

//! Reports of workers that ended by themselves: what they said last, with the stack that a crash
//! writes, and the requests that they took last. A JVM that crashes writes a report of its own,
//! which the one here names.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use msec::log::utc_ms;
use msec_sys::clock;
use msec_sys::process::Recent;

/// Lines of a worker that are kept for its report.
///
/// A JVM that is asked where it is writes some lines for each of its threads.
const LINES_MAX: usize = 2000;
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

    /// All of them, the last one last.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// What a crash said in one line, if it did: that of the engine, or of a JVM, which begins
    /// all that it says of one by `#`.
    pub(crate) fn crash(&self) -> Option<&str> {
        const JVM: [&str; 3] = ["SIG", "Internal Error", "There is insufficient memory"];
        self.lines.iter().rev().find_map(|line| {
            let ours = line.strip_prefix("msec: ");
            let ours = ours.filter(|text| begins(text, &["SIG", "stack overflow"]));
            let jvm = line.strip_prefix("# ").map(str::trim_start);
            let ends = line.starts_with("Terminating due to java.lang.OutOfMemoryError");
            ours.or(jvm.filter(|text| begins(text, &JVM))).or(ends.then_some(line.as_str()))
        })
    }

    /// The file in which a JVM says more of its crash, as it tells itself.
    fn jvm_report(&self) -> Option<&str> {
        let mut lines = self.lines.iter();
        lines.find(|line| line.starts_with("# An error report file") && line.ends_with(" as:"))?;
        lines.next()?.strip_prefix("# ").map(str::trim)
    }

    /// Why a JVM could not run the method main, or how that ended.
    pub(crate) fn java_failure(&self) -> Option<String> {
        const BEGINS: [&str; 6] = [
            "Exception in thread \"main\" ",
            "Error: ",
            "Error occurred during initialization of VM",
            "no main manifest attribute",
            "Unrecognized ",
            "Invalid ",
        ];
        let at = self.lines.iter().position(|line| begins(line, &BEGINS))?;
        let line = self.lines[at].trim_start_matches(BEGINS[0]).trim_start_matches(BEGINS[1]);
        let mut text = line.to_owned();
        // The cause, or what the line is about.
        if let Some(next) = self.lines.get(at + 1)
            && (next.starts_with("Caused by: ") || begins(line, &BEGINS[2..3]))
        {
            text = format!("{text}; {next}");
        }
        if begins(line, &BEGINS[3..4]) {
            text.push_str("; [JAVA] main may name the class");
        }
        Some(text)
    }
}

fn begins(text: &str, with: &[&str]) -> bool {
    with.iter().any(|begin| text.starts_with(begin))
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
        // What JVMs write is beside it.
        for kind in ["txt", "log"] {
            let entries = fs::read_dir(folder)?.filter_map(Result::ok);
            let found = entries.map(|entry| entry.path());
            let mut found: Vec<_> = found
                .filter(|path| path.extension().is_some_and(|extension| extension == kind))
                .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
                .collect();
            found.sort();
            for (_, old) in found.iter().take(found.len().saturating_sub(REPORTS_MAX)) {
                fs::remove_file(old)?;
            }
        }
        Ok(path)
    }

    fn text(&self, time: &str, now_ns: u64) -> String {
        let Ended { service, worker, pid, why, lines, requests } = self;
        let mut text = format!(
            "service   {service}\ntime      {time}\nworker    {worker}, process {pid}\n\
             ended     {why}\n"
        );
        if let Some(path) = lines.jvm_report() {
            let _ = writeln!(text, "see also  {path}, by the JVM");
        }
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
        (0..LINES_MAX + 5).for_each(|number| lines.push(&format!("line {number}.")));
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
        assert!(text.contains("line 2004.\n") && !text.contains("line 7.\n"), "{text}");
        let folder = std::env::temp_dir().join(format!("msec-crash-{}", std::process::id()));
        for pid in 0..REPORTS_MAX as u32 + 3 {
            let path = Ended { pid, ..ended }.report(&folder).unwrap();
            assert!(path.exists());
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), REPORTS_MAX);
        fs::remove_dir_all(&folder).unwrap();
    }

    fn lines(texts: &[&str]) -> LastLines {
        let mut lines = LastLines::default();
        texts.iter().for_each(|text| lines.push(text));
        lines
    }

    #[test]
    fn what_a_jvm_says_of_its_end_is_understood() {
        let crash = lines(&[
            "#",
            "# A fatal error has been detected by the Java Runtime Environment:",
            "#",
            "#  SIGSEGV (0xb) at pc=0x00007f, pid=7, tid=8",
            "# An error report file with more information is saved as:",
            "# /log/crash/hs_err_pid7.log",
        ]);
        assert_eq!(crash.crash(), Some("SIGSEGV (0xb) at pc=0x00007f, pid=7, tid=8"));
        assert_eq!(crash.jvm_report(), Some("/log/crash/hs_err_pid7.log"));
        let check = |texts: &[&str], expect: &str| {
            assert_eq!(lines(texts).java_failure().as_deref(), Some(expect));
            assert_eq!(lines(texts).crash(), None);
        };
        let thrown = "Exception in thread \"main\" java.lang.IllegalStateException: no database";
        check(&["hello", thrown, "\tat a.B"], "java.lang.IllegalStateException: no database");
        let missing = "Error: Could not find or load main class a.B";
        let cause = "Caused by: java.lang.ClassNotFoundException: a.B";
        let both = format!("Could not find or load main class a.B; {cause}");
        check(&[missing, cause], &both);
        let none = "no main manifest attribute, in /x.jar";
        check(&[none], &format!("{none}; [JAVA] main may name the class"));
        check(&["Unrecognized option: -Xbad", "Error: Could not"], "Unrecognized option: -Xbad");
        assert_eq!(lines(&["well"]).java_failure(), None);
    }
}

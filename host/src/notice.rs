//! What the supervisor and its workers have to say to an operator, on standard error.
//!
//! In the background that is `log/host.log`, which is bounded: what is beyond
//! [`FILE_BYTES_MAX`] is moved to `host.log.1`, in place of what was there.

use std::fs;
use std::io;
use std::path::Path;

use msec::log::utc_ms;
use msec_sys::{clock, stderr};

/// Where a file of notices is cut.
const FILE_BYTES_MAX: u64 = 10 << 20;

/// Says a line, with the time before it.
pub(crate) fn say(text: &str) {
    // Who does not read it misses it.
    let _ =
        stderr::write_line(format!("{} msec host: {text}\n", utc_ms(clock::wall_ns())).as_bytes());
}

/// Passes on a line of a worker.
pub(crate) fn pass_on(worker: usize, line: &str) {
    let _ = stderr::write_line(format!("worker {worker}: {line}\n").as_bytes());
}

/// Cuts the file of notices if it has become too long. It stays the same file, since standard error
/// of this process is it, opened for appending.
///
/// # Errors
/// What the file system says.
pub(crate) fn bound(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.len() <= FILE_BYTES_MAX {
        return Ok(());
    }
    fs::copy(path, path.with_extension("log.1"))?;
    fs::OpenOptions::new().write(true).open(path)?.set_len(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_long_is_begun_anew_and_kept_once() {
        let path = std::env::temp_dir().join(format!("msec-notice-{}.log", std::process::id()));
        fs::write(&path, "short").unwrap();
        bound(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        fs::File::options().write(true).open(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        bound(&path).unwrap();
        let old = path.with_extension("log.1");
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        assert_eq!(fs::metadata(&old).unwrap().len(), FILE_BYTES_MAX + 1);
        assert!(bound(Path::new("/nowhere/at/all")).is_err());
        fs::remove_file(&path).unwrap();
        fs::remove_file(&old).unwrap();
    }
}

//! The files of the log: one that is written, and older ones that it pushes on.
//!
//! ```text
//!   Demo.shop.log ──full──► Demo.shop.log.1 ─► Demo.shop.log.2 ─► … ─► gone
//! ```
//!
//! A batch is written with one system call. Where it fails, because the disk is full, the folder
//! is gone or was never there, its records are lost and the failure is told to whoever wrote;
//! files are opened again a second later. Somebody else may move or remove the file (logrotate, a
//! person): that is noticed within a second, and a new one is begun. Several processes may share a
//! file: each only appends, and when one of them pushes the files on, the others follow.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How long a file that failed is left alone, and how long one is trusted to be still there.
const LOOK_NS: u64 = 1_000_000_000;

/// Where the log is kept, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    /// Of the file, without its ending.
    pub(crate) name: String,
    /// Files, the one that is written included.
    pub(crate) files_max: usize,
    /// Bytes of a file; one record may go beyond.
    pub(crate) bytes_max: u64,
}

/// The file that is written.
struct Open {
    file: File,
    bytes: u64,
    /// Names the file, whatever its path names by now.
    inode: (u64, u64),
}

/// The files of a place.
pub(crate) struct Files {
    place: Place,
    open: Option<Open>,
    /// Not opened, and not looked at, before this.
    look_ns: u64,
    /// The last write ended within a line.
    torn: bool,
    trouble: Option<io::Error>,
}

impl Files {
    pub(crate) fn new(place: Place) -> Files {
        Files { place, open: None, look_ns: 0, torn: false, trouble: None }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Looks before the next write whether the file is still there.
    pub(crate) fn look_again(&mut self) {
        self.look_ns = 0;
    }

    /// Writes lines, each with its end. On an error some of them may have been written.
    pub(crate) fn write(&mut self, lines: &str, now_ns: u64) -> io::Result<()> {
        self.look(now_ns)?;
        let full = |open: &Open| open.bytes > 0 && open.bytes + 1 > self.place.bytes_max;
        if self.open.as_ref().is_some_and(full) {
            self.push_on()?;
        }
        let Some(open) = &mut self.open else { return Err(io::ErrorKind::NotFound.into()) };
        let mut bytes = Vec::new();
        if std::mem::take(&mut self.torn) {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(lines.as_bytes());
        let written = write_all(&mut open.file, &bytes);
        let (count, result) = written;
        open.bytes += count as u64;
        self.torn = count > 0 && bytes[count - 1] != b'\n';
        result.inspect_err(|_| {
            // What is wrong with the file may be wrong with the next one; not in this very moment.
            self.open = None;
            self.look_ns = now_ns + LOOK_NS;
        })
    }

    /// Has a file open that its path still names.
    fn look(&mut self, now_ns: u64) -> io::Result<()> {
        if now_ns < self.look_ns {
            if self.open.is_some() {
                return Ok(());
            }
            let kind = self.trouble.as_ref().map_or(io::ErrorKind::NotFound, io::Error::kind);
            return Err(kind.into());
        }
        self.look_ns = now_ns + LOOK_NS;
        let path = self.path(0);
        let named = fs::metadata(&path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
        if self.open.as_ref().map(|open| open.inode) == named && named.is_some() {
            return Ok(());
        }
        self.open = None;
        match open(&path) {
            Ok(opened) => self.open = Some(opened),
            Err(error) => {
                self.trouble = Some(error.kind().into());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Begins a new file.
    fn push_on(&mut self) -> io::Result<()> {
        self.open = None;
        // Another process may have done so already: then its file is the one to go on with.
        let bytes = fs::metadata(self.path(0)).map_or(0, |metadata| metadata.len());
        if bytes >= self.place.bytes_max {
            for number in (1..self.place.files_max).rev() {
                // Those that are not there yet.
                let _ = fs::rename(self.path(number - 1), self.path(number));
            }
            if self.place.files_max <= 1 {
                fs::remove_file(self.path(0))?;
            }
        }
        self.torn = false;
        self.open = Some(open(&self.path(0))?);
        Ok(())
    }

    /// The file with that number: 0 is the one that is written.
    fn path(&self, number: usize) -> PathBuf {
        let name = &self.place.name;
        self.place.folder.join(match number {
            0 => format!("{name}.log"),
            _ => format!("{name}.log.{number}"),
        })
    }
}

fn open(path: &Path) -> io::Result<Open> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let metadata = file.metadata()?;
    let inode = (metadata.dev(), metadata.ino());
    Ok(Open { file, bytes: metadata.len(), inode })
}

/// As much as the file takes.
fn write_all(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut count = 0;
    while count < bytes.len() {
        match file.write(&bytes[count..]) {
            Ok(0) => return (count, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (count, Err(error)),
        }
    }
    (count, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("msec-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn files(&self, files_max: usize, bytes_max: u64) -> Files {
            let (folder, name) = (self.0.clone(), "a".into());
            Files::new(Place { folder, name, files_max, bytes_max })
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.0.join(name)).unwrap_or_default()
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn full_files_are_pushed_on_and_the_oldest_goes() {
        let folder = Folder::new("push");
        let mut files = folder.files(3, 10);
        for number in 0..9 {
            files.write(&format!("line {number}\n"), number).unwrap();
        }
        assert_eq!(folder.names(), ["a.log", "a.log.1", "a.log.2"]);
        assert_eq!(folder.read("a.log"), "line 8\n");
        assert_eq!(folder.read("a.log.1"), "line 6\nline 7\n");
        assert_eq!(folder.read("a.log.2"), "line 4\nline 5\n");
        let mut single = folder.files(1, 5);
        single.write("one\ntwo\n", 0).unwrap();
        single.write("three\n", 1).unwrap();
        assert_eq!(folder.read("a.log"), "three\n");
    }

    #[test]
    fn a_file_that_was_there_is_continued() {
        let folder = Folder::new("continue");
        folder.files(3, 100).write("before\n", 0).unwrap();
        folder.files(3, 100).write("after\n", 0).unwrap();
        assert_eq!(folder.read("a.log"), "before\nafter\n");
    }

    #[test]
    fn a_file_that_was_taken_away_is_begun_anew_within_a_second() {
        let folder = Folder::new("taken");
        let mut files = folder.files(3, 1000);
        files.write("one\n", 0).unwrap();
        fs::rename(folder.0.join("a.log"), folder.0.join("moved")).unwrap();
        files.write("two\n", LOOK_NS - 1).unwrap();
        files.write("three\n", LOOK_NS).unwrap();
        assert_eq!(
            (folder.read("moved"), folder.read("a.log")),
            ("one\ntwo\n".into(), "three\n".into())
        );
        fs::remove_dir_all(&folder.0).unwrap();
        files.write("four\n", 3 * LOOK_NS).unwrap();
        assert_eq!(folder.read("a.log"), "four\n", "the folder as well");
    }

    #[test]
    fn two_that_share_a_file_lose_nothing_when_it_is_pushed_on() {
        let folder = Folder::new("share");
        let (mut one, mut two) = (folder.files(9, 20), folder.files(9, 20));
        for number in 0..20u64 {
            let now_ns = number * LOOK_NS;
            one.write(&format!("one {number}\n"), now_ns).unwrap();
            two.write(&format!("two {number}\n"), now_ns).unwrap();
        }
        let all: String = folder.names().iter().map(|name| folder.read(name)).collect();
        for number in 0..20 {
            for who in ["one", "two"] {
                assert!(all.contains(&format!("{who} {number}\n")), "{who} {number}: {all}");
            }
        }
    }

    #[test]
    fn a_full_disk_is_an_error_and_tried_again_after_a_rest() {
        let folder = Folder::new("full");
        std::os::unix::fs::symlink("/dev/full", folder.0.join("a.log")).unwrap();
        let mut files = folder.files(3, 100);
        let error = files.write("lost\n", 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        // There is room again.
        fs::remove_file(folder.0.join("a.log")).unwrap();
        assert!(files.write("lost too\n", LOOK_NS - 1).is_err(), "it rests");
        files.write("kept\n", LOOK_NS).unwrap();
        assert_eq!(folder.read("a.log"), "kept\n");
    }

    #[test]
    fn a_folder_that_cannot_be_is_an_error_and_tried_again() {
        let folder = Folder::new("cannot");
        fs::write(folder.0.join("file"), "").unwrap();
        let mut files = folder.files(3, 100);
        files.place.folder = folder.0.join("file/log");
        assert!(files.write("lost\n", 0).is_err());
        fs::remove_file(folder.0.join("file")).unwrap();
        files.write("kept\n", LOOK_NS).unwrap();
        assert_eq!(folder.read("file/log/a.log"), "kept\n");
    }
}

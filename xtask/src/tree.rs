//! The files of the repository as the checks see them: read once, with paths relative to the root,
//! and nothing that a build or a fuzzer left behind.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::RustFile;

/// Folders that hold no source of ours, wherever they stand.
const SKIPPED_FOLDERS: &[&str] = &[".git", "target", "node_modules", "corpus", "artifacts"];

/// Every text file below one root.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) files: Vec<TextFile>,
}

/// One file of UTF-8 text; `rust` is there for `.rs` files.
pub(crate) struct TextFile {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) rust: Option<RustFile>,
}

/// Something to be mended, at a place.
#[derive(Debug)]
pub(crate) struct Problem {
    path: String,
    line: Option<usize>,
    what: String,
}

impl Tree {
    /// Reads the tree. A `.rs` file that does not parse is an error of the whole run: no check
    /// could vouch for it.
    pub(crate) fn read(root: &Path) -> Result<Tree, String> {
        let mut files = Vec::new();
        read_folder(root, root, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Tree { root: root.to_path_buf(), files })
    }

    pub(crate) fn file(&self, path: &str) -> Option<&TextFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust files that people write: generated ones obey their generator.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = (&TextFile, &RustFile)> {
        self.files
            .iter()
            .filter(|file| !file.is_generated())
            .filter_map(|file| Some((file, file.rust.as_ref()?)))
    }
}

impl TextFile {
    pub(crate) fn is_generated(&self) -> bool {
        self.path.contains("/generated/")
    }

    pub(crate) fn has_extension(&self, extensions: &[&str]) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
    }

    /// Whether the line belongs to a test: a `tests` folder, or a module for `cfg(test)`.
    pub(crate) fn is_test_line(&self, line: usize) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self
                .rust
                .as_ref()
                .is_some_and(|rust| rust.test_items.iter().any(|range| range.contains(&line)))
    }
}

impl Problem {
    pub(crate) fn at(path: &str, line: usize, what: impl Into<String>) -> Problem {
        Problem { path: path.to_string(), line: Some(line), what: what.into() }
    }

    pub(crate) fn in_file(path: &str, what: impl Into<String>) -> Problem {
        Problem { path: path.to_string(), line: None, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.what),
            None => write!(f, "{}: {}", self.path, self.what),
        }
    }
}

fn read_folder(root: &Path, folder: &Path, files: &mut Vec<TextFile>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let name = entry.file_name();
        let path = entry.path();
        if kind.is_dir() {
            if !SKIPPED_FOLDERS.iter().any(|skipped| name == *skipped) {
                read_folder(root, &path, files)?;
            }
        } else if kind.is_file() {
            files.extend(read_file(root, &path)?);
        }
    }
    Ok(())
}

/// `None`: not text.
fn read_file(root: &Path, path: &Path) -> Result<Option<TextFile>, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        // An editor or a build may remove a file between the listing and the reading.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    let Ok(text) = String::from_utf8(bytes) else { return Ok(None) };
    let relative = path.strip_prefix(root).expect("the walk started at the root");
    let relative = relative.to_string_lossy().replace('\\', "/");
    let rust = match relative.ends_with(".rs") {
        true => Some(RustFile::parse(&text).map_err(|what| format!("{relative}:{what}"))?),
        false => None,
    };
    Ok(Some(TextFile { path: relative, text, rust }))
}

/// Folders with given files, for the tests of the checks.
#[cfg(test)]
pub(crate) mod scratch {
    use super::Tree;
    use std::fs;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A folder that goes away with this value.
    pub(crate) struct Scratch {
        pub(crate) root: PathBuf,
    }

    impl Scratch {
        pub(crate) fn new(files: &[(&str, &str)]) -> Scratch {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("msec-xtask-{}-{number}", std::process::id());
            let root = std::env::temp_dir().join(name);
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().expect("below the root")).expect("a folder");
                fs::write(path, text).expect("a file");
            }
            Scratch { root }
        }

        pub(crate) fn tree(&self) -> Tree {
            Tree::read(&self.root).expect("a tree")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.root);
        }
    }

    /// The problems of one check over the given files, as text.
    pub(crate) fn problems(
        check: super::super::checks::Run,
        files: &[(&str, &str)],
    ) -> Vec<String> {
        let scratch = Scratch::new(files);
        let problems = check(&scratch.tree()).expect("the check runs");
        problems.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::scratch::Scratch;
    use super::*;

    #[test]
    fn build_output_and_binary_files_are_not_read() {
        let files = [("a/b.txt", "x"), ("target/c.txt", "x"), ("fuzz/corpus/d.txt", "x")];
        let scratch = Scratch::new(&files);
        fs::write(scratch.root.join("e.bin"), [0xff, 0xfe]).expect("a file");
        let paths: Vec<_> = scratch.tree().files.into_iter().map(|file| file.path).collect();
        assert_eq!(paths, ["a/b.txt"]);
    }

    #[test]
    fn a_file_that_does_not_parse_is_an_error_with_its_line() {
        let scratch = Scratch::new(&[("src/lib.rs", "fn a() {}\nfn {}\n")]);
        let message = Tree::read(&scratch.root).err().expect("an error");
        assert!(message.starts_with("src/lib.rs:2: "), "{message}");
    }
}

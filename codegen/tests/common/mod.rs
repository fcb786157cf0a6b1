//! What the tests of all languages need.

use std::path::{Path, PathBuf};

use msec_codegen::{Build, Error, GeneratedFile};

/// The folder of the committed .proto files.
pub(crate) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Holds generated files against the committed ones.
pub(crate) fn check_golden(generated: &[GeneratedFile], names: &[&str]) {
    let found: Vec<_> = generated.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(found, names);
    for file in generated {
        let path = golden().join("generated").join(&file.name);
        let committed = std::fs::read_to_string(&path).expect("committed");
        assert!(file.text == committed, "{} differs: run `cargo xtask gen`", file.name);
    }
}

/// A folder that goes away with this value.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Scratch {
        let folder = format!("msec-codegen-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        Scratch(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The error of one file of the given lines, which stands in a folder of its own.
pub(crate) fn error_of<T: std::fmt::Debug>(
    name: &str,
    lines: &[&str],
    generate: fn(&Build) -> Result<Vec<T>, Error>,
) -> String {
    let scratch = Scratch::new(name);
    let path = scratch.0.join("a.proto");
    let text = format!("syntax = \"proto3\";\npackage a;\n{}\n", lines.join("\n"));
    std::fs::write(&path, text).expect("written");
    generate(Build::new().proto(&path)).expect_err("an error").to_string()
}

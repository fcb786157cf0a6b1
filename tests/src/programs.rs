//! The programs of the repository: its commands and examples, as a user would run them.
//!
//! They belong to other packages, which Cargo does not build for this one's tests. So the first
//! test that needs one has Cargo build them all, into the folder and with the profile of the test
//! program. Where `make` was here before, that only looks at them: it builds the same packages,
//! since with others the features of dependencies differ and everything would be compiled anew.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The folder `target/<profile>`, with all programs in it.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    // A test program is target/<profile>/deps/<name>-<hash>.
    let folder = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_path_buf();
    let profile = match folder.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let built = Command::new(env!("CARGO"))
        .current_dir(repository())
        .args(["build", "--quiet", "--locked", "--workspace", "--lib", "--bins", "--examples"])
        .args(["--profile", profile, "--target-dir"])
        .arg(folder.parent().unwrap())
        .status()
        .unwrap();
    assert!(built.success(), "the programs do not compile");
    folder
});

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A command, such as `msec`.
pub fn command(name: &str) -> PathBuf {
    FOLDER.join(name)
}

/// An example of the engine.
pub fn example(name: &str) -> PathBuf {
    FOLDER.join("examples").join(name)
}

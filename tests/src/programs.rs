//! The programs of the repository: its commands and examples, as a user would run them.
//!
//! They belong to other packages, which Cargo does not build for this one's tests. So the first
//! test that needs one has Cargo build them all, into the folder and with the profile of the test
//! program. Where `make` was here before, that only looks at them: it builds the same packages,
//! since with others the features of dependencies differ and everything would be compiled anew.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// The folder `target/<profile>`, with all programs in it.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    // A test program is target/<profile>/deps/<name>-<hash>.
    let folder = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_path_buf();
    let profile = match folder.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let built = outside_of_cargo(&mut Command::new(env!("CARGO")))
        .current_dir(repository())
        .args(["build", "--quiet", "--locked", "--workspace", "--lib", "--bins", "--examples"])
        .args(["--profile", profile, "--target-dir"])
        .arg(folder.parent().unwrap())
        .status()
        .unwrap();
    assert!(built.success(), "the programs do not compile");
    folder
});

/// Takes out of a command's environment what Cargo has told this program of its own package.
///
/// A Cargo that is started with it takes it for a change: ring's build script asks for the like, so
/// that ring and all that is built on it, the engine too, would be compiled anew, now and once more
/// in the next build from outside.
pub fn outside_of_cargo(command: &mut Command) -> &mut Command {
    let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"];
    for (name, _) in std::env::vars_os() {
        if told.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Runs a command; its output, or a failure with what it said.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let (output, out, err) = ends(command);
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out
}

/// Runs a command to its end, whatever that is; also what it wrote to either output.
pub fn ends(command: &mut Command) -> (Output, String, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

/// A command, such as `msec`.
pub fn command(name: &str) -> PathBuf {
    FOLDER.join(name)
}

/// An example of the engine.
pub fn example(name: &str) -> PathBuf {
    FOLDER.join("examples").join(name)
}

//! Tells the binary which commit it was built from, and for which target.

use std::path::Path;
use std::process::Command;

/// Grows with every commit and every checkout.
const LOG: &str = "../.git/logs/HEAD";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A path that does not exist would have Cargo come again each time.
    if Path::new(LOG).exists() {
        println!("cargo::rerun-if-changed={LOG}");
    }
    println!("cargo::rustc-env=MSEC_COMMIT={}", commit().unwrap_or_default());
    println!("cargo::rustc-env=MSEC_TARGET={}", std::env::var("TARGET").unwrap_or_default());
}

/// The short name of the commit; nothing in an unpacked archive, which has no history.
fn commit() -> Option<String> {
    if !Path::new("../.git").exists() {
        return None;
    }
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

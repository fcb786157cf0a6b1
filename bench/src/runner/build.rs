//! Building what is measured, so that one command is enough: the msec examples, the bench's own servers, the C++ peer.
//!
//! A part that does not build takes only its own rows with it. The reason is kept and printed where its numbers would be.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::launch::Site;

/// What the C++ peer needs.
pub const GRPC_INSTALL: &str =
    "apt-get install g++ make pkg-config libgrpc++-dev protobuf-compiler-grpc";

/// The folders and processors of a run from this checkout.
pub fn site(server_cpu: usize, generator_cpu: usize) -> Result<Site, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let bench = own.parent().ok_or("the bench has no folder")?.to_path_buf();
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => root().join("target"),
    };
    let grpc_cpp = bench.join("grpc-cpp").join("grpc-cpp");
    let logs = bench.join("bench-logs");
    std::fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
    let examples = target.join("release").join("examples");
    Ok(Site { bench, examples, grpc_cpp, logs, server_cpu, generator_cpu })
}

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("bench/ lies in the checkout")
}

/// Builds everything; the messages are about what failed.
pub fn all(site: &Site) -> Vec<String> {
    let mut troubles = Vec::new();
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    if root().join("core/examples").is_dir() {
        let arguments = ["build", "--release", "--examples", "-p", "msec"];
        troubles.extend(step("the msec examples", "cargo", &arguments, root()));
    }
    let arguments = ["build", "--release", "--workspace", "--bins"];
    troubles.extend(step("the bench's servers", "cargo", &arguments, bench));
    let folder = site.grpc_cpp.parent().unwrap_or(bench);
    let out = format!("OUT={}", folder.display());
    let make = step("grpc-cpp", "make", &["--silent", &out], &bench.join("grpc-cpp"));
    troubles.extend(make.map(|trouble| format!("{trouble}; {GRPC_INSTALL}")));
    troubles
}

fn step(what: &str, program: &str, arguments: &[&str], folder: &Path) -> Option<String> {
    match Command::new(program).args(arguments).current_dir(folder).status() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("{what}: {program} ended with {status}")),
        Err(error) => Some(format!("{what}: {program} does not start: {error}")),
    }
}

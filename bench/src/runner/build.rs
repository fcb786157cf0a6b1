//! Building what is measured, so that one command is enough: the msec examples, the bench's own
//! servers, the peers in C++ and Java.
//!
//! A part that does not build takes only its own rows with it. The reason is kept and printed where
//! its numbers would be.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::certificate::Certificate;
use super::jvm::{self, Jvms};
use super::launch::Site;
use super::rows::Program;

/// Packages with the engine in them.
const MODES: [&str; 6] =
    ["-p", "msec-bench-servers", "-p", "msec-bench-micro", "-p", "msec-bench-routing"];
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
    let cpp = bench.join("msec-cpp");
    let logs = bench.join("bench-logs");
    std::fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
    let release = target.join("release");
    let (examples, msec) = (release.join("examples"), release.join("msec"));
    let certificate = Certificate::make(&logs)?;
    let java = Jvms::find(Path::new(env!("CARGO_MANIFEST_DIR")), &release);
    Ok(Site {
        bench,
        examples,
        msec,
        grpc_cpp,
        cpp,
        java,
        logs,
        certificate,
        server_cpu,
        generator_cpu,
    })
}

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("bench/ lies in the checkout")
}

/// A step of the build that failed, and why.
#[derive(Clone, Debug)]
pub struct Failure {
    step: Step,
    /// For people.
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Examples,
    Peers,
    Modes,
    GrpcCpp,
    Cpp,
    Java,
    GrpcJava,
}

impl Failure {
    /// Whether this program comes out of the step. What an earlier build left is not measured: it
    /// is something else.
    pub fn concerns(&self, program: Program) -> bool {
        self.step
            == match program {
                Program::Example(_) => Step::Examples,
                Program::Bench(_) => Step::Peers,
                Program::Mode(_) => Step::Modes,
                Program::GrpcCpp => Step::GrpcCpp,
                Program::Cpp(_) | Program::Plugin => Step::Cpp,
                Program::Java(_) => Step::Java,
                Program::GrpcJava(_) => Step::GrpcJava,
            }
    }
}

/// Builds everything; says what failed.
pub fn all(site: &Site) -> Vec<Failure> {
    let mut failures = Vec::new();
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let build = ["build", "--locked", "--release", "--bins"];
    // The same words as `make release`, so that neither throws away what the other has built.
    let packages = [
        "msec",
        "msec-cli",
        "msec-codegen",
        "msec-host",
        "msec-ffi-c",
        "msec-ffi-java",
        "msec-hook",
        "msec-hook-locks",
    ];
    let packages = packages.map(|package| ["-p", package]).concat();
    let examples = [&build[..], &packages, &["--lib", "--examples"]].concat();
    failures.extend(step(Step::Examples, "cargo", &examples, root()));
    // Two steps: an engine that does not build must not take the peers with it.
    let peers = [&build[..], &["-p", "msec-bench", "-p", "msec-bench-peers"]].concat();
    failures.extend(step(Step::Peers, "cargo", &peers, bench));
    let modes = [&build[..], &MODES].concat();
    failures.extend(step(Step::Modes, "cargo", &modes, bench));
    let out = format!("OUT={}", site.grpc_cpp.parent().unwrap_or(bench).display());
    failures.extend(step(Step::GrpcCpp, "make", &["--silent", &out], &bench.join("grpc-cpp")));
    let out = format!("OUT={}", site.cpp.display());
    let library = format!("LIB={}", site.msec.parent().unwrap_or(bench).display());
    let cpp = ["--silent", &out, &library];
    failures.extend(step(Step::Cpp, "make", &cpp, &bench.join("cpp")));
    let built = format!("-Dmsec.built={}", site.java.library.display());
    let modules = ["-Pbench", "-DskipTests", "-pl", "msec,../bench/java", &built];
    let java = [&["-q", "package"], &modules[..]].concat();
    failures.extend(step(Step::Java, "mvn", &java, &root().join("java")));
    failures.extend(step(Step::GrpcJava, "mvn", &["-q", "package"], &bench.join("grpc-java")));
    failures
}

fn step(step: Step, program: &str, arguments: &[&str], folder: &Path) -> Option<Failure> {
    let mut command = Command::new(program);
    // Incremental builds optimise less; one that a developer has switched on must not show in the
    // numbers.
    command.args(arguments).current_dir(folder).env_remove("CARGO_INCREMENTAL");
    // What the Cargo that runs this says of this package makes build scripts of others run again,
    // and with them half of what was there already.
    let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"];
    for (name, _) in std::env::vars_os() {
        if told.iter().any(|begin| name.to_string_lossy().starts_with(begin)) {
            command.env_remove(name);
        }
    }
    let reason = match command.status() {
        Ok(status) if status.success() => return None,
        Ok(status) => format!("{program} ended with {status}"),
        Err(error) => format!("{program} does not start: {error}"),
    };
    let reason = match step {
        Step::Examples => format!("the msec examples: {reason}"),
        Step::Peers => format!("floors and peers: {reason}"),
        Step::Modes => format!("the engine's modes: {reason}"),
        Step::Cpp => format!("bench/cpp: {reason}"),
        Step::Java => format!("bench/java: {reason}; {}", jvm::INSTALL),
        Step::GrpcJava => format!("bench/grpc-java: {reason}; {}", jvm::INSTALL),
        Step::GrpcCpp => format!("grpc-cpp: {reason}; {GRPC_INSTALL}"),
    };
    Some(Failure { step, reason })
}

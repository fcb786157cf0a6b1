//! JVMs: which are here, and how a server in Java is started on one.
//!
//! All servers in Java have the same options. Collector and compilers share the server's processor,
//! as they do in a container with one: the serial collector is what the JVM takes there by itself,
//! and any other has threads that would wait for it. The heap is of a fixed size and touched at the
//! start, so that no page is touched for the first time in the measured window.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::measure::Pace;
use super::rows::Program;

/// Until C2 has compiled what a request goes through, on the processor that it shares with it:
/// after so long a window costs what the one before cost.
const WARM: Duration = Duration::from_secs(8);
/// The same of grpc-java, which has more to compile; it would look worse with less.
const WARM_GRPC: Duration = Duration::from_secs(20);
/// Several collections of the young generation, where there is garbage.
const MEASURE: Duration = Duration::from_millis(1500);

const OPTIONS: &[&str] = &["-XX:+UseSerialGC", "-Xms512m", "-Xmx512m", "-XX:+AlwaysPreTouch"];
/// What Netty reaches its fastest buffers by.
const OPEN: &str = "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED";
/// Newer JVMs forbid it otherwise, or warn.
const ALLOWED: &[&str] =
    &["--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED"];

/// The server of `bench/java`.
pub const MAIN: &str = "org.msec.bench.EchoServer";
/// What to install where none is found.
pub const INSTALL: &str = "a JDK 17 and a JDK 25 below /usr/lib/jvm, and maven";

/// A JVM by its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jdk {
    /// The oldest that the library runs on.
    V17,
    /// One with virtual threads.
    V25,
}

impl Jdk {
    fn version(self) -> u32 {
        match self {
            Jdk::V17 => 17,
            Jdk::V25 => 25,
        }
    }
}

/// The JVMs that are here, and what they run.
#[derive(Clone, Debug, Default)]
pub struct Jvms {
    /// Version and folder.
    homes: Vec<(u32, PathBuf)>,
    /// The folder with `libmsec_jni.so`.
    pub library: PathBuf,
    /// The server of `bench/java`.
    pub msec: PathBuf,
    /// That of `bench/grpc-java`.
    pub grpc: PathBuf,
}

impl Jvms {
    /// Looks where Debian and others put them.
    pub fn find(bench: &Path, library: &Path) -> Self {
        let mut homes = Vec::new();
        for entry in std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten() {
            let release = std::fs::read_to_string(entry.path().join("release"));
            if let Some(version) = release.ok().as_deref().and_then(version_in) {
                homes.push((version, entry.path()));
            }
        }
        Jvms {
            homes,
            library: library.to_path_buf(),
            msec: bench.join("java/target/msec-bench.jar"),
            grpc: bench.join("grpc-java/target/grpc-java.jar"),
        }
    }

    /// Whether there is one of this version.
    pub fn has(&self, jdk: Jdk) -> bool {
        self.home(jdk).is_some()
    }

    fn home(&self, jdk: Jdk) -> Option<&Path> {
        let home = self.homes.iter().find(|(version, _)| *version == jdk.version());
        home.map(|(_, home)| home.as_path())
    }

    /// What config.ini says for the server of `bench/java` to be run by that JVM.
    pub fn settings(&self, jdk: Jdk) -> String {
        let home = self.home(jdk).unwrap_or(Path::new("/usr"));
        let (home, options, library) = (home.display(), OPTIONS.join(" "), self.library.display());
        format!(
            "[JAVA]\nhome = {home}\nmain = {MAIN}\n\
             options = {options} -Djava.library.path={library}\n"
        )
    }

    /// A class of a jar on a JVM, to which arguments may be added.
    pub fn command(&self, jdk: Jdk, jar: &Path, main: &str) -> Command {
        // Where it is missing nobody takes part who would need it.
        let home = self.home(jdk).unwrap_or(Path::new("/usr"));
        let mut command = Command::new(home.join("bin/java"));
        command.args(OPTIONS).arg(OPEN);
        if jdk == Jdk::V25 {
            command.args(ALLOWED);
        }
        let mut library = std::ffi::OsString::from("-Djava.library.path=");
        library.push(&self.library);
        command.arg(library).arg("-cp").arg(jar).arg(main);
        command
    }
}

/// Of a line like `JAVA_VERSION="17.0.15"`.
fn version_in(release: &str) -> Option<u32> {
    let line = release.lines().find_map(|line| line.strip_prefix("JAVA_VERSION=\""))?;
    line.split(['.', '"', '-']).next()?.parse().ok()
}

/// A run's pace, so that the server is warm.
pub fn warmed(pace: Pace, program: Program) -> Pace {
    let warm = if matches!(program, Program::GrpcJava(_)) { WARM_GRPC } else { WARM };
    Pace { warm: pace.warm.max(warm), measure: pace.measure.max(MEASURE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_jdk_is_in_its_release_file() {
        for (text, version) in [
            ("IMPLEMENTOR=\"Debian\"\nJAVA_VERSION=\"17.0.15\"\n", Some(17)),
            ("JAVA_VERSION=\"25\"\n", Some(25)),
            ("JAVA_VERSION=\"26-ea\"\n", Some(26)),
            ("JAVA_VERSION_DATE=\"2025-09-16\"\n", None),
            ("", None),
        ] {
            assert_eq!(version_in(text), version, "{text}");
        }
    }
}

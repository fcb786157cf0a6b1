//! The JVM that runs a jar: where it is, how old it may be, and what it is started with.
//!
//! It is looked for in `[JAVA] java`, `[JAVA] home`, JAVA_HOME and PATH, in this order; the first
//! that is set decides, so that a path which is wrong is told and not made up for by a JVM of
//! another age. The age is read from the file `release` that every JDK has; where there is none,
//! the JVM itself will say what it cannot run.
//!
//! What a worker is told goes into properties: the program's arguments are its own, and variables
//! of the environment would be inherited by every program that it starts.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use msec::{Code, Error, Result};

use crate::place::Place;
use crate::settings::Java;
use crate::start::Programs;

/// The oldest JVM that the library runs on.
const VERSION_LEAST: u32 = 17;
/// From here on the JVM warns of native libraries unless they are allowed.
const VERSION_NATIVE_WARNS: u32 = 24;

/// A JVM, with how it is to be started.
#[derive(Debug)]
pub(crate) struct Jvm {
    program: PathBuf,
    version: Option<u32>,
    settings: Java,
    /// For what it writes when it crashes.
    crashes: PathBuf,
    /// Jars beside the one that is run.
    libraries: PathBuf,
}

impl Jvm {
    /// Looks for the one that is to run the jar of a service.
    ///
    /// # Errors
    /// -2 there is none, or it is too old.
    pub(crate) fn find(programs: &Programs, settings: &Java, place: &Place) -> Result<Jvm> {
        let (program, said_by) = choose(programs, settings)?;
        let refuse = |text: String| Err(Error::new(Code::SYSTEM_ERROR, text));
        if !program.is_file() {
            let text = format!("there is no JVM at {}, which {said_by} names", program.display());
            return refuse(text);
        }
        let version = version(&program);
        if let Some(old) = version.filter(|version| *version < VERSION_LEAST) {
            let (at, least) = (program.display(), VERSION_LEAST);
            return refuse(format!(
                "the JVM at {at}, found by {said_by}, is Java {old}; bin/msec.jar takes {least} or \
                 newer: set [JAVA] home"
            ));
        }
        let (crashes, libraries) = (place.log().join("crash"), place.bin().join("lib"));
        Ok(Jvm { program, version, settings: settings.clone(), crashes, libraries })
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// What it is started with, to run that jar as the worker that is told these.
    pub(crate) fn arguments(&self, jar: &Path, told: &[String]) -> Vec<String> {
        let crash = self.crashes.join("hs_err_pid%p.log");
        let mut all = vec![format!("-XX:ErrorFile={}", crash.display())];
        if self.version.is_some_and(|version| version >= VERSION_NATIVE_WARNS) {
            all.push("--enable-native-access=ALL-UNNAMED".into());
        }
        all.extend(self.settings.options.iter().cloned());
        let property = |(number, text)| format!("-Dmsec.worker.{number}={text}");
        all.extend(told.iter().enumerate().map(property));
        let jar = jar.display().to_string();
        match &self.settings.main {
            Some(main) => {
                let path = format!("{jar}:{}/*", self.libraries.display());
                all.extend(["-cp".into(), path, main.clone()]);
            }
            None => all.extend(["-jar".into(), jar]),
        }
        all
    }
}

/// The program, and what named it.
fn choose(programs: &Programs, settings: &Java) -> Result<(PathBuf, &'static str)> {
    let of_home = |home: &PathBuf| home.join("bin/java");
    if let Some(java) = &settings.java {
        return Ok((java.clone(), "[JAVA] java"));
    }
    if let Some(home) = &settings.home {
        return Ok((of_home(home), "[JAVA] home"));
    }
    if let Some(home) = &programs.java_home {
        return Ok((of_home(home), "JAVA_HOME"));
    }
    let folders = programs.path.as_bytes().split(|byte| *byte == b':');
    let paths = folders.map(|folder| Path::new(std::ffi::OsStr::from_bytes(folder)).join("java"));
    let found = paths.into_iter().find(|path| path.is_absolute() && path.is_file());
    found.map(|path| (path, "PATH")).ok_or_else(|| {
        let text = "bin/msec.jar takes a JVM, and there is none: neither [JAVA] java or home nor \
                    JAVA_HOME is set, and PATH has no java; install a JDK 17 or newer";
        Error::new(Code::SYSTEM_ERROR, text)
    })
}

/// The version of the JDK that a program belongs to, if that tells.
fn version(program: &Path) -> Option<u32> {
    // What is in PATH is mostly a link.
    let program = fs::canonicalize(program).ok()?;
    let release = program.parent()?.parent()?.join("release");
    let text = fs::read_to_string(release).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
    let mut numbers = value.trim_matches('"').split(['.', '-', '+', '_']);
    match numbers.next()?.parse().ok()? {
        // 1.8 is what everybody calls 8.
        1 => numbers.next()?.parse().ok(),
        version => Some(version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("msec-jvm-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("bin")).unwrap();
        folder
    }

    fn home(name: &str, release: &str) -> PathBuf {
        let home = scratch(name);
        fs::write(home.join("bin/java"), "").unwrap();
        fs::write(home.join("release"), release).unwrap();
        home
    }

    fn found(settings: &Java, java_home: Option<&Path>, path: &str) -> Result<Jvm> {
        let java_home = java_home.map(Path::to_owned);
        let programs = Programs {
            worker: PathBuf::new(),
            java_home,
            path: path.into(),
            preload: Default::default(),
        };
        Jvm::find(&programs, settings, &Place::of(Path::new("/msec"), "Demo.echo").unwrap())
    }

    #[test]
    fn the_first_that_is_set_is_taken_and_its_age_is_looked_at() {
        let new = home("new", "IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"21.0.2\"\n");
        let old = home("old", "JAVA_VERSION=\"1.8.0_392\"\n");
        let text = |home: &Path| home.join("bin").display().to_string();
        let set = |home: &Path| Java { home: Some(home.to_owned()), ..Java::default() };
        let both = format!("{}:{}", text(&new), text(&old));
        let jvm = found(&set(&new), Some(&old), &text(&old)).unwrap();
        assert_eq!((jvm.program(), jvm.version), (&*new.join("bin/java"), Some(21)));
        assert!(found(&Java::default(), Some(&new), &text(&old)).is_ok());
        assert_eq!(found(&Java::default(), None, &both).unwrap().version, Some(21));
        let refused = |result: Result<Jvm>| result.unwrap_err().message().to_owned();
        let why = refused(found(&Java::default(), Some(&old), &both));
        assert!(why.contains("found by JAVA_HOME, is Java 8; bin/msec.jar takes 17"), "{why}");
        let why = refused(found(&set(Path::new("/nowhere")), None, &both));
        assert!(why.contains("no JVM at /nowhere/bin/java, which [JAVA] home names"), "{why}");
        let why = refused(found(&Java::default(), None, "/nowhere"));
        assert!(why.contains("PATH has no java; install a JDK 17"), "{why}");
        [new, old].iter().for_each(|home| fs::remove_dir_all(home).unwrap());
    }

    #[test]
    fn options_come_before_what_a_worker_is_told_and_the_class_is_the_manifests_or_ours() {
        let home = home("args", "JAVA_VERSION=\"25\"\n");
        let mut settings = Java { home: Some(home.clone()), ..Java::default() };
        settings.options = vec!["-Xmx64m".into()];
        let jar = Path::new("/b/.msec.1.jar");
        let told = ["--index=0".to_owned(), "--conf=a b".to_owned()];
        let jvm = found(&settings, None, "").unwrap();
        let expect = [
            "-XX:ErrorFile=/msec/Demo/echo/log/crash/hs_err_pid%p.log",
            "--enable-native-access=ALL-UNNAMED",
            "-Xmx64m",
            "-Dmsec.worker.0=--index=0",
            "-Dmsec.worker.1=--conf=a b",
            "-jar",
            "/b/.msec.1.jar",
        ];
        assert_eq!(jvm.arguments(jar, &told), expect);
        settings.main = Some("a.Main".into());
        let jvm = found(&settings, None, "").unwrap();
        let expect = ["-cp", "/b/.msec.1.jar:/msec/Demo/echo/bin/lib/*", "a.Main"];
        assert_eq!(jvm.arguments(jar, &told)[5..], expect);
        fs::remove_dir_all(home).unwrap();
    }
}

//! The library for Java as `make java` installs it, in a repository of Maven's for the tests alone,
//! and the jars that `msec host` runs in them.
//!
//! What Maven has fetched before is found there by links, so that nothing is fetched twice; but
//! this checkout's own artifacts are there only, and take nobody else's place.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};

use crate::programs::{command, repository, run};

/// The repository, with this checkout's artifacts in it.
static MAVEN: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = command("tmp").join("maven");
    link_all(&folder);
    let built = command("msec").parent().unwrap().to_owned();
    let mut install = Command::new("mvn");
    install.current_dir(repository().join("java")).args(["-q", "install", "-DskipTests"]);
    // What binds logs is not needed.
    install.args(["-pl", "msec,compat,migration,examples", "-am"]);
    install.arg(format!("-Dmsec.built={}", built.display()));
    run(install.arg(repository_option(&folder)));
    folder
});

/// The jars that this process has made.
static MADE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The repository of Maven's that has this checkout's artifacts.
pub fn maven() -> &'static Path {
    &MAVEN
}

/// The example of Java's that asks another service, as one jar.
pub fn relay() -> PathBuf {
    maven();
    repository().join("java/examples/target/relay/msec.jar")
}

/// The service of `java/migration`, which was written for the original, as one jar.
pub fn migration() -> PathBuf {
    maven();
    repository().join("java/migration/target/msec.jar")
}

/// A service that was written for the original; its manifest says where what it needs is.
pub fn old_service() -> PathBuf {
    let version = env!("CARGO_PKG_VERSION");
    let compat = maven().join(format!("org/msec/msec-compat/{version}/msec-compat-{version}.jar"));
    let [msec, protobuf] = class_path();
    let folder = command("tmp").join("hosted-java").join(std::process::id().to_string());
    fs::create_dir_all(&folder).unwrap();
    let (jar, manifest) = (folder.join("old.jar"), folder.join("old.txt"));
    fs::write(&manifest, manifest_text("library.ServiceImpl", &[compat, msec, protobuf])).unwrap();
    let classes = repository().join("java/compat/target/test-classes");
    let mut make = Command::new("jar");
    make.args(["--create", "--file"]).arg(&jar).arg("--manifest").arg(&manifest);
    run(make.arg("-C").arg(classes).arg("library"));
    jar
}

/// What tells Maven so.
pub fn maven_option() -> String {
    repository_option(maven())
}

fn repository_option(folder: &Path) -> String {
    format!("-Dmaven.repo.local={}", folder.display())
}

/// Links everything that the user's repository has, but for this checkout's artifacts.
fn link_all(folder: &Path) {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let known = home.join(".m2/repository");
    for inside in ["", "org"] {
        let (from, to) = (known.join(inside), folder.join(inside));
        fs::create_dir_all(&to).unwrap();
        let entries = fs::read_dir(from).into_iter().flatten().map(|entry| entry.unwrap());
        for entry in entries {
            let (name, link) = (entry.file_name(), to.join(entry.file_name()));
            if name != "msec" && (inside, name.to_str()) != ("", Some("org")) {
                // It may be there from the last time.
                let _ = symlink(entry.path(), link);
            }
        }
    }
}

/// The jars that a program with the library runs with.
pub fn class_path() -> [PathBuf; 2] {
    let version = env!("CARGO_PKG_VERSION");
    let protobuf = maven().join("com/google/protobuf/protobuf-java");
    let mut found: Vec<_> = fs::read_dir(&protobuf).unwrap().map(|entry| entry.unwrap()).collect();
    found.retain(|entry| entry.path().join(jar_name(entry)).is_file());
    found.sort_by_key(fs::DirEntry::file_name);
    let newest = found.pop().expect("Maven has fetched it to compile the library");
    let msec = maven().join(format!("org/msec/msec/{version}/msec-{version}.jar"));
    [msec, newest.path().join(jar_name(&newest))]
}

fn jar_name(version: &fs::DirEntry) -> String {
    format!("protobuf-java-{}.jar", version.file_name().to_string_lossy())
}

/// A jar with the program of the tests (ffi-java/tests/Worker.java), which says of itself that it
/// is that build; its manifest names the class `main`, or none if that is empty.
pub fn worker(build: &str, main: &str) -> PathBuf {
    let mut made = MADE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = command("tmp").join("hosted-java").join(std::process::id().to_string());
    let classes = folder.join("classes");
    if made.insert(classes.clone()) {
        fs::create_dir_all(&classes).unwrap();
        let mut compile = Command::new("javac");
        compile.args(["-Xlint:all", "-Werror", "--release", "17", "-cp"]);
        compile.arg(class_path().map(|path| path.display().to_string()).join(":"));
        compile.arg("-d").arg(&classes);
        run(compile.arg(repository().join("ffi-java/tests/Worker.java")));
    }
    let jar = folder.join(format!("{build}-{main}.jar"));
    if made.insert(jar.clone()) {
        let own = folder.join(build);
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("build"), build).unwrap();
        let manifest = folder.join(format!("{build}-{main}.txt"));
        fs::write(&manifest, manifest_text(main, &class_path())).unwrap();
        let mut make = Command::new("jar");
        make.args(["--create", "--file"]).arg(&jar).arg("--manifest").arg(&manifest);
        run(make.arg("-C").arg(&classes).arg(".").arg("-C").arg(own).arg("build"));
    }
    jar
}

/// Lines of a manifest are of 72 bytes at most, and go on after a blank.
fn manifest_text(main: &str, jars: &[PathBuf]) -> String {
    let urls: Vec<_> = jars.iter().map(|path| format!("file://{}", path.display())).collect();
    let class_path = format!("Class-Path: {}", urls.join(" "));
    let mut lines: Vec<String> = Vec::new();
    let letters: Vec<char> = class_path.chars().collect();
    lines.extend(letters.chunks(70).map(|chunk| chunk.iter().collect()));
    let mut text = lines.join("\n ");
    if !main.is_empty() {
        text.push_str(&format!("\nMain-Class: {main}"));
    }
    text.push('\n');
    text
}

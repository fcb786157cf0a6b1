//! The projects that `msec new` makes, taken at their word: they build, run, and answer a call.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use msec_tests::java::maven_option;
use msec_tests::programs::{command, outside_of_cargo, repository, run};
use msec_tests::{alone, free_address, now, wait_at_most};

/// How soon a project that nobody had before answers a call. Most of that is the compiler's time,
/// and here others have the processors, too.
const ANSWERS_WITHIN: Duration = Duration::from_secs(180);

/// Says how long something took that must not take longer than people wait.
#[track_caller]
fn soon_enough(what: &str, begun: Instant) {
    let took = begun.elapsed();
    println!("{what}: {:.1} s", took.as_secs_f64());
    assert!(took <= ANSWERS_WITHIN, "{what}: {took:?}");
}

/// A folder for a project that nobody has made yet.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new_projects").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    folder
}

/// A project in that language.
fn new(name: &str, language: &str) -> PathBuf {
    let project = scratch(name);
    let mut new = Command::new(command("msec"));
    new.args(["new", "Demo.hello", "--lang", language, "--out"]);
    run(new.arg(&project));
    project
}

/// `make` in a project, which is stopped in the end whatever happens.
struct Project {
    folder: PathBuf,
    variables: Vec<(String, String)>,
}

impl Project {
    /// A project of a service under `msec host`, which listens at an address of its own. Nothing
    /// but the command's folder in PATH tells it where msec is.
    fn of(folder: &Path, prefix: &Path) -> (Project, String) {
        let path = format!("{}:{}", prefix.join("bin").display(), std::env::var("PATH").unwrap());
        let (folder, variables) = (folder.to_owned(), vec![("PATH".to_owned(), path)]);
        let (project, address) = (Project { folder, variables }, free_address());
        project.replace("etc/config.ini", "127.0.0.1:7963", &address);
        (project, address)
    }

    /// Edits a file of it.
    #[track_caller]
    fn replace(&self, file: &str, text: &str, with: &str) {
        let path = self.folder.join(file);
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.contains(text), "{file}: {before}");
        fs::write(path, before.replace(text, with)).unwrap();
    }

    fn make(&self, words: &[&str]) -> Command {
        let mut make = Command::new("make");
        make.current_dir(&self.folder).args(words);
        // Those of the make that may have started us are not for this one.
        outside_of_cargo(&mut make).env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        make.envs(self.variables.iter().map(|(name, value)| (name, value)));
        make
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.make(&["stop"]).output();
    }
}

/// Where msec is installed for this test, as `make install` does it.
fn installed(name: &str) -> PathBuf {
    let prefix = scratch(name);
    let built = command("msec").parent().unwrap().to_path_buf();
    let mut install = Command::new(repository().join("xtask/install.sh"));
    run(install.arg(built).arg(&prefix).arg(&prefix));
    prefix
}

#[test]
fn a_cpp_project_builds_and_answers_and_takes_over_what_is_built_anew() {
    let prefix = installed("prefix-cpp");
    let _alone = alone();
    let begun = now();
    let folder = new("cpp", "cpp");
    let (project, address) = Project::of(&folder, &prefix);
    run(&mut project.make(&[]));
    let said = run(&mut project.make(&["run"]));
    soon_enough("a new C++ project answers a call", begun);
    assert!(said.contains("\"Hello, world!\"") && said.contains(&address), "{said}");
    let client = folder.join("build/client");
    let said = run(Command::new(&client).args([&address, "Ann"]));
    assert_eq!(said, "Hello, Ann!\n");
    project.replace("src/plugin.cpp", "request.name() + \"!\"", "request.name() + \"?\"");
    project.replace("etc/config.ini", "greeting = Hello", "greeting = Hi");
    let said = run(&mut project.make(&["run"]));
    assert!(said.contains("\"Hi, world?\""), "{said}");
    let refused = Command::new(&client).args([&address, ""]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nobody to greet"));
    run(&mut project.make(&["stop"]));
    assert!(!project.make(&["call"]).output().unwrap().status.success());
}

#[test]
fn a_java_project_builds_tests_itself_and_takes_over_what_is_built_anew() {
    let prefix = installed("prefix-java");
    // As `make java` installs it.
    let maven = maven_option();
    let _alone = alone();
    let begun = now();
    let folder = new("java", "java");
    let (mut project, address) = Project::of(&folder, &prefix);
    project.variables.push(("MVN".to_owned(), format!("mvn {maven}")));
    run(&mut project.make(&[]));
    let said = run(&mut project.make(&["run"]));
    soon_enough("a new Java project answers a call", begun);
    assert!(said.contains("\"Hello, world!\"") && said.contains(&address), "{said}");
    run(&mut project.make(&["test"]));
    let ran = folder.join("target/surefire-reports/demo_hello.HelloServerTest.txt");
    let report = fs::read_to_string(ran).unwrap();
    assert!(report.contains("Tests run: 2, Failures: 0, Errors: 0"), "{report}");
    let source = "src/main/java/demo_hello/HelloServer.java";
    project.replace(source, "request.getName() + \"!\"", "request.getName() + \"?\"");
    project.replace("etc/config.ini", "greeting = Hello", "greeting = Hi");
    let said = run(&mut project.make(&["run"]));
    assert!(said.contains("\"Hi, world?\""), "{said}");
    // The test of the project says what has changed.
    let failed = project.make(&["test"]).output().unwrap();
    assert!(!failed.status.success());
    run(&mut project.make(&["stop"]));
    assert!(!project.make(&["call"]).output().unwrap().status.success());
}

#[test]
fn a_rust_project_builds_and_answers() {
    let _alone = alone();
    let folder = new("rust", "rust");
    // What is locked here has been fetched, and compiled into this folder, already.
    fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let target = command("msec").parent().unwrap().parent().unwrap().to_path_buf();
    let address = free_address();
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let project = Project {
        folder,
        variables: vec![
            variable("MSEC", command("msec").to_str().unwrap()),
            variable("ADDRESS", &address),
            variable("PROFILE", "dev"),
            variable("CARGO", env!("CARGO")),
            variable("CARGO_TARGET_DIR", target.to_str().unwrap()),
            variable("CARGO_NET_OFFLINE", "true"),
            // As this workspace has them, so that what is compiled is found.
            variable("CARGO_PROFILE_DEV_OPT_LEVEL", "1"),
            variable("CARGO_PROFILE_DEV_DEBUG", "line-tables-only"),
        ],
    };
    // On a new machine this compiles the engine; here it finds it.
    let begun = now();
    run(&mut project.make(&[]));
    println!("a new Rust project is built: {:.1} s", begun.elapsed().as_secs_f64());
    let begun = now();
    let said = run(&mut project.make(&["run"]));
    soon_enough("and answers a call", begun);
    assert!(said.contains("Hello, world!") && said.contains(&address), "{said}");
    assert!(run(&mut project.make(&["call"])).contains("Hello, world!"));
    run(&mut project.make(&["stop"]));
    assert!(!project.make(&["call"]).output().unwrap().status.success());
}

/// A .proto file of the original.
const OLD_PROTO: &str = "\
syntax = \"proto2\";
package voa;
option java_generic_services = true;
message Titles { repeated string titles = 1; }
service VoaService { rpc GetTitles(Titles) returns (Titles); }
";

#[test]
fn a_project_of_the_original_in_java_builds_and_answers() {
    let maven = maven_option();
    let folder = scratch("java-compat");
    fs::create_dir_all(folder.join("bin")).unwrap();
    fs::create_dir_all(folder.join("etc")).unwrap();
    fs::write(folder.join("msec.proto"), OLD_PROTO).unwrap();
    let mut generate = Command::new(command("msec"));
    generate.current_dir(&folder).args(["gen", "--compat", "--lang", "java", "msec.proto"]);
    run(generate.args(["--service", "Voa.crawl"]));
    let address = free_address();
    let config = format!("[SRPC]\nlisten = {address}/tcp\n");
    fs::write(folder.join("etc/config.ini"), config).unwrap();
    run(Command::new("mvn").current_dir(&folder).args(["-q", "package"]).arg(&maven));
    let mut service = Command::new("java");
    service.current_dir(&folder).args(["-Xmx128m", "-jar", "target/msec.jar"]);
    let mut service = service.spawn().unwrap();
    wait_at_most(ANSWERS_WITHIN, "the service listens", || TcpStream::connect(&address).is_ok());
    let mut client = Command::new("java");
    client.current_dir(&folder).args(["-Xmx128m", "-cp", "target/msec.jar", "voa.Client"]);
    let answered = client.arg(&address).status().unwrap();
    service.kill().unwrap();
    service.wait().unwrap();
    assert!(answered.success(), "the first method answers, with nothing yet");
    // What is written once is somebody's from then on.
    let said = run(&mut generate);
    assert_eq!(said.matches("it is yours").count(), 4, "{said}");
}

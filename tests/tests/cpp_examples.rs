//! The C++ examples, built as users build them: against an installed libmsec found by CMake and by
//! pkg-config, and within a project that has msec's sources. And what they do when they run.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use msec::{CallOptions, Client, Config, Engine};
use msec_tests::java::relay;
use msec_tests::programs::{command, example, outside_of_cargo, repository, run};
use msec_tests::{Child, ECHO, Redis, Stage};

/// Where libmsec is installed for these tests, and the examples built against it.
struct Built {
    prefix: PathBuf,
    examples: PathBuf,
}

static BUILT: LazyLock<Built> = LazyLock::new(|| {
    let scratch = scratch("installed");
    let (prefix, examples) = (scratch.join("prefix"), scratch.join("examples"));
    // What `make install` runs, with what is built already.
    let library = command("libmsec.so");
    let mut install = Command::new(repository().join("xtask/install.sh"));
    run(install.arg(library.parent().unwrap()).arg(&prefix).arg(&prefix));
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(repository().join("cpp-examples")).arg("-B").arg(&examples);
    run(configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())));
    run(Command::new("cmake").arg("--build").arg(&examples));
    Built { prefix, examples }
});

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cpp_examples").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Starts an example that serves; it and its address.
fn serve(name: &str, arguments: &[&str]) -> (Child, String) {
    let child = Child::of_program(&BUILT.examples.join(name), arguments);
    let line = child.line();
    let address = line.split_once(" listens on ").expect("where it listens").1.to_owned();
    (child, address)
}

fn ends_well(child: Child) {
    child.signal("TERM");
    let (status, stderr) = child.wait();
    assert!(status.success(), "{status}: {stderr}");
}

#[test]
fn services_and_clients_of_cpp_and_rust_call_each_other() {
    let (echo, echo_address) = serve("echo", &["127.0.0.1:0"]);
    let (relay, relay_address) = serve("relay", &["127.0.0.1:0", &echo_address]);

    let said = run(Command::new(BUILT.examples.join("client")).arg(&relay_address));
    let lines: Vec<&str> = said.lines().collect();
    let words = ["hello", "one", "two", "three"].map(|word| format!("answered: {word}"));
    assert_eq!(lines[..4], words.each_ref().map(String::as_str));
    assert!(lines[4].starts_with("failed: -6 "), "{said}");

    let engine = Engine::with(Config::new().cores(1)).unwrap();
    let rust = Client::new(&engine, &relay_address).unwrap();
    let reply = rust.call_raw(ECHO, b"\x0a\x04rust", &CallOptions::new()).unwrap();
    assert_eq!(&reply.body[..], b"\x0a\x04rust");

    let stage = Stage::with(Config::new().cores(1), |server| server);
    let (over_rust, over_rust_address) = serve("relay", &["127.0.0.1:0", stage.address()]);
    let said = run(Command::new(BUILT.examples.join("client")).arg(&over_rust_address));
    assert!(said.starts_with("answered: hello\n"), "{said}");

    let mut call = Command::new(command("msec"));
    call.args(["call", &echo_address, ECHO, r#"{"message":"bXNlYw=="}"#, "--proto"]);
    let said = run(call.arg(repository().join("cpp-examples/proto/echo.proto")));
    assert!(said.contains("bXNlYw=="), "{said}");

    [echo, relay, over_rust].into_iter().for_each(ends_well);
}

#[test]
fn coroutines_share_what_they_work_on() {
    let said = run(&mut Command::new(BUILT.examples.join("parallel")));
    let squares: String = [1, 4, 9, 16, 25].iter().map(|n| format!("square {n}\n")).collect();
    assert_eq!(said, format!("total 6\n{squares}offloaded 1\nno news\nnews 7\n"));
}

#[test]
fn a_foreign_protocol_is_spoken_to_its_real_server() {
    let redis = Redis::start();
    let program = BUILT.examples.join("third_party");
    let said = Command::new(program).arg(&redis.address).output();
    assert_eq!(String::from_utf8_lossy(&said.unwrap().stdout), "+PONG\r\n+OK\r\n$6\r\nengine\r\n");
}

#[test]
fn a_log_record_knows_its_request() {
    let output = Command::new(BUILT.examples.join("reports")).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    for part in
        ["INFO asked for a lamp", "pieces=3", "tenant=blue", "RPCName=echo.EchoService.Echo"]
    {
        assert!(log.contains(part), "{part} is not in {log}");
    }
}

#[test]
fn pkg_config_finds_what_is_installed() {
    let mut ask = Command::new("pkg-config");
    ask.env("PKG_CONFIG_PATH", BUILT.prefix.join("lib/pkgconfig"));
    let flags = run(ask.args(["--cflags", "--libs", "msec"]));
    let program = scratch("pkg_config").join("parallel");
    let mut compile = Command::new("c++");
    compile.arg("-std=c++17").arg(repository().join("cpp-examples/parallel/main.cpp"));
    run(compile.args(flags.split_whitespace()).args(["-pthread", "-o"]).arg(&program));
    let mut parallel = Command::new(program);
    let said = run(parallel.env("LD_LIBRARY_PATH", BUILT.prefix.join("lib")));
    assert!(said.starts_with("total 6\n"), "{said}");
}

#[test]
fn the_static_library_needs_nothing_beside_the_program() {
    let program = scratch("static").join("parallel");
    let mut compile = Command::new("c++");
    compile.arg("-std=c++17").arg(repository().join("cpp-examples/parallel/main.cpp"));
    compile.arg("-I").arg(BUILT.prefix.join("include")).arg(BUILT.prefix.join("lib/libmsec.a"));
    run(compile.args(["-pthread", "-ldl", "-lm", "-o"]).arg(&program));
    assert!(run(&mut Command::new(program)).starts_with("total 6\n"));
}

#[test]
fn a_project_may_have_the_sources_within_itself() {
    let project = scratch("sources");
    let examples = repository().join("cpp-examples");
    let lists = format!(
        "cmake_minimum_required(VERSION 3.16)\nproject(sources LANGUAGES C CXX)\n\
         set(CMAKE_CXX_STANDARD 17)\nadd_subdirectory({} msec)\n\
         add_executable(parallel {})\ntarget_link_libraries(parallel PRIVATE msec::msec)\n",
        repository().join("ffi-c").display(),
        examples.join("parallel/main.cpp").display(),
    );
    fs::write(project.join("CMakeLists.txt"), lists).unwrap();
    let folder = command("libmsec.so").parent().unwrap().to_path_buf();
    let profile = if folder.ends_with("release") { "release" } else { "dev" };
    let target = folder.parent().unwrap();
    let mut configure = Command::new("cmake");
    configure.env("CARGO_TARGET_DIR", target).arg("-S").arg(&project);
    configure.arg("-B").arg(project.join("build"));
    // As `make test` builds it: with other packages everything would be compiled anew.
    configure.arg("-DMSEC_CARGO_PACKAGES=--workspace;--lib;--bins;--examples");
    run(configure.arg(format!("-DMSEC_CARGO_PROFILE={profile}")));
    run(outside_of_cargo(&mut Command::new("cmake")).arg("--build").arg(project.join("build")));
    let said = run(&mut Command::new(project.join("build/parallel")));
    assert!(said.starts_with("total 6\n"), "{said}");
}

#[test]
fn the_demo_has_a_chain_of_languages_called_and_followed() {
    let mut demo = Command::new(example("demo"));
    // No shorter one has a reload.
    demo.env("DEMO_SECONDS", "5").env("DEMO_CPP", &BUILT.examples).env("DEMO_JAVA", relay());
    let said = run(&mut demo);
    for part in [
        "  ok      callers and relay count the same",
        "  ok      a C++ program calls the C++ plugin: answered: hello",
        "  ok      `msec call` calls it: 0a0568656c6c6f",
        r#"  ok      curl calls it: {"message":"aGVsbG8="}"#,
        "  ok      a C++ program calls Java: answered: hello",
        "  ok      Java calls Rust: 0a0568656c6c6f",
        "  ok      one trace, all hops: 4 services in 1 trace",
        "  ok      C++ and Java answer, also while they are reloaded",
        " 0 failed, reloads: 2",
    ] {
        assert!(said.contains(part), "`{part}` is not in {said}");
    }
}

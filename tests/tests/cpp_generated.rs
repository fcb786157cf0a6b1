//! The C++ that is generated, as users build it: with protoc's messages, by two compilers, and by
//! protoc itself with our plugin.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use msec_tests::programs::{command, repository, run};

/// The .proto files that have one of everything.
const PROTOS: [&str; 4] = ["bare.proto", "cpp/names.proto", "money.proto", "shop.proto"];

/// Where the messages, compiled, and libmsec.so lie.
static PREPARED: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = scratch("prepared");
    let library = folder.join("libmsec.so.0");
    let _ = fs::remove_file(&library);
    std::os::unix::fs::symlink(command("libmsec.so"), &library).unwrap();
    run(protoc().arg("--cpp_out").arg(&folder));
    let mut compile = Command::new("c++");
    compile.current_dir(&folder).args(["-std=c++17", "-c", "-I", "."]);
    run(compile.args(PROTOS.map(|name| Path::new(name).with_extension("pb.cc"))));
    folder
});

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cpp_generated").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn golden() -> PathBuf {
    repository().join("codegen/tests/golden")
}

/// protoc with everything of the golden files.
fn protoc() -> Command {
    let mut protoc = Command::new("protoc");
    protoc.current_dir(golden()).args(PROTOS);
    protoc
}

/// Compiles the program that implements and calls every service, and runs it.
fn everything_works(compiler: &str, standard: &str) {
    let program = PREPARED.join(format!("everything-{compiler}-{standard}"));
    let mut compile = Command::new(compiler);
    compile.arg(format!("-std={standard}")).args(["-Wall", "-Wextra", "-pedantic", "-Werror"]);
    compile.arg("-I").arg(golden().join("generated")).arg("-I").arg(repository().join("include"));
    // What protoc writes is held to its standards, not to ours.
    compile.arg("-isystem").arg(&*PREPARED).arg(golden().join("cpp/everything.cpp"));
    let objects = PROTOS.map(|name| Path::new(name).with_extension("pb.o"));
    compile.args(objects.map(|object| PREPARED.join(object.file_name().unwrap())));
    compile.arg(PREPARED.join("libmsec.so.0")).args(["-lprotobuf", "-pthread", "-o"]);
    run(compile.arg(&program));
    let mut everything = Command::new(&program);
    everything.env("LD_LIBRARY_PATH", &*PREPARED);
    assert_eq!(run(&mut everything), "everything works\n");
}

#[test]
fn everything_works_by_gcc() {
    everything_works("g++", "c++17");
}

#[test]
fn everything_works_by_clang() {
    everything_works("clang++", "c++20");
}

/// All files of a folder, below its name, in order.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut ahead = vec![folder.to_path_buf()];
    while let Some(path) = ahead.pop() {
        if path.is_dir() {
            ahead.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = path.strip_prefix(folder).unwrap().to_path_buf();
            files.push((name, fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn protoc_with_our_plugin_writes_the_same_files() {
    for language in ["cpp", "rust"] {
        let folder = scratch(&format!("same-{language}"));
        let (ours, theirs) = (folder.join("ours"), folder.join("theirs"));
        for folder in [&ours, &theirs] {
            let _ = fs::remove_dir_all(folder);
            fs::create_dir_all(folder).unwrap();
        }
        let mut generate = Command::new(command("msec"));
        generate.current_dir(golden()).arg("gen").args(PROTOS).args(["-I", ".", "--out"]);
        run(generate.arg(&ours).args(["--lang", language]));
        let plugin = command("protoc-gen-msec");
        let mut protoc = protoc();
        protoc.arg(format!("--plugin=protoc-gen-msec={}", plugin.display()));
        run(protoc.arg(format!("--msec_out=lang={language}:{}", theirs.display())));
        for name in ["bare", "cpp/names", "shop"] {
            let mut set = Command::new("protoc");
            set.current_dir(golden()).arg(format!("{name}.proto")).arg("--include_imports");
            fs::create_dir_all(theirs.join(name).parent().unwrap()).unwrap();
            let file = theirs.join(name).with_extension("pb");
            run(set.arg(format!("--descriptor_set_out={}", file.display())));
        }
        let (ours, theirs) = (files(&ours), files(&theirs));
        assert!(ours.len() >= 6);
        let names = |files: &[(PathBuf, _)]| -> Vec<_> {
            files.iter().map(|(name, _): &(PathBuf, Vec<u8>)| name.clone()).collect()
        };
        assert_eq!(names(&ours), names(&theirs));
        for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
            assert!(ours == theirs, "{} differs", name.display());
        }
    }
}

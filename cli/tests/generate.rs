//! `msec gen`: what it writes, and what it says when it cannot.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Ran, msec, proto, temporary};

/// A folder with one .proto file, and the result of generating from it into `out`.
fn generate(name: &str, text: &str, arguments: &[&str]) -> (PathBuf, Ran) {
    let folder = temporary(&format!("gen-{name}"));
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("a.proto");
    fs::write(&file, format!("syntax = \"proto3\";\n{text}\n")).expect("written");
    let out = folder.join("out");
    let mut words = vec!["gen", file.to_str().expect("text"), "--out"];
    words.push(out.to_str().expect("text"));
    words.extend(arguments);
    (out.clone(), msec(&words))
}

#[test]
fn cpp_is_written_with_the_descriptor_set_beside_it() {
    let out = temporary("gen-cpp");
    let words = ["gen", &proto(), "--out", out.to_str().expect("text")];
    let ran = msec(&words);
    assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (0, "", ""));
    let header = fs::read_to_string(out.join("echo.msec.h")).expect("written");
    assert!(header.contains("class EchoServiceClient {"), "{header}");
    // The set is what `msec call` takes: it knows the method, and then nobody listens.
    let set = out.join("echo.pb");
    let call = ["call", "127.0.0.1:1", "echo.EchoService.Echo", "{}", "--descriptors"];
    let ran = msec(&[&call[..], &[set.to_str().expect("text")]].concat());
    assert_eq!(ran.status, 1, "{}", ran.stderr);
}

#[test]
fn rust_is_written_by_package() {
    let text = "package b;\nmessage M {}\nservice S { rpc A(M) returns (M); }";
    let (out, ran) = generate("rust", text, &["--lang", "rust"]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    assert!(fs::read_to_string(out.join("b.rs")).expect("written").contains("trait S"));
    assert!(out.join("a.pb").exists());
}

#[test]
fn imports_are_looked_for_in_the_given_folders() {
    let folder = temporary("gen-include");
    fs::create_dir_all(folder.join("b")).expect("a folder");
    let message = "syntax = \"proto3\";\nmessage M {}\n";
    let service = "syntax = \"proto3\";\nimport \"m.proto\";\n\
                   service S { rpc A(M) returns (M); }\n";
    fs::write(folder.join("m.proto"), message).expect("written");
    fs::write(folder.join("b/s.proto"), service).expect("written");
    let file = folder.join("b/s.proto");
    let (file, folder_name) = (file.to_str().expect("text"), folder.to_str().expect("text"));
    let ran = msec(&["gen", file, "-I", folder_name, "--out", folder_name]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    assert!(folder.join("b/s.msec.h").exists() && folder.join("b/s.pb").exists());
}

#[test]
fn java_is_written_by_class() {
    let text = "package b;\noption java_package = \"org.b\";\nmessage M {}\n\
                service S { rpc A(M) returns (M); }";
    let (out, ran) = generate("java", text, &["--lang", "java"]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    let client = fs::read_to_string(out.join("org/b/SClient.java")).expect("written");
    assert!(client.contains("\"b.S.A\""), "{client}");
    assert!(out.join("org/b/S.java").exists() && out.join("a.pb").exists());
}

#[test]
fn what_cannot_be_generated_is_refused_and_nothing_is_written() {
    let check = |name: &str, text: &str, arguments: &[&str], expect: &str| {
        let (out, ran) = generate(name, text, arguments);
        assert_eq!((ran.status, &*ran.stdout), (2, ""), "{name}");
        assert!(ran.stderr.contains(expect), "{name}: {}", ran.stderr);
        assert!(!out.exists(), "{name}");
    };
    let streams = "message M {}\nservice S { rpc A(M) returns (stream M); }";
    check("none", "message M {}", &[], "a.proto: no service is declared there");
    check("import", "import \"gone.proto\";", &[], "a.proto:2: ");
    check("import", "import \"gone.proto\";", &[], "gone.proto");
    check("streams", streams, &[], "a.proto:3: the rpc A streams");
    check("streams", streams, &["--lang", "rust"], "a.proto:3: the rpc A streams");
    check("streams", streams, &["--lang", "java"], "a.proto:3: the rpc A streams");
    check("language", "service S {}", &["--lang", "ada"], "--lang `ada`: cpp or java or rust");
    let ran = msec(&["gen", "gone.proto"]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("gone.proto: there is no such file"), "{}", ran.stderr);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let file = proto();
    let ran = msec(&["gen", &file, "--out", &file]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("cannot write "), "{}", ran.stderr);
}

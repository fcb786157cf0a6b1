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
fn a_project_of_the_original_keeps_what_people_wrote() {
    let folder = temporary("gen-compat");
    fs::create_dir_all(folder.join("b_server")).expect("a folder");
    let place = |name: &str| folder.join("b_server").join(name);
    let text = "package b;\noption cc_generic_services = true;\nmessage M {}\n\
                service S { rpc A(M) returns (M); }\n";
    for (name, text) in [
        ("b.proto", text),
        ("msg_b_impl.cpp", "// Mine.\n"),
        ("Makefile", "# The original's.\n"),
        ("service_b_frm.cpp", "// The original's.\n"),
        ("msg_b_impl.h", "// The original's.\n"),
    ] {
        fs::write(place(name), text).expect("written");
    }
    let (proto, out) = (place("b.proto"), folder.to_str().expect("text"));
    let generate = || msec(&["gen", "--compat", proto.to_str().expect("text"), "--out", out]);
    let ran = generate();
    assert_eq!((ran.status, &*ran.stderr), (0, ""), "{}", ran.stdout);
    let read = |name: &str| fs::read_to_string(place(name)).expect("it is there");
    assert_eq!((&*read("msg_b_impl.cpp"), &*read("b.proto")), ("// Mine.\n", text));
    assert_eq!(read("Makefile.old"), "# The original's.\n");
    assert_eq!(read("service_b_frm.cpp.old"), "// The original's.\n");
    assert!(read("Makefile").contains("msec-compat") && read("msg_b_impl.h").contains("CSMsg"));
    let line = |what: &str, name: &str| format!("{what} {}", place(name).display());
    for line in [
        line("kept   ", "msg_b_impl.cpp: it is yours"),
        line("renamed", "Makefile.old: carry lines of your own over"),
        line("renamed", "service_b_frm.cpp.old: carry lines of your own over"),
        line("wrote  ", "service_b_frm.cpp"),
    ] {
        assert!(ran.stdout.contains(&line), "`{line}` is not in {}", ran.stdout);
    }
    // Again, with lines that somebody has carried over.
    let carried = read("service_b_frm.cpp") + "// Carried over.\n";
    fs::write(place("service_b_frm.cpp"), &carried).expect("written");
    let again = generate();
    assert_eq!((again.status, read("service_b_frm.cpp")), (0, carried));
    assert!(!again.stdout.contains("renamed") && !again.stdout.contains("wrote"));
    // A second set of the original's files would overwrite the first.
    fs::write(place("Makefile"), "# The original's.\n").expect("written");
    let ran = generate();
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("Makefile.old is in the way"), "{}", ran.stderr);
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
    let services = "package b;\nmessage M {}\nservice S { rpc A(M) returns (M); }";
    check("generic", services, &["--compat"], "a.proto: the line `option cc_generic_services");
    let services = "option cc_generic_services = true;\nmessage M {}\nservice S {}";
    check("package", services, &["--compat"], "a.proto: it has no package");
    check("no-rpc", &format!("package b;\n{services}"), &["--compat"], "the service S has no rpc");
    check("compat", services, &["--compat", "--lang", "java"], "takes --service L1.L2");
    check("compat", services, &["--compat", "--lang", "rust"], "--compat is for C++ and Java");
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

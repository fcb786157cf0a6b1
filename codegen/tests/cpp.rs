//! The generated C++, held against committed files, and what is refused on the way to it.
//!
//! That it compiles and runs is seen in tests/tests/cpp_generated.rs, which has an engine, and in
//! tests/tests/compat_cpp.rs.

mod common;

use common::{Scratch, check_golden, golden};
use msec_codegen::{Build, GeneratedFile, Keep, plugin};
use prost::Message;
use prost_types::FileDescriptorSet;
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse};

const FILES: [&str; 4] = ["bare.proto", "cpp/names.proto", "money.proto", "shop.proto"];

fn build_golden() -> Build {
    let mut build = Build::new();
    build.protos(FILES.map(|name| golden().join(name))).include(golden());
    build
}

#[test]
fn the_text_is_the_committed_one() {
    let generated = build_golden().generate_cpp().expect("generated");
    // Nothing is declared in money.proto that protoc does not write.
    check_golden(&generated, &["bare.msec.h", "cpp/names.msec.h", "shop.msec.h"]);
}

#[test]
fn imported_files_give_nothing_unless_they_are_given_too() {
    let mut build = Build::new();
    build.proto(golden().join("cpp/names.proto")).include(golden());
    let generated = build.generate_cpp().expect("generated");
    check_golden(&generated, &["cpp/names.msec.h"]);
}

#[test]
fn a_descriptor_set_has_all_that_its_file_imports() {
    let sets = build_golden().descriptor_sets().expect("compiled");
    let names: Vec<_> = sets.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(names, ["bare.pb", "shop.pb", "cpp/names.pb"]);
    let set = FileDescriptorSet::decode(&sets[2].bytes[..]).expect("it is one");
    let names: Vec<_> = set.file.iter().map(|file| file.name()).collect();
    let imports = ["google/protobuf/empty.proto", "money.proto", "shop.proto"];
    assert_eq!(names, [&imports[..], &["cpp/names.proto"]].concat());
}

/// What protoc would be answered.
fn answer(parameter: &str, build: &Build) -> CodeGeneratorResponse {
    let request = CodeGeneratorRequest {
        file_to_generate: FILES.map(String::from).to_vec(),
        parameter: Some(parameter.into()),
        proto_file: build.descriptors().expect("compiled").file,
        ..CodeGeneratorRequest::default()
    };
    let answer = plugin::answer(&request.encode_to_vec()).expect("a request");
    CodeGeneratorResponse::decode(&answer[..]).expect("an answer")
}

#[test]
fn the_plugin_of_protoc_writes_the_same_in_each_language() {
    let build = build_golden();
    let check = |parameter: &str, expect: Vec<GeneratedFile>| {
        let answer = answer(parameter, &build);
        assert_eq!((answer.error(), answer.supported_features()), ("", 1));
        let files = answer.file.iter();
        let files = files.map(|file| (file.name().to_string(), file.content().to_string()));
        assert!(files.eq(expect.into_iter().map(|file| (file.name, file.text))), "{parameter}");
    };
    check("", build.generate_cpp().expect("generated"));
    check("lang=cpp", build.generate_cpp().expect("generated"));
    check("lang=rust", build.generate().expect("generated"));
    check("lang=java", build.generate_java().expect("generated"));
}

#[test]
fn the_plugin_says_in_its_answer_what_is_wrong() {
    let answered = answer("lang=cobol", &build_golden());
    assert_eq!(answered.error(), "the parameter `lang=cobol`: lang=cpp, lang=rust or lang=java");
    assert!(answered.file.is_empty());
    assert!(plugin::answer(b"\xff").is_err());
}

fn error_of(name: &str, lines: &[&str]) -> String {
    common::error_of(name, lines, Build::generate_cpp)
}

#[test]
fn a_streaming_method_is_refused_with_its_place() {
    let lines = ["message M {}", "service S {", "  rpc B(stream M) returns (M);", "}"];
    let expect = "a.proto:5: the rpc B streams, which msec does not support yet";
    assert_eq!(error_of("cpp-stream", &lines), expect);
}

#[test]
fn the_services_of_protoc_are_refused_beside_ours() {
    let found = error_of("cpp-generic", &["option cc_generic_services = true;", "service S {}"]);
    assert!(found.starts_with("a.proto: option cc_generic_services"), "{found}");
}

#[test]
fn methods_that_meet_in_cpp_are_refused_with_their_place() {
    let meet = |name: &str, other: &str| {
        let rpc = format!("  rpc {other}(M) returns (M);");
        error_of(name, &["message M {}", "service S {", "  rpc Echo(M) returns (M);", &rpc, "}"])
    };
    let expect = "a.proto:6: the rpcs Echo and Echo_start both become the function Echo_start";
    assert_eq!(meet("cpp-start", "Echo_start"), expect);
    let rpcs = ["rpc S(M) returns (M);", "rpc S_(M) returns (M);"];
    let lines = [&["message M {}", "service S {"][..], &rpcs, &["}"]].concat();
    let expect = "a.proto:6: the rpcs S and S_ both become the function S_";
    assert_eq!(error_of("cpp-class", &lines), expect);
}

#[test]
fn classes_that_meet_in_cpp_are_refused_with_their_place() {
    let check = |name: &str, other: &str, whose: &str, class: &str| {
        let service = class.strip_suffix("Client").unwrap_or(class);
        let found = error_of(name, &[other, &format!("service {service} {{}}")]);
        let expect = format!("the service {service} and {whose} both become the C++ class {class}");
        assert_eq!(found, format!("a.proto:4: {expect}"));
    };
    check("cpp-client", "message SClient {}", "the type SClient", "SClient");
    check("cpp-nested", "message A { message B {} }", "the type A.B", "A_B");
    check("cpp-enum", "message A { enum B { ZERO = 0; } }", "the type A.B", "A_B");
    check("cpp-value", "enum A { SClient = 0; }", "the value SClient", "SClient");
    check("cpp-service", "service SClient {}", "the service SClient", "SClient");
}

#[test]
fn the_project_of_the_original_is_the_committed_one() {
    let mut build = Build::new();
    let files = build.proto(golden().join("compat/post.proto")).include(golden());
    let files = files.generate_compat().expect("generated");
    let found: Vec<_> = files.iter().map(|file| (file.name.as_str(), file.keep)).collect();
    let expect = [
        ("city_post_server/service_city_post_frm.cpp", Keep::If("MSEC_COMPAT_PLUGIN")),
        ("city_post_server/service_city_post_impl.hpp", Keep::Never),
        ("city_post_server/msg_city_post_impl.h", Keep::Never),
        ("city_post_server/msg_city_post_impl.cpp", Keep::Always),
        ("city_post_server/Makefile", Keep::If("msec-compat")),
        ("city_post_server/compat/stamps.proto", Keep::Never),
        ("city_post_server/compat/post.proto", Keep::Never),
        ("city_post_client/client_city_post_sync.cpp", Keep::Always),
        ("city_post_client/Makefile", Keep::If("msec-compat")),
        ("city_post_client/compat/stamps.proto", Keep::Never),
        ("city_post_client/compat/post.proto", Keep::Never),
    ];
    assert_eq!(found, expect);
    for file in files {
        let committed = std::fs::read_to_string(golden().join("generated").join(&file.name));
        let committed = committed.expect("committed");
        assert!(file.text == committed, "{} differs: run `cargo xtask gen`", file.name);
        // What is there already has to be known again.
        if let Keep::If(mark) = file.keep {
            assert!(file.text.contains(mark), "{}", file.name);
        }
        assert!(!file.text.contains('@') || file.name.ends_with("Makefile"), "{}", file.name);
    }
}

#[test]
fn two_files_of_one_package_are_no_projects() {
    let scratch = Scratch::new("compat-package");
    let mut build = Build::new();
    for name in ["a", "b"] {
        let path = scratch.0.join(format!("{name}.proto"));
        let text = format!(
            "syntax = \"proto2\";\npackage p;\noption cc_generic_services = true;\n\
             message M{name} {{}}\nservice S{name} {{ rpc R(M{name}) returns (M{name}); }}\n"
        );
        std::fs::write(&path, text).expect("written");
        build.proto(path);
    }
    let error = build.generate_compat().expect_err("an error").to_string();
    let expect = "b.proto: its package is that of another file: both would become one project";
    assert_eq!(error, expect);
}

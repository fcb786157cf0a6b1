//! The generated Java, held against committed files, and what is refused on the way to it.
//!
//! That it compiles and runs is seen by the tests in java/, which have a JVM.

mod common;

use common::{check_golden, golden};
use msec_codegen::Build;

#[test]
fn the_text_is_the_committed_one() {
    let mut build = Build::new();
    let files = ["bare.proto", "cpp/names.proto", "money.proto", "shop.proto"];
    build.protos(files.map(|name| golden().join(name))).include(golden());
    let generated = build.generate_java().expect("generated");
    let names = [
        "Pinger.java",
        "PingerClient.java",
        "shop/msec/inner/Names.java",
        "shop/msec/inner/NamesClient.java",
        "shop/msec/inner/operator.java",
        "shop/msec/inner/operatorClient.java",
        "shop/msec/inner/options.java",
        "shop/msec/inner/optionsClient.java",
        "shop/orders/Nothing.java",
        "shop/orders/NothingClient.java",
        "shop/orders/order_book.java",
        "shop/orders/order_bookClient.java",
    ];
    check_golden(&generated, &names);
}

fn error_of(name: &str, lines: &[&str]) -> String {
    common::error_of(name, lines, Build::generate_java)
}

#[test]
fn a_streaming_method_is_refused_with_its_place() {
    let lines = ["message M {}", "service S {", "  rpc B(stream M) returns (M);", "}"];
    let expect = "a.proto:5: the rpc B streams, which msec does not support yet";
    assert_eq!(error_of("java-stream", &lines), expect);
}

#[test]
fn the_services_of_protoc_are_refused_beside_ours() {
    let found = error_of("java-generic", &["option java_generic_services = true;", "service S {}"]);
    assert!(found.starts_with("a.proto: option java_generic_services"), "{found}");
}

#[test]
fn methods_that_meet_in_java_are_refused_with_their_place() {
    let rpcs = ["  rpc PutIt(M) returns (M);", "  rpc put_it(M) returns (M);"];
    let lines = [&["message M {}", "service S {"][..], &rpcs, &["}"]].concat();
    let expect = "a.proto:6: the rpcs PutIt and put_it both become the method putItAsync";
    assert_eq!(error_of("java-camel", &lines), expect);
    let rpcs = ["  rpc Put(M) returns (M);", "  rpc PutAsync(M) returns (M);"];
    let lines = [&["message M {}", "service S {"][..], &rpcs, &["}"]].concat();
    let expect = "a.proto:6: the rpcs Put and PutAsync both become the method putAsync";
    assert_eq!(error_of("java-async", &lines), expect);
}

#[test]
fn classes_that_meet_in_java_are_refused_with_their_place() {
    let several = "option java_multiple_files = true;";
    let found = error_of("java-type", &[several, "message SClient {}", "service S {}"]);
    let expect = "the service S and the type SClient both become the Java class SClient";
    assert_eq!(found, format!("a.proto:5: {expect}"));
    let found = error_of("java-outer", &["option java_outer_classname = \"S\";", "service S {}"]);
    let expect = "the service S and the file itself both become the Java class S";
    assert_eq!(found, format!("a.proto:4: {expect}"));
}

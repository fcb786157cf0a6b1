//! The generated Java, held against committed files, and what is refused on the way to it.
//!
//! That it compiles and runs is seen by the tests in java/, which have a JVM.

mod common;

use common::{Scratch, check_golden, golden};
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

/// A file as the console of the original kept it, by the name msec.proto.
const MAIN_LOGIC: &str = "\
syntax = \"proto2\";
package MainLogic;
option java_generic_services = true;
message GetTitlesRequest { optional string type = 1; }
message GetTitlesResponse { repeated string titles = 1; }
service MainLogicService {
  rpc GetTitles(GetTitlesRequest) returns (GetTitlesResponse);
  rpc get_url2title(GetTitlesRequest) returns (GetTitlesResponse);
}
";

#[test]
fn a_project_of_the_original_has_its_classes() {
    let scratch = Scratch::new("java-compat");
    let path = scratch.0.join("msec.proto");
    std::fs::write(&path, MAIN_LOGIC).expect("written");
    let mut build = Build::new();
    let files = build.proto(&path).generate_java_compat("VOA_java.MainLogic").expect("generated");
    let text = |name: &str| {
        let file = files.iter().find(|file| file.name == name);
        &file.unwrap_or_else(|| panic!("no {name}")).text
    };
    assert_eq!(text("src/main/proto/msec.proto"), MAIN_LOGIC);
    let implementation = text("src/main/java/MainLogic/ServiceImpl.java");
    for part in [
        "package MainLogic;\n",
        "class ServiceImpl implements Msec.MainLogicService.BlockingInterface {",
        "    public Msec.GetTitlesResponse getTitles(",
        "RpcController controller, Msec.GetTitlesRequest request)",
        "getUrl2Title(",
        "initModule(\"VOA_java.MainLogic\", ServiceFactory.SRPC_VERSION)",
        "\"MainLogic.MainLogicService\"",
    ] {
        assert!(implementation.contains(part), "{part} is missing: {implementation}");
    }
    let client = text("src/main/java/MainLogic/Client.java");
    assert!(client.contains("\"MainLogic.MainLogicService.GetTitles\""), "{client}");
    assert!(text("pom.xml").contains("<mainClass>MainLogic.ServiceImpl</mainClass>"));
    for file in &files {
        let is_filled = |word: &str| !word.starts_with('@') || !word.ends_with('@');
        let mut words = file.text.split(|letter: char| !letter.is_alphanumeric() && letter != '@');
        assert!(words.all(|word| word.len() < 3 || is_filled(word)), "{}", file.text);
    }
}

#[test]
fn what_cannot_be_a_project_of_the_original_says_why() {
    let error = |lines: &[&str]| {
        common::error_of("java-project", lines, |build| build.generate_java_compat("A.b"))
    };
    let found = error(&["message M {}", "service S {", "  rpc B(M) returns (M);", "}"]);
    assert!(found.starts_with("a.proto: the line `option java_generic_services"), "{found}");
    let generic = "option java_generic_services = true;";
    assert_eq!(error(&[generic, "service S {}"]), "a.proto:4: the service S has no rpc");
    let found = error(&[generic, "service S {}", "service T {}"]);
    assert_eq!(found, "a.proto:5: the service T is the second: a project has one");
    let found = error(&["message M {}"]);
    assert_eq!(found, "a project in Java is made of one file with one service");
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

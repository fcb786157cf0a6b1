//! The project of a service of the original's, held against committed files, and what is refused
//! on the way to it.
//!
//! That it is built by make, and runs, is seen in tests/tests/compat_cpp.rs.

mod common;

use common::{Scratch, golden};
use msec_codegen::{Build, Keep};

#[test]
fn the_project_is_the_committed_one() {
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
fn two_files_of_one_package_are_refused() {
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

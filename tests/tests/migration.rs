//! The demo of a migration, as `make demo-migration` runs it: services and programs that were
//! written for the original, in C++ and Java, one coloured request through all of them.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use msec_tests::programs::{command, ends, example, outside_of_cargo, repository, run};
use msec_tests::{alone, java};

#[test]
fn code_of_the_original_works_beside_new_services() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("migration");
    let (prefix, built) = (scratch.join("prefix"), scratch.join("built"));
    let mut install = Command::new(repository().join("xtask/install.sh"));
    run(install.arg(command("msec").parent().unwrap()).arg(&prefix).arg(&prefix));
    let mut build = Command::new(repository().join("cpp-examples/migration/build.sh"));
    run(outside_of_cargo(build.arg(&prefix).arg(&built)));
    let jar = java::migration();
    let _alone = alone();
    let mut demo = Command::new(example("migration"));
    demo.env("DEMO_SECONDS", "3").env("MIGRATION_CPP", &built).env("MIGRATION_JAVA", jar);
    let (output, said, complaints) = ends(&mut demo);
    assert!(output.status.success(), "{said}{complaints}");
    // Each of these was looked at, and none was missed.
    assert_eq!(said.matches("\n  ok      ").count(), 8, "{said}");
    assert!(!said.contains("MISSED"), "{said}");
}

#[test]
fn the_demo_of_a_migration_says_what_it_lacks() {
    let mut demo = Command::new(example("migration"));
    let (output, _, complaints) = ends(demo.env("DEMO_SECONDS", "2"));
    assert!(!output.status.success());
    assert!(complaints.contains("DEMO_SECONDS=`2`: allowed is a number from 3"), "{complaints}");
    let mut demo = Command::new(example("migration"));
    let (output, _, complaints) = ends(demo.env("DEMO_SECONDS", "3").env_remove("MIGRATION_CPP"));
    assert!(!output.status.success());
    assert!(complaints.contains("MIGRATION_CPP is not set"), "{complaints}");
}

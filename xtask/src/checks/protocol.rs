//! `core/protocol` decides and does nothing else: no standard library, hence no clock, socket,
//! file, thread or random source, and no dependency but those listed here.

use std::collections::BTreeSet;

use crate::metadata::{self, Kind};
use crate::tree::{Problem, Tree};

const LIBRARY: &str = "core/protocol/src/lib.rs";
const MANIFEST: &str = "core/protocol/Cargo.toml";

/// What `core/protocol` imports, exactly; development dependencies are free.
const DEPENDENCIES: &[&str] = &["httparse"];

pub(crate) fn check(tree: &Tree) -> Result<Vec<Problem>, String> {
    check_against(tree, DEPENDENCIES)
}

fn check_against(tree: &Tree, listed: &[&str]) -> Result<Vec<Problem>, String> {
    let mut problems = Vec::new();
    let library = tree.file(LIBRARY).and_then(|file| file.rust.as_ref());
    if !library.is_some_and(|library| library.is_no_std) {
        problems.push(Problem::in_file(LIBRARY, "does not say #![no_std] without a condition"));
    }
    for (file, rust) in tree.rust_files() {
        if file.path.starts_with("core/protocol/src/") {
            for line in rust.find(&["extern", "crate", "std"]) {
                if !file.is_test_line(line) {
                    let what = "brings back the standard library outside a test";
                    problems.push(Problem::at(&file.path, line, what));
                }
            }
        }
    }
    let members = metadata::members(&tree.root, "")?;
    let member = members.iter().find(|member| member.folder.as_deref() == Some("core/protocol"));
    let dependencies = member.map_or(&[][..], |member| &member.dependencies);
    let real: BTreeSet<&str> = dependencies
        .iter()
        .filter(|dependency| dependency.kind != Kind::Dev)
        .map(|dependency| dependency.name.as_str())
        .collect();
    let listed: BTreeSet<&str> = listed.iter().copied().collect();
    for name in real.difference(&listed) {
        let what = format!("`{name}` is not on the list in xtask/src/checks/protocol.rs");
        problems.push(Problem::in_file(MANIFEST, what));
    }
    for name in listed.difference(&real) {
        let what = format!("`{name}` is on the list in xtask/src/checks/protocol.rs, but not here");
        problems.push(Problem::in_file(MANIFEST, what));
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::check_against;
    use crate::tree::scratch::{self, Scratch};

    const ROOT: &str = "[workspace]\nresolver='3'\nmembers=['core/protocol']\n";
    const MANIFEST: &str = "[package]\nname='msec-protocol'\nedition='2024'\n";

    fn problems(library: &str, dependencies: &str) -> Vec<String> {
        let manifest = format!("{MANIFEST}{dependencies}");
        let files = [
            ("Cargo.toml", ROOT),
            ("core/protocol/Cargo.toml", manifest.as_str()),
            ("core/protocol/src/lib.rs", library),
        ];
        scratch::problems(|tree| check_against(tree, &[]), &files)
    }

    #[test]
    fn no_std_with_the_listed_dependencies_passes() {
        let library = "#![no_std]\n#[cfg(test)]\nextern crate std;\n";
        let free = "[dev-dependencies]\nproptest='1'\n";
        assert_eq!(problems(library, free), Vec::<String>::new());
    }

    #[test]
    fn a_library_with_std_is_found() {
        let expect =
            "core/protocol/src/lib.rs: does not say #![no_std] without a condition".to_string();
        assert_eq!(problems("", ""), [expect.as_str()]);
        assert_eq!(problems("#![cfg_attr(not(test), no_std)]\n", ""), [expect]);
        let found = problems("#![no_std]\nextern crate std;\n", "");
        let expect = "brings back the standard library outside a test";
        assert_eq!(found, [format!("core/protocol/src/lib.rs:2: {expect}")]);
    }

    #[test]
    fn dependencies_beyond_and_short_of_the_list_are_found() {
        let found = problems("#![no_std]\n", "[dependencies]\nrand='1'\n");
        let expect = "`rand` is not on the list in xtask/src/checks/protocol.rs";
        assert_eq!(found, [format!("core/protocol/Cargo.toml: {expect}")]);
        let scratch = Scratch::new(&[
            ("Cargo.toml", ROOT),
            ("core/protocol/Cargo.toml", MANIFEST),
            ("core/protocol/src/lib.rs", "#![no_std]\n"),
        ]);
        let found = check_against(&scratch.tree(), &["libm"]).expect("the check runs");
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

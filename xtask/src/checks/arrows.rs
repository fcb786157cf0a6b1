//! Who imports whom: the block marked `dag` in ARCHITECTURE.md against the manifests.
//!
//! ```text
//! core -> sys protocol        the crate in core/ may import those in core/sys and core/protocol
//! ```
//!
//! The block speaks of folders, so `core/sys` is `sys`, and all of `bench/` is `bench`. Both sides
//! must be equal: an arrow that nobody uses any more is a wrong map, too. Development dependencies
//! are no arrows, but they may only go where the crate itself or `tests` may go; the crate `tests`
//! has nothing but tests, so there they count as arrows.

use std::collections::{BTreeMap, BTreeSet};

use crate::metadata::{self, Kind, Package};
use crate::tree::{Problem, Tree};

const MAP: &str = "ARCHITECTURE.md";

/// Each of them is a workspace of its own.
const WORKSPACES: &[&str] = &["", "bench", "fuzz"];

type Arrows = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn check(tree: &Tree) -> Result<Vec<Problem>, String> {
    let Some(file) = tree.file(MAP) else {
        return Ok(vec![Problem::in_file(MAP, "there is no such file")]);
    };
    let drawn = match parse(&file.text) {
        Ok(drawn) => drawn,
        Err(problem) => return Ok(vec![problem]),
    };
    let mut packages = Vec::new();
    for workspace in WORKSPACES {
        packages.extend(metadata::members(&tree.root, workspace)?);
    }
    let mut problems = compare(&drawn, &real(&packages));
    problems.extend(stray_development(&drawn, &packages));
    Ok(problems)
}

/// The block as a map from crate to what it imports.
fn parse(text: &str) -> Result<Arrows, Problem> {
    let mut arrows = Arrows::new();
    let mut inside = false;
    let mut found = false;
    for (line, number) in text.lines().zip(1..) {
        match (inside, line.trim()) {
            (false, "```dag") => (inside, found) = (true, true),
            (true, "```") => inside = false,
            (true, "") | (false, _) => {}
            (true, line) => {
                let Some((from, to)) = line.split_once("->") else {
                    return Err(Problem::at(MAP, number, "not of the form `crate -> crate crate`"));
                };
                let targets = to.split_whitespace().map(str::to_string).collect();
                arrows.insert(from.trim().to_string(), targets);
            }
        }
    }
    if found { Ok(arrows) } else { Err(Problem::in_file(MAP, "there is no block marked `dag`")) }
}

fn real(packages: &[Package]) -> Arrows {
    let mut arrows = Arrows::new();
    for package in packages {
        let name = node(package.folder.as_deref().unwrap_or_default());
        let targets = targets(package, |kind| kind != Kind::Dev || name == "tests");
        arrows.entry(name).or_default().extend(targets);
    }
    arrows
}

/// The crates of the repository that a package imports, itself left out.
fn targets(package: &Package, wanted: impl Fn(Kind) -> bool) -> BTreeSet<String> {
    let own = node(package.folder.as_deref().unwrap_or_default());
    let dependencies = package.dependencies.iter().filter(|dependency| wanted(dependency.kind));
    let nodes = dependencies.filter_map(|dependency| dependency.folder.as_deref()).map(node);
    nodes.filter(|node| *node != own).collect()
}

/// The name of a folder in the block.
fn node(folder: &str) -> String {
    let first = folder.split('/').next().unwrap_or_default();
    let last = folder.rsplit('/').next().unwrap_or_default();
    if WORKSPACES.contains(&first) { first.to_string() } else { last.to_string() }
}

fn compare(drawn: &Arrows, real: &Arrows) -> Vec<Problem> {
    let mut problems = Vec::new();
    let names: BTreeSet<_> = drawn.keys().chain(real.keys()).collect();
    for name in names {
        match (drawn.get(name), real.get(name)) {
            (None, _) => problems.push(format!("the crate `{name}` is not in the block")),
            (_, None) => problems.push(format!("there is no crate `{name}`")),
            (Some(drawn), Some(real)) => {
                for target in real.difference(drawn) {
                    problems.push(format!("`{name}` imports `{target}`, which has no arrow"));
                }
                for target in drawn.difference(real) {
                    problems.push(format!("`{name}` does not import `{target}`: stale arrow"));
                }
            }
        }
    }
    problems.into_iter().map(|what| Problem::in_file(MAP, what)).collect()
}

fn stray_development(drawn: &Arrows, packages: &[Package]) -> Vec<Problem> {
    let of_tests = drawn.get("tests").cloned().unwrap_or_default();
    let mut problems = Vec::new();
    for package in packages {
        let name = node(package.folder.as_deref().unwrap_or_default());
        let own = drawn.get(&name).cloned().unwrap_or_default();
        for target in targets(package, |kind| kind == Kind::Dev) {
            if name != "tests" && !own.contains(&target) && !of_tests.contains(&target) {
                let what = format!("the tests of `{name}` import `{target}`, as `tests` may not");
                problems.push(Problem::in_file(MAP, what));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tree::scratch;

    /// A workspace of `core`, `core/sys` and `tests`, with the given block and a last section for
    /// the manifest of `core`.
    fn problems(block: &str, core_manifest: &str) -> Vec<String> {
        let map = format!("# Map\n\n```dag\n{block}\n```\n");
        let core = format!("[package]\nname='msec'\nedition='2024'\n{core_manifest}\n");
        let tests = "[package]\nname='msec-tests'\nedition='2024'\n[dev-dependencies]\n\
                     msec={path='../core'}\nmsec-sys={path='../core/sys'}\n";
        let members = "[workspace]\nresolver='3'\nmembers=['core','core/sys','tests']\n";
        scratch::problems(
            check,
            &[
                ("ARCHITECTURE.md", &map),
                ("Cargo.toml", members),
                ("core/Cargo.toml", &core),
                ("core/src/lib.rs", ""),
                ("core/sys/Cargo.toml", "[package]\nname='msec-sys'\nedition='2024'\n"),
                ("core/sys/src/lib.rs", ""),
                ("tests/Cargo.toml", tests),
                ("tests/src/lib.rs", ""),
            ],
        )
    }

    const BLOCK: &str = "sys ->\ncore -> sys\ntests -> core sys";
    const IMPORTS_SYS: &str = "[dependencies]\nmsec-sys={path='sys'}";

    #[test]
    fn equal_block_and_manifests_pass() {
        assert_eq!(problems(BLOCK, IMPORTS_SYS), Vec::<String>::new());
    }

    #[test]
    fn an_import_without_arrow_is_found() {
        let found = problems("sys ->\ncore ->\ntests -> core sys", IMPORTS_SYS);
        assert_eq!(found, ["ARCHITECTURE.md: `core` imports `sys`, which has no arrow"]);
        let build = "[build-dependencies]\nmsec-sys={path='sys'}";
        assert_eq!(problems("sys ->\ncore ->\ntests -> core sys", build), found);
    }

    #[test]
    fn an_arrow_without_import_is_found() {
        let found = problems(BLOCK, "");
        assert_eq!(found, ["ARCHITECTURE.md: `core` does not import `sys`: stale arrow"]);
    }

    #[test]
    fn crates_on_one_side_only_are_found() {
        let found = problems("host ->\ncore -> sys\ntests -> core sys", IMPORTS_SYS);
        let expect = ["there is no crate `host`", "the crate `sys` is not in the block"];
        assert_eq!(found, expect.map(|what| format!("ARCHITECTURE.md: {what}")));
    }

    #[test]
    fn development_dependencies_go_where_tests_may_go_and_no_further() {
        let imports = "[dev-dependencies]\nmsec-sys={path='sys'}";
        assert_eq!(problems("sys ->\ncore ->\ntests -> core sys", imports), Vec::<String>::new());
        let found = problems("sys ->\ncore ->\ntests -> core", imports);
        let stray = "ARCHITECTURE.md: the tests of `core` import `sys`, as `tests` may not";
        assert!(found.iter().any(|what| what == stray), "{found:?}");
    }

    #[test]
    fn a_missing_or_broken_block_is_found() {
        let found = scratch::problems(check, &[("ARCHITECTURE.md", "# Map\n")]);
        assert_eq!(found, ["ARCHITECTURE.md: there is no block marked `dag`"]);
        let found = scratch::problems(check, &[("ARCHITECTURE.md", "```dag\ncore sys\n```\n")]);
        assert_eq!(found, ["ARCHITECTURE.md:2: not of the form `crate -> crate crate`"]);
        let found = scratch::problems(check, &[("README.md", "")]);
        assert_eq!(found, ["ARCHITECTURE.md: there is no such file"]);
    }
}

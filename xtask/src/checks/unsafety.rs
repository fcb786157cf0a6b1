//! `unsafe` stands in the listed folders and nowhere else.
//!
//! Two locks on one door: the word itself is searched as a token, macros included, and every crate
//! of the workspace outside the list must take the lints of the workspace, which forbid it, so that
//! the compiler refuses what a macro of a dependency would bring in.

use crate::metadata;
use crate::tree::{Problem, Tree};

/// Bindings to the kernel and to stacks; the interfaces of C and Java; what stands before the C
/// library; benches of foreign libraries; harnesses of the fuzzer.
const PLACES: &[&str] = &["core/sys", "ffi-c", "ffi-java", "hook", "bench", "fuzz"];

pub(crate) fn check(tree: &Tree) -> Result<Vec<Problem>, String> {
    let mut problems = Vec::new();
    for (file, rust) in tree.rust_files() {
        if !is_listed(&file.path) {
            for line in rust.find(&["unsafe"]) {
                let what = format!("`unsafe` outside {}", PLACES.join(", "));
                problems.push(Problem::at(&file.path, line, what));
            }
        }
    }
    let root_forbids = manifest(tree, "Cargo.toml")?
        .get("workspace")
        .and_then(|workspace| workspace.get("lints")?.get("rust")?.get("unsafe_code"))
        .is_some_and(|level| level.get("level").unwrap_or(level).as_str() == Some("forbid"));
    if !root_forbids {
        let what = "workspace.lints.rust.unsafe_code is not \"forbid\"";
        problems.push(Problem::in_file("Cargo.toml", what));
    }
    for member in metadata::members(&tree.root, "")? {
        let path = format!("{}/Cargo.toml", member.folder.unwrap_or_default());
        let takes_lints = manifest(tree, &path)?
            .get("lints")
            .and_then(|lints| lints.get("workspace")?.as_bool())
            .unwrap_or(false);
        if !takes_lints && !is_listed(&path) {
            problems.push(Problem::in_file(&path, "does not take the lints of the workspace"));
        }
    }
    Ok(problems)
}

fn is_listed(path: &str) -> bool {
    PLACES.iter().any(|place| path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/')))
}

fn manifest(tree: &Tree, path: &str) -> Result<toml::Table, String> {
    let file = tree.file(path).ok_or_else(|| format!("there is no {path}"))?;
    file.text.parse().map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tree::scratch;

    const ROOT: &str = "[workspace]\nresolver='3'\nmembers=['core', 'core/sys']\n\
                        [workspace.lints.rust]\nunsafe_code='forbid'\n";
    const CORE: &str = "[package]\nname='msec'\nedition='2024'\n[lints]\nworkspace=true\n";
    const CALL: &str = "fn a() {\n    unsafe { b() }\n}\n";

    fn problems(root: &str, core: &str, core_source: &str) -> Vec<String> {
        scratch::problems(
            check,
            &[
                ("Cargo.toml", root),
                ("core/Cargo.toml", core),
                ("core/src/lib.rs", core_source),
                ("core/sys/Cargo.toml", "[package]\nname='msec-sys'\nedition='2024'\n"),
                ("core/sys/src/lib.rs", CALL),
                ("bench/src/main.rs", CALL),
            ],
        )
    }

    #[test]
    fn the_listed_folders_may_say_it() {
        assert_eq!(problems(ROOT, CORE, "// unsafe\n"), Vec::<String>::new());
        let with_level = ROOT.replace("'forbid'", "{level='forbid'}");
        assert_eq!(problems(&with_level, CORE, ""), Vec::<String>::new());
    }

    #[test]
    fn the_word_elsewhere_is_found_even_in_a_macro() {
        let found = problems(ROOT, CORE, CALL);
        assert_eq!(
            found,
            ["core/src/lib.rs:2: `unsafe` outside core/sys, ffi-c, ffi-java, hook, bench, fuzz"]
        );
        let found = problems(ROOT, CORE, "m! { unsafe }\n");
        assert_eq!(
            found,
            ["core/src/lib.rs:1: `unsafe` outside core/sys, ffi-c, ffi-java, hook, bench, fuzz"]
        );
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        let found = problems(ROOT, "[package]\nname='msec'\nedition='2024'\n", "");
        assert_eq!(found, ["core/Cargo.toml: does not take the lints of the workspace"]);
    }

    #[test]
    fn a_workspace_that_only_warns_is_found() {
        let found = problems(&ROOT.replace("forbid", "warn"), CORE, "");
        assert_eq!(found, ["Cargo.toml: workspace.lints.rust.unsafe_code is not \"forbid\""]);
    }
}

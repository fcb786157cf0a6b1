//! Generated files are what their generator writes today, and nothing else lies beside them.

use std::collections::BTreeMap;

use crate::gen_files;
use crate::tree::{Problem, Tree};

pub(crate) fn check(tree: &Tree) -> Result<Vec<Problem>, String> {
    let wanted: BTreeMap<String, String> = gen_files::all(&tree.root)?.into_iter().collect();
    let mut problems = Vec::new();
    for (path, text) in &wanted {
        match tree.file(path) {
            None => problems.push(Problem::in_file(path, "is missing: run `cargo xtask gen`")),
            Some(file) if file.text != *text => {
                problems.push(Problem::in_file(path, "is stale: run `cargo xtask gen`"));
            }
            Some(_) => {}
        }
    }
    for file in &tree.files {
        let ours = gen_files::FOLDERS
            .iter()
            .any(|folder| file.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
        if ours && !wanted.contains_key(&file.path) {
            problems.push(Problem::in_file(&file.path, "is generated from nothing: remove it"));
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::gen_files;
    use crate::tree::scratch::Scratch;
    use std::fs;

    fn problems(scratch: &Scratch) -> Vec<String> {
        let problems = check(&scratch.tree()).expect("the check runs");
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn missing_stale_and_left_over_files_are_found() {
        let proto = "syntax = \"proto3\";\npackage a;\nmessage B { int32 c = 1; }\n";
        let scratch = Scratch::new(&[("core/examples/a.proto", proto)]);
        let path = "core/examples/generated/a.rs";
        assert_eq!(problems(&scratch), [format!("{path}: is missing: run `cargo xtask gen`")]);

        gen_files::write(&scratch.root).expect("written");
        assert_eq!(problems(&scratch), Vec::<String>::new());

        let full = scratch.root.join(path);
        let text = fs::read_to_string(&full).expect("text");
        fs::write(&full, text + "// by hand\n").expect("written");
        assert_eq!(problems(&scratch), [format!("{path}: is stale: run `cargo xtask gen`")]);

        fs::rename(&full, scratch.root.join("core/examples/generated/old.rs")).expect("renamed");
        gen_files::write(&scratch.root).expect("written");
        let expect = "core/examples/generated/old.rs: is generated from nothing: remove it";
        assert_eq!(problems(&scratch), [expect]);
    }
}

//! How files look: 100 columns, an essay on top of what is long, no paths of one machine, no note
//! about work left undone.

use crate::tree::{Problem, TextFile, Tree};

const COLUMNS_MAX: usize = 100;

/// A Rust file longer than this opens with `//!`.
const LINES_WITHOUT_ESSAY_MAX: usize = 100;

/// Files in which lines wrap and notes count. Prose (`.md`) may have tables of any width.
const CODE: &[&str] = &["rs", "toml", "proto", "sh", "c", "cc", "cpp", "h", "hpp", "java"];

/// Written in two halves, since this file is checked as well.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/tmp/tar", "get"),
    concat!("/tmp/pl", "an"),
];

const NOTES: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

pub(crate) fn check(tree: &Tree) -> Result<Vec<Problem>, String> {
    let mut problems = Vec::new();
    for file in &tree.files {
        if is_written_by_cargo(file) {
            continue;
        }
        let is_code = !file.is_generated() && is_code(file);
        if is_code && file.rust.is_some() {
            problems.extend(essay(file));
        }
        for (line, number) in file.text.lines().zip(1..) {
            let found = machine_path(line).or_else(|| if is_code { look(line) } else { None });
            problems.extend(found.map(|what| Problem::at(&file.path, number, what)));
        }
    }
    Ok(problems)
}

fn is_written_by_cargo(file: &TextFile) -> bool {
    file.path.ends_with("Cargo.lock")
}

fn is_code(file: &TextFile) -> bool {
    file.has_extension(CODE) || file.path.ends_with("Makefile") || file.path.starts_with(".ci/")
}

fn essay(file: &TextFile) -> Option<Problem> {
    let lines = file.text.lines().count();
    let opens_well = file.text.lines().next().is_some_and(|line| line.starts_with("//!"));
    (lines > LINES_WITHOUT_ESSAY_MAX && !opens_well).then(|| {
        let what = format!("has {lines} lines, so it opens with an essay in `//!`");
        Problem::at(&file.path, 1, what)
    })
}

/// A path that exists on the machine of the author alone. `a/home/b` is somebody's folder `home`.
fn machine_path(line: &str) -> Option<String> {
    MACHINE_PATHS.iter().find_map(|path| {
        let mut starts = line.match_indices(path).map(|(start, _)| &line[..start]);
        let is_absolute = starts
            .any(|before| !before.ends_with(|c: char| c.is_alphanumeric() || "._-})".contains(c)));
        is_absolute.then(|| format!("`{path}` is a path of one machine"))
    })
}

fn look(line: &str) -> Option<String> {
    let columns = line.chars().count();
    // A link cannot be wrapped.
    if columns > COLUMNS_MAX && !line.contains("://") {
        return Some(format!("{columns} columns, more than {COLUMNS_MAX}"));
    }
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.find(|word| NOTES.contains(word)).map(|note| format!("`{note}`: do it or drop it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::scratch;

    fn problems(path: &str, text: &str) -> Vec<String> {
        scratch::problems(check, &[(path, text)])
    }

    #[test]
    fn wide_lines_are_found_in_code_and_not_in_prose() {
        let wide = format!("// {}\n", "é".repeat(98));
        assert_eq!(problems("a.rs", &wide), ["a.rs:1: 101 columns, more than 100"]);
        assert_eq!(problems("a.md", &wide), Vec::<String>::new());
        assert_eq!(problems("a.rs", &format!("// {}\n", "é".repeat(97))), Vec::<String>::new());
        assert_eq!(problems("a.rs", &format!("// https://{wide}")), Vec::<String>::new());
    }

    #[test]
    fn a_long_file_without_essay_is_found() {
        let long = "fn a() {}\n".repeat(101);
        let expect = "a.rs:1: has 101 lines, so it opens with an essay in `//!`";
        assert_eq!(problems("a.rs", &long), [expect]);
        assert_eq!(problems("a.rs", &format!("//! Why.\n{long}")), Vec::<String>::new());
        assert_eq!(problems("a.rs", &"fn a() {}\n".repeat(100)), Vec::<String>::new());
        assert_eq!(problems("x/generated/a.rs", &long), Vec::<String>::new());
    }

    #[test]
    fn paths_of_one_machine_are_found_everywhere() {
        for path in MACHINE_PATHS {
            let expect = format!("a.md:1: `{path}` is a path of one machine");
            assert_eq!(problems("a.md", &format!("see {path}x\n")), [expect]);
        }
        let relative = format!("see docs{}x\n", MACHINE_PATHS[0]);
        assert_eq!(problems("a.md", &relative), Vec::<String>::new());
    }

    #[test]
    fn notes_about_undone_work_are_found_as_words() {
        for note in NOTES {
            let expect = format!("Makefile:2: `{note}`: do it or drop it");
            assert_eq!(problems("Makefile", &format!("a:\n\t# {note}: b\n")), [expect]);
            assert_eq!(problems("a.rs", &format!("// {note}{note}\n")), Vec::<String>::new());
        }
    }
}

//! Files and functions that fit a head: 600 lines before the tests of a file, 70 lines a function
//! of Rust.
//!
//! What was longer when the rule came stands in xtask/ratchet.txt with its length, and that file
//! only shrinks: nothing may grow, nothing may be added, and what has become smaller must be taken
//! down with `cargo xtask ratchet`, which writes no entry and no number that is not there already.

use std::collections::BTreeMap;
use std::fs;

use crate::header;
use crate::source::RustFile;
use crate::tree::{Problem, TextFile, Tree};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// The endings of files of C and C++.
const C: &[&str] = &["c", "cc", "cpp", "h", "hpp"];

const RATCHET: &str = "xtask/ratchet.txt";

const HEADER: &str = "\
# What is longer than the house allows, in lines; `cargo xtask ratchet` takes it down.
# file <path> <lines before the tests> | function <path> <name> <lines>
";

/// From `file <path>` or `function <path> <name>` to lines.
type Lengths = BTreeMap<String, usize>;

pub(crate) fn check(tree: &Tree) -> Result<Vec<Problem>, String> {
    Ok(compare(&too_long(tree), &recorded(tree)?))
}

/// Rewrites the ratchet with what is still too long, at no more than it was.
pub(crate) fn shrink_ratchet(tree: &Tree) -> Result<(), String> {
    let recorded = recorded(tree)?;
    let mut text = HEADER.to_string();
    for (what, lines) in too_long(tree) {
        if let Some(recorded) = recorded.get(&what) {
            text.push_str(&format!("{what} {}\n", lines.min(*recorded)));
        }
    }
    fs::write(tree.root.join(RATCHET), text).map_err(|error| format!("{RATCHET}: {error}"))
}

fn too_long(tree: &Tree) -> Lengths {
    let mut lengths = Lengths::new();
    for file in tree.files.iter().filter(|file| is_written_c(file)) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            lengths.insert(format!("file {}", file.path), lines);
        }
    }
    for (file, rust) in tree.rust_files() {
        let lines = lines_before_tests(file, rust);
        if lines > FILE_LINES_MAX {
            lengths.insert(format!("file {}", file.path), lines);
        }
        for function in &rust.functions {
            let lines = function.lines_count();
            if lines > FUNCTION_LINES_MAX {
                let longest =
                    lengths.entry(format!("function {} {}", file.path, function.name)).or_default();
                *longest = lines.max(*longest);
            }
        }
    }
    lengths
}

/// Whether people write the file, in C or C++.
fn is_written_c(file: &TextFile) -> bool {
    file.has_extension(C) && !file.is_generated() && file.path != header::PATH
}

fn lines_before_tests(file: &TextFile, rust: &RustFile) -> usize {
    let lines = file.text.lines().count();
    rust.test_module_line.map_or(lines, |line| lines.min(line - 1))
}

fn recorded(tree: &Tree) -> Result<Lengths, String> {
    let mut lengths = Lengths::new();
    let text = tree.file(RATCHET).map_or("", |file| file.text.as_str());
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let entry =
            line.rsplit_once(' ').and_then(|(what, lines)| Some((what, lines.parse().ok()?)));
        let (what, lines) = entry.ok_or_else(|| format!("{RATCHET}: cannot read `{line}`"))?;
        lengths.insert(what.to_string(), lines);
    }
    Ok(lengths)
}

fn compare(found: &Lengths, recorded: &Lengths) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (what, lines) in found {
        let mut words = what.split(' ');
        let (kind, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let name = words.next().unwrap_or("the file");
        let lines_max = if kind == "file" { FILE_LINES_MAX } else { FUNCTION_LINES_MAX };
        let problem = match recorded.get(what) {
            None => format!("{name} has {lines} lines, more than {lines_max}"),
            Some(recorded) if lines > recorded => {
                format!("{name} has grown from {recorded} to {lines} lines")
            }
            Some(recorded) if lines < recorded => {
                format!("{name} shrank to {lines} lines: run `cargo xtask ratchet`")
            }
            Some(_) => continue,
        };
        problems.push(Problem::in_file(path, problem));
    }
    for what in recorded.keys().filter(|what| !found.contains_key(*what)) {
        let problem = format!("`{what}` is short enough or gone: run `cargo xtask ratchet`");
        problems.push(Problem::in_file(RATCHET, problem));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::scratch::{self, Scratch};

    /// A function of so many lines.
    fn function(lines: usize) -> String {
        format!("fn a() {{\n{}}}\n", "    b();\n".repeat(lines - 2))
    }

    fn problems(source: &str, ratchet: &str) -> Vec<String> {
        let scratch = Scratch::new(&[("a.rs", source), (RATCHET, ratchet)]);
        let problems = check(&scratch.tree()).expect("the check runs");
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_limits_themselves_pass() {
        assert_eq!(problems(&function(FUNCTION_LINES_MAX), ""), Vec::<String>::new());
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(900));
        let file = "\n".repeat(FILE_LINES_MAX) + &tests;
        assert_eq!(problems(&file, ""), Vec::<String>::new());
    }

    #[test]
    fn a_long_function_and_a_long_file_are_found() {
        assert_eq!(problems(&function(71), ""), ["a.rs: a has 71 lines, more than 70"]);
        let found = problems(&"\n".repeat(601), "");
        assert_eq!(found, ["a.rs: the file has 601 lines, more than 600"]);
    }

    #[test]
    fn a_long_file_of_cpp_is_found_unless_it_is_generated() {
        let long = "\n".repeat(601);
        let files = ["include/a.hpp", "a/generated/b.cpp", header::PATH];
        let found = scratch::problems(check, &files.map(|path| (path, long.as_str())));
        assert_eq!(found, ["include/a.hpp: the file has 601 lines, more than 600"]);
    }

    #[test]
    fn the_ratchet_holds_a_length_and_never_lets_it_grow() {
        let ratchet = "# text\nfunction a.rs a 80\n";
        assert_eq!(problems(&function(80), ratchet), Vec::<String>::new());
        assert_eq!(problems(&function(81), ratchet), ["a.rs: a has grown from 80 to 81 lines"]);
        let found = problems(&function(79), ratchet);
        assert_eq!(found, ["a.rs: a shrank to 79 lines: run `cargo xtask ratchet`"]);
        let found = problems(&function(9), ratchet);
        let expect = "`function a.rs a` is short enough or gone: run `cargo xtask ratchet`";
        assert_eq!(found, [format!("{RATCHET}: {expect}")]);
    }

    #[test]
    fn shrinking_the_ratchet_takes_down_and_never_adds() {
        let source = function(75).replace("fn a", "fn new") + &function(75);
        let ratchet = "function a.rs a 80\nfile gone.rs 700\n";
        let scratch = Scratch::new(&[("a.rs", &source), (RATCHET, ratchet)]);
        shrink_ratchet(&scratch.tree()).expect("written");
        let text = fs::read_to_string(scratch.root.join(RATCHET)).expect("text");
        assert_eq!(text, format!("{HEADER}function a.rs a 75\n"));
    }
}

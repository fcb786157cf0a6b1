//! Rules about code that clippy cannot say: what tests may not do, and where the outside world may
//! be read.
//!
//! Clippy bans clocks and sleeping by type (clippy.toml); the same words are searched here as
//! tokens because `core/sys` has its own lints and because only here folders can be told apart.

use crate::source::RustFile;
use crate::tree::{Problem, TextFile, Tree};

const CLOCK: &str = "core/sys/src/clock.rs";

/// The one place in `core` that knows environment variables.
const CONFIG: &str = "core/src/config.rs";

pub(crate) fn check(tree: &Tree) -> Result<Vec<Problem>, String> {
    let mut problems = Vec::new();
    for (file, rust) in tree.rust_files() {
        problems.extend(idle_tests(file, rust));
        problems.extend(sleeping_tests(file, rust));
        if file.path.starts_with("core/") && file.path.contains("/src/") {
            problems.extend(ambient(file, rust));
        }
    }
    Ok(problems)
}

/// Tests that do not run, or that pass because anything at all has panicked.
fn idle_tests(file: &TextFile, rust: &RustFile) -> Vec<Problem> {
    let tokens = &rust.tokens;
    let mut problems = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let before = |back: usize| index.checked_sub(back).map(|at| tokens[at].text.as_str());
        let in_attribute = before(1) == Some("[") && before(2) == Some("#")
            || before(1) == Some(",") && is_in_cfg_attr(rust, index);
        let what = match token.text.as_str() {
            "ignore" if in_attribute => "a test that does not run is no test",
            "should_panic" if in_attribute => "assert what goes wrong, not that something does",
            text if is_ignored_example(text) => "an example that is not compiled will rot",
            _ => continue,
        };
        problems.push(Problem::at(&file.path, token.line, what));
    }
    problems
}

/// Whether the innermost open parenthesis before the token is that of `#[cfg_attr(`.
fn is_in_cfg_attr(rust: &RustFile, index: usize) -> bool {
    let mut depth = 0;
    for at in (0..index).rev() {
        match rust.tokens[at].text.as_str() {
            ")" => depth += 1,
            "(" if depth > 0 => depth -= 1,
            "(" => return at > 0 && rust.tokens[at - 1].text == "cfg_attr",
            _ => {}
        }
    }
    false
}

/// A line of a doc comment that opens a block marked `ignore`.
fn is_ignored_example(literal: &str) -> bool {
    let text = literal.trim_start_matches('"').trim_start();
    text.strip_prefix("```").is_some_and(|marks| {
        marks.split(|c: char| !c.is_alphanumeric()).any(|mark| mark == "ignore")
    })
}

/// A test waits for a state. Only functions called `wait…`, which ask for the state again and again
/// until a bound, may sleep in between.
fn sleeping_tests(file: &TextFile, rust: &RustFile) -> Vec<Problem> {
    let mut lines = rust.find(&["thread", ":", ":", "sleep"]);
    lines.extend(rust.find(&["time", ":", ":", "sleep"]));
    let is_waiting = |line: &usize| {
        rust.function_at(*line).is_some_and(|function| {
            let name = function.name.rsplit("::").next().unwrap_or_default();
            name.starts_with("wait")
        })
    };
    lines
        .into_iter()
        .filter(|line| file.is_test_line(*line) && !is_waiting(line))
        .map(|line| Problem::at(&file.path, line, "a test waits for a state, it does not sleep"))
        .collect()
}

/// Clocks and the environment, read where nobody expects it.
fn ambient(file: &TextFile, rust: &RustFile) -> Vec<Problem> {
    let rules: [(&[&str], &str); 5] = [
        (&["Instant", ":", ":", "now"], CLOCK),
        (&["SystemTime", ":", ":", "now"], CLOCK),
        (&["env", ":", ":", "var"], CONFIG),
        (&["env", ":", ":", "var_os"], CONFIG),
        (&["env", ":", ":", "vars"], CONFIG),
    ];
    let mut problems = Vec::new();
    for (words, home) in rules {
        for line in rust.find(words) {
            if file.path != home && !file.is_test_line(line) {
                let what = format!("`{}` outside {home}", words.concat());
                problems.push(Problem::at(&file.path, line, what));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::scratch;

    fn problems(path: &str, text: &str) -> Vec<String> {
        scratch::problems(check, &[(path, text)])
    }

    #[test]
    fn tests_that_do_not_run_are_found() {
        let expect = ["a.rs:2: a test that does not run is no test"];
        assert_eq!(problems("a.rs", "#[test]\n#[ignore]\nfn a() {}\n"), expect);
        assert_eq!(problems("a.rs", "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n"), expect);
        let conditional = "#[test]\n#[cfg_attr(all(loom, unix), ignore)]\nfn a() {}\n";
        assert_eq!(problems("a.rs", conditional), expect);
        assert_eq!(problems("a.rs", "p! {\n#[ignore] fn a() {} }\n"), expect);
        assert_eq!(problems("a.rs", "fn a() { b([ignore], c(d, ignore)); }\n"), [""; 0]);
    }

    #[test]
    fn tests_that_pass_on_any_panic_are_found() {
        let found = problems("a.rs", "#[test]\n#[should_panic(expected = \"b\")]\nfn a() {}\n");
        assert_eq!(found, ["a.rs:2: assert what goes wrong, not that something does"]);
    }

    #[test]
    fn examples_that_are_not_compiled_are_found() {
        let found = problems("a.rs", "/// Text.\n/// ```ignore\n/// b();\n/// ```\nfn a() {}\n");
        assert_eq!(found, ["a.rs:2: an example that is not compiled will rot"]);
        assert_eq!(problems("a.rs", "/// ```no_run\n/// ```\nfn a() {}\n"), [""; 0]);
        assert_eq!(problems("a.rs", "/// ```\n/// ignore\n/// ```\nfn a() {}\n"), [""; 0]);
    }

    #[test]
    fn sleeping_is_found_in_tests_and_left_to_clippy_elsewhere() {
        let sleep = "fn a() {\n    std::thread::sleep(B);\n}\n";
        let expect = "a test waits for a state, it does not sleep";
        assert_eq!(problems("tests/a.rs", sleep), [format!("tests/a.rs:2: {expect}")]);
        assert_eq!(problems("core/tests/a.rs", sleep), [format!("core/tests/a.rs:2: {expect}")]);
        let module = format!("#[cfg(test)]\nmod tests {{\n{sleep}}}\n");
        assert_eq!(problems("cli/src/a.rs", &module), [format!("cli/src/a.rs:4: {expect}")]);
        assert_eq!(problems("cli/src/a.rs", sleep), [""; 0]);
        let waits = sleep.replace("fn a", "fn wait_until");
        assert_eq!(problems("tests/a.rs", &waits), [""; 0]);
    }

    #[test]
    fn clocks_and_environment_are_found_outside_their_home() {
        let now = "fn a() {\n    Instant::now();\n}\n";
        let found = problems("core/src/a.rs", now);
        assert_eq!(found, ["core/src/a.rs:2: `Instant::now` outside core/sys/src/clock.rs"]);
        assert_eq!(problems("core/sys/src/clock.rs", now), [""; 0]);
        let module = format!("#[cfg(test)]\nmod tests {{\n{now}}}\n");
        assert_eq!(problems("core/src/a.rs", &module), [""; 0]);
        let variable = "fn a() {\n    std::env::var(\"B\");\n}\n";
        let found = problems("core/sys/src/a.rs", variable);
        assert_eq!(found, ["core/sys/src/a.rs:2: `env::var` outside core/src/config.rs"]);
        assert_eq!(problems("core/src/config.rs", variable), [""; 0]);
        assert_eq!(problems("cli/src/a.rs", variable), [""; 0]);
    }
}

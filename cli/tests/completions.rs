//! Completion in the shells themselves: each loads its script and is asked what may come next.

mod common;

use std::process::Command;

use common::{msec, temporary};

/// The script of a shell in a file.
fn script(shell: &str) -> String {
    let ran = msec(&["completions", shell]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    let file = temporary(&format!("completions.{shell}"));
    std::fs::write(&file, ran.stdout).expect("the folder can be written");
    file.display().to_string()
}

fn run(shell: &str, arguments: &[&str]) -> Vec<String> {
    let output = Command::new(shell)
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../core/examples"))
        .output()
        .expect("the shell runs");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// What bash offers in place of the last of the words.
fn bash(words: &[&str]) -> Vec<String> {
    let file = script("bash");
    let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let ask = format!(
        "source {file}; COMP_WORDS=({}); COMP_CWORD={}; _msec
        printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        words.len() - 1,
    );
    run("bash", &["-c", &ask])
}

#[test]
fn bash_completes_commands_flags_values_and_files() {
    run("bash", &["-n", &script("bash")]);
    let all = bash(&["msec", ""]);
    for name in ["call", "press", "doctor", "completions", "version", "help"] {
        assert!(all.iter().any(|word| word == name), "{name}: {all:?}");
    }
    assert_eq!(bash(&["msec", "pr"]), ["press"]);
    assert_eq!(bash(&["msec", "press", "127.0.0.1:1", "--rat"]), ["--rate"]);
    assert_eq!(bash(&["msec", "press", "x", "--arrivals", ""]), ["constant", "poisson"]);
    assert_eq!(bash(&["msec", "press", "x", "--arrivals", "=", "p"]), ["poisson"]);
    assert_eq!(bash(&["msec", "call", "x", "y", "--proto", "echo.p"]), ["echo.proto"]);
    assert_eq!(bash(&["msec", "call", "x", "y", "--include", "gen"]), ["generated"]);
    assert_eq!(bash(&["msec", "completions", "z"]), ["zsh"]);
    assert_eq!(bash(&["msec", "gen", "echo.p"]), ["echo.proto"]);
    assert_eq!(bash(&["msec", "gen", "echo.proto", "-I", "gen"]), ["generated"]);
    assert_eq!(bash(&["msec", "gen", "echo.proto", "--lang", "r"]), ["rust"]);
    assert_eq!(bash(&["msec", "gen", "-I", "gen", "fanout.p"]), ["fanout.proto"]);
    assert_eq!(bash(&["msec", "help", "doc"]), ["doctor"]);
    // A number is awaited: neither flags nor files are offered.
    assert_eq!(bash(&["msec", "press", "x", "--rate", ""]), [""]);
    assert!(!bash(&["msec", "call", "--"]).contains(&"--rate".to_owned()));
}

#[test]
fn fish_completes_commands_flags_and_values() {
    let file = script("fish");
    let fish = |line: &str| -> Vec<String> {
        let said = run("fish", &["-N", "-c", &format!("source {file}; complete -C '{line}'")]);
        let words = said.iter().filter_map(|line| line.split('\t').next());
        words.map(str::to_owned).collect()
    };
    assert_eq!(fish("msec pr"), ["press"]);
    assert_eq!(fish("msec press x --rat"), ["--rate"]);
    assert_eq!(fish("msec press x --arrivals "), ["constant", "poisson"]);
    assert_eq!(fish("msec completions z"), ["zsh"]);
    assert_eq!(fish("msec help doc"), ["doctor"]);
    assert!(fish("msec call x y --proto ech").contains(&"echo.proto".to_owned()));
    assert!(fish("msec gen ech").contains(&"echo.proto".to_owned()));
    assert!(fish("msec gen echo.proto -I gen").contains(&"generated/".to_owned()));
}

#[test]
fn zsh_completes_commands_flags_and_values() {
    let file = script("zsh");
    run("zsh", &["-n", &file]);
    // Zsh completes at a terminal only, so it is given one.
    let zsh = |line: &str| {
        let ask = format!(
            "zmodload zsh/zpty; zpty z 'PS1=\"> \" TERM=dumb zsh -f -i'
            zpty -w z 'autoload -Uz compinit; compinit -u -D; source {file}; unsetopt beep; \
             LISTMAX=1000; echo rea''dy'
            zpty -r -m z text '*ready*'
            zpty -w -n z $'{line}\\t #\\necho en\\'\\'ded\\n'
            zpty -r -m z text '*ended*'
            print -r -- $text
            zpty -d z"
        );
        run("zsh", &["-f", "-c", &ask]).join("\n")
    };
    for (line, expect) in [
        ("msec pr", "msec press"),
        ("msec press x --rat", "--rate  -- open loop"),
        ("msec press x --arrivals po", "poisson"),
        ("msec completions z", "zsh"),
        ("msec help doc", "doctor"),
        ("msec gen echo.p", "echo.proto"),
        ("msec gen -I gen", "generated"),
    ] {
        let said = zsh(line);
        assert!(said.contains(expect), "{line}: {said}");
    }
}

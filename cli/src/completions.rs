//! `msec completions`: what makes bash, zsh and fish complete the command, out of its table.
//!
//! A script holds the words themselves, so that completing starts no process. What follows a flag,
//! or stands at a place, is one of four things, which its name in the table tells ([`Follows`]):
//! files, folders, one of a few words, or something that nobody can foresee.

use std::fmt::Write;

use crate::commands::{COMMANDS, Command, Flag};
use crate::failure::Failure;
use crate::flags::Arguments;
use crate::print;

/// What can stand in a place.
#[derive(Debug, PartialEq, Eq)]
enum Follows {
    Files,
    Folders,
    OneOf(Vec<&'static str>),
    Anything,
}

impl Follows {
    /// By the name of a value or an operand in the table.
    fn of(name: &'static str) -> Self {
        let name = name.trim_start_matches('[').trim_end_matches(']').trim_end_matches("...");
        match name {
            "FILE" => Self::Files,
            "DIR" => Self::Folders,
            name if name.starts_with(|letter: char| letter.is_ascii_lowercase()) => {
                let words = name.split('|');
                // Words in capitals stand for something else.
                Self::OneOf(words.filter(|word| !word.starts_with(char::is_uppercase)).collect())
            }
            _ => Self::Anything,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match arguments.operand_text(0)? {
        "bash" => print(&bash()),
        "zsh" => print(&zsh()),
        "fish" => print(&fish()),
        other => Err(arguments.usage(&format!("`{other}`: bash, zsh or fish"))),
    }
}

fn names() -> Vec<&'static str> {
    COMMANDS.iter().map(|command| command.name).chain(["help"]).collect()
}

const BASH_BEGIN: &str = r#"# msec completions bash
_msec_words() {
    local IFS=$' \t\n'
    COMPREPLY=($(compgen -W "$1" -- "$current"))
}
_msec_files() {
    compopt -o filenames 2>/dev/null
    local IFS=$'\n'
    COMPREPLY=($(compgen "$1" -- "$current"))
}
_msec() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    COMPREPLY=()
    # bash makes three words of --flag=value.
    if [ "$current" = "=" ]; then
        current=
    elif [ "$previous" = "=" ]; then
        previous=${COMP_WORDS[COMP_CWORD-2]}
    fi
"#;

fn bash() -> String {
    let mut text = BASH_BEGIN.to_owned();
    let words = names().join(" ");
    let _ =
        writeln!(text, "    if [ \"$COMP_CWORD\" = 1 ]; then _msec_words \"{words}\"; return; fi");
    text.push_str("    case \"${COMP_WORDS[1]} $previous\" in\n");
    for command in COMMANDS {
        for flag in command.flags().filter(|flag| !flag.value.is_empty()) {
            let does = bash_follows(&Follows::of(flag.value));
            let letter = flag.letter.map(|letter| format!("-{letter}"));
            for flag in [format!("--{}", flag.name)].into_iter().chain(letter) {
                let _ = writeln!(text, "        \"{} {flag}\") {does}; return ;;", command.name);
            }
        }
    }
    text.push_str("    esac\n    case \"${COMP_WORDS[1]} $current\" in\n");
    for command in COMMANDS {
        let flags: Vec<_> = command.flags().map(|flag| format!("--{}", flag.name)).collect();
        let words = flags.join(" ");
        let _ =
            writeln!(text, "        \"{} -\"*) _msec_words \"{words}\"; return ;;", command.name);
    }
    text.push_str("    esac\n    case \"${COMP_WORDS[1]} $COMP_CWORD\" in\n");
    let _ = writeln!(text, "        \"help 2\") _msec_words \"{words}\" ;;");
    for command in COMMANDS {
        for (index, name) in command.operands.iter().enumerate() {
            let follows = Follows::of(name);
            if follows != Follows::Anything {
                let (does, place) = (bash_follows(&follows), index + 2);
                let place = if repeats(name) { "\"*".into() } else { format!("{place}\"") };
                let _ = writeln!(text, "        \"{} {place}) {does} ;;", command.name);
            }
        }
    }
    text.push_str("    esac\n}\ncomplete -F _msec msec\n");
    text
}

fn bash_follows(follows: &Follows) -> String {
    match follows {
        Follows::Files => "_msec_files -f".to_owned(),
        Follows::Folders => "_msec_files -d".to_owned(),
        Follows::OneOf(words) => format!("_msec_words \"{}\"", words.join(" ")),
        Follows::Anything => ":".to_owned(),
    }
}

const ZSH_END: &str = r#"        help)
            (( CURRENT == 2 )) && _describe -t commands command commands
            ;;
    esac
}
# By the completion system, or sourced from ~/.zshrc.
if [ "$funcstack[1]" = _msec ]; then _msec "$@"; else compdef _msec msec; fi
"#;

fn zsh() -> String {
    let mut text = "#compdef msec\n_msec() {\n    local -a commands=(\n".to_owned();
    for command in COMMANDS {
        let _ = writeln!(text, "        '{}:{}'", command.name, quoted(command.summary));
    }
    text.push_str("        'help:explains a command'\n    )\n");
    text.push_str("    if (( CURRENT == 2 )); then\n");
    text.push_str("        _describe -t commands command commands\n        return\n    fi\n");
    text.push_str("    shift words\n    (( CURRENT-- ))\n    case $words[1] in\n");
    for command in COMMANDS {
        let _ = writeln!(text, "        {})\n            _arguments -s \\", command.name);
        for flag in command.flags() {
            let _ = writeln!(text, "                {} \\", zsh_flag(flag));
        }
        for (index, name) in command.operands.iter().enumerate() {
            let optional = if name.starts_with('[') { ":" } else { "" };
            let label = name.trim_matches(['[', ']']);
            let action = zsh_follows(&Follows::of(name));
            let place = if repeats(name) { "*".into() } else { (index + 1).to_string() };
            let _ = writeln!(text, "                '{place}:{optional}{label}:{action}' \\");
        }
        text.truncate(text.len() - 3);
        text.push_str("\n            ;;\n");
    }
    text.push_str(ZSH_END);
    text
}

fn zsh_flag(flag: &Flag) -> String {
    let means = quoted(flag.text).replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
    let repeats = if flag.repeats { "*" } else { "" };
    match (flag.value, flag.letter) {
        ("", None) => format!("'--{}[{means}]'", flag.name),
        ("", Some(letter)) => {
            let name = flag.name;
            format!("'(-{letter} --{name})'{{-{letter},--{name}}}'[{means}]'")
        }
        (value, letter) => {
            let action = zsh_follows(&Follows::of(value));
            let label = value.replace(':', "\\:");
            let long = format!("'{repeats}--{}=[{means}]:{label}:{action}'", flag.name);
            match letter {
                None => long,
                Some(letter) => format!("{long} '{repeats}-{letter}+[{means}]:{label}:{action}'"),
            }
        }
    }
}

fn zsh_follows(follows: &Follows) -> String {
    match follows {
        Follows::Files => "_files".to_owned(),
        Follows::Folders => "_files -/".to_owned(),
        Follows::OneOf(words) => format!("({})", words.join(" ")),
        Follows::Anything => " ".to_owned(),
    }
}

fn fish() -> String {
    let mut text = "# msec completions fish\ncomplete -c msec -f\n".to_owned();
    let mut first = |name: &str, means: &str| {
        let _ = writeln!(
            text,
            "complete -c msec -n __fish_use_subcommand -a {name} -d '{}'",
            fish_quoted(means)
        );
    };
    for command in COMMANDS {
        first(command.name, command.summary);
    }
    first("help", "explains a command");
    let _ = writeln!(
        text,
        "complete -c msec -n '__fish_seen_subcommand_from help' -a '{}'",
        names().join(" ")
    );
    for command in COMMANDS {
        fish_command(&mut text, command);
    }
    text
}

fn fish_command(text: &mut String, command: &Command) {
    // `help NAME` names a command as well, but is none.
    let begin = format!(
        "complete -c msec -n '__fish_seen_subcommand_from {}; and not __fish_seen_subcommand_from \
         help'",
        command.name
    );
    for name in command.operands {
        match Follows::of(name) {
            Follows::OneOf(words) => {
                let _ = writeln!(text, "{begin} -a '{}'", words.join(" "));
            }
            Follows::Files => {
                let _ = writeln!(text, "{begin} -F");
            }
            Follows::Folders | Follows::Anything => {}
        }
    }
    for flag in command.flags() {
        let letter = flag.letter.map_or(String::new(), |letter| format!(" -s {letter}"));
        let follows = match (flag.value, Follows::of(flag.value)) {
            ("", _) => String::new(),
            (_, Follows::Files) => " -r -F".to_owned(),
            (_, Follows::Folders) => " -x -a '(__fish_complete_directories)'".to_owned(),
            (_, Follows::OneOf(words)) => format!(" -x -a '{}'", words.join(" ")),
            (_, Follows::Anything) => " -x".to_owned(),
        };
        let means = fish_quoted(flag.text);
        let _ = writeln!(text, "{begin}{letter} -l {}{follows} -d '{means}'", flag.name);
    }
}

/// Whether an operand may be there again.
fn repeats(name: &str) -> bool {
    name.ends_with("...")
}

/// Within single quotes of bash and zsh.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''")
}

/// Within single quotes of fish.
fn fish_quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_the_table_tells_what_can_follow() {
        assert_eq!(Follows::of("FILE"), Follows::Files);
        assert_eq!(Follows::of("DIR"), Follows::Folders);
        assert_eq!(Follows::of("bash|zsh"), Follows::OneOf(vec!["bash", "zsh"]));
        assert_eq!(Follows::of("[slow|failed|FLOW_ID]"), Follows::OneOf(vec!["slow", "failed"]));
        assert_eq!(Follows::of("KEY=VALUE"), Follows::Anything);
    }

    #[test]
    fn every_flag_of_every_command_is_in_every_script() {
        for (script, dashes) in [(bash(), "--"), (zsh(), "--"), (fish(), "-l ")] {
            for command in COMMANDS {
                for flag in command.flags() {
                    assert!(script.contains(&format!("{dashes}{}", flag.name)), "{}", flag.name);
                }
            }
        }
    }
}

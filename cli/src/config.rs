//! `msec config`: what `config.ini` may say, and what is wrong with one.

use std::fmt::Write as _;
use std::path::Path;

use msec_host::ini::Ini;
use msec_host::settings::{self, KEYS, Settings};

use crate::failure::Failure;
use crate::flags::Arguments;
use crate::print;

/// Columns of the explanations.
const WIDTH: usize = 84;

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let file = arguments.operand(1).map(Path::new);
    match (arguments.operand_text(0)?, file) {
        ("explain", None) => print(&explain(&Ini::default())),
        ("explain", Some(file)) => print(&explain(&read(file)?)),
        ("check", Some(file)) => check(file),
        ("check", None) => Err(arguments.usage(&"FILE is missing")),
        (other, _) => Err(arguments.usage(&format!("`{other}` is none of explain, check"))),
    }
}

fn read(file: &Path) -> Result<Ini, Failure> {
    let content = std::fs::read(file);
    let content =
        content.map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    Ini::parse(content).map_err(|error| Failure::usage(error.message().to_owned()))
}

fn check(file: &Path) -> Result<(), Failure> {
    let settings = Settings::of(&read(file)?, msec::cpu::online());
    let settings = settings.map_err(|error| Failure::usage(error.message().to_owned()))?;
    let mut text = String::new();
    for warning in &settings.warnings {
        // A String takes everything.
        let _ = writeln!(text, "{warning}");
    }
    let listen: Vec<_> = settings.listen.iter().map(ToString::to_string).collect();
    let (workers, cores) = (settings.procnum, settings.cores);
    let _ =
        writeln!(text, "ok: listens at {}; {workers} workers of {cores} cores", listen.join(", "));
    print(&text)
}

fn explain(ini: &Ini) -> String {
    let mut text = String::new();
    let mut section = "";
    for key in KEYS {
        if section != key.section {
            section = key.section;
            let _ = writeln!(text, "[{section}]");
        }
        let value = ini.value(section, key.name);
        entry(&mut text, key.name, value, key.default, key.meaning);
    }
    text.push_str("[ENGINE]\n");
    for (name, meaning) in settings::engine_keys() {
        let value = ini.value("ENGINE", &name);
        entry(&mut text, &name, value, "", &meaning.replace('`', ""));
    }
    text.push_str("\nOther sections are the plugin's own.\n");
    text
}

fn entry(text: &mut String, name: &str, value: Option<&str>, default: &str, meaning: &str) {
    let _ = match value {
        Some(value) => writeln!(text, "  {name} = {value}    (default: {default})"),
        None => writeln!(text, "  {name} = {default}"),
    };
    let mut line = String::from("     ");
    for word in meaning.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = String::from("     ");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

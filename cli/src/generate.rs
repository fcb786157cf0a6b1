//! `msec gen`: code for the services of .proto files, with what their messages look like.
//!
//! C++ is a header on top of protoc's, Java are classes beside protoc's, Rust is everything;
//! `msec_codegen` tells what is in them.
//! All is made before anything is written, so that a mistake leaves the folder as it was.

use std::path::Path;

use msec_codegen::{Build, Error};

use crate::commands::{Command, Example, Flag, Run, flag};
use crate::failure::Failure;
use crate::flags::Arguments;

pub(crate) const COMMAND: Command = Command {
    name: "gen",
    summary: "writes C++, Java or Rust for the services of a .proto file",
    operands: &["FILE..."],
    about: "\
For C++, x.proto becomes x.msec.h: a class to implement for each service, and one to call it
with. Its messages are those of `protoc --cpp_out`. For Java, each service becomes an interface
and a client, in the folder of its package; the messages are those of `protoc --java_out`. For
Rust, each package becomes one file, messages included. Beside them lies x.pb, the descriptor
set, for `msec call --descriptors`. No protoc is needed. As its plugin, protoc-gen-msec writes
the same: `protoc --msec_out=DIR`, or `--msec_out=lang=java:DIR`.",
    flags: &[&[
        flag("lang", "cpp|java|rust", "the language; default cpp"),
        flag("out", "DIR", "where to write to; default: here"),
        Flag {
            repeats: true,
            letter: Some('I'),
            ..flag("include", "DIR", "where files and imports are looked for; default: beside them")
        },
    ]],
    examples: &[
        Example {
            does: "C++ for the echo example",
            line: "msec gen core/examples/echo.proto --lang cpp --out generated",
        },
        Example {
            does: "Rust for two files that import others",
            line: "msec gen proto/shop.proto proto/stock.proto --lang rust -I proto --out src/shop",
        },
    ],
    run: Run::Generate,
};

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut build = Build::new();
    for file in arguments.operands() {
        if !Path::new(file).is_file() {
            let text = format!("{}: there is no such file", file.to_string_lossy());
            return Err(Failure::usage(text));
        }
        build.proto(file);
    }
    for folder in arguments.texts("include")? {
        build.include(folder);
    }
    let wrong = |error: Error| Failure::usage(error.to_string());
    let code = match arguments.word("lang")? {
        "rust" => build.generate(),
        "java" => build.generate_java(),
        _ => build.generate_cpp(),
    };
    let code = code.map_err(wrong)?;
    let sets = build.descriptor_sets().map_err(wrong)?;
    if sets.is_empty() {
        let names = arguments.operands().iter().map(|name| name.to_string_lossy());
        let names: Vec<_> = names.collect();
        return Err(Failure::usage(format!("{}: no service is declared there", names.join(", "))));
    }
    let folder = Path::new(arguments.value("out").unwrap_or(".".as_ref()));
    for file in code {
        write(&folder.join(file.name), file.text.as_bytes())?;
    }
    for file in sets {
        write(&folder.join(file.name), &file.bytes)?;
    }
    Ok(())
}

/// Writes a file, and the folders that it lies in.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, bytes))
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}

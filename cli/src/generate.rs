//! `msec gen`: code for the services of .proto files, with what their messages look like.
//!
//! C++ is a header on top of protoc's, Java are classes beside protoc's, Rust is everything;
//! `msec_codegen` tells what is in them.
//! All is made before anything is written, so that a mistake leaves the folder as it was.

use std::path::{Path, PathBuf};

use msec_codegen::{Build, Error, Keep, ProjectFile};

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
the same: `protoc --msec_out=DIR`, or `--msec_out=lang=java:DIR`.

With --compat, a file of the original's becomes the project of C++ that its create_rpc.py made:
package_server/ and package_client/, with the same classes and the same targets of make. Files
that are yours stay as they are, such as msg_package_impl.cpp; the original's own Makefile and
service_package_frm.cpp get .old behind their names. What was kept or renamed is said. For Java it
is a project of Maven's on msec-compat, with ServiceImpl and Client, and all of it is yours.",
    flags: &[&[
        flag("lang", "cpp|java|rust", "the language; default cpp"),
        flag("compat", "", "the project that sources written for the original go on in"),
        flag("service", "L1.L2", "with --compat, what a project in Java is to be"),
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
        Example {
            does: "the project of a service that was written for the original",
            line: "msec gen --compat voa_server/voa.proto --out .",
        },
        Example {
            does: "the same in Java, for the service Voa.crawl",
            line: "msec gen --compat --lang java --service Voa.crawl msec.proto --out crawl",
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
    let folder = Path::new(arguments.value("out").unwrap_or(".".as_ref()));
    if arguments.has("compat") {
        let files = match (arguments.word("lang")?, arguments.text("service")?) {
            ("cpp", None) => build.generate_compat(),
            ("java", Some(service)) => build.generate_java_compat(service),
            ("java", None) => {
                return Err(Failure::usage("--compat for Java takes --service L1.L2"));
            }
            _ => {
                let text = "--compat is for C++ and Java, and --service with it for Java";
                return Err(Failure::usage(text));
            }
        };
        let files = files.map_err(wrong)?;
        some(arguments, files.is_empty())?;
        return files.iter().try_for_each(|file| place(folder, file));
    }
    let code = match arguments.word("lang")? {
        "rust" => build.generate(),
        "java" => build.generate_java(),
        _ => build.generate_cpp(),
    };
    let code = code.map_err(wrong)?;
    let sets = build.descriptor_sets().map_err(wrong)?;
    some(arguments, sets.is_empty())?;
    for file in code {
        write(&folder.join(file.name), file.text.as_bytes())?;
    }
    for file in sets {
        write(&folder.join(file.name), &file.bytes)?;
    }
    Ok(())
}

/// Refuses files without any service.
fn some(arguments: &Arguments, are_none: bool) -> Result<(), Failure> {
    if !are_none {
        return Ok(());
    }
    let names = arguments.operands().iter().map(|name| name.to_string_lossy());
    let names: Vec<_> = names.collect();
    Err(Failure::usage(format!("{}: no service is declared there", names.join(", "))))
}

/// Writes a file of a project, unless it is there and has to stay. Says what is not as before.
fn place(folder: &Path, file: &ProjectFile) -> Result<(), Failure> {
    let path = folder.join(&file.name);
    let there = std::fs::read(&path).ok();
    let stays = match (&there, file.keep) {
        (None, _) | (_, Keep::Never) => false,
        (Some(_), Keep::Always) => true,
        (Some(bytes), Keep::If(mark)) => String::from_utf8_lossy(bytes).contains(mark),
    };
    if stays {
        println!("kept    {}: it is yours", path.display());
        return Ok(());
    }
    if there.is_some() && file.keep != Keep::Never {
        let old = PathBuf::from(format!("{}.old", path.display()));
        if old.exists() {
            let text = format!("{} is in the way: move it elsewhere", old.display());
            return Err(Failure::failed(text));
        }
        std::fs::rename(&path, &old).map_err(|error| {
            Failure::failed(format!("cannot rename {}: {error}", path.display()))
        })?;
        println!("renamed {}: carry lines of your own over", old.display());
    }
    if there.as_deref() == Some(file.text.as_bytes()) && file.keep == Keep::Never {
        return Ok(());
    }
    write(&path, file.text.as_bytes())?;
    println!("wrote   {}", path.display());
    Ok(())
}

/// Writes a file, and the folders that it lies in.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, bytes))
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}

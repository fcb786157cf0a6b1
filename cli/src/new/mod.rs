//! `msec new`: a project that builds, runs and answers a call at once.
//!
//! ```text
//! templates/{cpp,java,rust} ──names filled in──► a new folder
//! ```
//!
//! The templates are files of a real project, in which six words stand for names: `LEVEL1`,
//! `LEVEL2`, `package_name`, `ClassName`, `MSEC_SOURCES` and `MSEC_VERSION`. A test builds what
//! comes out.

mod name;

use std::fs;
use std::path::{Path, PathBuf};

use crate::commands::{Command, Example, Run, flag};
use crate::failure::Failure;
use crate::flags::Arguments;
use crate::generate::write;
use crate::print;
use name::ServiceName;

pub(crate) const COMMAND: Command = Command {
    name: "new",
    summary: "makes a project: a service that builds, runs and answers a call",
    operands: &["SERVICE"],
    about: "\
SERVICE has two parts, as in Demo.echo; the project is made in a folder named as the second.
There, `make` builds the service, `make run` starts it, calls it and shows the answer, and
`make stop` ends it. A C++ service is a plugin for `msec host`; it needs CMake, a compiler and
Protocol Buffers. A Java service is a jar for it; it needs a JDK, Maven and what `make java` has
installed. A Rust service is a program; it needs Cargo. README.md tells what is where.",
    flags: &[&[
        flag("lang", "cpp|java|rust", "the language; default cpp"),
        flag("out", "DIR", "the folder to make; one that is there must be empty"),
        flag("sources", "DIR", "of msec, for Rust; default: those that this binary was built from"),
    ]],
    examples: &[
        Example { does: "a service in C++, in ./echo", line: "msec new Demo.echo --lang cpp" },
        Example {
            does: "one in Rust, elsewhere",
            line: "msec new Login.users --lang rust --out services/users",
        },
    ],
    run: Run::New,
};

/// A file of a project, and what is to stand in it.
type Template = (&'static str, &'static str);

macro_rules! templates {
    ($folder:literal: $($path:literal = $source:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../templates/", $folder, "/", $source)))),+]
    };
}

const CPP: &[Template] = templates!("cpp":
    "CMakeLists.txt" = "CMakeLists.txt",
    "Makefile" = "Makefile",
    "README.md" = "README.md",
    ".gitignore" = "gitignore",
    "proto/LEVEL2.proto" = "../service.proto",
    "src/plugin.cpp" = "src/plugin.cpp",
    "src/client.cpp" = "src/client.cpp",
    "etc/config.ini" = "etc/config.ini",
);

const JAVA: &[Template] = templates!("java":
    "pom.xml" = "pom.xml",
    "Makefile" = "Makefile",
    "README.md" = "README.md",
    ".gitignore" = "gitignore",
    "proto/LEVEL2.proto" = "../service.proto",
    "src/main/java/package_name/ClassNameServer.java" = "src/main/Service.java",
    "src/test/java/package_name/ClassNameServerTest.java" = "src/test/ServiceTest.java",
    "etc/config.ini" = "etc/config.ini",
);

const RUST: &[Template] = templates!("rust":
    "Cargo.toml" = "Cargo.toml.in",
    "Makefile" = "Makefile",
    "README.md" = "README.md",
    ".gitignore" = "gitignore",
    "build.rs" = "build.rs",
    "proto/LEVEL2.proto" = "../service.proto",
    "src/main.rs" = "src/main.rs",
);

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let name = ServiceName::parse(arguments.operand_text(0)?)?;
    let folder = Path::new(arguments.value("out").unwrap_or(name.level2.as_ref()));
    let (templates, sources) = match arguments.word("lang")? {
        "rust" => (RUST, sources(arguments)?),
        "java" => (JAVA, PathBuf::new()),
        _ => (CPP, PathBuf::new()),
    };
    if !is_free(folder) {
        return Err(Failure::usage(format!("{} is there already", folder.display())));
    }
    let words = [
        ("LEVEL1", name.level1.clone()),
        ("LEVEL2", name.level2.clone()),
        ("package_name", name.package()),
        ("ClassName", name.class()),
        ("MSEC_SOURCES", sources.display().to_string()),
        ("MSEC_VERSION", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let filled = |text: &str| {
        words.iter().fold(text.to_owned(), |text, (word, name)| text.replace(word, name))
    };
    for (path, text) in templates {
        write(&folder.join(filled(path)), filled(text).as_bytes())?;
    }
    let folder = folder.display();
    print(&format!("{folder} is made; what is next:\n  cd {folder} && make && make run\n"))
}

/// Whether there is nothing yet, or an empty folder.
fn is_free(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// The folder of msec's sources: its crates are not published.
fn sources(arguments: &Arguments) -> Result<PathBuf, Failure> {
    let built_from = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let folder = Path::new(arguments.value("sources").unwrap_or(built_from.as_ref()));
    match fs::canonicalize(folder) {
        Ok(found) if found.join("core/Cargo.toml").is_file() => Ok(found),
        Ok(_) | Err(_) => Err(arguments.usage(&format!(
            "the sources of msec are not in {}: --sources names their folder",
            folder.display()
        ))),
    }
}

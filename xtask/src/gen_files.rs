//! Every generated file of the repository: what it is called and what is to stand in it.
//!
//! `gen` writes the list, `tidy` compares it. A generator is a pure function of committed files, so
//! that the comparison means something.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{header, java, layout, proofs};

/// Folders that hold generated files and nothing else.
pub(crate) const FOLDERS: &[&str] = &[
    "core/examples/generated",
    "cpp-examples/generated",
    "codegen/tests/golden/generated",
    "ffi-java/src/generated",
    proofs::FOLDER,
];

/// Rust out of a folder of .proto files.
struct Stubs {
    source: &'static str,
    target: &'static str,
    /// Where the stubs find the crate `msec`.
    crate_path: &'static str,
}

const STUBS: &[Stubs] = &[
    Stubs { source: "core/examples", target: "core/examples/generated", crate_path: "::msec" },
    // Its test brings an engine of its own, so that the generator is tested alone.
    Stubs {
        source: "codegen/tests/golden",
        target: "codegen/tests/golden/generated",
        crate_path: "crate::msec",
    },
];

/// Headers of C++ out of folders of .proto files, which are named from `include` on.
struct Headers {
    sources: &'static [&'static str],
    include: &'static str,
    target: &'static str,
    /// The Java of the same files, too.
    java: bool,
}

const HEADERS: &[Headers] = &[
    Headers {
        sources: &["cpp-examples/proto"],
        include: "cpp-examples/proto",
        target: "cpp-examples/generated",
        java: false,
    },
    Headers {
        sources: &["codegen/tests/golden", "codegen/tests/golden/cpp"],
        include: "codegen/tests/golden",
        target: "codegen/tests/golden/generated",
        java: true,
    },
];

/// A file that becomes a project of the original's, named from `include` on.
const PROJECT: &str = "codegen/tests/golden/compat/post.proto";
const PROJECT_INCLUDE: &str = "codegen/tests/golden";
const PROJECT_TARGET: &str = "codegen/tests/golden/generated";

/// Path, relative to the root, and text of every generated file.
pub(crate) fn all(root: &Path) -> Result<Vec<(String, String)>, String> {
    let mut files = Vec::new();
    for Stubs { source, target, crate_path } in STUBS {
        let folder = root.join(source);
        let protos = protos(&folder)?;
        if protos.is_empty() {
            continue;
        }
        let generated = msec_codegen::Build::new()
            .protos(&protos)
            .include(&folder)
            .crate_path(*crate_path)
            .generate()
            .map_err(|error| format!("{source}: {error}"))?;
        files.extend(generated.into_iter().map(|f| (format!("{target}/{}", f.name), f.text)));
    }
    for Headers { sources, include, target, java } in HEADERS {
        let mut build = msec_codegen::Build::new();
        let mut protos_count = 0;
        for source in *sources {
            let protos = protos(&root.join(source))?;
            protos_count += protos.len();
            build.protos(protos);
        }
        if protos_count == 0 {
            continue;
        }
        let failed = |error: msec_codegen::Error| format!("{include}: {error}");
        let mut generated = build.include(root.join(include)).generate_cpp().map_err(failed)?;
        if *java {
            generated.extend(build.generate_java().map_err(failed)?);
        }
        files.extend(generated.into_iter().map(|f| (format!("{target}/{}", f.name), f.text)));
    }
    if root.join(PROJECT).is_file() {
        let mut build = msec_codegen::Build::new();
        let project = build.proto(root.join(PROJECT)).include(root.join(PROJECT_INCLUDE));
        let project = project.generate_compat().map_err(|error| format!("{PROJECT}: {error}"))?;
        files.extend(project.into_iter().map(|f| (format!("{PROJECT_TARGET}/{}", f.name), f.text)));
    }
    if root.join("ffi-c").is_dir() {
        let header = header::text(root)?;
        files.extend(proofs::all(&header, &layout::structs(&header::sources(root)?)?)?);
        files.push((header::PATH.to_string(), header));
    }
    files.extend(java::all(root)?);
    Ok(files)
}

/// Writes every generated file whose text has changed.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    for (path, text) in all(root)? {
        let full = root.join(&path);
        let failed = |error: std::io::Error| format!("cannot write {path}: {error}");
        if fs::read_to_string(&full).is_ok_and(|present| present == text) {
            continue;
        }
        let folder = full.parent().expect("it lies in a folder of the list");
        fs::create_dir_all(folder).map_err(failed)?;
        fs::write(&full, text).map_err(failed)?;
        println!("gen: {path}");
    }
    Ok(())
}

fn protos(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut protos = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            protos.push(path);
        }
    }
    protos.sort();
    Ok(protos)
}

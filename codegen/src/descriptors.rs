//! Descriptor sets: what the services of a package and their messages look like, as a constant in
//! the generated file. The engine needs it to turn JSON into messages and back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use heck::ToShoutySnakeCase;
use prost::Message;
use prost_build::Module;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

use crate::NO_PACKAGE;

/// Longest line of the constant.
const LINE_BYTES_MAX: usize = 96;

/// The name of a package's constant.
pub(crate) fn constant(package: &str) -> String {
    match package {
        "" => "DESCRIPTORS".into(),
        package => format!("DESCRIPTORS_OF_{}", package.to_shouty_snake_case()),
    }
}

/// The constants, by the name of the generated file: of each package that has services with
/// methods.
pub(crate) fn of_packages(set: &FileDescriptorSet) -> BTreeMap<String, String> {
    let mut packages: BTreeMap<&str, Vec<&FileDescriptorProto>> = BTreeMap::new();
    let serves =
        |file: &&FileDescriptorProto| file.service.iter().any(|one| !one.method.is_empty());
    for file in set.file.iter().filter(serves) {
        packages.entry(file.package()).or_default().push(file);
    }
    let constants = packages.into_iter().map(|(package, files)| {
        let name = Module::from_protobuf_package_name(package).to_file_name_or(NO_PACKAGE);
        let bytes = with_imports(set, &files).encode_to_vec();
        (name, written(&constant(package), &bytes))
    });
    constants.collect()
}

/// The files and all that they import, each once, imports first, without comments. The order is
/// that of the imports alone, so that it is the same whoever has compiled the set.
pub(crate) fn with_imports(
    set: &FileDescriptorSet,
    files: &[&FileDescriptorProto],
) -> FileDescriptorSet {
    let by_name: BTreeMap<&str, _> = set.file.iter().map(|file| (file.name(), file)).collect();
    let mut seen = BTreeSet::new();
    let mut ordered = Vec::new();
    // Of a file that is there for the second time all imports have been put.
    let mut ahead: Vec<_> = files.iter().rev().map(|file| (*file, false)).collect();
    while let Some((file, imports_are_put)) = ahead.pop() {
        if imports_are_put {
            ordered.push(FileDescriptorProto { source_code_info: None, ..file.clone() });
        } else if seen.insert(file.name()) {
            ahead.push((file, true));
            let imports = file.dependency.iter().rev();
            let imports = imports.filter_map(|import| by_name.get(import.as_str()));
            ahead.extend(imports.map(|import| (*import, false)));
        }
    }
    FileDescriptorSet { file: ordered }
}

/// A constant of bytes, in lines that fit.
fn written(name: &str, bytes: &[u8]) -> String {
    let mut text = format!(
        "/// What the services of this package and their messages look like, as a\n\
         /// `FileDescriptorSet`.\n\
         const {name}: &[u8] = b\"\\\n"
    );
    let mut line_bytes = 0;
    for byte in bytes {
        // A line that goes on loses the blanks that it begins with.
        let escaped = match byte {
            b' ' => "\\x20".to_string(),
            byte => byte.escape_ascii().to_string(),
        };
        if line_bytes + escaped.len() > LINE_BYTES_MAX {
            text.push_str("\\\n");
            line_bytes = 0;
        }
        line_bytes += escaped.len();
        text.push_str(&escaped);
    }
    writeln!(text, "\";").expect("a string takes every text");
    text
}

//! What `cargo metadata` says about packages, reduced to what the checks ask.
//!
//! Two depths: [`members`] reads manifests only and works for any workspace without the network;
//! [`resolved`] is the whole graph of the lock file for Linux on x86-64, which needs the sources
//! that a build has already fetched.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// A package of the workspace or of a registry.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Folder of its manifest, relative to the root of the repository; `None` outside of it.
    pub(crate) folder: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a manifest.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// For a path dependency inside the repository: its folder, relative to the root.
    pub(crate) folder: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

/// The packages of the workspace in `root/workspace`, from their manifests alone. None where there
/// is no such workspace.
pub(crate) fn members(root: &Path, workspace: &str) -> Result<Vec<Package>, String> {
    let manifest = root.join(workspace).join("Cargo.toml");
    if !manifest.exists() {
        return Ok(Vec::new());
    }
    let value = run(&manifest, &["--no-deps", "--offline"])?;
    Ok(packages(&value, root))
}

/// Every package that the lock file of the root workspace brings into a build on Linux.
pub(crate) fn resolved(root: &Path) -> Result<Vec<Package>, String> {
    let locked = root.join("Cargo.lock").exists();
    let lock = if locked { "--locked" } else { "--offline" };
    let platform = ["--filter-platform", "x86_64-unknown-linux-gnu", lock];
    let value = run(&root.join("Cargo.toml"), &platform)?;
    Ok(packages(&value, root))
}

fn run(manifest: &Path, arguments: &[&str]) -> Result<Value, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .args(arguments)
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo metadata of {} failed: {why}", manifest.display()));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata wrote something else than JSON: {error}"))
}

fn packages(value: &Value, root: &Path) -> Vec<Package> {
    // `cargo metadata` resolves links in paths, so the root is resolved too before they meet.
    let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
    list(value, "packages").iter().map(|package| read_package(package, &root)).collect()
}

fn read_package(value: &Value, root: &Path) -> Package {
    let manifest = Path::new(value["manifest_path"].as_str().unwrap_or_default());
    Package {
        name: text(value, "name"),
        version: text(value, "version"),
        license: value["license"].as_str().map(str::to_string),
        folder: manifest.parent().and_then(|folder| relative(folder, root)),
        dependencies: list(value, "dependencies")
            .iter()
            .map(|d| read_dependency(d, root))
            .collect(),
    }
}

fn read_dependency(value: &Value, root: &Path) -> Dependency {
    let kind = match value["kind"].as_str() {
        None => Kind::Normal,
        Some("build") => Kind::Build,
        Some(_) => Kind::Dev,
    };
    let folder = value["path"].as_str().and_then(|path| {
        let path = Path::new(path).canonicalize().ok()?;
        relative(&path, root)
    });
    Dependency { name: text(value, "name"), kind, folder }
}

fn relative(folder: &Path, root: &Path) -> Option<String> {
    folder.strip_prefix(root).ok().map(|path| path.to_string_lossy().into_owned())
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_string()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::scratch::Scratch;

    #[test]
    fn members_are_read_with_kind_and_folder_of_their_dependencies() {
        let a = "[package]\nname='a'\nedition='2024'\n[dependencies]\nb={path='../b'}\n\
                 [dev-dependencies]\nc='1'\n[build-dependencies]\nd='1'\n";
        let scratch = Scratch::new(&[
            ("Cargo.toml", "[workspace]\nresolver='3'\nmembers=['a','b']\n"),
            ("a/Cargo.toml", a),
            ("a/src/lib.rs", ""),
            ("b/Cargo.toml", "[package]\nname='b'\nedition='2024'\nlicense='MIT'\n"),
            ("b/src/lib.rs", ""),
        ]);
        let members = members(&scratch.root, "").expect("metadata");
        let a = members.iter().find(|package| package.name == "a").expect("a");
        assert_eq!(a.folder.as_deref(), Some("a"));
        let kinds: Vec<_> = a.dependencies.iter().map(|d| (d.name.as_str(), d.kind)).collect();
        assert!(kinds.contains(&("b", Kind::Normal)), "{kinds:?}");
        assert!(kinds.contains(&("c", Kind::Dev)), "{kinds:?}");
        assert!(kinds.contains(&("d", Kind::Build)), "{kinds:?}");
        let b = a.dependencies.iter().find(|d| d.name == "b").expect("b");
        assert_eq!(b.folder.as_deref(), Some("b"));
        assert!(super::members(&scratch.root, "absent").expect("no workspace").is_empty());
    }
}

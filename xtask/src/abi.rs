//! ffi-c/libmsec.abi: what programs that are compiled already rely on, as libabigail describes it.
//!
//! The library itself is not described: its DWARF has the types of Rust, differs between profiles,
//! and is megabytes. Instead a library is compiled that has the header's functions and nothing
//! else (`proofs.rs`). A test compares today's with the committed description (tests/ffi_abi.rs),
//! another one the header with what libmsec.so exports: together they say what abidw of libmsec.so
//! would.
//!
//! `cargo xtask abi` needs a C compiler and abidw, which `gen` must not: so `tidy` cannot write the
//! file again to compare, and only looks whether each function is in it.

use std::path::Path;
use std::process::Command;

use crate::exports;
use crate::header;
use crate::proofs;

/// Where the description lies.
pub(crate) const PATH: &str = "ffi-c/libmsec.abi";

/// Writes the description anew.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    let library = std::env::temp_dir().join(format!("libmsec-abi-{}.so", std::process::id()));
    let mut compile = Command::new("cc");
    compile.current_dir(root).args(["-g", "-shared", "-fPIC", "-Iinclude"]);
    compile.arg("-Wl,-soname,libmsec.so.0").arg("-o").arg(&library);
    let described = run(compile.arg(format!("{}/abi.c", proofs::FOLDER))).and_then(|()| {
        let mut describe = Command::new("abidw");
        // What depends on who compiled it, and where, is left out.
        describe.args(["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs"]);
        run(describe.arg("--out-file").arg(root.join(PATH)).arg(&library))
    });
    let _ = std::fs::remove_file(&library);
    described
}

/// Functions of the header that the description does not have.
pub(crate) fn missing(header: &str, description: &str) -> Result<Vec<String>, String> {
    let names = exports::functions(header)?.into_iter().map(|function| function.name);
    let known = |name: &String| description.contains(&format!("<elf-symbol name='{name}' "));
    Ok(names.filter(|name| !known(name)).collect())
}

/// Looks whether each function of the header in this folder is described.
pub(crate) fn look(root: &Path, description: &str) -> Result<Vec<String>, String> {
    let header = std::fs::read_to_string(root.join(header::PATH));
    missing(&header.map_err(|error| format!("{}: {error}", header::PATH))?, description)
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| {
        format!("cannot run {name} ({error}): `xtask/deps.sh test` installs what is needed")
    })?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{name} failed: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn a_function_that_is_not_described_is_found() {
        let begin = "extern \"C\" {\n#endif // __cplusplus\n";
        let end = "\n#ifdef __cplusplus\n}  // extern \"C\"";
        let header = format!("{begin}void msec_a(void);\nvoid msec_ab(void);{end}");
        let description = "<elf-symbol name='msec_ab' type='func-type'/>";
        assert_eq!(missing(&header, description).expect("it is read"), ["msec_a"]);
    }
}

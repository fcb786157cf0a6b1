//! `cargo xtask`: the chores of the repository, written in the language of the project so that no
//! further tool has to be installed.
//!
//! ```text
//! cargo xtask gen       writes every generated file
//! cargo xtask abi       writes ffi-c/libmsec.abi, by a C compiler and abidw
//! cargo xtask tidy      checks what the compiler cannot: arrows, unsafe, licences, sizes, rules
//! cargo xtask ratchet   takes what has become smaller out of xtask/ratchet.txt
//! ```
//!
//! `tidy` never writes, the others never judge, and none of them uses the network.

mod abi;
mod checks;
mod exports;
mod gen_files;
mod header;
mod java;
mod layout;
mod metadata;
mod proofs;
mod source;
mod tree;

use std::path::Path;
use std::process::ExitCode;

use crate::tree::Tree;

const USAGE: &str = "usage: cargo xtask gen | abi | tidy | ratchet";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the root folder");
    let outcome = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["gen"] => gen_files::write(root),
        ["abi"] => abi::write(root),
        ["tidy"] => tidy(root),
        ["ratchet"] => Tree::read(root).and_then(|tree| checks::size::shrink_ratchet(&tree)),
        _ => Err(USAGE.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs every check and prints every problem: one run names all that is to be mended.
fn tidy(root: &Path) -> Result<(), String> {
    let tree = Tree::read(root)?;
    let mut problems_count = 0;
    for check in checks::ALL {
        let problems = (check.run)(&tree)?;
        problems_count += problems.len();
        println!("tidy: {:<12} {}", check.name, if problems.is_empty() { "ok" } else { "FAILED" });
        for problem in problems {
            println!("  {problem}");
        }
    }
    match problems_count {
        0 => Ok(()),
        count => Err(format!("tidy: {count} problems")),
    }
}

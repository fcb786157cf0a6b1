//! What programs that are compiled already rely on: the names that libmsec exports, what it needs,
//! how its structs are laid out, the types and constants of its header; and that each of its
//! functions answers NULL with a code.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use msec_tests::libmsec::{LIBRARY, WORKS, compile, program, sanitized, scratch, under};
use msec_tests::programs::{command, ends, repository, run};

/// What programs rely on, as `make abi` has written it.
const DESCRIPTION: &str = "ffi-c/libmsec.abi";
/// A library with the interface of the header, and nothing in it.
const EMPTY_LIBRARY: &str = "ffi-c/tests/generated/abi.c";
const HEADER: &str = "include/msec.h";
const NULL: &str = "ffi-c/tests/null.c";

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// The functions that the header declares: what is followed by a parenthesis, outside of comments.
/// What is static is compiled into whoever includes it.
fn declared() -> BTreeSet<String> {
    let header = read(HEADER);
    let lines = header.lines().filter(|line| !line.starts_with([' ', '/', '#', '}', '\t']));
    let lines = lines.filter(|line| !line.starts_with("static "));
    let named = lines.filter_map(|line| {
        let before = line.split_once('(')?.0;
        let name = before.rsplit([' ', '*']).next()?;
        name.starts_with("msec_").then(|| name.to_owned())
    });
    named.collect()
}

#[test]
fn the_library_exports_its_header_and_nothing_else() {
    let exported =
        run(Command::new("nm").args(["-D", "--defined-only"]).arg(command("libmsec.so")));
    let exported: BTreeSet<String> =
        exported.lines().filter_map(|line| Some(line.split(' ').nth(2)?.to_owned())).collect();
    let declared = declared();
    assert!(declared.len() > 80, "{declared:?}");
    assert_eq!(exported, declared);
}

/// A program that is no C++ gets no runtime of C++ by linking us. libgcc_s is what Rust unwinds by;
/// it has the unwinder of C++ programs too, so that there is one in a process.
#[test]
fn the_library_needs_the_c_library_and_an_unwinder() {
    let dynamic = run(Command::new("readelf").arg("-d").arg(command("libmsec.so")));
    let named = |tag: &str| -> Vec<String> {
        let lines = dynamic.lines().filter(|line| line.contains(tag));
        lines
            .filter_map(|line| Some(line.split_once('[')?.1.trim_end_matches(']').into()))
            .collect()
    };
    assert_eq!(named("(SONAME)"), ["libmsec.so.0"]);
    let known = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"];
    for needed in named("(NEEDED)") {
        assert!(known.contains(&needed.as_str()), "{needed} is needed");
    }
    assert!(named("(RPATH)").is_empty() && named("(RUNPATH)").is_empty(), "{dynamic}");
}

/// Rust has checked the same numbers as it compiled the library.
#[test]
fn sizes_and_offsets_are_the_same_in_c() {
    for compiler in ["gcc", "clang"] {
        let mut compiling = Command::new(compiler);
        compiling.current_dir(repository()).args(["-std=c11", "-Iinclude", "-fsyntax-only"]);
        run(compiling.arg("ffi-c/tests/generated/layout.c"));
    }
}

/// Compiles the library with the interface of a header, in a folder of that name.
fn empty_library(name: &str, change: impl Fn(String) -> String) -> PathBuf {
    let folder = scratch().join("abi").join(name);
    fs::create_dir_all(&folder).unwrap();
    for source in [HEADER, EMPTY_LIBRARY] {
        let path = folder.join(Path::new(source).file_name().unwrap());
        fs::write(path, change(read(source))).unwrap();
    }
    let library = folder.join("libmsec.so");
    let mut compiling = Command::new("gcc");
    compiling.current_dir(&folder).args(["-g", "-shared", "-fPIC", "-I.", "abi.c"]);
    run(compiling.arg("-Wl,-soname,libmsec.so.0").arg("-o").arg(&library));
    library
}

/// What has changed for programs that are compiled already; empty if nothing has.
fn changes(library: &Path) -> String {
    let mut comparing = Command::new("abidiff");
    comparing.current_dir(repository()).arg("--no-added-syms");
    comparing.arg(DESCRIPTION).arg(library);
    let (output, out, err) = ends(&mut comparing);
    match output.status.code() {
        Some(0) => String::new(),
        // Bits 4 and 8 are changes, 1 and 2 troubles of its own.
        Some(4 | 8 | 12) => out,
        code => panic!("abidiff ended with {code:?}: {out}\n{err}"),
    }
}

#[test]
fn programs_that_are_compiled_already_go_on_working() {
    let changes = changes(&empty_library("today", |text| text));
    assert!(
        changes.is_empty(),
        "{changes}\nThe interface of libmsec has changed for programs that are compiled already. \
         Functions and constants may be added, and fields at the end of structs of options, which \
         `make abi` records. Else add a function instead; or, if programs must break, change the \
         SONAME (ffi-c/build.rs) and record it."
    );
}

/// The same, with what somebody might do: so that the comparison is known to see it.
#[test]
fn what_breaks_programs_is_seen_and_functions_that_are_added_are_not() {
    let changed = |name: &str, from: &'static str, to: &'static str| {
        let change = |text: String| text.replace(from, to);
        assert!([HEADER, EMPTY_LIBRARY].iter().any(|path| read(path).contains(from)), "{from}");
        changes(&empty_library(name, change))
    };
    let gone = changed("gone", "msec_yield(void)", "msec_give_way(void)");
    assert!(gone.contains("msec_yield"), "{gone}");
    let other = changed("parameter", "msec_sleep(uint32_t ms)", "msec_sleep(uint64_t ms)");
    assert!(other.contains("msec_sleep"), "{other}");
    let field = changed("field", "  uint32_t cores;", "  uint64_t cores;");
    assert!(field.contains("cores"), "{field}");
    let plugin = changed("plugin", "  uint32_t abi_max;", "  uint64_t abi_max;");
    assert!(plugin.contains("abi_max"), "{plugin}");
    let constant = changed("constant", "#define MSEC_CALL_DYED 2", "#define MSEC_CALL_DYED 1024");
    assert!(constant.contains("VALUE_OF_CALL_DYED"), "{constant}");

    let added = "void msec_new_one(void) {}\nenum msec_constants {\n    VALUE_OF_NEW_ONE = 77,";
    assert_eq!(changed("added", "enum msec_constants {", added), "");
    let last = "  size_t settings_count;\n";
    // Allowed, but somebody has to look that it is the end.
    let longer = changed("longer", last, "  size_t settings_count;\n  uint32_t more;\n");
    assert!(longer.contains("1 data member insertion"), "{longer}");
}

#[test]
fn null_is_answered_with_a_code_everywhere() {
    for io in ["uring", "epoll"] {
        assert_eq!(run(&mut program(&compile("gcc", "gnu11", NULL), io)), WORKS);
    }
}

#[test]
fn null_harms_nothing_that_valgrind_sees() {
    let compiled = compile("gcc", "gnu11", NULL);
    let mut running = under(&["valgrind", "--quiet", "--error-exitcode=9"], &compiled, "epoll");
    assert_eq!(run(running.env("MSEC_STALL_MS", "60000")), WORKS);
}

#[test]
fn null_harms_nothing_that_the_address_sanitizer_sees() {
    let compiled = compile("gcc -fsanitize=address", "gnu11", NULL);
    // It gives some things away that nobody gives back.
    let mut running = sanitized(&compiled, "epoll");
    assert_eq!(run(running.env("LSAN_OPTIONS", "exitcode=0")), WORKS);
}

/// Found by the loader like any other library.
#[test]
fn the_library_is_found_by_its_name() {
    let compiled = compile("gcc", "c11", "ffi-c/tests/versions.c");
    let needed = run(Command::new("readelf").arg("-d").arg(&compiled));
    assert!(needed.contains("[libmsec.so.0]"), "{needed}");
    assert!(LIBRARY.join("libmsec.so.0").exists());
}

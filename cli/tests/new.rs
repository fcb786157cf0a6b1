//! `msec new`: which files it makes, and when it makes none. That they build and answer is seen in
//! tests/tests/new_projects.rs.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Ran, command, msec, temporary};

fn new(name: &str, folder: &Path, arguments: &[&str]) -> Ran {
    let words = ["new", name, "--out", folder.to_str().expect("text")];
    msec(&[&words[..], arguments].concat())
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

#[test]
fn no_word_of_the_templates_is_left_over() {
    for language in ["cpp", "java", "rust"] {
        let folder = temporary(&format!("new-{language}"));
        let ran = new("Login.UserNames", &folder, &["--lang", language]);
        assert_eq!((ran.status, &*ran.stderr), (0, ""));
        assert!(ran.stdout.contains("make && make run"), "{}", ran.stdout);
        let files = files(&folder);
        assert!(files.len() >= 7, "{files:?}");
        for path in files {
            let text = fs::read_to_string(&path).expect("text");
            for word in ["LEVEL", "package_name", "ClassName", "MSEC_SOURCES", "MSEC_VERSION"] {
                let name = path.to_string_lossy();
                assert!(!text.contains(word) && !name.contains(word), "{word} in {name}");
            }
        }
        let proto = fs::read_to_string(folder.join("proto/UserNames.proto")).expect("text");
        assert!(proto.contains("package login_user_names;"), "{proto}");
        assert!(proto.contains("service UserNamesService {"), "{proto}");
    }
}

#[test]
fn the_folder_is_the_second_part_of_the_name() {
    let folder = temporary("new-here");
    fs::create_dir_all(&folder).expect("a folder");
    let made = command().current_dir(&folder).args(["new", "Demo.echo"]).output();
    let ran = Ran::from(made.expect("the binary runs"));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(folder.join("echo/src/plugin.cpp").exists());
}

#[test]
fn an_empty_folder_is_filled_and_another_one_is_left_alone() {
    let folder = temporary("new-empty");
    fs::create_dir_all(&folder).expect("a folder");
    assert_eq!(new("Demo.echo", &folder, &[]).status, 0);
    let before = files(&folder);
    fs::write(folder.join("Makefile"), "mine").expect("written");
    let ran = new("Demo.echo", &folder, &[]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("is there already"), "{}", ran.stderr);
    assert_eq!(files(&folder), before);
    assert_eq!(fs::read_to_string(folder.join("Makefile")).expect("text"), "mine");
}

#[test]
fn a_file_in_the_place_of_the_folder_is_refused() {
    let file = temporary("new-file");
    fs::write(&file, "mine").expect("written");
    assert_eq!(new("Demo.echo", &file, &[]).status, 2);
    assert_eq!(fs::read_to_string(&file).expect("text"), "mine");
}

#[test]
fn what_is_wrong_with_the_command_line_is_said_and_nothing_is_made() {
    let check = |name: &str, arguments: &[&str], expect: &str| {
        let folder = temporary("new-refused");
        let ran = new(name, &folder, arguments);
        assert_eq!((ran.status, &*ran.stdout), (2, ""));
        assert!(ran.stderr.contains(expect), "{}", ran.stderr);
        assert!(!folder.exists());
    };
    check("echo", &[], "`echo` is no name of a service: write two parts");
    check("Demo.e-cho", &[], "`Demo.e-cho` is no name of a service: each part");
    check("../x.echo", &[], "is no name of a service");
    check("Demo.echo", &["--lang", "ada"], "--lang `ada`: cpp or java or rust");
    let nowhere = ["--lang", "rust", "--sources", "/nowhere"];
    check("Demo.echo", &nowhere, "the sources of msec are not in /nowhere");
}

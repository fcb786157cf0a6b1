//! What comes in from outside: licences, and no crate in two versions, as deny.toml says.
//!
//! The graph is that of the root workspace on Linux, with the dependencies of tests and builds. The
//! peers in `bench/` and the fuzzer's runtime in `fuzz/` ship with nothing, so their graphs are
//! not judged.

use std::collections::{BTreeMap, BTreeSet};

use crate::metadata::{self, Package};
use crate::tree::{Problem, Tree};

const POLICY: &str = "deny.toml";

/// The licence of everything in this repository.
const OUR_LICENSE: &str = "Apache-2.0";

struct Policy {
    licenses: BTreeSet<String>,
    /// What one crate may be under beyond that.
    exceptions: Vec<(String, BTreeSet<String>)>,
    skips: Vec<Skip>,
}

/// A version that is accepted beside another one.
struct Skip {
    name: String,
    /// Empty, or the leading numbers: `1` is any `1.x.y`.
    version: String,
    has_reason: bool,
}

pub(crate) fn check(tree: &Tree) -> Result<Vec<Problem>, String> {
    let Some(file) = tree.file(POLICY) else {
        return Ok(vec![Problem::in_file(POLICY, "there is no such file")]);
    };
    let policy = Policy::parse(&file.text)?;
    let packages = metadata::resolved(&tree.root)?;
    let mut problems = licenses(&packages, &policy);
    problems.extend(duplicates(&packages, &policy));
    Ok(problems)
}

impl Policy {
    fn parse(text: &str) -> Result<Policy, String> {
        let table: toml::Table = text.parse().map_err(|error| format!("{POLICY}: {error}"))?;
        let list = |section: &str, key: &str| -> Vec<toml::Value> {
            let list = table.get(section).and_then(|section| section.get(key)?.as_array());
            list.cloned().unwrap_or_default()
        };
        let names = |list: &[toml::Value]| -> BTreeSet<String> {
            list.iter().filter_map(|name| Some(name.as_str()?.to_string())).collect()
        };
        let exceptions = list("licenses", "exceptions").into_iter().filter_map(|exception| {
            let name = exception.get("crate")?.as_str()?.to_string();
            Some((name, names(exception.get("allow")?.as_array()?)))
        });
        let skips = list("bans", "skip");
        Ok(Policy {
            licenses: names(&list("licenses", "allow")),
            exceptions: exceptions.collect(),
            skips: skips.iter().map(Skip::parse).collect::<Result<_, _>>()?,
        })
    }

    /// The licences that a crate may be under.
    fn allowed(&self, name: &str) -> BTreeSet<String> {
        let own = self.exceptions.iter().filter(|(of, _)| of == name).flat_map(|(_, own)| own);
        self.licenses.iter().chain(own).cloned().collect()
    }
}

impl Skip {
    fn parse(value: &toml::Value) -> Result<Skip, String> {
        let text = value.get("crate").unwrap_or(value).as_str();
        let text = text.ok_or_else(|| format!("{POLICY}: a skip without `crate`"))?;
        let (name, version) = text.split_once('@').unwrap_or((text, ""));
        let reason = value.get("reason").and_then(toml::Value::as_str).unwrap_or_default();
        Ok(Skip {
            name: name.to_string(),
            version: version.to_string(),
            has_reason: !reason.is_empty(),
        })
    }

    fn covers(&self, name: &str, version: &str) -> bool {
        let rest = version.strip_prefix(self.version.as_str());
        let at_boundary = rest.is_some_and(|rest| {
            self.version.is_empty() || rest.is_empty() || rest.starts_with('.')
        });
        self.name == name && at_boundary
    }
}

fn licenses(packages: &[Package], policy: &Policy) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in packages {
        let name = format!("{} {}", package.name, package.version);
        let license = package.license.as_deref().unwrap_or_default();
        let what = if package.folder.is_some() && license != OUR_LICENSE {
            format!("{name} is ours, so its licence is {OUR_LICENSE}, not `{license}`")
        } else if license.is_empty() {
            format!("{name} names no licence")
        } else if !is_allowed(license, &policy.allowed(&package.name)) {
            format!("{name} is under `{license}`, which is not allowed")
        } else {
            continue;
        };
        problems.push(Problem::in_file(POLICY, what));
    }
    problems
}

/// Whether an SPDX expression can be met by allowed licences alone. `/` is the `OR` of old crates.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    any_of(&mut rest, allowed) && rest.is_empty()
}

fn any_of(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = all_of(words, allowed);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, allowed);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = any_of(words, allowed);
            let [")", rest @ ..] = *words else { return false };
            *words = rest;
            met
        }
        [license, "WITH", exception, rest @ ..] => {
            *words = rest;
            allowed.contains(&format!("{license} WITH {exception}"))
        }
        [license, rest @ ..] => {
            *words = rest;
            allowed.contains(*license)
        }
        [] => false,
    }
}

fn duplicates(packages: &[Package], policy: &Policy) -> Vec<Problem> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let covers = |skip: &Skip, name: &str, version: &str| skip.covers(name, version);
    let mut problems = Vec::new();
    for (name, versions) in &versions {
        let kept = versions
            .iter()
            .filter(|version| !policy.skips.iter().any(|skip| covers(skip, name, version)));
        let kept: Vec<&str> = kept.copied().collect();
        if kept.len() > 1 {
            problems.push(format!("{name} comes in as {}", kept.join(" and ")));
        }
    }
    for skip in &policy.skips {
        let needed = versions.iter().any(|(name, versions)| {
            versions.len() > 1 && versions.iter().any(|version| covers(skip, name, version))
        });
        let name = format!("{}@{}", skip.name, skip.version);
        if !needed {
            problems.push(format!("the skip of {name} is needed no more"));
        } else if !skip.has_reason {
            problems.push(format!("the skip of {name} gives no reason"));
        }
    }
    problems.into_iter().map(|what| Problem::in_file(POLICY, what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::scratch;

    const ALLOW: &str = "[licenses]\nallow=['MIT', 'Apache-2.0', 'Unicode-3.0']\n";

    #[test]
    fn expressions_are_met_by_allowed_licences_only() {
        let allowed = ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"];
        let allowed = allowed.into_iter().map(str::to_string).collect();
        for expression in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0/MIT",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "GPL-3.0 AND MIT OR MIT",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        ] {
            assert!(is_allowed(expression, &allowed), "{expression}");
        }
        for expression in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR GPL-3.0) AND GPL-3.0",
            "(MIT",
            "MIT)",
            "MIT MIT",
            "Apache-2.0",
            "MIT WITH LLVM-exception",
        ] {
            assert!(!is_allowed(expression, &allowed), "{expression}");
        }
    }

    /// Problems of a workspace whose one member is under `license`.
    fn with_license(license: &str) -> Vec<String> {
        let manifest = format!("[package]\nname='a'\nedition='2024'\n{license}\n");
        let root = "[workspace]\nresolver='3'\nmembers=['a']\n";
        scratch::problems(
            check,
            &[
                ("deny.toml", ALLOW),
                ("Cargo.toml", root),
                ("a/Cargo.toml", &manifest),
                ("a/src/lib.rs", ""),
            ],
        )
    }

    #[test]
    fn a_member_under_another_licence_is_found() {
        assert_eq!(with_license("license='Apache-2.0'"), Vec::<String>::new());
        let expect = "deny.toml: a 0.0.0 is ours, so its licence is Apache-2.0, not `MIT`";
        assert_eq!(with_license("license='MIT'"), [expect]);
        assert_eq!(with_license("").len(), 1);
    }

    #[test]
    fn a_foreign_package_without_allowed_licence_is_found() {
        let policy = Policy::parse(ALLOW).expect("a policy");
        let problems = |license: Option<&str>| {
            let problems = licenses(&[package("b", "1.0.0", license)], &policy);
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(problems(Some("MIT OR GPL-3.0")), Vec::<String>::new());
        let expect = "deny.toml: b 1.0.0 is under `GPL-3.0`, which is not allowed";
        assert_eq!(problems(Some("GPL-3.0")), [expect]);
        assert_eq!(problems(None), ["deny.toml: b 1.0.0 names no licence"]);
    }

    #[test]
    fn an_exception_is_for_its_crate_alone() {
        let exception = "[[licenses.exceptions]]\ncrate='b'\nallow=['MPL-2.0']\n";
        let policy = Policy::parse(&format!("{ALLOW}{exception}")).expect("a policy");
        let packages = ["b", "c"].map(|name| package(name, "1.0.0", Some("MPL-2.0")));
        let problems = licenses(&packages, &policy);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().contains("c 1.0.0"));
    }

    #[test]
    fn two_versions_are_found_unless_skipped_with_a_reason() {
        let found = |skips: &str| {
            let policy = Policy::parse(&format!("[bans]\nskip=[{skips}]\n")).expect("a policy");
            let packages = ["0.14.0", "0.15.1"].map(|version| package("b", version, None));
            let problems = duplicates(&packages, &policy);
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found(""), ["deny.toml: b comes in as 0.14.0 and 0.15.1"]);
        assert_eq!(found("{crate='b@0.14', reason='c wants it'}"), Vec::<String>::new());
        assert_eq!(found("'b@0.14'"), ["deny.toml: the skip of b@0.14 gives no reason"]);
        let stale = found("{crate='b@0.14', reason='x'}, {crate='b@0.1', reason='x'}");
        assert_eq!(stale, ["deny.toml: the skip of b@0.1 is needed no more"]);
    }

    fn package(name: &str, version: &str, license: Option<&str>) -> Package {
        Package {
            name: name.to_string(),
            version: version.to_string(),
            license: license.map(str::to_string),
            folder: None,
            dependencies: Vec::new(),
        }
    }
}

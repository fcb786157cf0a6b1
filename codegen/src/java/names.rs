//! Names of Java: those that protoc gives to messages, which have to be met exactly, and our own.

use std::collections::BTreeMap;

use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

use crate::Error;

/// Words that no name of Java can be (JLS 17, §3.9), and methods that every object has.
const TAKEN: &str = "\
    _ abstract assert boolean break byte case catch char class const continue default do double \
    else enum extends false final finally float for goto if implements import instanceof int \
    interface long native new null package private protected public return short static strictfp \
    super switch synchronized this throw throws transient true try void volatile while \
    clone equals finalize getClass hashCode notify notifyAll toString wait addTo close engine";

/// The method of an rpc: its name with a small letter in front, as every Java service has it.
pub(crate) fn method(rpc: &str) -> String {
    let mut name = String::new();
    let mut raise = false;
    for letter in rpc.chars() {
        match letter {
            '_' => raise = !name.is_empty(),
            _ if name.is_empty() => name.extend(letter.to_lowercase()),
            _ if std::mem::take(&mut raise) => name.extend(letter.to_uppercase()),
            _ => name.push(letter),
        }
    }
    if TAKEN.split_whitespace().any(|word| word == name) || name.is_empty() {
        name.push('_');
    }
    name
}

/// The package of a file in Java.
pub(crate) fn package(file: &FileDescriptorProto) -> &str {
    let options = file.options.as_ref();
    match options.and_then(|options| options.java_package.as_deref()) {
        Some(package) => package,
        None => file.package(),
    }
}

/// A name in the package of a file.
pub(crate) fn in_package(file: &FileDescriptorProto, name: &str) -> String {
    match package(file) {
        "" => name.to_string(),
        package => format!("{package}.{name}"),
    }
}

/// The class that protoc writes for a file itself.
pub(crate) fn outer_class(file: &FileDescriptorProto) -> String {
    let options = file.options.as_ref();
    if let Some(name) = options.and_then(|options| options.java_outer_classname.as_deref()) {
        return name.to_string();
    }
    let base = file.name().rsplit('/').next().unwrap_or_default();
    let class = camel_case(crate::cpp::stem(base));
    match declares(file, &class) {
        true => format!("{class}OuterClass"),
        false => class,
    }
}

/// As protoc spells the name of a file (UnderscoresToCamelCase in its Java generator).
fn camel_case(name: &str) -> String {
    let mut class = String::new();
    let mut raise = true;
    for letter in name.chars() {
        match letter {
            'a'..='z' if raise => class.push(letter.to_ascii_uppercase()),
            'a'..='z' | 'A'..='Z' | '0'..='9' => class.push(letter),
            _ => {}
        }
        raise = !letter.is_ascii_alphabetic();
    }
    class
}

/// Whether a file has a type or a service of that name, however deep.
fn declares(file: &FileDescriptorProto, class: &str) -> bool {
    let mut ahead: Vec<&DescriptorProto> = file.message_type.iter().collect();
    while let Some(message) = ahead.pop() {
        let inner = message.enum_type.iter().any(|one| one.name() == class);
        if message.name() == class || inner {
            return true;
        }
        ahead.extend(&message.nested_type);
    }
    file.enum_type.iter().any(|one| one.name() == class)
        || file.service.iter().any(|service| service.name() == class)
}

/// The class of every message of a set.
pub(crate) struct Types(BTreeMap<String, String>);

impl Types {
    pub(crate) fn of(set: &FileDescriptorSet) -> Types {
        let mut classes = BTreeMap::new();
        for file in &set.file {
            let several =
                file.options.as_ref().is_some_and(|options| options.java_multiple_files());
            let within = match several {
                true => String::new(),
                false => format!("{}.", outer_class(file)),
            };
            let prefix = match file.package() {
                "" => String::new(),
                package => format!(".{package}"),
            };
            let mut ahead: Vec<(String, &DescriptorProto)> = file
                .message_type
                .iter()
                .map(|message| (message.name().to_string(), message))
                .collect();
            while let Some((name, message)) = ahead.pop() {
                for inner in &message.nested_type {
                    ahead.push((format!("{name}.{}", inner.name()), inner));
                }
                let class = in_package(file, &format!("{within}{name}"));
                classes.insert(format!("{prefix}.{name}"), class);
            }
        }
        Types(classes)
    }

    /// The whole name of the class of `.package.Message`.
    pub(crate) fn class(&self, message: &str) -> Result<&str, Error> {
        let class = self.0.get(message);
        class.map(String::as_str).ok_or_else(|| Error::new(format!("no file declares {message}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_begin_small_and_avoid_what_objects_have() {
        let check = |rpc: &str, expect: &str| assert_eq!(method(rpc), expect);
        check("Echo", "echo");
        check("PutOrder", "putOrder");
        check("put_order", "putOrder");
        check("HTTPGet", "hTTPGet");
        check("New", "new_");
        check("Wait", "wait_");
        check("add_to", "addTo_");
        check("client_", "client");
        check("_x", "x");
        check("_", "_");
    }

    #[test]
    fn the_class_of_a_file_is_that_of_protoc() {
        let file = |name: &str, message: &str| FileDescriptorProto {
            name: Some(name.into()),
            message_type: vec![DescriptorProto {
                name: Some(message.into()),
                ..Default::default()
            }],
            ..Default::default()
        };
        assert_eq!(outer_class(&file("a/foo_bar2baz-x.proto", "M")), "FooBar2BazX");
        assert_eq!(outer_class(&file("echo.proto", "Echo")), "EchoOuterClass");
        assert_eq!(outer_class(&file("ECHO.proto", "Echo")), "ECHO");
    }
}

//! Names of C++: those that protoc gives to messages, which have to be met exactly, and our own.

use std::collections::BTreeMap;
use std::fmt::Write;

use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

use crate::Error;

/// Words that no name of C++17 can be. protoc adds an underscore to them, and so do we.
const KEYWORDS: &str = "\
    NULL alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl \
    const const_cast constexpr continue decltype default delete do double dynamic_cast else enum \
    explicit export extern false float for friend goto if inline int long mutable namespace new \
    noexcept not not_eq nullptr operator or or_eq private protected public register \
    reinterpret_cast return short signed sizeof static static_assert static_cast struct switch \
    template this thread_local throw true try typedef typeid typename union unsigned using virtual \
    void volatile wchar_t while xor xor_eq";

/// What C++20 has added. protoc leaves them alone up to version 21, so messages with such names
/// are met in C++17 only; methods, whose names are ours, are met in both.
const KEYWORDS_OF_CPP20: &str =
    "char8_t concept consteval constinit co_await co_return co_yield requires";

fn is_among(words: &str, name: &str) -> bool {
    words.split_whitespace().any(|word| word == name)
}

/// A name of protobuf as protoc writes it.
pub(crate) fn identifier(name: &str) -> String {
    match is_among(KEYWORDS, name) {
        true => format!("{name}_"),
        false => name.to_string(),
    }
}

/// The function of a method in a class. Words of the language are avoided, and names that the
/// class has given away already.
pub(crate) fn function(method: &str, taken: &[&str]) -> String {
    let is_taken = |name: &str| {
        let words = is_among(KEYWORDS, name) || is_among(KEYWORDS_OF_CPP20, name);
        words || taken.contains(&name)
    };
    let mut name = method.to_string();
    while is_taken(&name) {
        name.push('_');
    }
    name
}

/// `a.b` as `a::b`. Of words of the language in it protoc 21 makes what no compiler takes; later
/// ones make this.
pub(crate) fn namespace(package: &str) -> String {
    package.split('.').map(identifier).collect::<Vec<_>>().join("::")
}

/// A file as a part of a name, in protoc's way: different files stay different.
pub(crate) fn of_file(path: &str) -> String {
    let mut name = String::new();
    for byte in path.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => name.push(char::from(byte)),
            false => write!(name, "_{byte:x}").expect("a string takes every text"),
        }
    }
    name
}

/// The path of a file without the ending that marks it as protobuf's.
pub(crate) fn stem(path: &str) -> &str {
    path.strip_suffix(".proto").or_else(|| path.strip_suffix(".protodevel")).unwrap_or(path)
}

/// The class of every message of a set.
pub(crate) struct Types(BTreeMap<String, String>);

impl Types {
    pub(crate) fn of(set: &FileDescriptorSet) -> Types {
        let mut classes = BTreeMap::new();
        for file in &set.file {
            let package = match file.package() {
                "" => (String::new(), String::from("::")),
                package => (format!(".{package}"), format!("::{}::", namespace(package))),
            };
            for Type { name, class } in types(file) {
                classes.insert(format!("{}.{name}", package.0), format!("{}{class}", package.1));
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

/// A message of a file, or an enum.
pub(crate) struct Type {
    /// `Outer.Inner`.
    pub(crate) name: String,
    /// `Outer_Inner`.
    pub(crate) class: String,
}

/// All that a file declares as types, and so has in its namespace.
pub(crate) fn types(file: &FileDescriptorProto) -> Vec<Type> {
    let mut types = Vec::new();
    for one in &file.enum_type {
        types.push(Type { name: one.name().into(), class: identifier(one.name()) });
    }
    let mut ahead: Vec<(Option<Type>, &DescriptorProto)> =
        file.message_type.iter().rev().map(|message| (None, message)).collect();
    while let Some((outer, message)) = ahead.pop() {
        let found = within(outer.as_ref(), message.name());
        for one in &message.enum_type {
            types.push(within(Some(&found), one.name()));
        }
        for inner in message.nested_type.iter().rev() {
            let outer = Type { name: found.name.clone(), class: found.class.clone() };
            ahead.push((Some(outer), inner));
        }
        types.push(found);
    }
    types
}

fn within(outer: Option<&Type>, name: &str) -> Type {
    match outer {
        None => Type { name: name.into(), class: identifier(name) },
        Some(outer) => Type {
            name: format!("{}.{name}", outer.name),
            class: identifier(&format!("{}_{name}", outer.class)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_language_get_an_underscore() {
        assert_eq!(identifier("delete"), "delete_");
        assert_eq!(identifier("Delete"), "Delete");
        assert_eq!(namespace("shop.new.orders"), "shop::new_::orders");
        assert_eq!(function("requires", &[]), "requires_");
        assert_eq!(function("Book", &["Book"]), "Book_");
        assert_eq!(function("Put", &["Book"]), "Put");
        assert_eq!(function("class", &["class_"]), "class__");
    }

    #[test]
    fn files_stay_apart_in_names() {
        assert_eq!(of_file("a/b.proto"), "a_2fb_2eproto");
        assert_eq!(of_file("a_b.proto"), "a_5fb_2eproto");
        assert_eq!(stem("a/b.proto"), "a/b");
        assert_eq!(stem("a.b"), "a.b");
    }
}

//! The project of a service in Java as the original's generator wrote it, for its sources to stay
//! as they are: the same classes, on `msec-compat`.
//!
//! ```text
//! msec.proto ─► pom.xml                              target/msec.jar, for the host
//!               src/main/proto/msec.proto
//!               src/main/java/<package>/ServiceImpl.java   the methods, and main()
//!                                       Client.java        calls the first of them
//! ```
//!
//! Messages, and the interface that `ServiceImpl` implements, are protoc's, by the option
//! `java_generic_services`. Classes of the own package are named without it, as people do.

use prost_types::{FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto};

use super::names::{self, Types};
use crate::check::{FILE_SERVICE, line_of, streams};
use crate::{Error, Keep, ProjectFile};

/// The project of a file that declares one service, which is to be the service `module`.
pub(crate) fn generate(
    set: &FileDescriptorSet,
    file: &FileDescriptorProto,
    module: &str,
) -> Result<Vec<ProjectFile>, Error> {
    check(file)?;
    let Some((first, second)) = module.split_once('.') else {
        return Err(Error::new(format!("`{module}` is no service: First.second")));
    };
    let (service, package) = (&file.service[0], names::package(file));
    let class = |name: &str| match package {
        "" => name.to_owned(),
        package => format!("{package}.{name}"),
    };
    let several = file.options.as_ref().is_some_and(|options| options.java_multiple_files());
    let outer = if several { String::new() } else { format!("{}.", names::outer_class(file)) };
    let types = Types::of(set);
    let fill = |template: &str, method: &MethodDescriptorProto| {
        let near = |message: &str| -> Result<String, Error> {
            let whole = types.class(message)?;
            let own = whole.strip_prefix(&class("")).unwrap_or(whole);
            Ok(own.to_owned())
        };
        let head =
            if package.is_empty() { String::new() } else { format!("package {package};\n\n") };
        let text = template
            .replace("@PACKAGE@", &head)
            .replace("@SERVICE@", &wire_name(file))
            .replace("@TYPE@", &format!("{outer}{}.BlockingInterface", service.name()))
            .replace("@CLASS@", &class("ServiceImpl"))
            .replace("@RPC@", method.name())
            .replace("@METHOD@", &generic_method(method.name()))
            .replace("@REQUEST@", &near(method.input_type())?)
            .replace("@RESPONSE@", &near(method.output_type())?)
            .replace("@MODULE@", module)
            .replace("@FIRST@", first)
            .replace("@SECOND@", second)
            .replace("@VERSION@", env!("CARGO_PKG_VERSION"));
        Ok::<_, Error>(text)
    };
    let first_method = &service.method[0];
    let methods = service.method.iter().map(|it| fill(include_str!("compat/Method.java"), it));
    let methods = methods.collect::<Result<String, Error>>()?;
    let implementation = fill(include_str!("compat/ServiceImpl.java"), first_method)?;
    let folder = class("").replace('.', "/");
    let of = |name: String, text: String| ProjectFile { name, text, keep: Keep::Always };
    Ok(vec![
        of("pom.xml".into(), fill(include_str!("compat/pom.xml"), first_method)?),
        of(
            format!("src/main/java/{folder}Client.java"),
            fill(include_str!("compat/Client.java"), first_method)?,
        ),
        of(
            format!("src/main/java/{folder}ServiceImpl.java"),
            implementation.replace("@METHODS@", &methods),
        ),
    ])
}

/// What a file must have to become a project.
fn check(file: &FileDescriptorProto) -> Result<(), Error> {
    streams(file)?;
    let options = file.options.as_ref();
    if !options.is_some_and(|options| options.java_generic_services()) {
        let what = "the line `option java_generic_services = true;` is missing: it has protoc \
                    write the interface that the project implements";
        return Err(Error::at(file.name(), None, what));
    }
    if let Some(second) = file.service.get(1) {
        let what = format!("the service {} is the second: a project has one", second.name());
        return Err(Error::at(file.name(), line_of(file, &[FILE_SERVICE, 1]), what));
    }
    if file.service[0].method.is_empty() {
        let what = format!("the service {} has no rpc", file.service[0].name());
        return Err(Error::at(file.name(), line_of(file, &[FILE_SERVICE, 0]), what));
    }
    Ok(())
}

/// As on the wire: `package.Service`.
fn wire_name(file: &FileDescriptorProto) -> String {
    match file.package() {
        "" => file.service[0].name().to_owned(),
        package => format!("{package}.{}", file.service[0].name()),
    }
}

/// As protoc spells the method of an rpc (UnderscoresToCamelCase in its Java generator), reserved
/// words included.
fn generic_method(rpc: &str) -> String {
    let mut name = String::new();
    let mut raise = false;
    for letter in rpc.chars() {
        match letter {
            'A'..='Z' if name.is_empty() && !raise => name.push(letter.to_ascii_lowercase()),
            'a'..='z' if raise => name.push(letter.to_ascii_uppercase()),
            'a'..='z' | 'A'..='Z' | '0'..='9' => name.push(letter),
            _ => {}
        }
        raise = !letter.is_ascii_alphabetic();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_spelled_as_protoc_does() {
        let check = |rpc: &str, expect: &str| assert_eq!(generic_method(rpc), expect);
        check("GetTitles", "getTitles");
        check("get_url2title", "getUrl2Title");
        check("UP", "uP");
        check("_x", "X");
    }
}

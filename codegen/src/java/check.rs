//! What a .proto file may say and Java cannot.

use std::collections::BTreeMap;

use prost_types::FileDescriptorProto;

use super::names;
use super::service::{client, functions};
use crate::Error;
use crate::check::{FILE_SERVICE, SERVICE_METHOD, line_of, streams};

/// The first thing of a file that cannot be Java, if there is one.
pub(crate) fn check(file: &FileDescriptorProto) -> Result<(), Error> {
    streams(file)?;
    if file.options.as_ref().is_some_and(|options| options.java_generic_services()) {
        let what = "option java_generic_services has protoc write classes with the names of ours: \
                    take it out";
        return Err(Error::at(file.name(), None, what));
    }
    let mut owners = owners(file);
    for (service, index) in file.service.iter().zip(0..) {
        let owner = format!("the service {}", service.name());
        for class in [service.name().to_string(), client(service)] {
            if let Some(other) = owners.insert(class.clone(), owner.clone()) {
                let line = line_of(file, &[FILE_SERVICE, index]);
                let what = format!("{owner} and {other} both become the Java class {class}");
                return Err(Error::at(file.name(), line, what));
            }
        }
        let mut taken = BTreeMap::new();
        for (method, number) in service.method.iter().zip(0..) {
            for function in functions(method.name()) {
                if let Some(other) = taken.insert(function.clone(), method.name()) {
                    let path = [FILE_SERVICE, index, SERVICE_METHOD, number];
                    let what = format!(
                        "the rpcs {other} and {} both become the method {function}",
                        method.name()
                    );
                    return Err(Error::at(file.name(), line_of(file, &path), what));
                }
            }
        }
    }
    Ok(())
}

/// Whose the classes in the package of a file are, but for its services.
fn owners(file: &FileDescriptorProto) -> BTreeMap<String, String> {
    let mut owners = BTreeMap::new();
    owners.insert(names::outer_class(file), "the file itself".to_string());
    if file.options.as_ref().is_some_and(|options| options.java_multiple_files()) {
        let messages = file.message_type.iter().map(|message| message.name());
        for name in messages.chain(file.enum_type.iter().map(|one| one.name())) {
            owners.insert(name.to_string(), format!("the type {name}"));
        }
    }
    owners
}

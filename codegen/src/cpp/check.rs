//! What a .proto file may say and C++ cannot.

use std::collections::BTreeMap;

use prost_types::{FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto};

use super::names::{self, identifier};
use super::service;
use crate::Error;
use crate::check::{FILE_SERVICE, SERVICE_METHOD, line_of, streams};

/// The first thing of a file that cannot be C++, if there is one.
pub(crate) fn check(set: &FileDescriptorSet, file: &FileDescriptorProto) -> Result<(), Error> {
    streams(file)?;
    if file.options.as_ref().is_some_and(|options| options.cc_generic_services()) {
        let what = "option cc_generic_services has protoc write classes with the names of ours: \
                    take it out";
        return Err(Error::at(file.name(), None, what));
    }
    let mut owners = owners(set, file);
    for (service, index) in file.service.iter().zip(0..) {
        let line = line_of(file, &[FILE_SERVICE, index]);
        let owner = format!("the service {}", service.name());
        for class in [service::interface(service), service::client(service)] {
            if let Some(other) = owners.insert(class.clone(), owner.clone()) {
                let what = format!("{owner} and {other} both become the C++ class {class}");
                return Err(Error::at(file.name(), line, what));
            }
        }
        check_methods(file, index, service)?;
    }
    Ok(())
}

/// Whose the names in the namespace of a file are, but for its own services.
fn owners(set: &FileDescriptorSet, file: &FileDescriptorProto) -> BTreeMap<String, String> {
    let mut owners = BTreeMap::new();
    for other in set.file.iter().filter(|other| other.package() == file.package()) {
        for one in names::types(other) {
            owners.insert(one.class, format!("the type {}", one.name));
        }
        for value in other.enum_type.iter().flat_map(|one| &one.value) {
            owners.insert(identifier(value.name()), format!("the value {}", value.name()));
        }
        for extension in &other.extension {
            let owner = format!("the extension {}", extension.name());
            owners.insert(identifier(extension.name()), owner);
        }
        for service in other.service.iter().filter(|_| other.name() != file.name()) {
            let owner = format!("the service {}", service.name());
            owners.insert(service::interface(service), owner.clone());
            owners.insert(service::client(service), owner);
        }
    }
    owners
}

fn check_methods(
    file: &FileDescriptorProto,
    service_index: i32,
    service: &ServiceDescriptorProto,
) -> Result<(), Error> {
    let mut functions = BTreeMap::new();
    for (method, index) in service.method.iter().zip(0..) {
        let line = line_of(file, &[FILE_SERVICE, service_index, SERVICE_METHOD, index]);
        let name = method.name();
        for function in service::functions(service, name) {
            if let Some(other) = functions.insert(function.clone(), name) {
                let what =
                    format!("the rpcs {other} and {name} both become the function {function}");
                return Err(Error::at(file.name(), line, what));
            }
        }
    }
    Ok(())
}

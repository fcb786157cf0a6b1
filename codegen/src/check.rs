//! What a .proto file may say and the stubs cannot: found before anything is generated, so that the
//! message names a line of the .proto file and not one of the generated code.

use std::collections::BTreeMap;

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_types::{FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto};

use crate::Error;

/// Field numbers in descriptor.proto, by which source locations are addressed.
pub(crate) const FILE_SERVICE: i32 = 6;
pub(crate) const SERVICE_METHOD: i32 = 2;

/// The first method of a file that streams, which no language has yet.
pub(crate) fn streams(file: &FileDescriptorProto) -> Result<(), Error> {
    for (service, index) in file.service.iter().zip(0..) {
        for (method, method_index) in service.method.iter().zip(0..) {
            if method.client_streaming() || method.server_streaming() {
                let line = line_of(file, &[FILE_SERVICE, index, SERVICE_METHOD, method_index]);
                let what =
                    format!("the rpc {} streams, which msec does not support yet", method.name());
                return Err(Error::at(file.name(), line, what));
            }
        }
    }
    Ok(())
}

/// The first thing that cannot be Rust, if there is one.
pub(crate) fn rust(descriptors: &FileDescriptorSet) -> Result<(), Error> {
    let mut types = BTreeMap::new();
    for file in &descriptors.file {
        let messages = file.message_type.iter().map(|message| message.name());
        let enums = file.enum_type.iter().map(|one| one.name());
        for name in messages.chain(enums) {
            let key = (file.package(), name.to_upper_camel_case());
            types.insert(key, format!("the type {name}"));
        }
    }
    for file in &descriptors.file {
        streams(file)?;
        for (service, index) in file.service.iter().zip(0..) {
            let line = line_of(file, &[FILE_SERVICE, index]);
            let name = service.name();
            for suffix in ["", "Server", "Client"] {
                let rust_name = name.to_upper_camel_case() + suffix;
                let owner = format!("the service {name}");
                let key = (file.package(), rust_name.clone());
                if let Some(other) = types.insert(key, owner.clone()) {
                    let what = format!("{owner} and {other} both become the Rust type {rust_name}");
                    return Err(Error::at(file.name(), line, what));
                }
            }
            check_methods(file, index, &service.method)?;
        }
    }
    Ok(())
}

fn check_methods(
    file: &FileDescriptorProto,
    service_index: i32,
    methods: &[MethodDescriptorProto],
) -> Result<(), Error> {
    let mut functions = BTreeMap::new();
    for (method, index) in methods.iter().zip(0..) {
        let line = line_of(file, &[FILE_SERVICE, service_index, SERVICE_METHOD, index]);
        let name = method.name();
        for suffix in ["", "_with", "_start"] {
            let function = name.to_snake_case() + suffix;
            if let Some(other) = functions.insert(function.clone(), name) {
                let what =
                    format!("the rpcs {other} and {name} both become the function {function}");
                return Err(Error::at(file.name(), line, what));
            }
        }
    }
    Ok(())
}

/// The line of the element at a path of field numbers and indices, from one.
pub(crate) fn line_of(file: &FileDescriptorProto, path: &[i32]) -> Option<usize> {
    let locations = &file.source_code_info.as_ref()?.location;
    let location = locations.iter().find(|location| location.path == path)?;
    usize::try_from(*location.span.first()?).ok().map(|line| line + 1)
}

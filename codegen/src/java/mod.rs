//! Java for msec services: an interface to implement and a class to call, for each service.
//!
//! ```text
//! shop.proto ──protoc──► Shop.java, …                        the messages
//!      └─────── here ──► OrderBook.java, OrderBookClient.java   on org.msec and the messages
//! ```
//!
//! The messages are protoc's own: this names their classes and never writes one. For
//! `service EchoService { rpc Echo(EchoRequest) returns (EchoResponse); }` there are, in the Java
//! package of the file,
//!
//! * `interface EchoService`, an `org.msec.Service` with one method a method, which blocks as it
//!   likes;
//! * `class EchoServiceClient`, with `echo`, which waits, and `echoAsync`, which gives a
//!   `CompletableFuture`, each with and without options.
//!
//! The descriptors are those that protoc has put into its classes, so nothing of them is repeated.

mod check;
pub(crate) mod compat;
mod names;
mod service;

use prost_types::FileDescriptorSet;

use crate::{Error, GeneratedFile};
use names::Types;

/// The classes of the services of the named files, in the order of their names.
pub(crate) fn generate(
    set: &FileDescriptorSet,
    names: &[String],
) -> Result<Vec<GeneratedFile>, Error> {
    let types = Types::of(set);
    let mut files = Vec::new();
    for file in set.file.iter().filter(|file| names.iter().any(|name| name == file.name())) {
        if !file.service.is_empty() {
            check::check(file)?;
        }
        for index in 0..file.service.len() {
            files.extend(service::classes(&types, file, index)?);
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

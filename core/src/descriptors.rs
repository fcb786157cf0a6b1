//! What the messages of methods look like: descriptor sets, as compilers of .proto files write
//! them, so that a method which takes bytes can be called with JSON.
//!
//! Generated services bring the set of their file along. A server of raw methods is given one by
//! [`ServerBuilder::descriptors`](crate::ServerBuilder::descriptors). Each set is complete in
//! itself (it holds what its files import), so the sets of two services may declare the same file
//! without meeting.

use std::borrow::Cow;

use msec_protocol::Code;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::error::{Error, Result};

/// Sets that were given, not looked into yet.
#[derive(Default)]
pub(crate) struct Descriptors {
    sets: Vec<Cow<'static, [u8]>>,
}

impl Descriptors {
    /// Adds a `FileDescriptorSet`, serialized.
    pub(crate) fn add(&mut self, set: impl Into<Cow<'static, [u8]>>) {
        let set = set.into();
        // The services of one file bring the same set, each.
        if !self.sets.contains(&set) {
            self.sets.push(set);
        }
    }

    /// Reads all sets.
    pub(crate) fn finish(self) -> Result<Schemas> {
        let pools = self.sets.iter().map(|set| {
            DescriptorPool::decode(&**set).map_err(|error| {
                let text = format!("a descriptor set is not to be understood: {error}");
                Error::new(Code::INVALID_PARAMETER, text)
            })
        });
        Ok(Schemas { pools: pools.collect::<Result<_>>()? })
    }
}

/// Sets that were read.
pub(crate) struct Schemas {
    pools: Vec<DescriptorPool>,
}

impl Schemas {
    /// The description of the method with that full name; none of one that streams.
    pub(crate) fn method(&self, name: &str) -> Option<MethodDescriptor> {
        let (service, method) = name.rsplit_once('.')?;
        let service = self.pools.iter().find_map(|pool| pool.get_service_by_name(service))?;
        let found = service.methods().find(|known| known.name() == method)?;
        (!found.is_client_streaming() && !found.is_server_streaming()).then_some(found)
    }
}

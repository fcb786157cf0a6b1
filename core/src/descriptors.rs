//! What the messages of methods look like: descriptor sets, as compilers of .proto files write
//! them, so that a method which takes bytes can be called with JSON.
//!
//! Generated services bring the set of their file along. A server of raw methods is given one by
//! [`ServerBuilder::descriptors`](crate::ServerBuilder::descriptors). Each set is complete in
//! itself (it holds what its files import), so the sets of two services may declare the same file
//! without meeting.

use std::borrow::Cow;
use std::sync::Arc;

use msec_protocol::Code;
use prost_reflect::DescriptorPool;

use crate::error::{Error, Result};
use crate::json::{Messages, Schema};

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
        let read = self.sets.iter().map(|set| {
            let pool = DescriptorPool::decode(&**set).map_err(|error| {
                let text = format!("a descriptor set is not to be understood: {error}");
                Error::new(Code::INVALID_PARAMETER, text)
            })?;
            let schema = Arc::new(Schema::of(&pool));
            Ok((pool, schema))
        });
        Ok(Schemas { sets: read.collect::<Result<_>>()? })
    }
}

/// Sets that were read.
pub(crate) struct Schemas {
    sets: Vec<(DescriptorPool, Arc<Schema>)>,
}

impl Schemas {
    /// The messages of the method with that full name; of one that streams there are none.
    pub(crate) fn messages(&self, name: &str) -> Option<Messages> {
        let (service, method) = name.rsplit_once('.')?;
        self.sets.iter().find_map(|(pool, schema)| {
            let service = pool.get_service_by_name(service)?;
            let found = service.methods().find(|known| known.name() == method)?;
            let streams = found.is_client_streaming() || found.is_server_streaming();
            if streams { None } else { Messages::of(&found, schema) }
        })
    }
}

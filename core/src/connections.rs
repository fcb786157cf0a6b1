//! The connections of a core, by identities that outlive them.
//!
//! An identity carries a generation: whoever still names a connection that is gone finds nobody.
//! It fits into the 56 bits that a [`Subject`](crate::subject::Subject) has room for.

use std::cell::RefCell;
use std::rc::Rc;

use slotmap::{Key, KeyData, SlotMap, new_key_type};

use crate::closed::Closed;
use crate::connection::Connection;
use crate::shard::Shard;

new_key_type! {
    /// Names a connection of a core, also after it is gone.
    pub(crate) struct ConnectionId;
}

/// Bits of an index in a word; a core never has 2^24 connections.
const INDEX_BITS: u32 = 24;

impl ConnectionId {
    /// The identity in 56 bits.
    pub(crate) fn word(self) -> u64 {
        let word = self.data().as_ffi();
        let (index, version) = (word & 0xffff_ffff, word >> 32);
        index & ((1 << INDEX_BITS) - 1) | version << INDEX_BITS
    }

    #[inline]
    pub(crate) fn from_word(word: u64) -> Self {
        let index = word & ((1 << INDEX_BITS) - 1);
        KeyData::from_ffi(word >> INDEX_BITS << 32 | index).into()
    }
}

/// The connections of a core.
#[derive(Default)]
pub(crate) struct Connections {
    table: RefCell<SlotMap<ConnectionId, Rc<Connection>>>,
}

impl Connections {
    #[inline]
    pub(crate) fn find(&self, id: ConnectionId) -> Option<Rc<Connection>> {
        self.table.borrow().get(id).cloned()
    }

    pub(crate) fn insert(&self, connection: &Rc<Connection>) -> ConnectionId {
        self.table.borrow_mut().insert(connection.clone())
    }

    pub(crate) fn remove(&self, id: ConnectionId) {
        // Out of the table first: what is dropped with a connection may look for others.
        let removed = self.table.borrow_mut().remove(id);
        drop(removed);
    }

    pub(crate) fn count(&self) -> usize {
        self.table.borrow().len()
    }

    pub(crate) fn all(&self) -> Vec<Rc<Connection>> {
        self.table.borrow().values().cloned().collect()
    }

    pub(crate) fn close_all(&self, shard: &Rc<Shard>) {
        for connection in self.all() {
            connection.close(shard, &Closed::Stopped);
        }
        // Out of the table first: what is dropped with a connection may look for others.
        let table = self.table.take();
        drop(table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Subject;

    #[test]
    fn a_connection_id_survives_the_token() {
        let mut table: SlotMap<ConnectionId, ()> = SlotMap::default();
        let first = table.insert(());
        table.remove(first);
        let second = table.insert(());
        assert_ne!(first, second);
        for id in [first, second] {
            assert_eq!(ConnectionId::from_word(id.word()), id);
            let subject = Subject::Connection(id);
            assert_eq!(Subject::from_token(subject.token()), subject);
        }
    }
}

//! Handles: numbers that Java has for what lives here.
//!
//! A number is given out once and never again. Whoever uses one that is closed learns that, and so
//! does whoever comes while another thread closes it: what is in use lives on until its last user
//! has gone. So nothing that Java does with a handle can touch memory that is somebody else's.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use msec::{Code, Error};

/// Numbers are never one another's, whatever they are of.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The live handles of one kind.
pub(crate) struct Registry<T> {
    kind: &'static str,
    live: RwLock<BTreeMap<u64, Arc<T>>>,
}

impl<T> Registry<T> {
    /// Of a kind, which messages name.
    pub(crate) const fn new(kind: &'static str) -> Self {
        Self { kind, live: RwLock::new(BTreeMap::new()) }
    }

    /// Gives out a number.
    pub(crate) fn open(&self, value: Arc<T>) -> i64 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut live = self.live.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        live.insert(number, value);
        number.cast_signed()
    }

    /// What a number stands for.
    ///
    /// # Errors
    /// -2 it is closed.
    pub(crate) fn find(&self, handle: i64) -> msec::Result<Arc<T>> {
        let live = self.live.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        live.get(&handle.cast_unsigned())
            .cloned()
            .ok_or_else(|| Error::new(Code::SYSTEM_ERROR, format!("the {} is closed", self.kind)))
    }

    /// Closes a number; what it stood for, unless that was done before.
    pub(crate) fn close(&self, handle: i64) -> Option<Arc<T>> {
        let mut live = self.live.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        live.remove(&handle.cast_unsigned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_handle_is_an_error_and_stays_one() {
        let registry = Registry::new("thing");
        let first = registry.open(Arc::new(1));
        let used = registry.find(first).expect("open");
        assert!(registry.close(first).is_some());
        assert!(registry.close(first).is_none());
        let second = registry.open(Arc::new(2));
        assert_ne!(first, second);
        assert_eq!(registry.find(first).expect_err("closed").message(), "the thing is closed");
        assert_eq!((*used, *registry.find(second).expect("open")), (1, 2));
    }
}

//! Routes, live: from a target to the address of the instance that is called next.
//!
//! Each core has its own copy of the table and its own turn in every service, so that a pick takes
//! no lock. A new table replaces the old one whole, by a message to each core.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use msec_protocol::route::Table;
use msec_protocol::{Address, Code, Target, Wrr};

use crate::error::{Error, Result};

/// The table of a core, with whose turn it is.
#[derive(Default)]
pub(crate) struct Routes {
    table: RefCell<Arc<Table>>,
    turns: RefCell<HashMap<String, Wrr>>,
}

impl Routes {
    /// Replaces the table.
    pub(crate) fn replace(&self, table: Arc<Table>) {
        *self.table.borrow_mut() = table;
        self.turns.borrow_mut().clear();
    }

    /// The instance that is next, of those that are `usable`; when none is, of all.
    pub(crate) fn pick(
        &self,
        target: &Target,
        method: &str,
        usable: impl Fn(&Address) -> bool,
    ) -> Result<Address> {
        let name = match target {
            Target::Address(address) => return Ok(address.clone()),
            Target::Service(name) => name,
        };
        let table = self.table.borrow();
        let Some(service) = table.find(name) else {
            let text = format!("no service `{name}` in the route table");
            return Err(Error::new(Code::NO_ROUTE, text).while_calling(method));
        };
        let mut turns = self.turns.borrow_mut();
        let turn = match turns.get_mut(name) {
            Some(turn) => turn,
            None => {
                let weights = service.instances.iter().map(|instance| instance.weight);
                turns.entry(name.clone()).or_insert_with(|| Wrr::new(weights))
            }
        };
        let index = turn
            .pick(|index| usable(&service.instances[index].address))
            .or_else(|| turn.pick(|_| true));
        let picked = index.and_then(|index| service.instances.get(index));
        picked.map(|instance| instance.address.clone()).ok_or_else(|| {
            let text = format!("service `{name}` has no instance");
            Error::new(Code::NO_ROUTE, text).while_calling(method)
        })
    }
}

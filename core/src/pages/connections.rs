//! `/connections`: who is connected to this process, and to whom it is connected. `?count=` sets
//! how many of each core are shown.

use super::table::Table;
use super::{Access, Page, Sheet, Visit};
use crate::connection::{Connection, Role};

pub(super) const PAGE: Page = Page {
    path: "/connections",
    title: "Connections",
    access: Access::Restricted,
    is_live: true,
    render,
};

/// Shown of each core at most: a page is for people.
const SHOWN_COUNT_MAX: usize = 1000;

struct Facts {
    core: usize,
    peer: String,
    role: &'static str,
    in_flight: usize,
    unsent_bytes: usize,
    state: &'static str,
}

fn render(visit: &Visit) -> Sheet {
    let count_max = visit.count_max(SHOWN_COUNT_MAX);
    let cores = visit.ask_all(move |shard| {
        let all = shard.connections.all();
        let shown = all.iter().take(count_max);
        let shown = shown.map(|connection| facts(shard.index, connection)).collect::<Vec<_>>();
        (all.len(), shown)
    });
    let mut table = Table::new(&["core", "peer", "role", "state", "in_flight", "unsent_bytes"]);
    for (count, shown) in cores {
        table.leave_out(count - shown.len());
        for facts in shown {
            table.add(vec![
                facts.core.into(),
                facts.peer.into(),
                facts.role.into(),
                facts.state.into(),
                facts.in_flight.into(),
                facts.unsent_bytes.into(),
            ]);
        }
    }
    match visit.wants_json() {
        true => Sheet::json(&table.json()),
        false => Sheet::html(&PAGE, &table.html()),
    }
}

fn facts(core: usize, connection: &Connection) -> Facts {
    let (role, in_flight) = match &connection.role {
        Role::Server(side) if side.http().is_some() => ("server, HTTP", side.in_flight()),
        Role::Server(side) => ("server", side.in_flight()),
        Role::Client(side) => ("client", side.in_flight()),
        Role::Raw(_) => ("client, foreign", 0),
    };
    let state = if connection.is_connecting() {
        "connecting"
    } else if connection.is_usable() {
        "open"
    } else {
        "ending"
    };
    let unsent_bytes = connection.unsent_bytes();
    Facts { core, peer: connection.peer.to_string(), role, in_flight, unsent_bytes, state }
}

//! `/coroutines`: what runs, what waits, and for what. With `?stacks=1` where in the code: each is
//! woken once, notes where it stands, and waits on.

use std::time::Duration;

use super::table::Table;
use super::{Access, Page, Sheet, Visit};
use crate::task::{Facts, Stack};

pub(super) const PAGE: Page =
    Page { path: "/coroutines", title: "Coroutines", access: Access::Restricted, render };

/// Shown of each core at most.
const SHOWN_COUNT_MAX: usize = 1000;
/// Of so many at most the stacks are shown: their texts are long, and take a millisecond each.
const STACKS_COUNT_MAX: usize = 50;
/// What the coroutines get to note where they stand.
const PATIENCE: Duration = Duration::from_millis(100);

fn render(visit: &Visit) -> Sheet {
    let wants_stacks = visit.value("stacks").is_some_and(|value| value != "0");
    if wants_stacks {
        visit.ask_all(|shard| shard.tasks.want_stacks(STACKS_COUNT_MAX));
        // Cancelled, it shows what is there.
        let _ = crate::sleep(PATIENCE);
    }
    let cores = visit.ask_all(|shard| (shard.index, shard.tasks.facts(SHOWN_COUNT_MAX)));
    let mut columns = Table::new(&["core", "coroutine", "state", "waits_for", "method"]);
    let mut with_stacks =
        Table::new(&["core", "coroutine", "state", "waits_for", "method", "stack"]);
    for (core, all) in cores {
        for Facts { index, state, waits_for, method, stack } in all {
            let mut row =
                vec![core.into(), index.into(), state.into(), waits_for.into(), method.into()];
            if wants_stacks {
                row.push(stack.map(text).unwrap_or_default().into());
                with_stacks.add(row);
            } else {
                columns.add(row);
            }
        }
    }
    let table = if wants_stacks { with_stacks } else { columns };
    match visit.wants_json() {
        true => Sheet::json(&table.json()),
        false => {
            let more = "<p><a href=\"?stacks=1\">with their stacks</a>";
            Sheet::html(&PAGE, &(table.html() + if wants_stacks { "" } else { more }))
        }
    }
}

/// A stack as text. Made by a plain thread: to look up names takes more stack than a coroutine has.
fn text(stack: Stack) -> String {
    crate::offload(move || stack.to_string()).unwrap_or_default()
}

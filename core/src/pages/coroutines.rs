//! `/coroutines`: what runs, what waits, and for what, and since when. With `?stacks=1` where in
//! the code: each is woken once, notes where it stands, and waits on. `?id=` shows one alone, with its
//! stack; `?count=` sets how many of each core are shown.

use std::time::Duration;

use super::table::Table;
use super::{Access, Page, Sheet, Visit};
use crate::task::{Facts, Stack};

pub(super) const PAGE: Page = Page {
    path: "/coroutines",
    title: "Coroutines",
    access: Access::Restricted,
    is_live: false,
    render,
};

/// Shown of each core at most.
const SHOWN_COUNT_MAX: usize = 1000;
/// Of so many at most the stacks are shown: their texts are long, and take a millisecond each.
const STACKS_COUNT_MAX: usize = 50;
/// What the coroutines get to note where they stand.
const PATIENCE: Duration = Duration::from_millis(100);

const COLUMNS: &[&str] = &["core", "coroutine", "state", "age_ms", "waits_for", "method"];
const WITH_STACKS: &[&str] =
    &["core", "coroutine", "state", "age_ms", "waits_for", "method", "stack"];

fn render(visit: &Visit) -> Sheet {
    let wanted = match visit.value("id").map(Which::of) {
        // Of an id that is none, there is no coroutine.
        Some(None) => return sheet(visit, &Table::new(COLUMNS), false),
        Some(one) => one,
        None => None,
    };
    let stacks = visit.value("stacks").is_some_and(|value| value != "0") || wanted.is_some();
    if stacks {
        visit.ask_all(move |shard| match wanted {
            Some(Which { core, index, generation }) if core == shard.index => {
                shard.tasks.want_stack(index, generation);
            }
            Some(_) => {}
            None => shard.tasks.want_stacks(STACKS_COUNT_MAX),
        });
        // Cancelled, it shows what is there.
        let _ = crate::sleep(PATIENCE);
    }
    let count_max = visit.count_max(SHOWN_COUNT_MAX);
    let cores = visit.ask_all(move |shard| {
        let mut facts = shard.tasks.facts(if wanted.is_some() { usize::MAX } else { count_max });
        facts.retain(|facts| wanted.is_none_or(|wanted| wanted == Which::is(shard.index, facts)));
        (shard.index, shard.tasks.live_count(), shard.fresh_ns(), facts)
    });
    let columns = if stacks { WITH_STACKS } else { COLUMNS };
    let mut table = Table::new(columns).linked("coroutine", "?id=");
    for (core, count, now_ns, all) in cores {
        if wanted.is_none() {
            table.leave_out(count.saturating_sub(all.len()));
        }
        for facts in all {
            let id = Which::is(core, &facts).text();
            let Facts { state, since_ns, waits_for, method, stack, .. } = facts;
            let age_ms = now_ns.saturating_sub(since_ns) / 1_000_000;
            let mut row = vec![
                core.into(),
                id.into(),
                state.into(),
                age_ms.into(),
                waits_for.into(),
                method.into(),
            ];
            if stacks {
                row.push(stack.map(text).unwrap_or_default().into());
            }
            table.add(row);
        }
    }
    sheet(visit, &table, stacks)
}

fn sheet(visit: &Visit, table: &Table, has_stacks: bool) -> Sheet {
    if visit.wants_json() {
        return Sheet::json(&table.json());
    }
    let other = match has_stacks {
        true => "<p><a href=\"?\">all, without stacks</a>",
        false => "<p><a href=\"?stacks=1\">with their stacks</a>",
    };
    Sheet::html(&PAGE, &(table.html() + other))
}

/// Names one coroutine, and only while it has the job that it has now.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Which {
    core: usize,
    index: u32,
    generation: u32,
}

impl Which {
    fn is(core: usize, facts: &Facts) -> Which {
        Which { core, index: facts.index, generation: facts.generation }
    }

    fn text(self) -> String {
        format!("{}.{}.{}", self.core, self.index, self.generation)
    }

    fn of(text: &str) -> Option<Which> {
        let mut parts = text.split('.');
        let which = Which {
            core: parts.next()?.parse().ok()?,
            index: parts.next()?.parse().ok()?,
            generation: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(which)
    }
}

/// A stack as text. Made by a plain thread: to look up names takes more stack than a coroutine has.
fn text(stack: Stack) -> String {
    crate::offload(move || stack.to_string()).unwrap_or_default()
}

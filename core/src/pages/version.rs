//! `/version`: which engine this is, and what it runs on.

use std::fmt::Write;

use serde_json::{Value, json};

use super::sheet::Escaped;
use super::{Access, Page, Sheet, Visit};

pub(super) const PAGE: Page =
    Page { path: "/version", title: "Version", access: Access::Restricted, is_live: false, render };

fn render(visit: &Visit) -> Sheet {
    let shared = &visit.shard.shared;
    let facts = [
        ("version", Value::from(env!("CARGO_PKG_VERSION"))),
        ("io", Value::from(shared.backend())),
        ("cores", Value::from(shared.cores.count())),
        ("process", Value::from(std::process::id())),
    ];
    if visit.wants_json() {
        let facts = facts.into_iter().map(|(name, value)| (name.to_string(), value));
        return Sheet::json(&json!(facts.collect::<serde_json::Map<_, _>>()));
    }
    let mut body = String::from("<table>");
    for (name, value) in facts {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        write!(body, "<tr><th>{name}<td>{}", Escaped(&text)).expect("a string takes every text");
    }
    Sheet::html(&PAGE, &(body + "</table>"))
}

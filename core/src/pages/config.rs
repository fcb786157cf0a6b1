//! `/config`: the configuration in force, as it is after defaults and the environment.
//!
//! Nothing in it is a secret: keys and tokens are never part of it.

use serde_json::Value;

use super::table::Table;
use super::{Access, Page, Sheet, Visit};

pub(super) const PAGE: Page =
    Page { path: "/config", title: "Configuration", access: Access::Restricted, render };

fn render(visit: &Visit) -> Sheet {
    let mut table = Table::new(&["setting", "value"]);
    for (setting, value) in visit.shard.shared.config.facts() {
        table.add(vec![setting.into(), Value::from(value)]);
    }
    match visit.wants_json() {
        true => Sheet::json(&table.json()),
        false => Sheet::html(&PAGE, &table.html()),
    }
}

//! `/ready`: whether requests may be sent here. A server that drains says no, with status 503, so
//! that whoever balances load goes elsewhere; so does one with a core that is held up.

use serde_json::json;

use super::{Access, Page, Sheet, Visit};

pub(super) const PAGE: Page =
    Page { path: "/ready", title: "Ready", access: Access::Open, is_live: false, render };

fn render(visit: &Visit) -> Sheet {
    let answered = visit.ask_all(|_| ()).len();
    let status = if visit.server.is_draining() {
        "draining"
    } else if answered < visit.shard.shared.cores.count() {
        "held up"
    } else {
        "ready"
    };
    let mut sheet = match visit.wants_json() {
        true => Sheet::json(&json!({ "status": status })),
        false => Sheet::text(format!("{status}\n")),
    };
    if status != "ready" {
        sheet.status = 503;
    }
    sheet
}

//! `/health`: the process answers, so its loop turns. For liveness probes: a restart is called for
//! when this does not answer, not when the server leaves.

use serde_json::json;

use super::{Access, Page, Sheet, Visit};

pub(super) const PAGE: Page =
    Page { path: "/health", title: "Health", access: Access::Open, is_live: false, render };

fn render(visit: &Visit) -> Sheet {
    match visit.wants_json() {
        true => Sheet::json(&json!({ "status": "ok" })),
        false => Sheet::text("ok\n"),
    }
}

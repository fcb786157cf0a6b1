//! `/metrics`: everything that is counted, as Prometheus reads it (text format 0.0.4).

use super::{Access, Page, Sheet, Visit};
use crate::report;

pub(super) const PAGE: Page =
    Page { path: "/metrics", title: "Metrics", access: Access::Open, render };

fn render(visit: &Visit) -> Sheet {
    let cores = visit.ask_all(report::of_core);
    let snapshot = report::fold(&visit.shard.shared, &cores);
    let mut sheet = Sheet::text(report::prometheus(&snapshot));
    sheet.content_type = "text/plain; version=0.0.4; charset=utf-8";
    sheet
}

//! `/config`: the configuration in force, as it is after defaults and the environment; the dye
//! rules of the moment; and how this server and its methods were set up.
//!
//! Nothing in it is a secret: of keys the files are named, and tokens are never part of it.

use serde_json::Value;

use super::table::Table;
use super::{Access, Page, Pages, Sheet, Visit};
use crate::method::{Handler, Kind, Method};
use crate::serve::Plan;

pub(super) const PAGE: Page = Page {
    path: "/config",
    title: "Configuration",
    access: Access::Restricted,
    is_live: false,
    render,
};

fn render(visit: &Visit) -> Sheet {
    let mut table = Table::new(&["setting", "value"]);
    let mut add = |setting: &str, value: String| {
        table.add(vec![setting.into(), Value::from(value)]);
    };
    for (setting, value) in visit.shard.shared.config.facts() {
        add(setting, value);
    }
    let now_ns = visit.shard.now_ns();
    for (rule, until_ns) in visit.shard.reporter.rules.borrow().in_force(now_ns) {
        let left = match until_ns {
            0 => String::new(),
            _ => format!(" ({} s left)", (until_ns - now_ns).div_ceil(1_000_000_000)),
        };
        add("dye_rule", format!("{rule}{left}"));
    }
    of_server(&visit.server.plan, &mut add);
    match visit.wants_json() {
        true => Sheet::json(&table.json()),
        false => Sheet::html(&PAGE, &table.html()),
    }
}

fn of_server(plan: &Plan, add: &mut impl FnMut(&str, String)) {
    let pages = match plan.pages {
        Pages::Loopback => "loopback",
        Pages::Everybody => "everybody",
        Pages::Nobody => "nobody",
    };
    add("server_pages", pages.into());
    add("server_has_admin_address", plan.has_admin.to_string());
    add("server_hosts", plan.hosts.join(", "));
    add("server_cors", plan.cors.join(", "));
    add("server_body_bytes_max", plan.body_bytes_max.to_string());
    let secured = plan.tls.iter().flatten();
    add("server_tls_addresses", secured.clone().count().to_string());
    add("server_tls_accepts_plain", secured.clone().any(|accepts| accepts.plain).to_string());
    for (caller, quota) in plan.quotas.all() {
        let quota = format!("{} a second, {} at once", quota.per_second(), quota.burst());
        add(&format!("quota of {}", caller.as_deref().unwrap_or("others")), quota);
    }
    for method in &plan.methods.list {
        add(&format!("method {}", method.name.text()), of_method(method));
    }
}

fn of_method(method: &Method) -> String {
    let mut text = String::from(match (&method.handler, method.kind) {
        (Handler::Take(_), _) => "given away",
        (Handler::Serve(_), Kind::Coroutine) => "coroutine",
        (Handler::Serve(_), Kind::Heavy) => "heavy",
        (Handler::Serve(_), Kind::Callback) => "callback",
    });
    if method.requests_max > 0 {
        text += &format!(", at most {} requests", method.requests_max);
    }
    if !method.adaptive {
        text += ", no adaptive limit";
    }
    text
}

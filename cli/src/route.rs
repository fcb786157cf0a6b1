//! `msec route explain`: why a running program's calls go where they go.
//!
//! ```text
//! Demo.echo: adaptive, 0.2 % of the last seconds' calls failed
//!   canary: 2.5 % of the calls are for v=2
//!   share  address           standing  weight  success  speed  in flight  failed of recent, labels
//!   97.5%  10.0.0.1:7963     live        99.1    1.000  0.991          3        0 of 2310
//!    0.0%  10.0.0.2:7963     ejected      0.0    0.000  1.000          0        5 of 5
//!    2.5%  10.0.0.3:7963     live       100.0    1.000  1.000          0        0 of 61  v=2  canary
//! ```

use std::fmt::Write;

use serde_json::Value;

use crate::failure::Failure;
use crate::flags::Arguments;
use crate::{page, print};

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let verb = arguments.operand_text(0)?;
    if verb != "explain" {
        return Err(arguments.usage(&format!("`{verb}`: there is `msec route explain [SERVICE]`")));
    }
    let Some(address) = arguments.text("at")? else {
        return Err(arguments.usage(&"--at HOST:PORT is missing: whose routes?"));
    };
    let routes = page::fetch(address, "/routes?format=json")?;
    let wanted = arguments.operand_text(1)?;
    let services: Vec<&Value> = routes.as_array().map_or(&[][..], Vec::as_slice).iter().collect();
    let shown: Vec<&Value> = services
        .iter()
        .filter(|service| wanted.is_empty() || service["service"] == wanted)
        .copied()
        .collect();
    if shown.is_empty() {
        let names: Vec<_> = services.iter().filter_map(|one| one["service"].as_str()).collect();
        return Err(Failure::failed(format!(
            "{address} has no route to `{wanted}`; it has {}",
            if names.is_empty() { "none at all".into() } else { names.join(", ") }
        )));
    }
    if arguments.has("json") {
        return print(&format!("{:#}\n", Value::from_iter(shown.into_iter().cloned())));
    }
    print(&shown.into_iter().map(text).collect::<Vec<_>>().join("\n"))
}

fn text(service: &Value) -> String {
    let name = service["service"].as_str().unwrap_or_default();
    let policy = service["policy"].as_str().unwrap_or_default();
    let failed = service["failure_ratio"].as_f64().unwrap_or_default() * 100.0;
    let mut text = format!("{name}: {policy}, {failed:.1} % of the last seconds' calls failed\n");
    let mut put = |arguments: std::fmt::Arguments<'_>| {
        text.write_fmt(arguments).expect("a string takes every text");
    };
    if let Some(percent) = service["canary_percent"].as_f64() {
        let labels = service["canary_labels"].as_str().unwrap_or_default();
        put(format_args!("  canary: {percent} % of the calls are for {labels}\n"));
    }
    if let Some(delay) = service["hedge"].as_str() {
        put(format_args!("  idempotent calls are hedged {delay}\n"));
    }
    if let Some(revision @ 1..) = service["table_revision"].as_u64() {
        put(format_args!("  revision {revision} of the table\n"));
    }
    if service["protective"] == true {
        put(format_args!("  more than half look bad, so nobody is lowered any more\n"));
    }
    if service["all_dead"] == true {
        put(format_args!("  nobody is live, so calls go anywhere\n"));
    }
    put(format_args!(
        "  {:>6}  {:<22}{:<10}{:>8}{:>9}{:>7}{:>11}  failed of recent, labels\n",
        "share", "address", "standing", "weight", "success", "speed", "in flight"
    ));
    for instance in service["instances"].as_array().map_or(&[][..], Vec::as_slice) {
        let number = |key: &str| instance[key].as_f64().unwrap_or_default();
        let word = |key: &str| instance[key].as_str().unwrap_or_default();
        let canary = if instance["is_canary"] == true { "  canary" } else { "" };
        let labels = match word("labels") {
            "" => String::new(),
            labels => format!("  {labels}"),
        };
        put(format_args!(
            "  {:>5.1}%  {:<22}{:<10}{:>8.1}{:>9.3}{:>7.3}{:>11}  {} of {}{labels}{canary}\n",
            number("share") * 100.0,
            word("address"),
            word("standing"),
            number("weight"),
            number("success"),
            number("speed"),
            number("in_flight"),
            number("recent_failed"),
            number("recent"),
        ));
    }
    text
}

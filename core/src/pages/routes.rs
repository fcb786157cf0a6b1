//! `/routes`: the services that are called by name, and why their calls go where they go.

use msec_protocol::route::{Canary, HedgeDelay};
use serde_json::{Value, json};

use super::table::Table;
use super::{Access, Page, Sheet, Visit};
use crate::engine::Engine;
use crate::naming::explain::{Service, of_cores};

pub(super) const PAGE: Page =
    Page { path: "/routes", title: "Routes", access: Access::Restricted, is_live: true, render };

fn render(visit: &Visit) -> Sheet {
    let wanted = visit.value("service").map(str::to_owned);
    let cores = visit.ask_all(|shard| shard.routes.explain(shard));
    let mut services = of_cores(&visit.shard.shared, cores);
    services.retain(|service| wanted.as_ref().is_none_or(|wanted| *wanted == service.name));
    if visit.wants_json() {
        return Sheet::json(&json_of(&services));
    }
    let mut body = String::new();
    for service in &services {
        let name = super::sheet::Escaped(&service.name);
        body += &format!("<h1>{name}</h1><p>{}</p>", summary(service));
        body += &instances(service).html();
    }
    if services.is_empty() {
        body += "<p>no service is called by name";
    }
    Sheet::html(&PAGE, &body)
}

impl Engine {
    /// What [`Engine::explain_routes`] says, as the JSON of the page `/routes`.
    ///
    /// Asks all cores. Suspends the coroutine, or blocks the thread; not from a core's loop.
    pub fn explain_routes_json(&self) -> String {
        json_of(&self.explain_routes()).to_string()
    }
}

fn json_of(services: &[Service]) -> Value {
    let all = services.iter().map(|service| {
        json!({
            "service": service.name,
            "table_revision": service.table_revision,
            "policy": policy(service),
            "canary_percent": service.canary.as_ref().map(percent),
            "canary_labels": service.canary.as_ref().map(labels),
            "hedge": service.hedge.map(hedge),
            "cores": service.cores_count,
            "protective": service.is_protective,
            "all_dead": service.is_all_dead,
            "failure_ratio": f64::from(service.failure_ratio),
            "latency_us": service.latency_ns as f64 / 1e3,
            "retries": service.retries_count,
            "retries_left": service.retries_left_count,
            "retries_refused": service.retries_refused_count,
            "instances": instances(service).json(),
        })
    });
    all.collect()
}

fn policy(service: &Service) -> String {
    format!("{:?}", service.policy).to_lowercase()
}

fn percent(canary: &Canary) -> f64 {
    f64::from(canary.parts) * 100.0 / f64::from(Canary::PARTS)
}

fn labels(canary: &Canary) -> String {
    let labels = canary.labels.iter().map(|(name, value)| format!("{name}={value}"));
    labels.collect::<Vec<_>>().join(",")
}

fn hedge(delay: HedgeDelay) -> String {
    match delay {
        HedgeDelay::AfterNs(ns) => format!("after {} ms", ns as f64 / 1e6),
        HedgeDelay::P95 => "at p95".into(),
    }
}

fn summary(service: &Service) -> String {
    let mut text = format!(
        "policy {}, {:.1} % of recent calls failed, {:.1} ms; retries: {} made, {} left, \
         {} refused",
        super::sheet::Escaped(&policy(service)),
        service.failure_ratio * 100.0,
        service.latency_ns as f64 / 1e6,
        service.retries_count,
        service.retries_left_count,
        service.retries_refused_count,
    );
    if let Some(canary) = &service.canary {
        let labels = labels(canary);
        let labels = super::sheet::Escaped(&labels);
        text += &format!("; {} % of the calls are for {labels}", percent(canary));
    }
    if let Some(delay) = service.hedge {
        text += &format!("; idempotent calls are hedged {}", hedge(delay));
    }
    if service.table_revision > 0 {
        text += &format!("; revision {} of the table", service.table_revision);
    }
    if service.is_protective {
        text += "; more than half look bad, so nobody is lowered any more";
    }
    if service.is_all_dead {
        text += "; nobody is live, so calls go anywhere";
    }
    text
}

fn instances(service: &Service) -> Table {
    let mut table = Table::new(&[
        "address",
        "zone",
        "labels",
        "is_canary",
        "standing",
        "share",
        "weight",
        "static_weight",
        "success",
        "speed",
        "peak_us",
        "in_flight",
        "failures_run",
        "ejections",
        "rests_ms",
        "recent",
        "recent_failed",
    ]);
    for instance in &service.instances {
        let standing =
            if instance.is_up { format!("{:?}", instance.standing) } else { "down".into() };
        table.add(vec![
            instance.address.to_string().into(),
            instance.zone.as_str().into(),
            instance.labels.as_str().into(),
            instance.is_canary.into(),
            standing.to_lowercase().into(),
            instance.share.into(),
            instance.weight.into(),
            instance.static_weight.into(),
            f64::from(instance.success).into(),
            f64::from(instance.speed).into(),
            (instance.peak_ns as f64 / 1e3).into(),
            instance.in_flight_count.into(),
            instance.failures_run.into(),
            instance.ejections_count.into(),
            (instance.rests_ns / 1_000_000).into(),
            f64::from(instance.recent_count).round().into(),
            f64::from(instance.recent_failed_count).round().into(),
        ]);
    }
    table
}

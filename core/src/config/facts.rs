//! The settings of an engine, for people: what `/config` shows.
//!
//! Everything is taken apart to its last field, without a rest, so that the compiler finds a
//! setting that is not shown. Of keys the files are named, and never what is in them.

use std::path::Path;

use msec_protocol::Limits;

use super::Config;
use crate::report::settings::Settings;
use crate::tls::ClientTls;

/// What a setting is called, and its value.
pub(crate) type Fact = (&'static str, String);

impl Config {
    /// The settings in force by their names, as the page `/config` shows them. None of them is a
    /// secret: of keys, the files are named.
    pub fn facts(&self) -> Vec<Fact> {
        let Self {
            limits,
            cores,
            io,
            without,
            stack_kb,
            stall_ms,
            busy_poll_us,
            pin,
            offload_threads,
            connections_max,
            connections_per_peer,
            buffered_bytes_max,
            log_level,
            overload_control,
            report,
            zone,
            routes,
            tls,
        } = self;
        let mut facts = vec![
            ("zone", zone.clone()),
            ("routes", path(routes.as_deref())),
            ("cores", cores.to_string()),
            ("io", format!("{io:?}").to_lowercase()),
            ("io_without", without.join(",")),
            ("pin", format!("{pin:?}").to_lowercase()),
            ("stack_kb", stack_kb.to_string()),
            ("stall_ms", stall_ms.to_string()),
            ("busy_poll_us", busy_poll_us.to_string()),
            ("offload_threads", offload_threads.to_string()),
            ("connections_max", connections_max.to_string()),
            ("connections_per_peer", connections_per_peer.to_string()),
            ("buffered_bytes_max", buffered_bytes_max.to_string()),
            ("overload_control", overload_control.to_string()),
        ];
        of_limits(limits, &mut facts);
        of_report(report, &mut facts);
        facts.push(("log_level", format!("{log_level:?}").to_lowercase()));
        if let Some(tls) = tls {
            of_tls(tls, &mut facts);
        }
        facts
    }
}

fn of_limits(limits: &Limits, facts: &mut Vec<Fact>) {
    let Limits {
        head_bytes_max,
        body_bytes_max,
        requests_per_connection_max,
        requests_per_method_max,
        requests_per_process_max,
        deadline_ms_default,
        http_head_ms_max,
        http_body_ms_max,
        http_idle_ms_max,
        tls_handshake_ms_max,
        tls_handshake_bytes_max,
        stall_ms_max,
    } = limits;
    facts.extend([
        ("requests_per_process_max", requests_per_process_max.to_string()),
        ("requests_per_method_max", requests_per_method_max.to_string()),
        ("requests_per_connection_max", requests_per_connection_max.to_string()),
        ("head_bytes_max", head_bytes_max.to_string()),
        ("body_bytes_max", body_bytes_max.to_string()),
        ("deadline_ms_default", deadline_ms_default.to_string()),
        ("http_head_ms_max", http_head_ms_max.to_string()),
        ("http_body_ms_max", http_body_ms_max.to_string()),
        ("http_idle_ms_max", http_idle_ms_max.to_string()),
        ("tls_handshake_ms_max", tls_handshake_ms_max.to_string()),
        ("tls_handshake_bytes_max", tls_handshake_bytes_max.to_string()),
        ("stall_ms_max", stall_ms_max.to_string()),
    ]);
}

fn of_report(report: &Settings, facts: &mut Vec<Fact>) {
    let Settings {
        service,
        reporting,
        slow_ns,
        sampled_parts,
        dye,
        log_folder,
        log_files,
        log_file_bytes,
    } = report;
    let rules: Vec<_> = dye.iter().map(ToString::to_string).collect();
    facts.extend([
        ("service", service.clone()),
        ("reporting", reporting.to_string()),
        ("slow_ms", (slow_ns / 1_000_000).to_string()),
        ("sampled_parts_per_million", sampled_parts.to_string()),
        ("dye_rules_at_start", rules.join("; ")),
        ("log_folder", path(log_folder.as_deref())),
        ("log_files", log_files.to_string()),
        ("log_file_bytes", log_file_bytes.to_string()),
    ]);
}

fn of_tls(tls: &ClientTls, facts: &mut Vec<Fact>) {
    let ClientTls { ca, chain, key, server_name } = tls;
    facts.extend([
        ("tls_ca", path(ca.as_deref())),
        ("tls_certificate", path(chain.as_deref())),
        ("tls_key_file", path(key.as_deref())),
        ("tls_server_name", server_name.clone().unwrap_or_default()),
    ]);
}

fn path(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{VARIABLES, *};

    #[test]
    fn whatever_an_operator_sets_is_among_the_facts() {
        let plain = Config::new().facts();
        for (name, ..) in VARIABLES {
            // Whichever of these is allowed: one of them is no default.
            let texts = ["off", "uring", "multishot", "method=a.B.C", "debug", "64", "5000"];
            let changed = texts.iter().any(|text| {
                let read = |asked: &str| (asked == *name).then(|| (*text).to_owned());
                Config::from_variables(read).is_ok_and(|config| config.facts() != plain)
            });
            assert!(changed, "{name} is not shown");
        }
        let names: std::collections::BTreeSet<_> = plain.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), plain.len(), "each has a name of its own");
    }
}

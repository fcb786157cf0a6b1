//! The static file of routes: its text, read into a checked table.
//!
//! Read by serde and toml, checked here. Whatever is wrong is told with its line and with what is
//! allowed there; nothing of a file with a mistake is used.

use msec_protocol::limits::{INSTANCES_PER_SERVICE_MAX, SERVICES_MAX, WEIGHT_MAX, WEIGHT_MIN};
use msec_protocol::route::table::WEIGHT_DEFAULT;
use msec_protocol::route::{
    BadService, Canary, HedgeDelay, Instance, Labels, Policy, Service, State, Table,
};
use msec_protocol::{Address, Code};
use serde::Deserialize;
use toml::Spanned;

use crate::error::{Error, Result};

/// Reads a table from the text of a file; `name` is that of the file, for errors.
///
/// ```
/// let text = r#"
///     [[service]]
///     name = "Demo.echo"
///     [[service.instance]]
///     address = "127.0.0.1:7963"
/// "#;
/// let table = msec::naming::parse(text, "routes.toml")?;
/// assert_eq!(table.find("Demo.echo").unwrap().instances[0].weight, 100);
///
/// let error = msec::naming::parse("\n[[service]]\nname = 'echo'", "routes.toml").unwrap_err();
/// assert!(error.message().starts_with("routes.toml:3: "));
/// # Ok::<(), msec::Error>(())
/// ```
///
/// # Errors
/// -1, as [`Engine::load_routes`](crate::Engine::load_routes).
pub fn parse(text: &str, name: &str) -> Result<Table> {
    let fail = |offset: usize, problem: &str| {
        let line = text[..offset.min(text.len())].matches('\n').count() + 1;
        Error::new(Code::INVALID_PARAMETER, format!("{name}:{line}: {problem}"))
    };
    let file: File = toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        fail(offset, error.message().trim_end())
    })?;
    let mut table = Table::new();
    for entry in file.service {
        let (place, places) = (entry.place(), entry.instance_places());
        let service = entry.check().map_err(|(offset, problem)| fail(offset, &problem))?;
        let service_name = service.name.clone();
        table.add(service).map_err(|bad| {
            let (offset, problem) = explain(&bad, &service_name, place, &places);
            fail(offset, &problem)
        })?;
    }
    Ok(table)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    service: Vec<ServiceEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceEntry {
    name: Spanned<String>,
    policy: Option<Spanned<String>>,
    hedge: Option<Spanned<String>>,
    canary: Option<Spanned<CanaryEntry>>,
    #[serde(default)]
    instance: Vec<InstanceEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CanaryEntry {
    labels: Labels,
    percent: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InstanceEntry {
    address: Spanned<String>,
    weight: Option<Spanned<i64>>,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    labels: Labels,
    state: Option<Spanned<String>>,
}

/// Where in the text something is wrong, and what.
type Problem = (usize, String);

impl ServiceEntry {
    fn place(&self) -> usize {
        self.name.span().start
    }

    fn instance_places(&self) -> Vec<usize> {
        self.instance.iter().map(|instance| instance.address.span().start).collect()
    }

    fn check(self) -> std::result::Result<Service, Problem> {
        let instances = self.instance.into_iter().map(InstanceEntry::check);
        let instances = instances.collect::<std::result::Result<_, _>>()?;
        let policy = self.policy.map_or(Ok(Policy::default()), |name| {
            let names = Policy::ALL.map(|(name, _)| name);
            chosen(&name, "policy", &names, Policy::from_name)
        })?;
        let hedge = self.hedge.map(|text| {
            let allowed = ["p95", "a time such as 20ms, 500us or 1s"];
            chosen(&text, "hedge", &allowed, hedge_delay)
        });
        Ok(Service {
            name: self.name.into_inner(),
            instances,
            policy,
            canary: self.canary.map(canary).transpose()?,
            hedge: hedge.transpose()?,
        })
    }
}

/// What a text stands for, or what is allowed instead.
fn chosen<T>(
    text: &Spanned<String>,
    what: &str,
    allowed: &[&str],
    find: impl FnOnce(&str) -> Option<T>,
) -> std::result::Result<T, Problem> {
    let (place, value) = (text.span().start, text.get_ref());
    let problem = || format!("{what} is `{value}`; allowed is {}", allowed.join(", "));
    find(value).ok_or_else(|| (place, problem()))
}

fn hedge_delay(text: &str) -> Option<HedgeDelay> {
    if text == "p95" {
        return Some(HedgeDelay::P95);
    }
    let end = text.find(|digit: char| !digit.is_ascii_digit())?;
    let unit_ns: u64 = match &text[end..] {
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return None,
    };
    let delay_ns = text[..end].parse::<u64>().ok()?.checked_mul(unit_ns)?;
    Some(HedgeDelay::AfterNs(delay_ns))
}

fn canary(entry: Spanned<CanaryEntry>) -> std::result::Result<Canary, Problem> {
    let place = entry.span().start;
    let CanaryEntry { labels, percent } = entry.into_inner();
    if !(0.0..=100.0).contains(&percent) {
        return Err((place, format!("percent is {percent}; allowed is a number from 0 to 100")));
    }
    Ok(Canary { labels, parts: (percent * f64::from(Canary::PARTS) / 100.0).round() as u32 })
}

impl InstanceEntry {
    fn check(self) -> std::result::Result<Instance, Problem> {
        let place = self.address.span().start;
        let text = self.address.into_inner();
        let address: Address =
            text.parse().map_err(|bad| (place, format!("address `{text}`: {bad}")))?;
        let weight = match self.weight {
            None => WEIGHT_DEFAULT,
            Some(weight) => u32::try_from(*weight.get_ref())
                .ok()
                .filter(|allowed| (WEIGHT_MIN..=WEIGHT_MAX).contains(allowed))
                .ok_or_else(|| {
                    let (place, value) = (weight.span().start, weight.get_ref());
                    let range = format!("{WEIGHT_MIN} to {WEIGHT_MAX}");
                    (place, format!("weight is {value}; allowed is a number from {range}"))
                })?,
        };
        let state = self.state.map_or(Ok(State::Up), |name| {
            chosen(&name, "state", &["up", "down"], |name| match name {
                "up" => Some(State::Up),
                "down" => Some(State::Down),
                _ => None,
            })
        })?;
        Ok(Instance { address, weight, zone: self.zone, labels: self.labels, state, revision: 0 })
    }
}

/// Why a table does not take a service that is right in itself.
fn explain(bad: &BadService, name: &str, place: usize, instances: &[usize]) -> Problem {
    let of = |index: usize| instances.get(index).copied().unwrap_or(place);
    match bad {
        BadService::Name => {
            let allowed = "two levels such as `Demo.echo`, of letters, digits, `_` and `-`";
            (place, format!("`{name}` is no service name; allowed is {allowed}"))
        }
        BadService::Repeated => (place, format!("service `{name}` is there twice")),
        BadService::TooManyServices => {
            (place, format!("too many services; allowed are {SERVICES_MAX}"))
        }
        BadService::TooManyInstances => {
            let most = INSTANCES_PER_SERVICE_MAX;
            (place, format!("too many instances of `{name}`; allowed are {most}"))
        }
        // Weights were looked at where they were read.
        BadService::Weight { instance } => (of(*instance), "a weight is not allowed".into()),
        BadService::Labels { instance } => (of(*instance), bad.to_string()),
        BadService::Canary => (place, bad.to_string()),
        BadService::RepeatedAddress { instance } => {
            (of(*instance), format!("service `{name}` has this address twice"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Engine;

    #[test]
    fn services_and_instances_are_read_with_their_weights() {
        let text = "
            [[service]]
            name = 'Demo.echo'
            [[service.instance]]
            address = '127.0.0.1:7963'
            weight = 10000
            [[service.instance]]
            address = 'unix:/run/echo'
            [[service]]
            name = 'Demo.nobody'
        ";
        let table = parse(text, "routes.toml").unwrap();
        assert_eq!(table.len(), 2);
        let instances = &table.find("Demo.echo").unwrap().instances;
        let expect = [("127.0.0.1:7963", 10_000), ("unix:/run/echo", 100)];
        let found: Vec<_> = instances.iter().map(|i| (i.address.to_string(), i.weight)).collect();
        assert!(found.iter().map(|(a, w)| (a.as_str(), *w)).eq(expect), "{found:?}");
        assert!(table.find("Demo.nobody").unwrap().instances.is_empty());
        assert!(parse("", "routes.toml").unwrap().is_empty());
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_is_allowed() {
        let check = |text: &str, expect: &str| {
            let error = parse(text, "routes.toml").unwrap_err();
            assert_eq!(error.code(), Code::INVALID_PARAMETER);
            let message = error.message();
            let begins = message.starts_with(expect.split('…').next().unwrap());
            let all = expect.split('…').all(|part| message.contains(part));
            assert!(begins && all, "`{message}` is not `{expect}`");
        };
        let instance = "[[service]]\nname = 'A.b'\n[[service.instance]]\n";
        check("[[service]]\nname = 'echo'", "routes.toml:2: `echo` is no service name; allowed is");
        check("[[service]]", "routes.toml:1: …`name`");
        check("[[service]]\nname = 7", "routes.toml:2: …string");
        check("service = [\n", "routes.toml:");
        check("\n[[servic]]\nname = 'A.b'", "routes.toml:2: …servic…`service`");
        check(&format!("{instance}address = '1.2.3.4:0'"), "routes.toml:4: address `1.2.3.4:0`: ");
        check(&format!("{instance}adress = '1.2.3.4:5'"), "routes.toml:4: …adress…`address`");
        for weight in ["0", "-1", "10001", "99999999999"] {
            let text = format!("{instance}address = '1.2.3.4:5'\nweight = {weight}");
            let expect = "routes.toml:5: weight is …; allowed is a number from 1 to 10000";
            check(&text, &expect.replace('…', weight));
        }
        let twice = "address = '1.2.3.4:5'\n[[service.instance]]\naddress = '1.2.3.4:5@tcp'";
        check(&format!("{instance}{twice}"), "routes.toml:6: service `A.b` has this address twice");
        let twice = "[[service]]\nname = 'A.b'\n";
        check(&format!("{twice}{twice}"), "routes.toml:4: service `A.b` is there twice");
    }

    #[test]
    fn policy_zones_labels_canary_and_hedge_are_read() {
        let text = "
            [[service]]
            name = 'Demo.echo'
            policy = 'zone-first'
            hedge = '20ms'
            canary = { labels = { version = '2' }, percent = 2.5 }
            [[service.instance]]
            address = '127.0.0.1:1'
            zone = 'north'
            labels = { version = '2', disk = 'ssd' }
            [[service.instance]]
            address = '127.0.0.1:2'
            state = 'down'
        ";
        let table = parse(text, "routes.toml").unwrap();
        let service = table.find("Demo.echo").unwrap();
        assert_eq!(service.policy, Policy::ZoneFirst);
        assert_eq!(service.hedge, Some(HedgeDelay::AfterNs(20_000_000)));
        let canary = service.canary.as_ref().unwrap();
        assert_eq!((canary.parts, canary.labels["version"].as_str()), (250, "2"));
        assert_eq!(service.instances[0].zone, "north");
        assert_eq!(service.instances[0].labels["disk"], "ssd");
        assert_eq!(
            service.instances.iter().map(|i| i.state).collect::<Vec<_>>(),
            [State::Up, State::Down]
        );
        for (text, delay_ns) in [("500us", 500_000), ("1s", 1_000_000_000)] {
            assert_eq!(hedge_delay(text), Some(HedgeDelay::AfterNs(delay_ns)));
        }
        assert_eq!(hedge_delay("p95"), Some(HedgeDelay::P95));
    }

    #[test]
    fn a_wrong_choice_is_named_with_its_line_and_what_is_allowed() {
        let check = |line: &str, expect: &str| {
            let text = format!("[[service]]\nname = 'A.b'\n{line}");
            let message = parse(&text, "r").unwrap_err().message().to_owned();
            assert_eq!(message, expect);
        };
        let policies = "adaptive, wrr, p2c, hash, zone-first";
        check("policy = 'rr'", &format!("r:3: policy is `rr`; allowed is {policies}"));
        let hedges = "p95, a time such as 20ms, 500us or 1s";
        check("hedge = '20'", &format!("r:3: hedge is `20`; allowed is {hedges}"));
        check(
            "canary = { labels = { a = 'b' }, percent = 101 }",
            "r:3: percent is 101; allowed is a number from 0 to 100",
        );
        check(
            "canary = { labels = {}, percent = 1 }",
            "r:2: canary has no labels, too many, or more than 100 percent",
        );
        let instance = "[[service.instance]]\naddress = '1.2.3.4:5'";
        check(&format!("{instance}\nstate = 'off'"), "r:5: state is `off`; allowed is up, down");
        let zone = "z".repeat(65);
        let message =
            "r:4: zone or labels of instance 0 are more than 16, or longer than 128 bytes";
        check(&format!("{instance}\nzone = '{zone}'"), message);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let engine = Engine::with(crate::Config::new().cores(1)).unwrap();
        let error = engine.load_routes("/nowhere/routes.toml").unwrap_err();
        assert!(error.to_string().contains("/nowhere/routes.toml"), "{error}");
    }
}

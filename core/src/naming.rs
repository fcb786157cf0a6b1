//! Naming: which instances make up the services that are called by name, from a static file.
//!
//! ```toml
//! [[service]]
//! name = "Demo.echo"
//!
//! [[service.instance]]
//! address = "10.0.0.1:7963"
//! weight = 100                  # its share of the calls, 1 to 10000; 100 unless it is said
//!
//! [[service.instance]]
//! address = "unix:/run/echo"    # whatever `Client::new` takes
//! ```
//!
//! A file is read whole, checked whole, and only then sent to the cores, each of which has a copy
//! of its own (`route.rs` picks from it). A file with a mistake changes nothing, and
//! the error names the file, the line, and what is allowed there.

use std::path::Path;
use std::sync::Arc;

use msec_protocol::limits::{INSTANCES_PER_SERVICE_MAX, SERVICES_MAX, WEIGHT_MAX, WEIGHT_MIN};
use msec_protocol::route::BadService;
use msec_protocol::route::table::WEIGHT_DEFAULT;
use msec_protocol::{Address, Code};
use serde::Deserialize;
use toml::Spanned;

pub use msec_protocol::route::{Instance, Service, Table};

use crate::engine::Engine;
use crate::error::{Error, Result};

impl Engine {
    /// Replaces the services that can be called by name; when this returns, every core has them.
    ///
    /// Calls in flight are not touched, and connections to instances that are gone stay open until
    /// the peer or time ends them.
    ///
    /// # Panics
    /// When called on a core thread.
    pub fn set_routes(&self, table: Table) {
        let table = Arc::new(table);
        self.ask_all(move |shard| shard.routes.replace(table.clone()));
    }

    /// Replaces the services that can be called by name with those of a file, see
    /// [`naming`](crate::naming). With an error the old ones stay.
    ///
    /// # Errors
    /// -2 for a file that cannot be read; -1 for a mistake in it: the text names file and line,
    /// what is wrong, and what is allowed.
    ///
    /// # Panics
    /// When called on a core thread.
    pub fn load_routes(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let operation = format!("read routes from {}", path.display());
        let text =
            std::fs::read_to_string(path).map_err(|error| Error::from_io(&operation, &error))?;
        self.set_routes(parse(&text, &path.display().to_string())?);
        Ok(())
    }
}

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
/// -1, as [`Engine::load_routes`].
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
    #[serde(default)]
    instance: Vec<InstanceEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InstanceEntry {
    address: Spanned<String>,
    weight: Option<Spanned<i64>>,
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
        Ok(Service::new(self.name.into_inner(), instances))
    }
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
        Ok(Instance { weight, ..Instance::new(address) })
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
        BadService::Labels { .. } | BadService::Canary => (place, bad.to_string()),
        BadService::RepeatedAddress { instance } => {
            (of(*instance), format!("service `{name}` has this address twice"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_file_that_is_not_there_is_named() {
        let engine = Engine::with(crate::Config::new().cores(1)).unwrap();
        let error = engine.load_routes("/nowhere/routes.toml").unwrap_err();
        assert!(error.to_string().contains("/nowhere/routes.toml"), "{error}");
    }
}

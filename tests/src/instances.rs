//! Instances of one service that say who they are: some here, one in a process that can be killed.

use msec::naming::{Instance, Service, Standing, Table};
use msec::prost::Message;
use msec::{Engine, Io, ServerBuilder};

use crate::child::test_name;
use crate::{Child, Namespace, Stage, config};

/// The method that answers with the name of the instance, as it is.
pub const WHO: &str = "test.Who.Am";
/// The method that answers with it in a message, for a [`Flow`](crate::Flow).
pub const NAME: &str = "test.Who.Name";
/// The service, as routes name it.
pub const SERVICE: &str = "Demo.who";
/// What the instance in a process of its own answers.
pub const VICTIM: &str = "victim";
/// The role of that process; a test in this role has nothing to do but [`serve`].
pub const ROLE: &str = "server";

/// The variable that tells the child where to listen.
const AT: &str = "ROUTE_TEST_AT";

/// Routes to the service.
pub fn table(addresses: &[&str]) -> Table {
    let instance = |address: &&str| Instance::new(address.parse().unwrap());
    let mut table = Table::new();
    table.add(Service::new(SERVICE, addresses.iter().map(instance).collect())).unwrap();
    table
}

/// An instance in this process.
pub fn named(io: Io, name: &'static str) -> Stage {
    Stage::with(config(io), move |builder| saying(builder, name))
}

fn saying(builder: ServerBuilder, name: &'static str) -> ServerBuilder {
    builder.raw(WHO, move |_| Ok(name)).raw(NAME, move |_| Ok(name.to_owned().encode_to_vec()))
}

/// The instance in a process of its own, which says its address; the test begins with [`serve`].
pub fn victim(module: &str, io: Io, at: &str) -> Child {
    Child::of_test(&test_name(module, io), ROLE, &[(AT, at)])
}

/// As [`victim`], on the other end of a wire.
pub fn distant_victim(module: &str, io: Io, namespace: &Namespace) -> Child {
    let at = format!("{}:0", namespace.address());
    Child::within(namespace, &test_name(module, io), ROLE, &[(AT, &at)])
}

/// In the child: serves where the parent says until it is killed.
pub fn serve(io: Io) {
    let at = std::env::var(AT).unwrap();
    let stage = Stage::at(config(io), |builder| saying(builder.listen(at), VICTIM));
    Child::say(stage.address());
    Child::wait_for_parent();
}

/// How the engine judges an instance.
pub fn standing(engine: &Engine, address: &str) -> Standing {
    let services = engine.explain_routes();
    let instances = services.into_iter().flat_map(|service| service.instances);
    let mut of_address = instances.filter(|one| one.address.to_string() == address);
    of_address.next().unwrap().standing
}

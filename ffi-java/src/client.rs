//! Clients: whom Java calls.

use std::sync::Arc;

use jni::EnvUnowned;
use jni::objects::{JByteArray, JClass};
use jni::sys::jlong;
use msec::Client;

use crate::engine::ENGINES;
use crate::fields::Fields;
use crate::guard;
use crate::poller::Bridge;
use crate::registry::Registry;

/// The clients that Java has.
pub(crate) static CLIENTS: Registry<Target> = Registry::new("client");

/// Whom to call, and whom to tell.
pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) bridge: Arc<Bridge>,
}

/// A client of a service or an address.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_clientOpen<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
    target: JByteArray<'local>,
) -> jlong {
    guard::run(env, |env| {
        let engine = ENGINES.find(engine)?;
        let bytes = env.convert_byte_array(&target)?;
        let client = Client::new(&engine.engine, Fields::of(&bytes).text()?)?;
        Ok(CLIENTS.open(Arc::new(Target { client, bridge: engine.bridge.clone() })))
    })
}

/// Closes a client; calls that are under way go on. Again has no effect.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_clientClose<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    client: jlong,
) {
    guard::run(env, |_| {
        drop(CLIENTS.close(client));
        Ok(())
    });
}

//! Servers: methods that Java serves, on addresses.

use std::sync::Arc;
use std::time::Duration;

use jni::EnvUnowned;
use jni::objects::{JByteArray, JClass};
use jni::sys::{jint, jlong};
use msec::{Deferred, Server, ServerBuilder, ServerTls};

use crate::engine::{ENGINES, Opened};
use crate::fields::{self, Fields};
use crate::guard::{self, Result};
use crate::host;
use crate::registry::Registry;

/// The servers that Java has.
static SERVERS: Registry<Server> = Registry::new("server");

/// Starts a server as fields describe it; see [`described`]. Before them is a number: 1 for the
/// server of a worker that `msec host` runs, which listens as the host says.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_serverStart<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
    description: JByteArray<'local>,
) -> jlong {
    guard::run(env, |env| {
        let engine = ENGINES.find(engine)?;
        let bytes = env.convert_byte_array(&description)?;
        let mut fields = Fields::of(&bytes);
        let server = match fields.number()? {
            0 => {
                let builder = described(&engine, &mut fields, Server::builder())?;
                Arc::new(builder.start(&engine.engine)?)
            }
            _ => host::serve(&engine, |builder| described(&engine, &mut fields, builder))?,
        };
        Ok(SERVERS.open(server))
    })
}

/// Methods (name, number, most requests in flight, whether that number adapts), descriptor sets,
/// addresses, addresses of the pages, quotas (caller, a second, burst; an empty caller is all
/// others), and certificate, key and CA of clients, which may be empty.
fn described(
    engine: &Arc<Opened>,
    fields: &mut Fields<'_>,
    builder: ServerBuilder,
) -> Result<ServerBuilder> {
    let mut builder = Some(builder);
    let mut change = |change: &mut dyn FnMut(ServerBuilder) -> ServerBuilder| {
        builder = builder.take().map(change);
    };
    fields.list(|fields| {
        let name = fields.text()?;
        let (number, requests_max) = (fields.small("a number")?, fields.small("requests")?);
        let adapts = fields.number()? != 0;
        change(&mut |builder| {
            let bridge = engine.bridge.clone();
            let take = move |request: Deferred| bridge.give(number, request);
            builder.deferred(name, take).method(name, move |method| {
                method.requests_max(requests_max).adaptive_limit(adapts);
            })
        });
        Ok(())
    })?;
    fields.list(|fields| {
        let set = fields.bytes()?;
        change(&mut |builder| builder.descriptors(set.to_vec()));
        Ok(())
    })?;
    fields.list(|fields| {
        let address = fields.text()?;
        change(&mut |builder| builder.listen(address));
        Ok(())
    })?;
    fields.list(|fields| {
        let address = fields.text()?;
        change(&mut |builder| builder.admin(address));
        Ok(())
    })?;
    fields.list(|fields| {
        let caller = fields.text()?;
        let (rate, burst) = (fields.small("a quota")?, fields.small("a burst")?);
        change(&mut |builder| match caller {
            "" => builder.quota_for_others(rate, burst),
            caller => builder.quota(caller, rate, burst),
        });
        Ok(())
    })?;
    let (certificate, key, client_ca) = (fields.text()?, fields.text()?, fields.text()?);
    if !certificate.is_empty() {
        change(&mut |builder| {
            let tls = ServerTls::new(certificate, key);
            builder.tls(if client_ca.is_empty() { tls } else { tls.client_ca(client_ca) })
        });
    }
    Ok(builder.unwrap_or_default())
}

/// Where a server listens, then where its pages are.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_serverAddresses<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    server: jlong,
) -> JByteArray<'local> {
    guard::run(env, |env| {
        let server = SERVERS.find(server)?;
        let mut bytes = (server.addresses().len() as i64).to_le_bytes().to_vec();
        for address in server.addresses().iter().chain(server.admin_addresses()) {
            fields::put(&mut bytes, address.as_bytes());
        }
        Ok(env.byte_array_from_slice(&bytes)?)
    })
}

/// Accepts no more connections and asks peers to leave.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_serverDrain<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    server: jlong,
) {
    guard::run(env, |_| {
        SERVERS.find(server)?.drain();
        Ok(())
    });
}

/// Connections that are open, in the upper half, and requests that are not answered yet.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_serverLoad<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    server: jlong,
) -> jlong {
    guard::run(env, |_| {
        let load = SERVERS.find(server)?.load();
        Ok(((load.connections_count as u64) << 32 | load.requests_count as u64).cast_signed())
    })
}

/// Drains, waits for peers to leave, answers what is in flight, and closes. Again has no effect.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_serverStop<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    server: jlong,
    grace_ms: jint,
) {
    guard::run(env, |_| {
        if let Some(server) = SERVERS.close(server) {
            server.stop(Duration::from_millis(u64::try_from(grace_ms).unwrap_or(0)));
        }
        Ok(())
    });
}

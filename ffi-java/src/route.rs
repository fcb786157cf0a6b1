//! Routes: where the instances of services are.

use std::time::Duration;

use jni::EnvUnowned;
use jni::objects::{JByteArray, JClass};
use jni::sys::{jint, jlong};
use msec::naming;

use crate::engine::ENGINES;
use crate::fields::{self, Fields};
use crate::guard::{self, invalid};

/// Reads a file of routes.
pub(crate) const ROUTE_LOAD: u32 = 1;
/// Replaces all routes with those of a text.
pub(crate) const ROUTE_SET: u32 = 2;
/// As that, for who may be wrong: what would lose too much is held.
pub(crate) const ROUTE_PUSH: u32 = 3;
/// Lets come true what is held of a service.
pub(crate) const ROUTE_CONFIRM: u32 = 4;
/// Tells why calls go where they go.
pub(crate) const ROUTE_EXPLAIN: u32 = 5;

/// Picks an instance of a service, for a call that is made by other means.
pub(crate) const ROUTE_PICK: u32 = 6;
/// Tells what came of such calls: service, instance, failures, nanoseconds.
pub(crate) const ROUTE_REPORT: u32 = 7;

/// Changes, explains or asks routes; what is told of it: of a push the services that are held, of
/// an explanation JSON, of a pick the address.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_route<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
    kind: jint,
    text: JByteArray<'local>,
) -> JByteArray<'local> {
    guard::run(env, |env| {
        let opened = ENGINES.find(engine)?;
        let bytes = env.convert_byte_array(&text)?;
        let mut fields = Fields::of(&bytes);
        let text = fields.text()?;
        let engine = &opened.engine;
        let mut told = Vec::new();
        match kind.cast_unsigned() {
            ROUTE_LOAD => engine.load_routes(text)?,
            ROUTE_SET => engine.set_routes(naming::parse(text, "routes")?),
            ROUTE_PUSH => {
                for (name, _) in &engine.push_routes(naming::parse(text, "routes")?).held {
                    fields::put(&mut told, name.to_string().as_bytes());
                }
            }
            ROUTE_CONFIRM => {
                if !engine.confirm_routes(text) {
                    return Err(invalid(format!("nothing of service `{text}` is held")));
                }
            }
            ROUTE_EXPLAIN => told = engine.explain_routes_json().into_bytes(),
            ROUTE_PICK => told = engine.pick_route(text)?.to_string().into_bytes(),
            ROUTE_REPORT => {
                let (instance, count) = (fields.text()?, fields.small("the failures' count")?);
                let latency = Duration::from_nanos(fields.number()?.max(0).cast_unsigned());
                engine.report_route(text, instance, count, latency)?;
            }
            other => return Err(invalid(format!("routes are not changed in the way {other}"))),
        }
        Ok(env.byte_array_from_slice(&told)?)
    })
}

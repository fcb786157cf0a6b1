//! Attributes: what the business reports of itself, and everything that was counted.

use jni::EnvUnowned;
use jni::objects::{JByteArray, JClass};
use jni::sys::{jint, jlong};

use crate::engine::ENGINES;
use crate::fields::Fields;
use crate::guard::{self, invalid};

/// Adds to a sum.
pub(crate) const METRIC_ADD: u32 = 1;
/// Sets a value.
pub(crate) const METRIC_SET: u32 = 2;
/// Counts a value by its size.
pub(crate) const METRIC_RECORD: u32 = 3;

/// Reports an attribute: its name, and keys and values of its labels.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_metric<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    kind: jint,
    fields: JByteArray<'local>,
    amount: jlong,
) {
    guard::run(env, |env| {
        let bytes = env.convert_byte_array(&fields)?;
        let mut fields = Fields::of(&bytes);
        let name = fields.text()?;
        let mut labels = Vec::new();
        while !fields.is_empty() {
            labels.push((fields.text()?, fields.text()?));
        }
        match kind.cast_unsigned() {
            METRIC_ADD => msec::metric::add_with(name, amount.max(0).cast_unsigned(), &labels),
            METRIC_SET => msec::metric::set_with(name, amount, &labels),
            METRIC_RECORD => {
                msec::metric::record_with(name, amount.max(0).cast_unsigned(), &labels);
            }
            other => return Err(invalid(format!("a metric of kind {other}"))),
        }
        Ok(())
    });
}

/// Everything that was counted, in the text form of Prometheus.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_metrics<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
) -> JByteArray<'local> {
    guard::run(env, |env| {
        let snapshot = ENGINES.find(engine)?.engine.snapshot();
        Ok(env.byte_array_from_slice(msec::report::prometheus(&snapshot).as_bytes())?)
    })
}

//! The log.

use std::time::Duration;

use jni::EnvUnowned;
use jni::objects::{JByteArray, JClass};
use jni::sys::{jboolean, jint, jlong};
use msec::log::{self, Field, Level};

use crate::engine::ENGINES;
use crate::fields::Fields;
use crate::guard;

/// 0 trace, 1 debug, 2 info, 3 warn, 4 error, 5 fatal.
fn level(number: jint) -> Level {
    match number {
        ..=0 => Level::Trace,
        1 => Level::Debug,
        2 => Level::Info,
        3 => Level::Warn,
        4 => Level::Error,
        5.. => Level::Fatal,
    }
}

/// Whether records of that level are kept, of requests that are not dyed.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_logIsOn<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    level: jint,
) -> jboolean {
    guard::run(env, |_| Ok(log::is_on(self::level(level))))
}

/// Logs a record, whatever its level: its place in the program, its text, and keys and values of
/// its fields. `request` is the one that it is about; 0: none, and then there need be no engine.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_log<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
    request: jlong,
    level: jint,
    fields: JByteArray<'local>,
) {
    guard::run(env, |env| {
        let bytes = env.convert_byte_array(&fields)?;
        let mut fields = Fields::of(&bytes);
        let (source, text) = (fields.text()?, fields.text()?);
        let mut pairs = Vec::new();
        while !fields.is_empty() {
            pairs.push((fields.text()?, fields.text()?));
        }
        let fields: Vec<Field<'_>> = pairs.iter().map(|(key, value)| (*key, value as _)).collect();
        let write = || log::write(self::level(level), source, format_args!("{text}"), &fields);
        let within = ENGINES.find(engine).ok().and_then(|engine| {
            engine.bridge.held.with(request.cast_unsigned(), |request| request.within(write))
        });
        within.unwrap_or_else(write);
        Ok(())
    });
}

/// Waits until what was logged before is written, but not longer than `patience_ms`; whether it is.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_logFlush<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    patience_ms: jint,
) -> jboolean {
    let patience = Duration::from_millis(u64::try_from(patience_ms).unwrap_or(0));
    guard::run(env, |_| Ok(log::flush(patience)))
}

//! Requests that Java serves: answering them, and what is asked about one now and then.

use jni::EnvUnowned;
use jni::objects::{JByteArray, JClass};
use jni::sys::{jboolean, jint, jlong};

use crate::engine::ENGINES;
use crate::fields;
use crate::guard::{self, Result, invalid};
use crate::poller::{metadata, outcome};

/// Answers a request, from any thread: 0 and a body, or a code and its text. What was answered or
/// let go of before is left alone; whether it was not.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_answer<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
    request: jlong,
    code: jint,
    result: jint,
    body: JByteArray<'local>,
) -> jboolean {
    guard::run(env, |env| {
        let engine = ENGINES.find(engine)?;
        let body = env.convert_byte_array(&body)?;
        let Some(request) = engine.bridge.held.take(request.cast_unsigned()) else {
            return Ok(false);
        };
        request.set_result(result);
        request.answer(if code == 0 { Ok(body) } else { outcome(code, &body) });
        Ok(true)
    })
}

/// The body of a request, or of a result, that was too long for its record. A result's can be had
/// once.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_body<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
    is_request: jboolean,
    kept: jlong,
) -> JByteArray<'local> {
    guard::run(env, |env| {
        let (engine, kept) = (ENGINES.find(engine)?, kept.cast_unsigned());
        let body = if is_request {
            engine.bridge.held.with(kept, |request| request.body_bytes())
        } else {
            engine.bridge.replies.take(kept).map(|reply| reply.body)
        };
        let body = body.ok_or_else(|| invalid("the body is gone: its request is answered"))?;
        Ok(env.byte_array_from_slice(&body)?)
    })
}

/// Lets go of the long body of a result that nobody is there for; whether it was there.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_release<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
    kept: jlong,
) -> jboolean {
    guard::run(env, |_| {
        let engine = ENGINES.find(engine)?;
        Ok(engine.bridge.replies.take(kept.cast_unsigned()).is_some())
    })
}

/// Whether nobody waits for an answer any more; also once it is given, or the engine is closed.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_isCancelled<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
    request: jlong,
) -> jboolean {
    guard::run(env, |_| {
        let Ok(engine) = ENGINES.find(engine) else { return Ok(true) };
        let cancelled = |request: &mut msec::Deferred| request.is_cancelled();
        Ok(engine.bridge.held.with(request.cast_unsigned(), cancelled).unwrap_or(true))
    })
}

/// What is known of a request: its peer, who that is by its certificate, where it is in its trace,
/// and the user headers, as fields in this order; empty once it is answered, or the engine closed.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_facts<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
    request: jlong,
) -> JByteArray<'local> {
    guard::run(env, |env| {
        let Ok(engine) = ENGINES.find(engine) else { return bytes_or_nothing(env, None) };
        let told = engine.bridge.held.with(request.cast_unsigned(), |request| {
            let mut bytes = Vec::new();
            fields::put(&mut bytes, request.peer().as_bytes());
            let identity = request.identity();
            let subject = identity.as_ref().map_or("", |identity| identity.subject());
            fields::put(&mut bytes, subject.as_bytes());
            let parent = request.traceparent().map(|parent| parent.to_string());
            fields::put(&mut bytes, parent.unwrap_or_default().as_bytes());
            bytes.extend(metadata(request));
            bytes
        });
        bytes_or_nothing(env, told)
    })
}

fn bytes_or_nothing<'local>(
    env: &mut jni::Env<'local>,
    bytes: Option<Vec<u8>>,
) -> Result<JByteArray<'local>> {
    Ok(env.byte_array_from_slice(&bytes.unwrap_or_default())?)
}

//! A JVM as a worker of `msec host`.
//!
//! ```text
//!   hostJoin ─► engineOpen ─► serverStart, with 1 before its fields ─► hostWait ─► hostLeave
//! ```
//!
//! What is done for the supervisor is the same as in the worker of a plugin (`host/src/post.rs`);
//! a thread of Java's waits in [`Java_org_msec_Native_hostWait`], because it is Java that has to
//! know when the server stops.

use std::sync::{Arc, Mutex, MutexGuard};

use jni::EnvUnowned;
use jni::objects::{JByteArray, JClass};
use msec::{Code, Error, Server, ServerBuilder};
use msec_host::ini::Ini;
use msec_host::post::{Post, Serving};

use crate::engine::Opened;
use crate::fields::{self, Fields};
use crate::guard::{self, Result};

/// How far this process is as a worker: the steps come in this order, each once.
enum State {
    Nothing,
    Joined(Box<Post>),
    Serving(Box<Serving>),
}

static STATE: Mutex<State> = Mutex::new(State::Nothing);
/// What config.ini said when the process joined.
static CONFIG: Mutex<Option<Ini>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn out_of_order() -> guard::Failure {
    Error::new(Code::SYSTEM_ERROR, "the host has given its sockets to a server already").into()
}

/// Takes over what the supervisor has given to this process, as these texts tell. Once, before an
/// engine is opened. Returns `[SRPC] conf`, and which of the workers this is.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_hostJoin<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    texts: JByteArray<'local>,
) -> JByteArray<'local> {
    guard::run(env, |env| {
        let bytes = env.convert_byte_array(&texts)?;
        let mut texts = Fields::of(&bytes);
        let mut arguments = Vec::new();
        while !texts.is_empty() {
            arguments.push(texts.text()?.to_owned());
        }
        let post = Post::take(&arguments)?;
        let mut told = Vec::new();
        fields::put(&mut told, post.conf().as_bytes());
        told.extend((post.worker() as i64).to_le_bytes());
        *lock(&CONFIG) = Some(post.ini().clone());
        *lock(&STATE) = State::Joined(Box::new(post));
        Ok(env.byte_array_from_slice(&told)?)
    })
}

/// What config.ini says, by section and key; nothing at all if it does not say it.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_hostConfig<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    key: JByteArray<'local>,
) -> JByteArray<'local> {
    guard::run(env, |env| {
        let bytes = env.convert_byte_array(&key)?;
        let mut key = Fields::of(&bytes);
        let (section, key) = (key.text()?, key.text()?);
        let mut told = Vec::new();
        if let Some(value) = lock(&CONFIG).as_ref().and_then(|ini| ini.value(section, key)) {
            fields::put(&mut told, value.as_bytes());
        }
        Ok(env.byte_array_from_slice(&told)?)
    })
}

/// Starts the server of this worker, to which `describe` adds methods.
pub(crate) fn serve(
    engine: &Arc<Opened>,
    describe: impl FnOnce(ServerBuilder) -> Result<ServerBuilder>,
) -> Result<Arc<Server>> {
    let mut state = lock(&STATE);
    let State::Joined(post) = std::mem::replace(&mut *state, State::Nothing) else {
        return Err(out_of_order());
    };
    let builder = describe(post.builder())?;
    let serving = post.serve(builder, &engine.engine, engine.pulse())?;
    let server = serving.server().clone();
    *state = State::Serving(Box::new(serving));
    Ok(server)
}

/// Waits until the supervisor wants this worker to end.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_hostWait<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
) {
    guard::run(env, |_| {
        let State::Serving(mut serving) = std::mem::replace(&mut *lock(&STATE), State::Nothing)
        else {
            return Err(out_of_order());
        };
        serving.wait();
        *lock(&STATE) = State::Serving(serving);
        Ok(())
    });
}

/// Ends the worker's server as the supervisor wants: connections go to those who come next, or
/// peers are let leave; what is in flight is answered.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_hostLeave<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
) {
    guard::run(env, |_| {
        let State::Serving(serving) = std::mem::replace(&mut *lock(&STATE), State::Nothing) else {
            return Err(out_of_order());
        };
        Ok(serving.leave()?)
    });
}

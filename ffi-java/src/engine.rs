//! Engines: opening and closing, and the rounds of the poller.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jni::EnvUnowned;
use jni::objects::{JByteArray, JByteBuffer, JClass};
use jni::sys::{jint, jlong};
use msec::{Config, Engine};

use crate::buffers::Buffers;
use crate::fields::{self, Fields};
use crate::guard;
use crate::poller::{Bridge, Poller};
use crate::registry::Registry;

/// The engines that Java has.
pub(crate) static ENGINES: Registry<Opened> = Registry::new("engine");

/// An engine of Java's.
pub(crate) struct Opened {
    pub(crate) bridge: Arc<Bridge>,
    /// The poller's thread has it, round by round.
    poller: Mutex<Poller>,
    /// Counts up when the poller comes and when it goes: odd while it waits for something to do.
    rounds: AtomicU64,
    pub(crate) engine: Engine,
}

impl Opened {
    /// Has what is called each time tell whether the poller gets on: it waits for something to do,
    /// or has done so since the last time.
    pub(crate) fn pulse(self: &Arc<Self>) -> impl FnMut() -> bool + Send + 'static {
        let opened = Arc::downgrade(self);
        let mut last = u64::MAX;
        move || {
            let rounds = opened.upgrade().map(|opened| opened.rounds.load(Ordering::Relaxed));
            rounds.is_some_and(|rounds| {
                let before = std::mem::replace(&mut last, rounds);
                rounds % 2 == 1 || rounds != before
            })
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.bridge.clear();
    }
}

/// Opens an engine with settings: names, as in the environment, and values.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_engineOpen<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    settings: JByteArray<'local>,
) -> jlong {
    guard::run(env, |env| {
        let bytes = env.convert_byte_array(&settings)?;
        let mut settings = Fields::of(&bytes);
        let mut config = Config::from_env()?;
        while !settings.is_empty() {
            let (name, value) = (settings.text()?, settings.text()?);
            config = config.variable(name, value)?;
        }
        let engine = Engine::with(config)?;
        let (bridge, poller) = Bridge::open();
        let (poller, rounds) = (Mutex::new(poller), AtomicU64::new(0));
        Ok(ENGINES.open(Arc::new(Opened { bridge, poller, rounds, engine })))
    })
}

/// Closes an engine; its poller's round ends. Again has no effect.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_engineClose<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
) {
    guard::run(env, |_| {
        if let Some(engine) = ENGINES.close(engine) {
            engine.bridge.wake();
        }
        Ok(())
    });
}

/// What is in force of the configuration: names and values.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_engineConfig<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
) -> JByteArray<'local> {
    guard::run(env, |env| {
        let engine = ENGINES.find(engine)?;
        let mut bytes = Vec::new();
        for (name, value) in engine.engine.config().facts() {
            fields::put(&mut bytes, name.as_bytes());
            fields::put(&mut bytes, value.as_bytes());
        }
        Ok(env.byte_array_from_slice(&bytes)?)
    })
}

/// How many requests, calls and long bodies have a place here: once all of them have ended, none.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_held<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
) -> jint {
    guard::run(env, |_| {
        let bridge = &ENGINES.find(engine)?.bridge;
        let held = bridge.held.count() + bridge.calls.count() + bridge.replies.count();
        Ok(jint::try_from(held).unwrap_or(jint::MAX))
    })
}

/// Makes the calling thread the poller of an engine, with its buffers for records and answers.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_attach<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
    records: JByteBuffer<'local>,
    answers: JByteBuffer<'local>,
) {
    guard::run(env, |env| {
        let buffers = Buffers::of(env, &records, &answers)?;
        let opened = ENGINES.find(engine)?;
        // In its rounds the poller hardly ever lets go of it, so this must not wait.
        let poller = opened.poller.try_lock();
        poller.map_err(|_| guard::invalid("the engine has a poller already"))?.attach(buffers)
    });
}

/// A round of the poller: hands over so many bytes of answers, and waits for records at most
/// `patience_ns`. How many bytes of records there are; -1: the engine is closed.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_poll<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
    answers_bytes: jint,
    patience_ns: jlong,
) -> jint {
    guard::run(env, |_| {
        let patience = Duration::from_nanos(u64::try_from(patience_ns).unwrap_or(0));
        let Ok(opened) = ENGINES.find(engine) else { return Ok(-1) };
        let mut poller = opened.poller.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        opened.rounds.fetch_add(1, Ordering::Relaxed);
        let written = poller.poll(usize::try_from(answers_bytes).unwrap_or(0), patience);
        opened.rounds.fetch_add(1, Ordering::Relaxed);
        drop(poller);
        let written = written?;
        Ok(if ENGINES.find(engine).is_ok() { written as jint } else { -1 })
    })
}

/// Hands over so many bytes of answers, in the middle of a round.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_submit<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
    answers_bytes: jint,
) {
    guard::run(env, |_| {
        let bytes = usize::try_from(answers_bytes).unwrap_or(0);
        let opened = ENGINES.find(engine)?;
        let mut poller = opened.poller.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        poller.submit(bytes)
    });
}

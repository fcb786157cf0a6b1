//! The worker of a plugin: an engine, the plugin, and a line to the supervisor.
//!
//! This runs inside of libmsec, which `msec-worker` opens, so that the plugin and the worker have
//! one engine. How a plugin is loaded is the business of whoever calls [`run`]; here it is a
//! [`Business`]: things to do in this order.
//!
//! ```text
//!   load ─► engine ─► install (the plugin's init) ─► ready? ─► sockets ─► serve ─► leave ─► fini
//! ```

use std::path::Path;
use std::time::Duration;

use msec::{Config, Engine, Error, Result, ServerBuilder};
use msec_sys::process;

use crate::ini::Ini;
use crate::line::{self, FromWorker};
use crate::post::Post;

/// How often a plugin is asked whether it is ready.
const READY_REST: Duration = Duration::from_millis(10);

/// What a plugin is told about where it runs.
pub struct Surroundings {
    /// The engine that it is on.
    pub engine: Engine,
    /// `L1.L2`.
    pub service: String,
    /// `[SRPC] conf`.
    pub conf: String,
    /// The whole of config.ini.
    pub ini: Ini,
    /// Which of the workers this is, from 0.
    pub worker: usize,
}

/// A plugin that was loaded.
pub struct Business {
    /// Starts it and has it add its methods. Failing, it is not used any more.
    pub install: Install,
    /// Whether it can take calls; asked until it can.
    pub ready: Box<dyn Fn() -> bool>,
    /// Ends it; nothing of it runs any more.
    pub fini: Box<dyn FnOnce()>,
}

/// See [`Business::install`].
pub type Install = Box<dyn FnOnce(&Surroundings, ServerBuilder) -> Result<ServerBuilder>>;

/// Runs a worker from start to end; its exit status. `load` loads the plugin at a path.
///
/// On the main thread of a process that is nothing else. It does not return while the plugin runs.
pub fn run(arguments: &[String], load: impl FnOnce(&Path) -> Result<Business>) -> i32 {
    // Before any thread is started, and for as long as this runs.
    let held = process::TerminationSignals::block();
    let held = held.map_err(|error| Error::from_io("start a worker", &error));
    let taken = held.and_then(|signals| {
        let post = Post::take(arguments)?;
        msec::process::name_crashes()?;
        let control = post.line()?;
        Ok((signals, post, control))
    });
    let (_signals, post, control) = match taken {
        Ok(taken) => taken,
        Err(error) => {
            eprintln!("msec-worker: {}", sentence(&error));
            return 2;
        }
    };
    match serve(post, load) {
        Ok(()) => 0,
        Err(error) => {
            let why = sentence(&error);
            // The supervisor may be gone; then standard error has it.
            eprintln!("msec-worker: {why}");
            let _ = line::say(&control, &FromWorker::Failed(why).line());
            1
        }
    }
}

/// What went wrong, without a code: there is no caller who would have it.
pub(crate) fn sentence(error: &Error) -> String {
    match error.operation() {
        "" => error.message().to_owned(),
        operation => format!("cannot {operation}: {}", error.message()),
    }
}

fn serve(post: Post, load: impl FnOnce(&Path) -> Result<Business>) -> Result<()> {
    let business = load(&post.arguments().plugin)?;
    let engine = Engine::with(Config::from_env()?)?;
    let surroundings = Surroundings {
        engine: engine.clone(),
        service: post.service().to_owned(),
        conf: post.conf().to_owned(),
        ini: post.ini().clone(),
        worker: post.worker(),
    };
    let builder = (business.install)(&surroundings, post.builder())?;
    while !(business.ready)() {
        post.rest(READY_REST)?;
    }
    post.wait_for_signals()?;
    let mut serving = post.serve(builder, &engine, || true)?;
    serving.wait();
    serving.leave()?;
    (business.fini)();
    msec::log::flush(Duration::from_secs(1));
    Ok(())
}

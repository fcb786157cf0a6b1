//! What runs the workers of a generation: `msec-worker` for a plugin, a JVM for a jar.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use msec::{Code, Error, Result};
use msec_sys::process::Target;

use crate::hook;
use crate::jvm::Jvm;
use crate::place::Place;
use crate::settings::Settings;
use crate::start::Programs;

/// What is looked for where no module is named.
const PLUGIN: &str = "./msec.so";
const JAR: &str = "./msec.jar";

/// See the head of this file.
#[derive(Debug)]
pub(crate) enum Runner {
    /// The program that loads plugins, and the LD_PRELOAD that it is started with.
    Plugin(PathBuf, Option<OsString>),
    Jar(Jvm),
}

impl Runner {
    /// What a service is to be run by, and its module, as a path from bin/.
    ///
    /// # Errors
    /// -1 two modules are there, and none is named; -2 a jar, and no JVM for it, or a hook that is
    /// not there.
    pub(crate) fn of(
        programs: &Programs,
        settings: &Settings,
        place: &Place,
    ) -> Result<(Runner, PathBuf)> {
        let module = Runner::module(settings, place)?;
        let runner = if is_jar(&module) {
            Runner::Jar(Jvm::find(programs, &settings.java, place)?)
        } else {
            let preload = hook::preload(programs, settings.hook)?;
            Runner::Plugin(programs.worker.clone(), preload)
        };
        Ok((runner, module))
    }

    /// The module, as a path from bin/.
    ///
    /// # Errors
    /// -1 two modules are there, and none is named.
    pub(crate) fn module(settings: &Settings, place: &Place) -> Result<PathBuf> {
        match &settings.module {
            Some(module) => Ok(module.clone()),
            None => the_one_there(&place.bin()).map(PathBuf::from),
        }
    }

    pub(crate) fn program(&self) -> &Path {
        match self {
            Runner::Plugin(program, _) => program,
            Runner::Jar(jvm) => jvm.program(),
        }
    }

    /// The arguments to run this copy of the module as the worker that is told these.
    pub(crate) fn arguments(&self, module: &Path, told: Vec<String>) -> Vec<String> {
        match self {
            Runner::Plugin(..) => told,
            Runner::Jar(jvm) => jvm.arguments(module, &told),
        }
    }

    /// The LD_PRELOAD that it is to have, unless that is the one of this process.
    pub(crate) fn preload(&self) -> Option<&OsStr> {
        match self {
            Runner::Plugin(_, preload) => preload.as_deref(),
            Runner::Jar(_) => None,
        }
    }

    /// Has a worker that hangs say where it is. A JVM does so and goes on; the other one ends.
    pub(crate) fn ask_where(&self, worker: &Target) {
        match self {
            Runner::Plugin(..) => worker.abort(),
            Runner::Jar(_) => worker.quit(),
        }
    }

    pub(crate) fn is_jvm(&self) -> bool {
        matches!(self, Runner::Jar(_))
    }
}

/// Whether a module is run by a JVM.
pub(crate) fn is_jar(module: &Path) -> bool {
    module.extension().is_some_and(|extension| extension == "jar")
}

/// The plugin, unless a jar is there in its place.
fn the_one_there(bin: &Path) -> Result<&'static str> {
    match (bin.join(PLUGIN).is_file(), bin.join(JAR).is_file()) {
        (true, true) => {
            let text = format!(
                "msec.so and msec.jar are both in {}: remove the one that is not to run, or name \
                 the one that is in [SRPC] module",
                bin.display()
            );
            Err(Error::new(Code::INVALID_PARAMETER, text))
        }
        (false, true) => Ok(JAR),
        (true | false, false) => Ok(PLUGIN),
    }
}

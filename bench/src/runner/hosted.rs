//! A C++ plugin, or a jar, under `msec host`, as a server that is measured: its worker is the
//! process whose time counts.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::jvm::Jdk;
use super::launch::{Hosting, Site};

/// The service that it is.
const SERVICE: &str = "Bench.echo";

/// What a host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Business {
    /// The C++ plugin.
    Plugin,
    /// The server in Java, on the oldest JVM that it runs on.
    Jar,
}

impl Business {
    /// Its name in the folder of the service.
    pub fn file(self) -> &'static str {
        match self {
            Business::Plugin => "msec.so",
            Business::Jar => "msec.jar",
        }
    }

    fn source(self, site: &Site) -> PathBuf {
        match self {
            Business::Plugin => site.cpp.join("msec.so"),
            Business::Jar => site.java.msec.clone(),
        }
    }

    /// Lines of config.ini.
    fn settings(self, site: &Site) -> String {
        match self {
            Business::Plugin => String::new(),
            Business::Jar => site.java.settings(Jdk::V17),
        }
    }
}

/// A root with a service in it. Removed when dropped.
#[derive(Debug)]
pub struct Hosted {
    root: PathBuf,
    msec: PathBuf,
    source: PathBuf,
    file: &'static str,
}

impl Hosted {
    /// Prepares it for an address; nothing runs yet.
    pub fn prepare(
        site: &Site,
        address: SocketAddr,
        hosting: &Hosting<'_>,
    ) -> Result<Self, String> {
        let root = site.logs.join(format!("hosted-{}", address.port()));
        let (source, file) = (hosting.business.source(site), hosting.business.file());
        let hosted = Hosted { root, msec: site.msec.clone(), source, file };
        let folder = hosted.folder();
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        for name in ["bin", "etc"] {
            fs::create_dir_all(folder.join(name)).map_err(failed)?;
        }
        hosted.install()?;
        // As the others are measured: by io_uring, without spans and metrics by caller.
        let cores = hosting.cpus.len();
        let next = hosting.next.map_or_else(String::new, |next| next.to_string());
        let config = format!(
            "[SRPC]\nlisten = {address}/tcp {address}/udp\ncores = {cores}\n\
             [ENGINE]\nio = uring\nreport = off\n{settings}\n\
             [BENCH]\nnext = {next}\n{business}",
            settings = hosting.settings,
            business = hosting.business.settings(site)
        );
        fs::write(folder.join("etc/config.ini"), config).map_err(failed)?;
        Ok(hosted)
    }

    /// Puts it there, as one does who builds a new one.
    pub fn install(&self) -> Result<(), String> {
        let bin = self.folder().join("bin");
        let (new, path) = (bin.join("new"), bin.join(self.file));
        fs::copy(&self.source, &new)
            .and_then(|_| fs::rename(&new, &path))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The command that runs it in the foreground.
    pub fn command(&self) -> Command {
        let mut command = self.host("start");
        command.arg("--foreground").stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Has it loaded anew.
    pub fn reload(&self) -> Result<(), String> {
        self.install()?;
        let output = self.host("reload").output().map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// The process of its worker: the newest child of the supervisor.
    pub fn worker(supervisor: u32) -> Option<u32> {
        let tasks = fs::read_dir(format!("/proc/{supervisor}/task")).ok()?;
        let children =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
        let all: String = children.collect::<Vec<_>>().join(" ");
        all.split_whitespace().filter_map(|pid| pid.parse().ok()).max()
    }

    fn host(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.msec);
        command.args(["host", verb, SERVICE, "--root"]).arg(&self.root);
        command
    }

    fn folder(&self) -> PathBuf {
        self.root.join(SERVICE.replace('.', "/"))
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.host("kill").output();
        let _ = fs::remove_dir_all(&self.root);
    }
}

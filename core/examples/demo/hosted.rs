//! A service under `msec host`: a plugin in C++, or a jar.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::service;

/// It runs in the foreground of a supervisor that is our child. Dropped, it is killed.
pub(crate) struct Hosted {
    service: &'static str,
    root: PathBuf,
    host: Child,
    address: String,
    /// A reload that is under way.
    reloading: Option<Child>,
    reloads: u64,
}

impl Hosted {
    /// Starts the service with a module, `msec.so` or `msec.jar`, on one core at a free port.
    /// `config` is the rest of its configuration.
    pub(crate) fn start(
        service: &'static str,
        module: &Path,
        config: &str,
    ) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("msec-demo-{}-{service}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let folder = root.join(service.replace('.', "/"));
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        for inside in ["bin", "etc", "log"] {
            fs::create_dir_all(folder.join(inside)).map_err(failed)?;
        }
        let file = module.file_name().unwrap_or_default();
        fs::copy(module, folder.join("bin").join(file))
            .map_err(|error| format!("{}: {error}", module.display()))?;
        let config = format!(
            "[SRPC]\nlisten = 127.0.0.1:0/tcp\ncores = 1\n[JAVA]\noptions = -Xmx128m\n{config}"
        );
        fs::write(folder.join("etc/config.ini"), config).map_err(failed)?;
        let log = fs::File::create(folder.join("log/host.log")).map_err(failed)?;
        let mut command = service::command(&msec());
        command.args(["host", "start", service, "--foreground", "--root"]).arg(&root);
        let mut host = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", msec().display()))?;
        let mut line = String::new();
        if let Some(out) = host.stdout.take() {
            // An error is an end, which is looked at below.
            let _ = BufReader::new(out).read_line(&mut line);
        }
        let (address, reloading) = (String::new(), None);
        let mut hosted = Self { service, root, host, address, reloading, reloads: 0 };
        if line.is_empty() {
            let log = fs::read_to_string(folder.join("log/host.log")).unwrap_or_default();
            return Err(format!("{service} does not start: {log}"));
        }
        let shown = said(hosted.command("show").output())?;
        let listens = shown.lines().find_map(|line| line.strip_prefix("listens "));
        hosted.address = listens.unwrap_or_default().trim().to_owned();
        Ok(hosted)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What it has logged, its worker's and its supervisor's lines.
    #[allow(dead_code, reason = "one of two programs that have this file looks")]
    pub(crate) fn log(&self) -> String {
        let folder = self.root.join(self.service.replace('.', "/")).join("log");
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        files.map(|file| fs::read_to_string(file.path()).unwrap_or_default()).collect()
    }

    /// Has it loaded anew, and does not wait for that.
    pub(crate) fn reload(&mut self) -> Result<(), String> {
        self.reloaded()?;
        let mut command = self.command("reload");
        let begun = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        self.reloading = Some(begun.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// How often it was loaded anew, once that is done.
    pub(crate) fn reloaded(&mut self) -> Result<u64, String> {
        if let Some(reloading) = self.reloading.take() {
            said(reloading.wait_with_output())?;
            self.reloads += 1;
        }
        Ok(self.reloads)
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        self.reloaded()?;
        said(self.command("stop").output()).map(drop)
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(msec());
        command.args(["host", verb, self.service, "--root"]).arg(&self.root);
        command
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        // Most often it has ended.
        let _ = self.command("kill").output();
        let _ = self.host.wait();
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// What a command said that was to succeed.
pub(crate) fn said(output: std::io::Result<Output>) -> Result<String, String> {
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The command beside the examples.
pub(crate) fn msec() -> PathBuf {
    let demo = std::env::current_exe().unwrap_or_default();
    demo.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("msec")
}

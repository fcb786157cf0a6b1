//! A service that `msec host` runs, in a root of its own, with the plugin of the tests or a jar.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use msec::{CallOptions, Client, Engine};

use crate::programs::{command, repository, run};
use crate::wait_until;

/// The service that is run.
pub const SERVICE: &str = "Test.plugin";
/// The plugins that this process has compiled. One at a time does: others may want the same.
static COMPILED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static ROOTS: AtomicUsize = AtomicUsize::new(0);

/// A service below a root. Dropped, it is killed, and the root removed.
pub struct Hosted {
    root: PathBuf,
}

/// Compiles the plugin of the tests with these flags; where it is.
pub fn plugin(flags: &[&str]) -> PathBuf {
    plugin_of("ffi-c/tests/plugin.cpp", "c++", flags)
}

/// As [`plugin`], of another source of the repository and by another compiler; it may have flags.
pub fn plugin_of(source: &str, compiler: &str, flags: &[&str]) -> PathBuf {
    let mut compiled = COMPILED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = command("tmp").join("hosted");
    fs::create_dir_all(&folder).unwrap();
    let whole = [source, compiler, &flags.concat()].join("-");
    let name = whole.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    let path = folder.join(format!("{name}.so"));
    if compiled.insert(path.clone()) {
        // Another process may use the one that is there.
        let new = path.with_extension(format!("so.{}", std::process::id()));
        let library = command("libmsec.so");
        let mut words = compiler.split(' ');
        let mut compile = Command::new(words.next().unwrap());
        compile.args(words);
        if !source.ends_with(".c") {
            compile.arg("-std=c++17");
        }
        compile.args(["-g", "-O1", "-fPIC", "-shared", "-Wall", "-Werror"]);
        compile.args(flags).arg("-I").arg(repository().join("include"));
        compile.arg(repository().join(source)).arg("-o").arg(&new);
        run(compile.arg("-L").arg(library.parent().unwrap()).arg("-lmsec"));
        fs::rename(new, &path).unwrap();
    }
    path
}

impl Hosted {
    /// A service that is not started yet, with this plugin or jar, if any, and this configuration.
    pub fn new(plugin: Option<&Path>, config: &str) -> Hosted {
        let number = ROOTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("msec-hosted-{}-{number}", std::process::id());
        let hosted = Hosted { root: std::env::temp_dir().join(name) };
        for folder in ["bin", "etc"] {
            fs::create_dir_all(hosted.folder().join(folder)).unwrap();
        }
        if let Some(plugin) = plugin {
            hosted.install(plugin);
        }
        hosted.configure(config);
        hosted
    }

    /// A service that runs, at a free TCP port, with a core.
    pub fn start(plugin: &Path, config: &str) -> Hosted {
        let listen = "[SRPC]\nlisten=127.0.0.1:0/tcp\ncores=1\n";
        let hosted = Hosted::new(Some(plugin), &format!("{listen}{config}"));
        let (ok, said) = hosted.host("start");
        assert!(ok, "{said}{}", hosted.log());
        assert_eq!(said, format!("Server({SERVICE}) start ok.\n"));
        hosted
    }

    /// Replaces the plugin or the jar, as one does who builds a new one.
    pub fn install(&self, plugin: &Path) {
        let kind = plugin.extension().filter(|kind| *kind == "jar").unwrap_or("so".as_ref());
        let path = self.plugin().with_extension(kind);
        let new = path.with_extension("new");
        fs::copy(plugin, &new).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Where its plugin is.
    pub fn plugin(&self) -> PathBuf {
        self.folder().join("bin/msec.so")
    }

    /// Writes config.ini.
    pub fn configure(&self, config: &str) {
        fs::write(self.folder().join("etc/config.ini"), config).unwrap();
    }

    /// The folder of the service.
    pub fn folder(&self) -> PathBuf {
        self.root.join(SERVICE.replace('.', "/"))
    }

    /// Where services are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Runs `msec host` with a verb; whether it succeeded, and all that it said.
    pub fn host(&self, verb: &str) -> (bool, String) {
        let output = self.command(verb).output().unwrap();
        (output.status.success(), all(&output))
    }

    /// A reload with that configuration, which fails and says why.
    #[track_caller]
    pub fn reload_fails(&self, config: &str, why: &str) {
        self.configure(config);
        let mut said = (true, String::new());
        wait_until("the last attempt to be over", || {
            said = self.host("reload");
            !said.1.contains("under way")
        });
        assert!(!said.0 && said.1.contains(why), "`{why}` is not in `{}`", said.1);
    }

    /// The command itself.
    pub fn command(&self, verb: &str) -> Command {
        let mut host = Command::new(command("msec"));
        host.args(["host", verb, SERVICE, "--root"]).arg(&self.root);
        host
    }

    /// Where it listens: those of `show`, in its order.
    pub fn addresses(&self) -> Vec<String> {
        let (ok, said) = self.host("show");
        assert!(ok, "{said}");
        let line = said.lines().find_map(|line| line.strip_prefix("listens ")).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// Its first address.
    pub fn address(&self) -> String {
        self.addresses().remove(0)
    }

    /// The states of its workers by `show`: generation, worker, process, state, restarts.
    pub fn workers(&self) -> Vec<[String; 5]> {
        let (_, said) = self.host("show");
        let rows = said.lines().map(|line| line.split_whitespace().map(str::to_owned).collect());
        let rows = rows.filter_map(|row: Vec<String>| <[String; 5]>::try_from(row).ok());
        rows.filter(|row| row[0].parse::<u32>().is_ok()).collect()
    }

    /// What the supervisor and its workers have written.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log/host.log")).unwrap_or_default()
    }

    /// Waits for a text in the log.
    #[track_caller]
    pub fn wait_for_log(&self, part: &str) {
        wait_until(&format!("`{part}` in {}", self.log()), || self.log().contains(part));
    }

    /// The reports of crashes, the oldest first.
    pub fn reports(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder().join("log/crash")) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        // A JVM's own are there, too.
        paths.retain(|path| path.extension().is_some_and(|kind| kind == "txt"));
        paths.sort();
        paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    /// Calls a method of it, once.
    pub fn call(&self, engine: &Engine, method: &str, body: &[u8]) -> msec::Result<String> {
        let client = Client::new(engine, &self.address())?;
        let reply = client.call_raw(method, body, &CallOptions::new())?;
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        let _ = self.host("kill");
        // Where a test failed, its log may say why.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

/// What a command said on both outputs.
fn all(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    texts.concat()
}

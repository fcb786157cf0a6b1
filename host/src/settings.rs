//! What `config.ini` may say, and what it means here.
//!
//! The table [`KEYS`] is the one place that knows the keys: `msec config explain` prints it, and
//! what is not in it is warned about. Keys that the original had are taken as they were; where
//! something of it does not exist any more, the key is known and has no effect. Every setting of
//! the engine is a key of `[ENGINE]`: what the environment calls `MSEC_STALL_MS` is `stall_ms`
//! there. Sections that are not in the table belong to the plugin.

use std::path::{Path, PathBuf};
use std::time::Duration;

use msec::{Code, Config, Error, Result};

use crate::ini::{Entry, Ini};
use crate::place::Place;
use crate::plugin;
use crate::runner::{Runner, is_jar};
use crate::sockets::Address;

/// A key of `config.ini`.
#[derive(Debug)]
pub struct Key {
    /// The section that it is in.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// What it does, with its unit and range.
    pub meaning: &'static str,
}

/// All keys but those of `[ENGINE]`.
pub const KEYS: &[Key] = &[
    Key {
        section: "SRPC",
        name: "listen",
        default: "all:7963/udp all:7963/tcp",
        meaning: "where calls are taken, with blanks between: [interface:]port/tcp, /udp or /tls, \
                  ip:port/tcp, or unix:/path; `all` is every address of IPv4",
    },
    Key {
        section: "SRPC",
        name: "admin",
        default: "",
        meaning: "where the pages are, and nowhere else then: addresses as of listen; each worker \
                  has its own, so with procnum above 1 the port counts up",
    },
    Key {
        section: "SRPC",
        name: "module",
        default: "",
        meaning: "the plugin, or a jar for a JVM; relative to bin/. Without: ./msec.so or \
                  ./msec.jar, whichever is there",
    },
    Key {
        section: "SRPC",
        name: "conf",
        default: "",
        meaning: "a text that the plugin is given at its start, by custom a path",
    },
    Key { section: "SRPC", name: "procnum", default: "1", meaning: "worker processes, 1 to 64" },
    Key {
        section: "SRPC",
        name: "cores",
        default: "0",
        meaning: "core threads of each worker, 1 to 255; 0: one for a plugin that was written for \
                  the original, else the CPUs that there are, divided among the workers",
    },
    Key {
        section: "SRPC",
        name: "heartbeat",
        default: "10",
        meaning: "seconds, 1 to 3600, after which a worker that shows no sign of life is replaced",
    },
    Key {
        section: "SRPC",
        name: "msg_timeout",
        default: "0",
        meaning: "milliseconds after which a request is not worth starting whose caller does not \
                  say how long it waits: it is answered with -102. 0: a minute",
    },
    Key { section: "SRPC", name: "reload", default: "1", meaning: "0: `reload` is refused" },
    Key {
        section: "SRPC",
        name: "ready_ms",
        default: "30000",
        meaning: "milliseconds that a plugin may take to start, 100 to 600000",
    },
    Key {
        section: "SRPC",
        name: "drain_max_s",
        default: "30",
        meaning: "seconds, 0 to 3600, that peers have to leave a worker which is to end",
    },
    Key {
        section: "SRPC",
        name: "hook",
        default: "0",
        meaning: "1: libraries that block, as clients of databases do, suspend the request instead \
                  of its core: workers are started with libmsec_hook. diagnose: as 1, and mutexes \
                  that are held meanwhile are named in the log. No effect on a jar",
    },
    Key {
        section: "SRPC",
        name: "shmsize",
        default: "16",
        meaning: "no effect: the queues in shared memory are gone",
    },
    Key {
        section: "JAVA",
        name: "home",
        default: "",
        meaning: "folder of the JDK that runs msec.jar, 17 or newer. Without: $JAVA_HOME, or the \
                  java of $PATH",
    },
    Key {
        section: "JAVA",
        name: "java",
        default: "",
        meaning: "the program java itself, in place of home",
    },
    Key {
        section: "JAVA",
        name: "main",
        default: "",
        meaning: "class with the method main; bin/lib/*.jar are found then, too. Without: what the \
                  manifest of msec.jar says, which is run as by java -jar",
    },
    Key {
        section: "JAVA",
        name: "options",
        default: "",
        meaning: "options for the JVM, with blanks between; double quotes keep blanks: -Xmx512m \
                  \"-Dname=a b\"",
    },
    Key {
        section: "LOG",
        name: "Level",
        default: "INFO",
        meaning: "least level of the log: TRACE, DEBUG, INFO, WARN, ERROR, FATAL; a change holds \
                  within a second",
    },
    Key { section: "LOG", name: "FileMax", default: "10", meaning: "files of the log, 1 to 1000" },
    Key {
        section: "LOG",
        name: "FileSize",
        default: "10240000",
        meaning: "bytes of a file of the log, 4096 or more",
    },
    Key {
        section: "COLOR",
        name: "FieldName0",
        default: "",
        meaning: "a log option whose value, FieldValue0, has a request dyed: all its log lines and \
                  spans are kept. And so on up to 999. A change holds within a second",
    },
    Key { section: "COLOR", name: "FieldValue0", default: "", meaning: "see FieldName0" },
    Key {
        section: "TLS",
        name: "certificate",
        default: "",
        meaning: "file of the certificate chain that is shown at addresses with /tls (PEM)",
    },
    Key { section: "TLS", name: "key", default: "", meaning: "file of its private key (PEM)" },
    Key {
        section: "TLS",
        name: "client_ca",
        default: "",
        meaning: "file of the CAs that clients' certificates must be of; without, none is asked \
                  for",
    },
];

/// Variables of the environment that other keys set, or the supervisor.
const NOT_OF_ENGINE: [&str; 6] = [
    "MSEC_CORES",
    "MSEC_LOG",
    "MSEC_LOG_FOLDER",
    "MSEC_LOG_FILES",
    "MSEC_LOG_FILE_BYTES",
    "MSEC_SERVICE",
];
/// Worker processes at most; more cores are threads.
const PROCNUM_MAX: u64 = 64;
/// Pairs of `[COLOR]`.
const COLORS_MAX: usize = 1000;

/// What a service is run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where calls are taken.
    pub listen: Vec<Address>,
    /// Where the pages are; empty: with the calls.
    pub admin: Vec<Address>,
    /// The plugin or the jar, as a path from bin/; `None`: the one that is there.
    pub module: Option<PathBuf>,
    /// How a jar is run.
    pub java: Java,
    /// For the plugin.
    pub conf: String,
    /// Worker processes.
    pub procnum: usize,
    /// Core threads of each.
    pub cores: usize,
    /// After so long without a sign of life a worker is replaced.
    pub heartbeat: Duration,
    /// Whether `reload` is allowed.
    pub reload: bool,
    /// How long a plugin may take to start.
    pub ready: Duration,
    /// How long peers have to leave.
    pub drain_max: Duration,
    /// Whether calls that block are hooked.
    pub hook: Hook,
    /// Variables for the environment of workers.
    pub variables: Vec<(String, String)>,
    /// Certificate, key and CA of clients.
    pub tls: Option<Tls>,
    /// What is odd about the file, but no reason not to start.
    pub warnings: Vec<String>,
}

/// What stands between the plugin and the C library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hook {
    /// Nothing.
    #[default]
    Off,
    /// Calls that block suspend the coroutine.
    On,
    /// And mutexes are watched.
    Diagnose,
}

/// What `[JAVA]` says of the JVM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Java {
    /// The folder of the JDK.
    pub home: Option<PathBuf>,
    /// The program itself.
    pub java: Option<PathBuf>,
    /// The class that is run; `None`: the manifest says it.
    pub main: Option<String>,
    /// Options for the JVM.
    pub options: Vec<String>,
}

/// Files for addresses with `/tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The chain that is shown.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Whom clients' certificates must be of.
    pub client_ca: Option<PathBuf>,
}

impl Settings {
    /// Reads the file of a service; one that is not there says nothing.
    ///
    /// # Errors
    /// -1, naming the key, its value and what is allowed; -2 for a file that cannot be read.
    pub fn load(path: &Path, cpus: usize) -> Result<Settings> {
        let (content, missing) = match std::fs::read(path) {
            Ok(content) => (content, None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                (Vec::new(), Some(format!("{} is not there: defaults hold", path.display())))
            }
            Err(error) => {
                return Err(Error::from_io(&format!("read {}", path.display()), &error));
            }
        };
        let mut settings = Settings::of(&Ini::parse(content)?, cpus)?;
        settings.warnings.extend(missing);
        Ok(settings)
    }

    /// As [`Settings::load`], of a service: if its plugin was written for a single thread, a worker
    /// has one core unless the file says how many; and a jar has no use for the hook.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn of_service(place: &Place, cpus: usize) -> Result<Settings> {
        let settings = Settings::load(&place.config(), cpus)?;
        // What is wrong with the module is told by who starts it.
        let module = Runner::module(&settings, place).map(|module| place.bin().join(module));
        let Ok(module) = module else { return Ok(settings) };
        if is_jar(&module) {
            return Ok(settings.unhooked());
        }
        match plugin::wants_one_core(&module) {
            true => Settings::load(&place.config(), 1),
            false => Ok(settings),
        }
    }

    /// For a jar. A JVM has locks, stacks and threads of its own, and Java never runs on a
    /// coroutine that could be suspended.
    fn unhooked(mut self) -> Settings {
        if std::mem::take(&mut self.hook) != Hook::Off {
            let text = "[SRPC] hook has no effect on a jar: the JVM is started without it, and \
                        handlers in Java may block, since each has a thread; set hook=0";
            self.warnings.push(text.into());
        }
        self
    }

    /// What a file that was read means, on a machine with so many CPUs.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn of(ini: &Ini, cpus: usize) -> Result<Settings> {
        let read = Reader { ini };
        let procnum = read.number("procnum", 1, PROCNUM_MAX)? as usize;
        let cores = match read.number("cores", 0, 255)? as usize {
            0 => (cpus / procnum).max(1),
            cores => cores,
        };
        let tls = read.tls()?;
        let listen = read.addresses("listen")?;
        if let Some(secured) = listen.iter().find(|address| address.is_tls())
            && tls.is_none()
        {
            let text = format!("[SRPC] listen has {secured}, but [TLS] certificate is not set");
            return Err(Error::new(Code::INVALID_PARAMETER, text));
        }
        let ms = |ms| Duration::from_millis(ms);
        Ok(Settings {
            listen,
            admin: read.addresses("admin")?,
            module: read.set("SRPC", "module").map(PathBuf::from),
            java: read.java()?,
            conf: read.text("SRPC", "conf").into(),
            procnum,
            cores,
            heartbeat: Duration::from_secs(read.number("heartbeat", 1, 3600)?),
            reload: read.number("reload", 0, 1)? == 1,
            ready: ms(read.number("ready_ms", 100, 600_000)?),
            drain_max: Duration::from_secs(read.number("drain_max_s", 0, 3600)?),
            hook: read.hook()?,
            variables: read.variables(cores)?,
            tls,
            warnings: read.warnings(),
        })
    }

    /// What a running service cannot take over from other settings: it is named. Sockets and the
    /// number of those who have them stay as they are while a service runs.
    pub fn needs_restart(&self, other: &Settings) -> Option<String> {
        let changed = [
            ("listen", self.listen != other.listen),
            ("admin", self.admin != other.admin),
            ("procnum", self.procnum != other.procnum),
            ("cores", self.cores != other.cores),
        ];
        let names = changed.iter().filter(|(_, changed)| *changed).map(|(name, _)| *name);
        let names = names.collect::<Vec<_>>().join(" and ");
        let is = if names.is_empty() { None } else { Some(names) };
        is.map(|names| format!("[SRPC] {names} changed, which takes a restart"))
    }
}

/// Reads what is there, and defaults where it is not.
struct Reader<'a> {
    ini: &'a Ini,
}

impl Reader<'_> {
    /// A value, or its default if it is missing or empty.
    fn text(&self, section: &str, name: &str) -> &str {
        let given = self.ini.value(section, name).filter(|value| !value.is_empty());
        given.unwrap_or_else(|| find(section, name).map_or("", |key| key.default))
    }

    /// A value that has no default; `None` if it is missing or empty.
    fn set(&self, section: &str, name: &str) -> Option<String> {
        Some(self.text(section, name)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn java(&self) -> Result<Java> {
        let options = words(self.text("JAVA", "options")).ok_or_else(|| {
            let text = "[JAVA] options has a double quote without its other one";
            Error::new(Code::INVALID_PARAMETER, text)
        })?;
        Ok(Java {
            home: self.set("JAVA", "home").map(PathBuf::from),
            java: self.set("JAVA", "java").map(PathBuf::from),
            main: self.set("JAVA", "main"),
            options,
        })
    }

    /// A whole number of `[SRPC]`.
    fn number(&self, name: &str, least: u64, most: u64) -> Result<u64> {
        let text = self.text("SRPC", name);
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| {
            let text = format!("[SRPC] {name} is `{text}`; allowed is {least} to {most}");
            Error::new(Code::INVALID_PARAMETER, text)
        })
    }

    fn hook(&self) -> Result<Hook> {
        match self.text("SRPC", "hook") {
            "0" => Ok(Hook::Off),
            "1" => Ok(Hook::On),
            "diagnose" => Ok(Hook::Diagnose),
            text => {
                let text = format!("[SRPC] hook is `{text}`; allowed is 0, 1 or diagnose");
                Err(Error::new(Code::INVALID_PARAMETER, text))
            }
        }
    }

    fn addresses(&self, name: &str) -> Result<Vec<Address>> {
        let mut found: Vec<Address> = Vec::new();
        for text in self.text("SRPC", name).split_whitespace() {
            let addresses = Address::parse(text).map_err(|what| {
                let text = format!("[SRPC] {name} has `{text}`: {what}");
                Error::new(Code::INVALID_ENDPOINT, text)
            })?;
            for address in addresses {
                if found.contains(&address) && !address.takes_a_free_port() {
                    let text = format!("[SRPC] {name} has {address} twice");
                    return Err(Error::new(Code::INVALID_ENDPOINT, text));
                }
                found.push(address);
            }
        }
        Ok(found)
    }

    fn tls(&self) -> Result<Option<Tls>> {
        let path = |name| self.set("TLS", name).map(PathBuf::from);
        match (path("certificate"), path("key")) {
            (Some(certificate), Some(key)) => {
                Ok(Some(Tls { certificate, key, client_ca: path("client_ca") }))
            }
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => {
                let text = "[TLS] has one of certificate and key without the other";
                Err(Error::new(Code::INVALID_PARAMETER, text))
            }
        }
    }

    /// What the engine of a worker is told.
    fn variables(&self, cores: usize) -> Result<Vec<(String, String)>> {
        let mut set = vec![("MSEC_CORES".to_owned(), cores.to_string())];
        let named = [
            ("MSEC_LOG", "LOG", "Level"),
            ("MSEC_LOG_FILES", "LOG", "FileMax"),
            ("MSEC_LOG_FILE_BYTES", "LOG", "FileSize"),
            ("MSEC_DEADLINE_MS", "SRPC", "msg_timeout"),
        ];
        for (variable, section, name) in named {
            let value = self.text(section, name).to_lowercase();
            if value == "0" && name == "msg_timeout" {
                continue;
            }
            check(variable, &value, section, name)?;
            set.push((variable.into(), value));
        }
        let dye = self.dye();
        if !dye.is_empty() {
            check("MSEC_DYE", &dye, "COLOR", "FieldName0")?;
            set.push(("MSEC_DYE".into(), dye));
        }
        for entry in self.ini.entries().iter().filter(|entry| entry.section == "ENGINE") {
            let Some(variable) = variable_of(&entry.key) else { continue };
            check(variable, &entry.value, "ENGINE", &entry.key)?;
            set.retain(|(known, _)| known != variable);
            set.push((variable.into(), entry.value.clone()));
        }
        Ok(set)
    }

    /// The pairs of `[COLOR]` as rules, up to the first number that is missing.
    fn dye(&self) -> String {
        let pair = |number: usize| {
            let name = self.ini.value("COLOR", &format!("FieldName{number}"))?;
            let value = self.ini.value("COLOR", &format!("FieldValue{number}"))?;
            Some(format!("{name}={value}"))
        };
        (0..COLORS_MAX).map_while(pair).collect::<Vec<_>>().join("; ")
    }

    fn warnings(&self) -> Vec<String> {
        self.ini.entries().iter().filter_map(odd).collect()
    }
}

/// Words with blanks between; within double quotes, blanks belong to the word. `None` where a
/// quote is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    for letter in text.chars() {
        match letter {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            blank if blank.is_whitespace() && !is_quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    (!is_quoted).then_some(words)
}

/// What is odd about an entry.
fn odd(entry: &Entry) -> Option<String> {
    let Entry { section, key, line, .. } = entry;
    if section == "ENGINE" {
        let known = variable_of(key).is_some();
        return (!known).then(|| format!("line {line}: [ENGINE] {key} is unknown"));
    }
    let mut ours = KEYS.iter().filter(|known| known.section == section).peekable();
    ours.peek()?;
    let is_color = |known: &str| {
        let number = key.strip_prefix(known.trim_end_matches('0'));
        section == "COLOR" && number.is_some_and(|number| number.parse::<usize>().is_ok())
    };
    match ours.find(|known| known.name == key || is_color(known.name)) {
        Some(known) if known.meaning.starts_with("no effect") => {
            Some(format!("line {line}: [{section}] {key} has {}", known.meaning))
        }
        Some(_) => None,
        None => Some(format!("line {line}: [{section}] {key} is unknown")),
    }
}

/// The key of that name.
pub fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

/// The keys of `[ENGINE]`, each with what it means.
pub fn engine_keys() -> impl Iterator<Item = (String, &'static str)> {
    let ours = |(name, _): &(&str, &str)| !NOT_OF_ENGINE.contains(name);
    Config::variables()
        .filter(ours)
        .map(|(name, meaning)| (name.trim_start_matches("MSEC_").to_lowercase(), meaning))
}

/// The variable that a key of `[ENGINE]` sets.
fn variable_of(key: &str) -> Option<&'static str> {
    let wanted = format!("MSEC_{}", key.to_uppercase());
    let known = Config::variables().map(|(name, _)| name);
    let is_lower = key.chars().all(|letter| !letter.is_ascii_uppercase());
    known.filter(|name| is_lower && !NOT_OF_ENGINE.contains(name)).find(|name| *name == wanted)
}

fn check(variable: &str, value: &str, section: &str, name: &str) -> Result<()> {
    Config::new().variable(variable, value).map(drop).map_err(|error| {
        // It names the variable, which nobody has set.
        let why = error.message().trim_start_matches(variable);
        Error::new(Code::INVALID_PARAMETER, format!("[{section}] {name}{why}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::of(&Ini::parse(text).unwrap(), 8).unwrap()
    }

    fn refused(text: &str) -> String {
        Settings::of(&Ini::parse(text).unwrap(), 8).expect_err(text).message().to_owned()
    }

    fn variable(settings: &Settings, name: &str) -> Option<String> {
        settings.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn a_plugin_for_one_core_gets_one_unless_the_file_says_more() {
        let root = std::env::temp_dir().join(format!("msec-of-service-{}", std::process::id()));
        let place = Place::of(&root, "Demo.old").unwrap();
        std::fs::create_dir_all(place.bin()).unwrap();
        std::fs::create_dir_all(place.config().parent().unwrap()).unwrap();
        let check = |plugin: &[u8], config: &str, expect| {
            std::fs::write(place.bin().join("msec.so"), plugin).unwrap();
            std::fs::write(place.config(), config).unwrap();
            let settings = Settings::of_service(&place, 8).unwrap();
            assert_eq!((settings.procnum, settings.cores), expect);
        };
        let old = b"ELF\0msec_plugin_one_core\0";
        check(b"ELF\0msec_plugin_v1\0", "", (1, 8));
        check(old, "", (1, 1));
        check(old, "[SRPC]\nprocnum=4\n", (4, 1));
        check(old, "[SRPC]\ncores=2\n", (1, 2));
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn without_a_file_the_defaults_of_the_original_hold() {
        let settings = settings("");
        let listen: Vec<_> = settings.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["0.0.0.0:7963@udp", "0.0.0.0:7963"]);
        assert_eq!((settings.procnum, settings.cores), (1, 8));
        assert_eq!((settings.module.clone(), settings.java.clone()), (None, Java::default()));
        assert_eq!(settings.warnings, [""; 0]);
        assert_eq!(variable(&settings, "MSEC_LOG").as_deref(), Some("info"));
    }

    #[test]
    fn keys_become_settings_and_variables() {
        let settings = settings(
            "[SRPC]\nprocnum=4\nmsg_timeout=800\n[LOG]\nLevel=DEBUG\n[COLOR]\nFieldName0=uin\n\
             FieldValue0=7\nFieldName1=city\nFieldValue1=Rom\nFieldName3=no\nFieldValue3=no\n\
             [ENGINE]\nstall_ms=50\n[MINE]\nanything=goes",
        );
        assert_eq!((settings.procnum, settings.cores), (4, 2));
        let check = |name, expect: &str| assert_eq!(variable(&settings, name).unwrap(), expect);
        check("MSEC_LOG", "debug");
        check("MSEC_DYE", "uin=7; city=Rom");
        check("MSEC_STALL_MS", "50");
        check("MSEC_DEADLINE_MS", "800");
        check("MSEC_CORES", "2");
        assert_eq!(settings.warnings, [""; 0]);
    }

    #[test]
    fn a_jar_is_told_how_it_is_run() {
        let text = "[SRPC]\nmodule=shop.jar\n[JAVA]\nhome=/jdk\nmain=a.B\n\
                    options= -Xmx1g  \"-Dx=a b\" -Dy=\"c\" \nheap=1";
        let settings = settings(text);
        assert_eq!(settings.module.as_deref(), Some(Path::new("shop.jar")));
        let Java { home, java, main, options } = settings.java;
        assert_eq!((home, java), (Some("/jdk".into()), None));
        assert_eq!(main.as_deref(), Some("a.B"));
        assert_eq!(options, ["-Xmx1g", "-Dx=a b", "-Dy=c"]);
        assert_eq!(settings.warnings, ["line 7: [JAVA] heap is unknown"]);
        assert!(refused("[JAVA]\noptions=\"-Dx").contains("without its other one"));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        assert_eq!(refused("[SRPC]\nprocnum=0"), "[SRPC] procnum is `0`; allowed is 1 to 64");
        let hooked = "[SRPC] hook is `2`; allowed is 0, 1 or diagnose";
        assert_eq!(refused("[SRPC]\nhook=2"), hooked);
        assert!(refused("[SRPC]\nlisten=7963").contains("[SRPC] listen has `7963`"));
        assert!(refused("[SRPC]\nlisten=1/tcp 1/tcp").contains("0.0.0.0:1 twice"));
        assert!(refused("[SRPC]\nlisten=1/tls").contains("[TLS] certificate is not set"));
        assert!(refused("[TLS]\nkey=x").contains("without the other"));
        assert!(
            refused("[LOG]\nLevel=loud").starts_with("[LOG] Level is `loud`; allowed is trace")
        );
        assert!(refused("[ENGINE]\nio=epol").starts_with("[ENGINE] io is `epol`; allowed is auto"));
    }

    #[test]
    fn what_is_unknown_or_without_effect_is_warned_about() {
        let text = "[SRPC]\nlistn=1/tcp\nshmsize=16\n[ENGINE]\ncores=9\n[COLOR]\nFieldName7=x";
        let expect = [
            "line 2: [SRPC] listn is unknown",
            "line 3: [SRPC] shmsize has no effect: the queues in shared memory are gone",
            "line 5: [ENGINE] cores is unknown",
        ];
        let settings = settings(text);
        assert_eq!(settings.warnings, expect);
        // The sockets that there are for each worker are one a core of [SRPC].
        assert_eq!(variable(&settings, "MSEC_CORES").as_deref(), Some("8"));
    }

    #[test]
    fn what_takes_a_restart_is_named() {
        let (one, two) = (settings("[SRPC]\nprocnum=1"), settings("[SRPC]\nprocnum=2\nconf=x"));
        let text = "[SRPC] procnum and cores changed, which takes a restart";
        assert_eq!(one.needs_restart(&two).as_deref(), Some(text));
        assert_eq!(one.needs_restart(&settings("[SRPC]\nconf=x")), None);
    }
}

//! Certificates and keys, read from files, and again when those change.
//!
//! Everything of a server, or of all clients, is read whole, checked whole, and then put in the
//! place of what was there, in one piece: whoever connects from then on gets the new. Where
//! something is wrong, what was there stays, and a line of the log says what is wrong, once.
//!
//! Files are looked at once a second, on an offload thread: a disk that hangs must hold up no core.
//! What is compared is inode, size and time of change. A certificate and its key are two files, so
//! between the two writes they do not match; then the old pair stays until both are there. After a
//! failure the files are read at every look, whether they seem to have changed or not.
//!
//! What is in force lies behind a lock that is taken once a connection, next to a handshake that
//! costs a thousand times as much; no call meets it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, Weak};
use std::time::Duration;

use msec_protocol::limits::{TLS_CERTIFICATES_MAX, TLS_FILE_BYTES_MAX};
use msec_protocol::{Address, Code};
use msec_sys::clock;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::Tls;
use super::settings::{ClientTls, Clients, Pair, ServerTls};
use crate::engine::Engine;
use crate::error::{Error, Result};

/// How often files are looked at.
const LOOK_NS: u64 = 1_000_000_000;
/// What HTTP calls itself in ALPN (RFC 7301). SRPC needs no name.
const HTTP: &[u8] = b"http/1.1";

/// A look at the files, if it is told that it may.
type Job = Box<dyn FnOnce(bool) + Send>;

/// What was read from files, and is read again.
struct Store<T> {
    read: Box<dyn Fn() -> Result<T> + Send + Sync>,
    paths: Vec<PathBuf>,
    current: RwLock<Arc<T>>,
    /// Held while files are read, so that the older of two readings never wins.
    seen: Mutex<Seen>,
}

/// How the files looked when they were last read.
struct Seen {
    stamps: Vec<Option<Stamp>>,
    /// Why they are not what is in force.
    failed: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let status = fs::metadata(path).ok()?;
        let changed = (status.mtime(), status.mtime_nsec());
        Some(Self { inode: status.ino(), bytes: status.size(), changed })
    }
}

impl<T> Store<T> {
    fn open(
        paths: Vec<PathBuf>,
        read: impl Fn() -> Result<T> + Send + Sync + 'static,
    ) -> Result<Self> {
        // Before they are read: what changes meanwhile is seen at the next look.
        let stamps = paths.iter().map(|path| Stamp::of(path)).collect();
        let current = RwLock::new(Arc::new(read()?));
        let seen = Mutex::new(Seen { stamps, failed: None });
        Ok(Self { read: Box::new(read), paths, current, seen })
    }

    fn current(&self) -> Arc<T> {
        self.current.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Reads again.
    fn reload(&self) -> Result<()> {
        let seen = &mut *lock(&self.seen);
        seen.stamps = self.paths.iter().map(|path| Stamp::of(path)).collect();
        let read = (self.read)();
        seen.failed = read.as_ref().err().map(Error::to_string);
        *self.current.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(read?);
        Ok(())
    }

    /// Reads again if something has changed, and tells the log what came of it.
    fn look(&self) {
        let seen = lock(&self.seen);
        let stamps: Vec<_> = self.paths.iter().map(|path| Stamp::of(path)).collect();
        if stamps == seen.stamps && seen.failed.is_none() {
            return;
        }
        let told = seen.failed.clone();
        drop(seen);
        match self.reload() {
            Ok(()) => crate::log::debug("tls", format_args!("certificates were read again")),
            Err(error) if told == Some(error.to_string()) => {}
            Err(error) => {
                crate::log::warn("tls", format_args!("{error}; what was read before stays"));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What a listener with TLS accepts.
pub(crate) struct Accepts {
    store: Store<ServerConfig>,
    pub(crate) plain: bool,
}

impl Accepts {
    pub(crate) fn open(settings: ServerTls) -> Result<Arc<Self>> {
        let mut paths = Vec::new();
        for pair in &settings.pairs {
            paths.extend([pair.chain.clone(), pair.key.clone()]);
        }
        if let Clients::IfShown(ca) | Clients::Certified(ca) = &settings.clients {
            paths.push(ca.clone());
        }
        let plain = settings.plain;
        let store = Store::open(paths, move || server_config(&settings))?;
        Ok(Arc::new(Self { store, plain }))
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.store.current()
    }
}

/// What calls to addresses with TLS need.
struct Calls {
    store: Store<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl Calls {
    fn open(settings: ClientTls) -> Result<Self> {
        let server_name = settings.server_name.as_deref().map(server_name).transpose()?;
        let files = [&settings.ca, &settings.chain, &settings.key];
        let paths = files.into_iter().flatten().cloned().collect();
        let store = Store::open(paths, move || client_config(&settings))?;
        Ok(Self { store, server_name })
    }
}

/// All that an engine has read from files for TLS.
pub(crate) struct Watch {
    calls: Option<Calls>,
    servers: Mutex<Vec<Weak<Accepts>>>,
    looked_ns: Mutex<u64>,
    looking: AtomicBool,
}

impl Watch {
    pub(crate) fn open(settings: Option<&ClientTls>) -> Result<Arc<Self>> {
        let calls = settings.cloned().map(Calls::open).transpose()?;
        let looked_ns = Mutex::new(clock::now_ns());
        let looking = AtomicBool::new(false);
        Ok(Arc::new(Self { calls, servers: Mutex::default(), looked_ns, looking }))
    }

    /// Looks after the files of a server, too, while it is there.
    pub(crate) fn add(&self, server: &Arc<Accepts>) {
        let mut servers = lock(&self.servers);
        servers.retain(|known| known.strong_count() > 0);
        servers.push(Arc::downgrade(server));
    }

    /// The TLS of a call to an address; `None` if it has none.
    pub(crate) fn connect(&self, address: &Address) -> Result<Option<Tls>> {
        let Address::Tls(ip, name) = address else { return Ok(None) };
        let cannot = |why: &str| {
            Error::new(Code::INVALID_PARAMETER, format!("cannot call {address}: {why}"))
        };
        let Some(calls) = &self.calls else {
            let why = "no CA is configured that servers are to be trusted by; \
                       see Config::tls and MSEC_TLS_CA";
            return Err(cannot(why));
        };
        let name = match (name, &calls.server_name) {
            (Some(name), _) => server_name(name)?,
            (None, Some(name)) => name.clone(),
            (None, None) => ServerName::IpAddress(ip.ip().into()),
        };
        let tls = Tls::connect(calls.store.current(), name);
        Ok(Some(tls.map_err(|error| cannot(&error.to_string()))?))
    }

    /// Looks whether files have changed, if it is time to, in a job that is given to `submit`. The
    /// job is told whether it may; `submit` tells whether the job was taken.
    pub(crate) fn look_by(self: &Arc<Self>, submit: impl FnOnce(Job) -> bool) {
        let now_ns = clock::now_ns();
        let mut looked_ns = lock(&self.looked_ns);
        let has_any = self.calls.is_some() || !lock(&self.servers).is_empty();
        if !has_any || now_ns < *looked_ns + LOOK_NS || self.looking.swap(true, Ordering::Acquire) {
            return;
        }
        *looked_ns = now_ns;
        drop(looked_ns);
        let watch = self.clone();
        let accepted = submit(Box::new(move |may| {
            if may {
                watch.look();
            }
            watch.looking.store(false, Ordering::Release);
        }));
        if !accepted {
            self.looking.store(false, Ordering::Release);
        }
    }

    fn look(&self) {
        if let Some(calls) = &self.calls {
            calls.store.look();
        }
        for server in self.servers() {
            server.store.look();
        }
    }

    fn servers(&self) -> Vec<Arc<Accepts>> {
        lock(&self.servers).iter().filter_map(Weak::upgrade).collect()
    }

    fn reload(&self) -> Result<()> {
        let mut result = Ok(());
        if let Some(calls) = &self.calls {
            result = calls.store.reload();
        }
        for server in self.servers() {
            // The first failure is told, and keeps nothing else from being read.
            result = result.and(server.store.reload());
        }
        result
    }
}

impl Engine {
    /// Reads all files of [`ClientTls`](crate::ClientTls) and
    /// [`ServerTls`](crate::ServerTls) again, as the engine does by itself within two seconds
    /// after they have changed. When this returns, new connections use what they say; open ones
    /// keep what they were opened with.
    ///
    /// Reads files on the calling thread; from a coroutine, call it in [`offload`](crate::offload).
    ///
    /// # Errors
    /// -1 or -2, naming the file and what is wrong with it. What was read from it before stays in
    /// force.
    pub fn reload_tls(&self) -> Result<()> {
        self.shared().tls.reload()
    }
}

/// rustls reads time from where everything here does.
#[derive(Debug)]
struct WallClock;

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_nanos(clock::wall_ns())))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn server_config(settings: &ServerTls) -> Result<ServerConfig> {
    let provider = provider();
    if settings.pairs.len() > TLS_CERTIFICATES_MAX {
        return Err(wrong(format!("more than {TLS_CERTIFICATES_MAX} certificates")));
    }
    let shown = settings.pairs.iter().map(|pair| Shown::read(pair, &provider));
    let shown = ShownByName(shown.collect::<Result<_>>()?);
    let verifier = match &settings.clients {
        Clients::Any => WebPkiClientVerifier::no_client_auth(),
        Clients::IfShown(ca) | Clients::Certified(ca) => {
            let roots = Arc::new(roots(ca)?);
            let builder = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
            let builder = match &settings.clients {
                Clients::IfShown(_) => builder.allow_unauthenticated(),
                Clients::Any | Clients::Certified(_) => builder,
            };
            builder.build().map_err(|error| wrong_in(ca, &error))?
        }
    };
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(WallClock))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![HTTP.to_vec()];
    // Sessions are resumed by what the client keeps, sealed by a key that goes with this very
    // configuration: after the CA has changed, nobody comes in by an old ticket.
    config.ticketer = ring::Ticketer::new().map_err(|error| wrong(error.to_string()))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

fn client_config(settings: &ClientTls) -> Result<ClientConfig> {
    let Some(ca) = &settings.ca else {
        return Err(wrong("no CA is configured that servers are to be trusted by".into()));
    };
    let builder = ClientConfig::builder_with_details(provider(), Arc::new(WallClock))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots(ca)?);
    match (&settings.chain, &settings.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(chain), Some(key)) => builder
            .with_client_auth_cert(certificates(chain)?, private_key(key)?)
            .map_err(|error| wrong_in(chain, &error)),
        (Some(_), None) => Err(wrong("a certificate is configured without its key".into())),
        (None, Some(_)) => Err(wrong("a key is configured without its certificate".into())),
    }
}

/// A certificate that is shown to those who connect, with the names that it is for.
#[derive(Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
}

impl Shown {
    fn read(pair: &Pair, provider: &CryptoProvider) -> Result<Self> {
        let (chain, key) = (certificates(&pair.chain)?, private_key(&pair.key)?);
        let parsed = webpki::EndEntityCert::try_from(&chain[0]);
        let parsed = parsed.map_err(|error| wrong_in(&pair.chain, &error))?;
        let names = parsed.valid_dns_names().map(str::to_ascii_lowercase).collect();
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                return wrong_in(&pair.key, &"the key does not belong to the certificate");
            }
            wrong_in(&pair.chain, &error)
        })?;
        Ok(Self { key: Arc::new(key), names })
    }

    fn is_for(&self, name: &str) -> bool {
        self.names.iter().any(|own| match own.strip_prefix('*') {
            // For one label in its place (RFC 6125 §6.4.3).
            Some(rest) => name.strip_suffix(rest).is_some_and(|label| !label.contains('.')),
            None => own == name,
        })
    }
}

/// Shows everybody the first certificate that is for the name that they ask for.
#[derive(Debug)]
struct ShownByName(Vec<Shown>);

impl ResolvesServerCert for ShownByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().map(str::to_ascii_lowercase);
        let found = asked.and_then(|name| self.0.iter().find(|shown| shown.is_for(&name)));
        found.or(self.0.first()).map(|shown| shown.key.clone())
    }
}

/// The name that a server's certificate must be for.
fn server_name(name: &str) -> Result<ServerName<'static>> {
    let parsed = DnsName::try_from(name.to_owned()).map(ServerName::DnsName);
    parsed.map_err(|_| wrong(format!("`{name}` is no name that a certificate can be for")))
}

fn roots(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| wrong_in(path, &error))?;
    }
    Ok(roots)
}

/// The certificates in a file: one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<std::result::Result<_, _>>();
    let certificates: Vec<_> = certificates.map_err(|error| wrong_in(path, &error))?;
    if certificates.is_empty() {
        return Err(wrong_in(path, &"there is no certificate in PEM form in it"));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| {
        if matches!(error, rustls::pki_types::pem::Error::NoItemsFound) {
            let text = "there is no private key in PEM form in it; maybe it is encrypted";
            return wrong_in(path, &text);
        }
        wrong_in(path, &error)
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = TLS_FILE_BYTES_MAX as u64 + 1;
    fs::File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(|error| Error::from_io(&format!("read {}", path.display()), &error))?;
    if bytes.len() > TLS_FILE_BYTES_MAX {
        return Err(wrong_in(path, &format!("it is longer than {TLS_FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn wrong(text: String) -> Error {
    Error::new(Code::INVALID_PARAMETER, format!("TLS: {text}"))
}

fn wrong_in(path: &Path, error: &dyn std::fmt::Display) -> Error {
    wrong(format!("{}: {error}", path.display()))
}

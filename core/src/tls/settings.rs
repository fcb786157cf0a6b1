//! What a program says of TLS: files, and what is demanded of peers.

use std::path::{Path, PathBuf};

/// A certificate, with those that lead from it to a CA, and its private key; in PEM files.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Pair {
    fn new(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        Self { chain: chain.as_ref().into(), key: key.as_ref().into() }
    }
}

/// What is demanded of those who connect.
#[derive(Clone, Debug)]
pub(crate) enum Clients {
    /// Nothing.
    Any,
    /// A certificate that they show must be of this CA.
    IfShown(PathBuf),
    /// A certificate of this CA.
    Certified(PathBuf),
}

/// How a server secures the addresses that it listens at with `@tls`.
///
/// Files are in PEM form. They are read at the start, and again within two seconds after one of
/// them has changed, see [`Engine::reload_tls`](crate::Engine::reload_tls). Connections that are
/// open keep what they were opened with.
///
/// ```no_run
/// use msec::{Engine, Server, ServerTls};
///
/// let engine = Engine::start()?;
/// let server = Server::builder()
///     .raw("demo.Text.Who", |context| {
///         Ok(context.identity().map_or(String::new(), |who| who.common_name().to_owned()))
///     })
///     .tls(ServerTls::new("server.pem", "server.key").client_ca("clients-ca.pem"))
///     .listen("0.0.0.0:7963@tls")
///     .start(&engine)?;
/// # Ok::<(), msec::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ServerTls {
    pub(crate) pairs: Vec<Pair>,
    pub(crate) clients: Clients,
    pub(crate) plain: bool,
}

impl ServerTls {
    /// Shows the certificate in the file `chain`, followed there by those that lead to its CA, to
    /// which the private key in the file `key` belongs.
    pub fn new(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        Self { pairs: vec![Pair::new(chain, key)], clients: Clients::Any, plain: false }
    }

    /// Adds a certificate, shown to those who ask for a name that it is for (SNI, RFC 6066 §3).
    /// Whoever asks for none, or for one that no certificate is for, is shown the first. Up to 64.
    pub fn certificate(mut self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.pairs.push(Pair::new(chain, key));
        self
    }

    /// Demands of those who connect a certificate of one of the CAs in this file (mutual TLS).
    pub fn client_ca(mut self, ca: impl AsRef<Path>) -> Self {
        self.clients = Clients::Certified(ca.as_ref().into());
        self
    }

    /// As [`ServerTls::client_ca`], but those who show no certificate are served as well; their
    /// requests have no [`identity`](crate::Context::identity).
    pub fn client_ca_if_shown(mut self, ca: impl AsRef<Path>) -> Self {
        self.clients = Clients::IfShown(ca.as_ref().into());
        self
    }

    /// Serves those who speak plainly at the same address too. The first byte decides. For the time
    /// of a change from one to the other: an attacker on the way can make clients speak plainly
    /// that would do either.
    pub fn accept_plain(mut self) -> Self {
        self.plain = true;
        self
    }
}

/// How an engine secures calls to addresses with `@tls`.
///
/// Files are in PEM form, and are read again as those of [`ServerTls`].
///
/// ```no_run
/// use msec::{Client, ClientTls, Config, Engine};
///
/// let tls = ClientTls::new("ca.pem").certificate("client.pem", "client.key");
/// let engine = Engine::with(Config::new().tls(tls))?;
/// // Its certificate must be for this IP address, or in the second case for this name.
/// let users = Client::new(&engine, "10.0.0.1:7963@tls")?;
/// let orders = Client::new(&engine, "10.0.0.2:7963@tls:orders.example")?;
/// # Ok::<(), msec::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) chain: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) server_name: Option<String>,
}

impl ClientTls {
    /// Trusts servers whose certificate is of one of the CAs in this file, and no others.
    pub fn new(ca: impl AsRef<Path>) -> Self {
        Self { ca: Some(ca.as_ref().into()), ..Self::default() }
    }

    /// Shows this certificate to servers that demand one; the file `chain` begins with it and
    /// leads to its CA, the file `key` has its private key.
    pub fn certificate(mut self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        (self.chain, self.key) = (Some(chain.as_ref().into()), Some(key.as_ref().into()));
        self
    }

    /// The name that servers' certificates must be for, where the address says none. Without it
    /// they must be for the IP address that is called.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }
}

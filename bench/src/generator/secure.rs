//! TLS below a dialect, by rustls with `ring`, as the servers have it.
//!
//! Handshakes are made before the load, on a socket that blocks; from then on the loop hands over
//! what came and what is to leave, and no byte is copied that rustls does not copy itself.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::dialect::Dialect;

/// Whom the generator trusts, and what it says that it speaks.
pub struct Trust {
    config: Arc<ClientConfig>,
}

impl Trust {
    /// The certificates in a PEM file, and no others; `protocol` is the name that ALPN knows.
    pub fn file(path: &Path, protocol: Option<&str>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(invalid)? {
            roots.add(certificate.map_err(invalid)?).map_err(invalid)?;
        }
        let mut config =
            ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .map_err(invalid)?
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = protocol.map(|name| name.as_bytes().to_vec()).into_iter().collect();
        Ok(Trust { config: Arc::new(config) })
    }

    /// Shakes hands, and lets the dialect say hello.
    pub fn open<D: Dialect>(
        &self,
        dialect: &D,
        server: SocketAddr,
        stream: &mut TcpStream,
        depth: usize,
    ) -> io::Result<(Secure, D::Session)> {
        let config = self.config.clone();
        let mut connection = ClientConnection::new(config, server.ip().into()).map_err(invalid)?;
        // Requests of many slots leave at once.
        connection.set_buffer_limit(None);
        while connection.is_handshaking() {
            connection.complete_io(stream)?;
        }
        let mut wire = rustls::Stream::new(&mut connection, stream);
        let session = dialect.open(&mut wire, depth)?;
        wire.flush()?;
        Ok((Secure { connection: Box::new(connection) }, session))
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The TLS of one connection.
pub struct Secure {
    connection: Box<ClientConnection>,
}

impl Secure {
    /// Whether there is something to send beside requests.
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Takes `plain` and appends what is to be sent.
    pub fn seal(&mut self, plain: &mut Vec<u8>, sealed: &mut Vec<u8>) -> io::Result<()> {
        self.connection.writer().write_all(plain)?;
        plain.clear();
        while self.connection.wants_write() {
            self.connection.write_tls(sealed)?;
        }
        Ok(())
    }

    /// Appends what the received bytes hold.
    pub fn open(&mut self, mut sealed: &[u8], plain: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let state = self.connection.process_new_packets().map_err(invalid)?;
            let held = plain.len();
            plain.resize(held + state.plaintext_bytes_to_read(), 0);
            self.connection.reader().read_exact(&mut plain[held..])?;
            if sealed.is_empty() {
                return Ok(());
            }
            self.connection.read_tls(&mut sealed)?;
        }
    }
}

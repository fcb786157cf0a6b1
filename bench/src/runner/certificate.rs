//! The certificate of the servers in rows about TLS: for `127.0.0.1`, signed by itself, made anew
//! in each run. The generator trusts it and nothing else.

use std::path::{Path, PathBuf};

/// A certificate and its private key, in PEM files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub chain: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Certificate {
    /// A new one, in files in this folder.
    pub fn make(folder: &Path) -> Result<Self, String> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])
            .map_err(|error| format!("no certificate can be made: {error}"))?;
        let (chain, key) = (folder.join("server.pem"), folder.join("server.key"));
        for (path, text) in [(&chain, made.cert.pem()), (&key, made.signing_key.serialize_pem())] {
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(Certificate { chain, key })
    }

    /// How a server is told.
    pub fn flags(&self) -> [&std::ffi::OsStr; 4] {
        ["--certificate".as_ref(), self.chain.as_ref(), "--key".as_ref(), self.key.as_ref()]
    }
}

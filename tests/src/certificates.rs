//! A certificate authority for one test: it issues what the test wants, into files.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};

/// A certificate authority, with a directory of its own for the files. Dropped, they are removed.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
    directory: PathBuf,
}

/// What a certificate is to be like.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// DNS names and IP addresses that it is for.
    pub names: &'a [&'a str],
    /// The common name in its subject.
    pub common_name: &'a str,
    /// A URI that it is for.
    pub uri: Option<&'a str>,
    /// It has expired.
    pub expired: bool,
}

impl<'a> Wanted<'a> {
    /// A certificate for these names.
    pub fn names(names: &'a [&'a str]) -> Self {
        Self { names, ..Self::default() }
    }

    /// A certificate of somebody who connects.
    pub fn client(common_name: &'a str) -> Self {
        Self { common_name, ..Self::default() }
    }
}

/// A certificate and its key, in files.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// An authority that nobody knows yet.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("msec-tls-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&directory).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        let authority = Self { issuer: Issuer::new(params, key), certificate, directory };
        let text = pem("CERTIFICATE", &authority.certificate);
        std::fs::write(authority.file(), text).unwrap();
        authority
    }

    /// The file of its own certificate.
    pub fn file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A file in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Issues a certificate, into the files `name.pem` and `name.key`, over what was there.
    pub fn issue(&self, name: &str, wanted: &Wanted<'_>) -> Issued {
        let names: Vec<String> = wanted.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, wanted.common_name);
        if let Some(uri) = wanted.uri {
            params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        }
        if wanted.expired {
            params.not_after = date_time_ymd(2020, 2, 2);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (chain, key_path) =
            (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        let text = pem("CERTIFICATE", certificate.der());
        std::fs::write(&chain, text).unwrap();
        std::fs::write(&key_path, pem("PRIVATE KEY", &key.serialize_der())).unwrap();
        Issued { chain, key: key_path }
    }

    /// A certificate for `127.0.0.1`.
    pub fn server(&self) -> Issued {
        self.issue("server", &Wanted::names(&["127.0.0.1"]))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// As RFC 7468 writes it.
fn pem(label: &str, bytes: &[u8]) -> String {
    let text = base64(bytes);
    let lines = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap());
    let lines = lines.collect::<Vec<_>>().join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=three.len()].copy_from_slice(three);
        let word = u32::from_be_bytes(word);
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit)) & 63;
            let shown = digit <= three.len();
            text.push(if shown { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}

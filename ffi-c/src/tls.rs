//! TLS: what a server shows and demands, and what an engine's calls do.

use std::ffi::c_char;

use msec::{ClientTls, Code, Error, Result, ServerTls};

use crate::engine::msec_engine;
use crate::error::text;
use crate::options::{self, Options};
use crate::server::{change, msec_server_builder};

/// A certificate and its private key, in files of PEM form. Nothing of it is kept.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct msec_certificate {
    /// File of the certificate, followed there by those that lead to its CA; not NULL.
    pub chain: *const c_char,
    /// File of the private key; not NULL.
    pub key: *const c_char,
}

/// How a server secures the addresses that it listens at with `@tls`. Begin with
/// `MSEC_SERVER_TLS_OPTIONS_INIT`. Nothing of it is kept.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct msec_server_tls_options {
    /// `sizeof(msec_server_tls_options)`.
    pub size: u32,
    /// `MSEC_TLS_IF_SHOWN` and `MSEC_TLS_ACCEPT_PLAIN`, or-ed.
    pub flags: u32,
    /// What is shown, not NULL: the first to those who ask for no name, or for one that none is
    /// for; another to those who ask for a name that it is for (SNI).
    pub certificates: *const msec_certificate,
    /// How many, 1 to 64.
    pub certificates_count: usize,
    /// File of the CAs of one of which those who connect must show a certificate (mutual TLS).
    /// NULL: nothing is demanded.
    pub client_ca: *const c_char,
}

// SAFETY: plain numbers and pointers behind a leading u32; null pointers stand for "not set".
unsafe impl Options for msec_server_tls_options {
    const NAME: &'static str = "msec_server_tls_options";
}

/// With `client_ca`: those who show no certificate are served as well, without an identity.
pub const MSEC_TLS_IF_SHOWN: u32 = 1;
/// Those who speak plainly are served at the same address too. The first byte decides. For the time
/// of a change from one to the other.
pub const MSEC_TLS_ACCEPT_PLAIN: u32 = 2;

/// How an engine secures calls to addresses with `@tls`. Begin with
/// `MSEC_CLIENT_TLS_OPTIONS_INIT`. Nothing of it is kept.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct msec_client_tls_options {
    /// `sizeof(msec_client_tls_options)`.
    pub size: u32,
    /// 0.
    pub flags: u32,
    /// File of the CAs that servers are trusted by, and no others; not NULL.
    pub ca: *const c_char,
    /// Shown to servers that demand a certificate. NULL: none.
    pub certificate: *const msec_certificate,
    /// The name that servers' certificates must be for, where the address says none. NULL: the IP
    /// address that is called.
    pub server_name: *const c_char,
}

// SAFETY: plain numbers and pointers behind a leading u32; null pointers stand for "not set".
unsafe impl Options for msec_client_tls_options {
    const NAME: &'static str = "msec_client_tls_options";
}

/// Secures the addresses with `@tls`, for SRPC, HTTP and pages alike. Files are read at the start,
/// and again within two seconds after one has changed.
///
/// Errors: -1. What is wrong with a file is told by `msec_server_start`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_builder_tls(
    builder: *mut msec_server_builder,
    options: *const msec_server_tls_options,
) -> i32 {
    guard!([builder, options] {
        // SAFETY: not NULL, so options whose pointers are NULL or valid.
        let Some(tls) = (unsafe { server(options) })? else { return Ok(()) };
        change(builder, |builder| builder.tls(tls));
        Ok(())
    })
}

/// Reads all files of certificates and keys again, now, without waiting for the engine to see that
/// they have changed. Reads them on the calling thread: on a coroutine, use msec_offload.
///
/// Errors: -1 or -2 with the name of the file: what was read from it before stays in force.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_reload_tls(engine: *const msec_engine) -> i32 {
    guard!([engine] {
        // SAFETY: not NULL, so live.
        unsafe { &*engine }.0.reload_tls()
    })
}

/// # Safety
/// `given` is NULL or points to options whose pointers are NULL or valid.
unsafe fn server(given: *const msec_server_tls_options) -> Result<Option<ServerTls>> {
    // SAFETY: the caller's promise.
    let Some(given) = (unsafe { options::read(given) })? else { return Ok(None) };
    options::flags::<msec_server_tls_options>(
        given.flags,
        MSEC_TLS_IF_SHOWN | MSEC_TLS_ACCEPT_PLAIN,
    )?;
    if given.certificates.is_null() || given.certificates_count == 0 {
        return Err(Error::new(Code::INVALID_PARAMETER, "a server needs a certificate"));
    }
    let mut tls: Option<ServerTls> = None;
    // SAFETY: the caller's promise.
    let all = unsafe { std::slice::from_raw_parts(given.certificates, given.certificates_count) };
    for certificate in all {
        // SAFETY: the caller's promise.
        let (chain, key) = unsafe { files(certificate) }?;
        tls = Some(match tls {
            None => ServerTls::new(chain, key),
            Some(tls) => tls.certificate(chain, key),
        });
    }
    if !given.client_ca.is_null() {
        // SAFETY: a string.
        let ca = unsafe { text("client_ca", given.client_ca) }?;
        tls = tls.map(|tls| match given.flags & MSEC_TLS_IF_SHOWN {
            0 => tls.client_ca(ca),
            _ => tls.client_ca_if_shown(ca),
        });
    }
    if given.flags & MSEC_TLS_ACCEPT_PLAIN != 0 {
        tls = tls.map(ServerTls::accept_plain);
    }
    Ok(tls)
}

/// # Safety
/// `given` is NULL or points to options whose pointers are NULL or valid.
pub(crate) unsafe fn client(given: *const msec_client_tls_options) -> Result<Option<ClientTls>> {
    // SAFETY: the caller's promise.
    let Some(given) = (unsafe { options::read(given) })? else { return Ok(None) };
    options::flags::<msec_client_tls_options>(given.flags, 0)?;
    if given.ca.is_null() {
        return Err(Error::new(Code::INVALID_PARAMETER, "the ca of TLS is NULL"));
    }
    // SAFETY: a string.
    let mut tls = ClientTls::new(unsafe { text("ca", given.ca) }?);
    // SAFETY: NULL or valid.
    if let Some(certificate) = unsafe { given.certificate.as_ref() } {
        // SAFETY: the caller's promise.
        let (chain, key) = unsafe { files(certificate) }?;
        tls = tls.certificate(chain, key);
    }
    if !given.server_name.is_null() {
        // SAFETY: a string.
        tls = tls.server_name(unsafe { text("server_name", given.server_name) }?);
    }
    Ok(Some(tls))
}

/// # Safety
/// The texts of `certificate` are NULL or strings that live as long as the result is used.
unsafe fn files<'a>(certificate: &msec_certificate) -> Result<(&'a str, &'a str)> {
    if certificate.chain.is_null() || certificate.key.is_null() {
        return Err(Error::new(Code::INVALID_PARAMETER, "a certificate has a NULL in it"));
    }
    // SAFETY: strings.
    unsafe { Ok((text("chain", certificate.chain)?, text("key", certificate.key)?)) }
}

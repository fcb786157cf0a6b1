//! Which libmsec this is.

use std::ffi::c_char;

use msec::{Code, Error, Result};

/// Counts the changes of the C interface. A program made for a number runs with every library of
/// the same SONAME whose number is not lower.
pub const MSEC_ABI_VERSION: u32 = 1;

/// The `MSEC_ABI_VERSION` of the library that is loaded, which may be higher than the header's.
#[unsafe(no_mangle)]
pub extern "C" fn msec_abi_version() -> u32 {
    MSEC_ABI_VERSION
}

/// The version of the library that is loaded, such as "0.1.0". Lives as long as the process.
#[unsafe(no_mangle)]
pub extern "C" fn msec_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Fails where a plugin cannot work with this library: it needs `least`, and knows up to `most`.
pub(crate) fn check_range(least: u32, most: u32) -> Result<()> {
    if (1..=MSEC_ABI_VERSION).contains(&least) && least <= most {
        return Ok(());
    }
    let text = format!(
        "the plugin is made for ABI {least} to {most} of libmsec; this one has {MSEC_ABI_VERSION}"
    );
    Err(Error::new(Code::INVALID_PARAMETER, text))
}

/// Fails where the caller was made for a newer library.
pub(crate) fn check(wanted: u32) -> Result<()> {
    if wanted <= MSEC_ABI_VERSION {
        return Ok(());
    }
    let text = format!("made for ABI {wanted} of libmsec; this one has {MSEC_ABI_VERSION}");
    Err(Error::new(Code::INVALID_PARAMETER, text))
}

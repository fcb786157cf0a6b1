//! The built-in pages, and what browsers may do.

use std::ffi::c_char;

use msec::{Code, Error, Pages};

use crate::error::text;
use crate::server::{change, msec_server_builder};

/// Whoever is on this machine.
pub const MSEC_PAGES_LOOPBACK: u32 = 0;
/// Everybody who can connect.
pub const MSEC_PAGES_EVERYBODY: u32 = 1;
/// Nobody, not even those that are open to all.
pub const MSEC_PAGES_NOBODY: u32 = 2;

/// Says who may see the pages that tell of the inside: one of `MSEC_PAGES_...`; unless it is said,
/// whoever is on this machine. `/health` and `/ready` are open to all.
///
/// Errors: -1.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_builder_pages(
    builder: *mut msec_server_builder,
    who: u32,
) -> i32 {
    guard!([builder] {
        let pages = match who {
            MSEC_PAGES_LOOPBACK => Pages::Loopback,
            MSEC_PAGES_EVERYBODY => Pages::Everybody,
            MSEC_PAGES_NOBODY => Pages::Nobody,
            other => {
                let text = format!("{other} is nobody who could see pages");
                return Err(Error::new(Code::INVALID_PARAMETER, text));
            }
        };
        change(builder, |builder| builder.pages(pages));
        Ok(())
    })
}

/// Adds a name under which browsers may see those pages, beside addresses and `localhost`: the
/// `Host` that they send, without its port.
///
/// Errors: -1.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_builder_host(
    builder: *mut msec_server_builder,
    name: *const c_char,
) -> i32 {
    guard!([builder, name] {
        // SAFETY: a string.
        let name = unsafe { text("name", name) }?;
        change(builder, |builder| builder.host(name));
        Ok(())
    })
}

/// Lets pages of an origin (`https://shop.example`), or with `*` of all, call methods from browsers
/// (CORS). Without it, browsers are refused with -107 unless the page comes from here.
///
/// Errors: -1.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_builder_cors(
    builder: *mut msec_server_builder,
    origin: *const c_char,
) -> i32 {
    guard!([builder, origin] {
        // SAFETY: a string.
        let origin = unsafe { text("origin", origin) }?;
        change(builder, |builder| builder.cors(origin));
        Ok(())
    })
}

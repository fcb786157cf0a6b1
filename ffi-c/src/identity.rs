//! Who a request came from, by the certificate that was shown.

use msec::Identity;

use crate::context::msec_context;
use crate::guard;
use crate::slice::msec_slice;

/// The subject, most specific attribute first, such as `CN=ann,O=Example`; may be empty.
pub const MSEC_IDENTITY_SUBJECT: u32 = 0;
/// The common name out of the subject; empty if it has none.
pub const MSEC_IDENTITY_COMMON_NAME: u32 = 1;
/// The DNS names that the certificate is for.
pub const MSEC_IDENTITY_DNS_NAME: u32 = 2;
/// The URIs that it is for, such as `spiffe://example/orders`.
pub const MSEC_IDENTITY_URI: u32 = 3;

/// Who the peer is by its certificate, which a CA that this server trusts has signed: `what` is one
/// of `MSEC_IDENTITY_...`, and `index` counts from 0 where there may be several. `data` is NULL
/// beyond the last, and for everything if the request did not come by TLS from a peer that has
/// shown a certificate. Valid until the handler returns.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_identity(
    context: *mut msec_context,
    what: u32,
    index: usize,
) -> msec_slice {
    guard::or(msec_slice::NONE, || {
        // SAFETY: NULL or live, and not shared: it belongs to the calling handler.
        let context = unsafe { context.as_mut() };
        let text = context.and_then(|context| named(context.identity()?, what, index));
        text.map_or(msec_slice::NONE, |text| msec_slice::of(text.as_bytes()))
    })
}

fn named(identity: &Identity, what: u32, index: usize) -> Option<&str> {
    match (what, index) {
        (MSEC_IDENTITY_SUBJECT, 0) => Some(identity.subject()),
        (MSEC_IDENTITY_COMMON_NAME, 0) => Some(identity.common_name()),
        (MSEC_IDENTITY_DNS_NAME, _) => identity.dns_names().get(index).map(String::as_str),
        (MSEC_IDENTITY_URI, _) => identity.uris().get(index).map(String::as_str),
        (_, _) => None,
    }
}

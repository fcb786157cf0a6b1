//! What is asked for: the request's target, and which method it names.
//!
//! ```text
//!   /any/path?x=1&methodName=pkg.Svc.Method&y=2     the original's form: the query names it
//!   /pkg.Svc/Method                                 the modern form: the path does
//!   /status?format=json                             a page
//! ```

use alloc::vec::Vec;

/// A request's target, split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// From its first slash; `*` for the whole server.
    pub path: &'a [u8],
    /// What follows the question mark; empty if there is none.
    pub query: &'a [u8],
}

/// Before the method's name in a query. The original looks for these very bytes.
const METHOD_NAME: &[u8] = b"methodName=";

impl<'a> Target<'a> {
    /// Splits a target; of an absolute one (`http://host/path`), as proxies send, what follows the
    /// host. Percent signs are left alone, as neither methods nor pages need them;
    /// [`url_decoded`] is for values that do.
    pub fn split(target: &'a [u8]) -> Target<'a> {
        let target = without_host(target);
        match target.iter().position(|byte| *byte == b'?') {
            Some(at) => Target { path: &target[..at], query: &target[at + 1..] },
            None => Target { path: target, query: b"" },
        }
    }

    /// The full name that the query gives, of the original's form; it may be empty.
    ///
    /// As the original reads it: what follows the first `methodName=`, up to the next `&`.
    pub fn method_name(&self) -> Option<&'a [u8]> {
        let at = self.query.windows(METHOD_NAME.len()).position(|bytes| bytes == METHOD_NAME)?;
        self.query[at + METHOD_NAME.len()..].split(|byte| *byte == b'&').next()
    }

    /// Service and method of the path `/pkg.Svc/Method`.
    pub fn service_and_method(&self) -> Option<(&'a [u8], &'a [u8])> {
        let path = self.path.strip_prefix(b"/")?;
        let slash = path.iter().position(|byte| *byte == b'/')?;
        let (service, method) = (&path[..slash], &path[slash + 1..]);
        let is_method = !service.is_empty() && !method.is_empty() && !method.contains(&b'/');
        is_method.then_some((service, method))
    }

    /// The value of a name in the query, the first if there are several.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.query.split(|byte| *byte == b'&').find_map(|pair| {
            let value = pair.strip_prefix(name.as_bytes())?;
            value.strip_prefix(b"=").or(value.is_empty().then_some(value))
        })
    }
}

/// A value of a query without its encoding: what stands behind percent signs, and a blank for each
/// plus sign. `None` where a percent sign is not followed by two hexadecimal digits.
pub fn url_decoded(value: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut decoded = Vec::with_capacity(value.len());
    let mut left = value;
    while let [first, rest @ ..] = left {
        left = rest;
        decoded.push(match (first, rest) {
            (b'+', _) => b' ',
            (b'%', [high, low, rest @ ..]) => {
                left = rest;
                (digit(*high)? * 16 + digit(*low)?) as u8
            }
            (b'%', _) => return None,
            (plain, _) => *plain,
        });
    }
    Some(decoded)
}

fn without_host(target: &[u8]) -> &[u8] {
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    for scheme in schemes {
        let begins = target.get(..scheme.len());
        if begins.is_some_and(|begin| begin.eq_ignore_ascii_case(scheme)) {
            let rest = &target[scheme.len()..];
            let path = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
            return path.map_or(b"/", |path| &rest[path..]);
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method_name(target: &str) -> Option<&str> {
        let name = Target::split(target.as_bytes()).method_name()?;
        Some(core::str::from_utf8(name).unwrap())
    }

    #[test]
    fn the_original_form_names_its_method_in_the_query_under_any_path() {
        assert_eq!(method_name("/?methodName=a.B.C"), Some("a.B.C"));
        assert_eq!(method_name("/127.0.0.1:7963?x=1&methodName=a.B.C&y"), Some("a.B.C"));
        assert_eq!(method_name("/invoke?methodName=a.B.C&methodName=d.E.F"), Some("a.B.C"));
        assert_eq!(method_name("/?methodName="), Some(""));
        assert_eq!(method_name("/methodName=a.B.C"), None);
    }

    #[test]
    fn the_modern_form_names_its_method_in_the_path() {
        let split = |target: &'static [u8]| Target::split(target).service_and_method();
        assert_eq!(split(b"/a.B/C"), Some((&b"a.B"[..], &b"C"[..])));
        assert_eq!(split(b"/a.B/C?x=1"), Some((&b"a.B"[..], &b"C"[..])));
        assert_eq!(split(b"http://host:80/a.B/C"), Some((&b"a.B"[..], &b"C"[..])));
        assert_eq!(split(b"/a.B"), None);
        assert_eq!(split(b"/a.B/"), None);
        assert_eq!(split(b"//C"), None);
        assert_eq!(split(b"/a.B/C/D"), None);
        assert_eq!(split(b"*"), None);
    }

    #[test]
    fn a_query_gives_values_by_name() {
        let target = Target::split(b"/status?format=json&all&format=html");
        assert_eq!(target.path, b"/status");
        assert_eq!(target.value("format"), Some(&b"json"[..]));
        assert_eq!(target.value("all"), Some(&b""[..]));
        assert_eq!(target.value("form"), None);
        assert_eq!(Target::split(b"HTTPS://host").path, b"/");
        assert_eq!(Target::split(b"http://host?a=b").query, b"a=b");
    }

    #[test]
    fn values_lose_their_encoding_or_are_refused() {
        let decoded = |value: &str| url_decoded(value.as_bytes());
        assert_eq!(decoded("a+b%2B%c3%A9%00"), Some("a b+\u{e9}\0".into()));
        assert_eq!(decoded(""), Some(Vec::new()));
        for bad in ["%", "a%2", "%2g", "%+2", "%%41"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }
}

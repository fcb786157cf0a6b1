//! What a page is made of: JSON, plain text, or HTML in the one dress that all pages wear.

use std::fmt::{self, Write};
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::{PAGES, Page};

/// Sent with every page: nothing is kept, nothing is loaded from elsewhere, nobody frames it, and
/// no style or script is heeded but those of this file, which the policy knows by their digests.
pub(super) fn headers() -> &'static [(&'static str, &'static [u8])] {
    static HEADERS: LazyLock<[(&str, &[u8]); 3]> = LazyLock::new(|| {
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; \
             connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'",
            sha256(STYLE),
            sha256(SCRIPT)
        );
        [
            ("cache-control", b"no-store"),
            // Once, for the life of the process.
            ("content-security-policy", policy.into_bytes().leak()),
            ("x-content-type-options", b"nosniff"),
        ]
    });
    &*HEADERS
}

/// The digest of a text, as policies write it.
fn sha256(text: &str) -> String {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let hash = suite.tls13().map(|suite| suite.common.hash_provider.hash(text.as_bytes()));
    hash.map(|hash| BASE64_STANDARD.encode(hash.as_ref())).unwrap_or_default()
}

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:light-dark(#555,#b0b0b0);--mark:#2a6fdb}\
body{font:14px/1.5 system-ui,sans-serif;margin:0 auto;max-width:84rem;padding:0 1.5rem 3rem}\
nav{display:flex;gap:1rem;flex-wrap:wrap;border-bottom:1px solid var(--line);padding:.8rem 0}\
nav a{color:var(--soft);text-decoration:none}nav a.here{color:inherit;font-weight:600}\
nav a:hover{color:var(--mark)}h1{font-size:1.3rem;margin:1.4rem 0 .8rem}\
main{overflow-x:auto;transition:opacity .3s}main.lost{opacity:.4}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line)}\
th{font-weight:600;color:var(--soft)}td{vertical-align:top}td.n,th.n{text-align:right}\
a{color:var(--mark)}code,pre,td.t{font:13px/1.5 ui-monospace,monospace}\
td.t{white-space:pre-wrap;overflow-wrap:anywhere;min-width:30rem}";

/// Keeps a page fresh: gets it again and puts what it says in the place of what is shown, but not
/// while nobody looks or somebody copies from it. What cannot be had again grows pale.
const SCRIPT: &str = "\
const look=async()=>{const main=document.querySelector('main');\
if(!document.hidden&&getSelection().isCollapsed){try{\
const text=await(await fetch(location)).text();\
const page=new DOMParser().parseFromString(text,'text/html');\
main.replaceChildren(...page.querySelector('main').childNodes);\
main.className=''}catch{main.className='lost'}}\
setTimeout(look,1000)};setTimeout(look,1000)";

/// A page, rendered.
pub(crate) struct Sheet {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Sheet {
    /// A page of plain text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::of("text/plain; charset=utf-8", text.into())
    }

    /// A page as JSON.
    pub(crate) fn json(value: &Value) -> Self {
        Self::of("application/json", format!("{value:#}\n"))
    }

    /// A page as HTML: `body`, whose texts are [`Escaped`], under the list of all pages.
    pub(crate) fn html(page: &Page, body: &str) -> Self {
        let mut text = String::with_capacity(body.len() + 4096);
        let title = Escaped(page.title);
        text.push_str("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">");
        text.push_str("<meta name=\"viewport\" content=\"width=device-width\">");
        let mut put = |arguments: fmt::Arguments<'_>| {
            text.write_fmt(arguments).expect("a string takes every text");
        };
        put(format_args!("<title>msec: {title}</title><style>{STYLE}</style><nav>"));
        for other in PAGES {
            let here = if other.path == page.path { " class=\"here\"" } else { "" };
            put(format_args!("<a href=\"{}\"{here}>{}</a>", other.path, &other.path[1..]));
        }
        put(format_args!("</nav><main><h1>{title}</h1>{body}</main>"));
        if page.is_live {
            put(format_args!("<script>{SCRIPT}</script>"));
        }
        Self::of("text/html; charset=utf-8", text)
    }

    fn of(content_type: &'static str, text: String) -> Self {
        Self { status: 200, content_type, body: text.into_bytes() }
    }
}

/// A text within HTML, also within the quotes of an attribute.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digests_are_those_that_a_browser_makes() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(sha256("abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn texts_cannot_leave_their_place_in_html() {
        let text = Escaped("<script>'\"&").to_string();
        assert_eq!(text, "&lt;script&gt;&#39;&quot;&amp;");
    }
}

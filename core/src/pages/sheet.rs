//! What a page is made of: JSON, plain text, or HTML in the one dress that all pages wear.

use std::fmt::{self, Write};

use serde_json::Value;

use super::{PAGES, Page};

/// Sent with every page: nothing is kept, nothing is loaded from elsewhere, nobody frames it.
pub(super) const HEADERS: &[(&str, &[u8])] = &[
    ("cache-control", b"no-store"),
    (
        "content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
          connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'",
    ),
    ("x-content-type-options", b"nosniff"),
];

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8888;--mark:#2a6fdb}\
body{font:14px/1.5 system-ui,sans-serif;margin:0 auto;max-width:72rem;padding:0 1.5rem 3rem}\
nav{display:flex;gap:1rem;flex-wrap:wrap;border-bottom:1px solid var(--line);padding:.8rem 0}\
nav a{color:inherit;text-decoration:none;opacity:.7}nav a.here{opacity:1;font-weight:600}\
nav a:hover{color:var(--mark);opacity:1}h1{font-size:1.3rem;margin:1.4rem 0 .8rem}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line)}\
th{font-weight:600;color:var(--soft)}td.n,th.n{text-align:right}\
code,pre{font:13px/1.5 ui-monospace,monospace}";

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
        put(format_args!("</nav><h1>{title}</h1>{body}"));
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
    fn texts_cannot_leave_their_place_in_html() {
        let text = Escaped("<script>'\"&").to_string();
        assert_eq!(text, "&lt;script&gt;&#39;&quot;&amp;");
    }
}

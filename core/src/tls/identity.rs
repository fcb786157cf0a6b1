//! Who a peer is, by the certificate that it has shown and that was checked.
//!
//! A certificate names its owner twice: by its subject, a list of attributes made for people
//! (RFC 5280 §4.1.2.6), and by alternative names made for machines (§4.2.1.6). Decide by the
//! latter where the CA writes them; a URI is what SPIFFE and most meshes use.

use rustls::pki_types::CertificateDer;

/// Who a peer is by its certificate, which a CA that is trusted here has signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    subject: String,
    dns_names: Vec<String>,
    uris: Vec<String>,
}

impl Identity {
    /// Reads the names out of a certificate; `None` if it is none.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
        Some(Self {
            subject: subject(parsed.subject()),
            dns_names: parsed.valid_dns_names().map(str::to_owned).collect(),
            uris: parsed.valid_uri_names().map(str::to_owned).collect(),
        })
    }

    /// The subject, most specific attribute first, such as `CN=ann,O=Example`; may be empty.
    ///
    /// As RFC 4514 writes it, with attributes other than CN, O, OU, C, L and ST left out.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The common name out of the subject; empty if it has none.
    pub fn common_name(&self) -> &str {
        let first = self.subject.strip_prefix("CN=");
        let (_, name) = first
            .map_or_else(|| self.subject.split_once(",CN=").unwrap_or_default(), |name| ("", name));
        let mut end = name.len();
        for (index, _) in name.match_indices(',') {
            if !name[..index].ends_with('\\') {
                end = index;
                break;
            }
        }
        &name[..end]
    }

    /// The DNS names that it is for.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// The URIs that it is for, such as `spiffe://example/orders`.
    pub fn uris(&self) -> &[String] {
        &self.uris
    }
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// The attributes that are shown: those below `id-at` (2.5.4, RFC 4519).
const ATTRIBUTES: [(&[u8], &str); 6] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
];

/// The text of a name: a sequence of sets of pairs of an identifier and a string. What is not
/// understood is left out: the certificate was checked, and this is for people.
fn subject(name: &[u8]) -> String {
    let mut parts = Vec::new();
    // With its outer sequence, or without.
    let mut rest = match element(name) {
        Some((SEQUENCE, inner, [])) => inner,
        _ => name,
    };
    while let Some((SET, mut pairs, behind)) = element(rest) {
        while let Some((SEQUENCE, pair, others)) = element(pairs) {
            parts.extend(attribute(pair));
            pairs = others;
        }
        rest = behind;
    }
    parts.reverse();
    parts.join(",")
}

fn attribute(pair: &[u8]) -> Option<String> {
    let (OBJECT_IDENTIFIER, identifier, rest) = element(pair)? else { return None };
    let (_, name) = ATTRIBUTES.iter().find(|(known, _)| *known == identifier)?;
    let (_, value, _) = element(rest)?;
    let mut text = format!("{name}=");
    for character in std::str::from_utf8(value).ok()?.chars().filter(|c| !c.is_control()) {
        if ",+\"\\<>;".contains(character) {
            text.push('\\');
        }
        text.push(character);
    }
    Some(text)
}

/// The first element of DER: its tag, what is in it, and what is behind it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = bytes else { return None };
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        // Names of 64 KiB are none.
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), &rest[2..]),
        _ => return None,
    };
    let (inner, behind) = rest.split_at_checked(length)?;
    Some((*tag, inner, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(tag: u8, inner: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        match inner.len() {
            short @ 0..=0x7f => bytes.push(short as u8),
            long => bytes.extend([0x82, (long >> 8) as u8, long as u8]),
        }
        bytes.extend(inner);
        bytes
    }

    fn pair(kind: u8, value: &str) -> Vec<u8> {
        let identifier = tagged(OBJECT_IDENTIFIER, &[0x55, 4, kind]);
        let pair = [identifier, tagged(0x0c, value.as_bytes())].concat();
        tagged(SET, &tagged(SEQUENCE, &pair))
    }

    #[test]
    fn a_subject_is_written_with_its_most_specific_part_first() {
        let name = [pair(6, "DE"), pair(10, "Example"), pair(3, "ann")].concat();
        assert_eq!(subject(&name), "CN=ann,O=Example,C=DE");
        assert_eq!(subject(&tagged(SEQUENCE, &name)), "CN=ann,O=Example,C=DE");
        let long = "n".repeat(300);
        assert_eq!(subject(&pair(3, &long)), format!("CN={long}"));
    }

    #[test]
    fn no_value_can_pass_for_another_attribute() {
        let name = [pair(10, "Example"), pair(3, "ann,O=\\Other\n")].concat();
        let identity = Identity { subject: subject(&name), ..Identity::default() };
        assert_eq!(identity.subject(), "CN=ann\\,O=\\\\Other,O=Example");
        assert_eq!(identity.common_name(), "ann\\,O=\\\\Other");
    }

    #[test]
    fn the_common_name_is_found_wherever_it_stands() {
        let check = |subject: &str, expect: &str| {
            let identity = Identity { subject: subject.into(), ..Identity::default() };
            assert_eq!(identity.common_name(), expect, "{subject}");
        };
        check("CN=ann", "ann");
        check("CN=ann,O=Example", "ann");
        check("O=Example,CN=ann", "ann");
        check("O=Example", "");
        check("", "");
    }

    #[test]
    fn what_is_cut_short_ends_in_nothing() {
        let name = pair(3, "ann");
        for end in 0..name.len() {
            assert_eq!(subject(&name[..end]), "", "the first {end} bytes");
        }
        assert_eq!(subject(&[SET, 0x84, 1, 2, 3, 4]), "");
    }
}

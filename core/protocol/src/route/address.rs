//! Addresses and targets: what a caller writes to say whom to call, and where an instance listens.
use crate::limits::{PORT_DEFAULT, SERVICE_NAME_BYTES_MAX, UNIX_PATH_BYTES_MAX};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

/// Where an instance listens, and how it is spoken to.
///
/// Parsed from and written as `10.0.0.1:7963`, `[::1]:7963`, `10.0.0.1:7963@udp`, `unix:/run/a`,
/// or `unix:@name` for a socket in the abstract namespace (unix(7)). `@tcp` may be said; without
/// a port it is 7963. `10.0.0.1:7963@tls` is a stream that is secured by TLS, and
/// `10.0.0.1:7963@tls:orders.example` one whose certificate must be for that name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A stream over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A stream secured by TLS, and the name that its certificate must be for, if that is not left
    /// to the caller's configuration.
    Tls(SocketAddr, Option<Box<str>>),
    /// One datagram a message.
    Udp(SocketAddr),
    /// A stream within the machine: a path, or `@` and an abstract name.
    Unix(String),
}

/// What a caller writes to say whom to call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A service, to be found in the route table.
    Service(String),
    /// One address.
    Address(Address),
}

/// A text that is neither an address nor a service name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTarget {
    /// It is empty, or longer than anything that is meant.
    Length,
    /// A service name is two levels, `L1.L2`, each of letters, digits, `_` and `-`.
    ServiceName,
    /// It looks like an address, but the part before `@` is not `ip:port`.
    IpAddress,
    /// Port 0 cannot be called.
    PortZero,
    /// After `@` only `tcp`, `tls` and `udp` are known.
    Transport,
    /// After `@tls:` comes a name of letters, digits, `-` and `_` between dots, up to 253 bytes.
    TlsName,
    /// A unix socket needs a path of 1 to 107 bytes.
    UnixPath,
}

/// Whether a text is a service name: `L1.L2`, each level of ASCII letters, digits, `_` and `-`.
///
/// The first level begins with no digit, so that no service name can be taken for an address.
pub fn is_service_name(text: &str) -> bool {
    let is_level = |level: &str| {
        !level.is_empty()
            && level.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let Some((first, second)) = text.split_once('.') else { return false };
    text.len() <= SERVICE_NAME_BYTES_MAX
        && is_level(first)
        && is_level(second)
        && !first.starts_with(|first: char| first.is_ascii_digit())
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Target, BadTarget> {
        if is_service_name(text) {
            return Ok(Target::Service(text.to_owned()));
        }
        let looks_like_address = text.contains([':', '@']) || text.parse::<IpAddr>().is_ok();
        if looks_like_address {
            return text.parse().map(Target::Address);
        }
        if text.is_empty() || text.len() > SERVICE_NAME_BYTES_MAX {
            return Err(BadTarget::Length);
        }
        Err(BadTarget::ServiceName)
    }
}

impl FromStr for Address {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Address, BadTarget> {
        if let Some(path) = text.strip_prefix("unix:") {
            let usable = matches!(path.as_bytes(), [b'/' | b'.', ..] | [b'@', _, ..]);
            if !usable || path.len() > UNIX_PATH_BYTES_MAX || path.contains('\0') {
                return Err(BadTarget::UnixPath);
            }
            return Ok(Address::Unix(path.to_owned()));
        }
        let (place, transport) = text.split_once('@').unwrap_or((text, "tcp"));
        let address = ip_address(place).ok_or(BadTarget::IpAddress)?;
        if address.port() == 0 {
            return Err(BadTarget::PortZero);
        }
        match transport {
            "tcp" => Ok(Address::Tcp(address)),
            "udp" => Ok(Address::Udp(address)),
            "tls" => Ok(Address::Tls(address, None)),
            _ => match transport.strip_prefix("tls:") {
                Some(name) if is_dns_name(name) => Ok(Address::Tls(address, Some(name.into()))),
                Some(_) => Err(BadTarget::TlsName),
                None => Err(BadTarget::Transport),
            },
        }
    }
}

/// A name that a certificate may be for (RFC 1035 §2.3.4; underscores as many use them).
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// `ip:port`, `ip`, `[ipv6]:port` or `[ipv6]`.
fn ip_address(place: &str) -> Option<SocketAddr> {
    if let Ok(address) = place.parse() {
        return Some(address);
    }
    let bracketed = place.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match bracketed {
        Some(inner) => IpAddr::V6(inner.parse::<Ipv6Addr>().ok()?),
        None => place.parse().ok()?,
    };
    Some(SocketAddr::new(ip, PORT_DEFAULT))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Tls(address, None) => write!(f, "{address}@tls"),
            Address::Tls(address, Some(name)) => write!(f, "{address}@tls:{name}"),
            Address::Udp(address) => write!(f, "{address}@udp"),
            Address::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Service(name) => f.write_str(name),
            Target::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadTarget::Length => "target is empty or too long",
            BadTarget::ServiceName => "service name is not two levels like \"Demo.echo\"",
            BadTarget::IpAddress => "address is not ip:port like \"10.0.0.1:7963\"",
            BadTarget::PortZero => "address has port 0",
            BadTarget::Transport => "transport after '@' is none of tcp, tls and udp",
            BadTarget::TlsName => "name after '@tls:' is none that a certificate is for",
            BadTarget::UnixPath => "unix socket is not a path like \"unix:/run/demo.sock\"",
        })
    }
}

impl core::error::Error for BadTarget {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    #[track_caller]
    fn check(text: &str, expect: Result<&str, BadTarget>) {
        let target = text.parse::<Target>();
        match (&target, expect) {
            (Ok(target), Ok(shown)) => {
                assert_eq!(target.to_string(), shown);
                assert_eq!(shown.parse::<Target>().as_ref(), Ok(target), "shown is not parsed");
            }
            (got, expect) => assert_eq!(got.as_ref().err().copied(), expect.err(), "{text}"),
        }
    }

    #[test]
    fn targets_are_service_names_or_addresses() {
        check("Demo.echo", Ok("Demo.echo"));
        check("VOA_cpp.Main-Logic2", Ok("VOA_cpp.Main-Logic2"));
        check("127.0.0.1:80", Ok("127.0.0.1:80"));
        check("127.0.0.1:80@tcp", Ok("127.0.0.1:80"));
        check("127.0.0.1:80@udp", Ok("127.0.0.1:80@udp"));
        check("127.0.0.1:80@tls", Ok("127.0.0.1:80@tls"));
        check("[::1]@tls:a-1.example", Ok("[::1]:7963@tls:a-1.example"));
        check("127.0.0.1:80@tls:", Err(BadTarget::TlsName));
        check("127.0.0.1:80@tls:a..b", Err(BadTarget::TlsName));
        check("127.0.0.1:80@tls:a/b", Err(BadTarget::TlsName));
        check("127.0.0.1:80@tlss", Err(BadTarget::Transport));
        check("10.0.0.1", Ok("10.0.0.1:7963"));
        check("10.0.0.1@udp", Ok("10.0.0.1:7963@udp"));
        check("[::1]:80", Ok("[::1]:80"));
        check("[::1]", Ok("[::1]:7963"));
        check("::1", Ok("[::1]:7963"));
        check("[fe80::1]:80@udp", Ok("[fe80::1]:80@udp"));
        check("unix:/run/demo.sock", Ok("unix:/run/demo.sock"));
        check("unix:./demo@1.sock", Ok("unix:./demo@1.sock"));
        check("unix:@demo", Ok("unix:@demo"));
    }

    #[test]
    fn what_is_neither_is_refused_with_the_likely_cause() {
        check("", Err(BadTarget::Length));
        check(&"x".repeat(SERVICE_NAME_BYTES_MAX + 1), Err(BadTarget::Length));
        check("Demo", Err(BadTarget::ServiceName));
        check("Demo.", Err(BadTarget::ServiceName));
        check(".echo", Err(BadTarget::ServiceName));
        check("Demo.echo.more", Err(BadTarget::ServiceName));
        check("Demo.e cho", Err(BadTarget::ServiceName));
        check("1Demo.echo", Err(BadTarget::ServiceName));
        check("localhost:80", Err(BadTarget::IpAddress));
        check("1.2.3:80", Err(BadTarget::IpAddress));
        check("1.2.3.4:99999", Err(BadTarget::IpAddress));
        check("1.2.3.4:0", Err(BadTarget::PortZero));
        check("1.2.3.4:80@sctp", Err(BadTarget::Transport));
        check("1.2.3.4:80@", Err(BadTarget::Transport));
        check("unix:", Err(BadTarget::UnixPath));
        check("unix:@", Err(BadTarget::UnixPath));
        check("unix:relative", Err(BadTarget::UnixPath));
        check(&format!("unix:/{}", "x".repeat(UNIX_PATH_BYTES_MAX)), Err(BadTarget::UnixPath));
        check("unix:/a\0b", Err(BadTarget::UnixPath));
    }
}

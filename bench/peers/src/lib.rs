//! What the peers share: the flags that the servers of the bench take.
//!
//! A peer is the best plain program that its runtime's own documentation would lead to, on one
//! thread: the bench compares engines, not the skill that went into a sample. The raw echoes
//! (tokio, glommio, may) read into a buffer of [`BUFFER_BYTES`] and write it back; they say what
//! the runtime costs before any protocol. tonic is a whole RPC server.

use std::net::SocketAddr;

/// Bytes a raw echo reads at once: the size of the floor servers' receive buffers, so that no
/// server has an edge by it.
pub const BUFFER_BYTES: usize = 68 * 1024;

/// The address after `--listen`; anything else ends the process with a message.
pub fn listen_address() -> SocketAddr {
    match parse() {
        Ok(Flags { listen, tls: None }) => listen,
        Ok(Flags { tls: Some(_), .. }) => give_up("this peer has no TLS"),
        Err(error) => give_up(error),
    }
}

/// What a peer with TLS is told; a mistake ends the process with a message.
pub fn flags() -> Flags {
    parse().unwrap_or_else(|error| give_up(error))
}

/// What a peer is told.
#[derive(Clone, Debug)]
pub struct Flags {
    /// `--listen`: where to serve.
    pub listen: SocketAddr,
    /// `--certificate` and `--key`: the texts of these files, in PEM form.
    pub tls: Option<(String, String)>,
}

fn give_up(error: impl std::fmt::Display) -> ! {
    eprintln!("{error}\nusage: --listen ADDRESS:PORT [--certificate FILE --key FILE]");
    std::process::exit(2);
}

fn parse() -> Result<Flags, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_env();
    let (mut listen, mut certificate, mut key) = (None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("listen") => listen = Some(parser.value()?.parse()?),
            Long("certificate") => certificate = Some(file(&mut parser)?),
            Long("key") => key = Some(file(&mut parser)?),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected()),
        }
    }
    let listen = listen.ok_or("--listen is missing")?;
    Ok(Flags { listen, tls: certificate.zip(key) })
}

fn file(parser: &mut lexopt::Parser) -> Result<String, lexopt::Error> {
    let path = parser.value()?;
    std::fs::read_to_string(&path)
        .map_err(|error| format!("{}: {error}", path.to_string_lossy()).into())
}

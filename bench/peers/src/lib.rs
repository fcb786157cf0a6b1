//! What the peers share: the one flag every server of the bench takes.
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
        Ok(address) => address,
        Err(error) => {
            eprintln!("{error}\nusage: --listen ADDRESS:PORT");
            std::process::exit(2);
        }
    }
}

fn parse() -> Result<SocketAddr, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let mut address = None;
    while let Some(argument) = parser.next()? {
        if argument == lexopt::Arg::Long("listen") {
            let value = parser.value()?;
            address = Some(value.to_string_lossy().parse::<SocketAddr>().map_err(|error| {
                format!("{} is not an address: {error}", value.to_string_lossy())
            })?);
        } else {
            return Err(argument.unexpected());
        }
    }
    address.ok_or_else(|| "--listen is missing".into())
}

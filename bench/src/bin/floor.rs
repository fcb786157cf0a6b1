//! `floor uring|epoll|hold --listen ADDRESS:PORT`: a server that sends back the very same bytes.

use std::net::SocketAddr;
use std::process::ExitCode;

use msec_bench::floor;

const USAGE: &str = "usage: floor uring|epoll|hold --listen ADDRESS:PORT";

fn main() -> ExitCode {
    let (kind, address) = match parse() {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let served = floor::listen(address).and_then(|listener| match kind {
        Kind::Uring => floor::uring::serve(listener),
        Kind::Epoll => floor::epoll::serve(listener),
        Kind::Hold => floor::hold::serve(listener),
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor on {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

enum Kind {
    Uring,
    Epoll,
    Hold,
}

fn parse() -> Result<(Kind, SocketAddr), lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_env();
    let (mut kind, mut address) = (None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("listen") => address = Some(parser.value()?.parse::<SocketAddr>()?),
            Value(word) if word == "uring" => kind = Some(Kind::Uring),
            Value(word) if word == "epoll" => kind = Some(Kind::Epoll),
            Value(word) if word == "hold" => kind = Some(Kind::Hold),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected()),
        }
    }
    let kind = kind.ok_or("which floor?")?;
    Ok((kind, address.ok_or("--listen is missing")?))
}

//! An echo service: `echo --listen 127.0.0.1:7963 [--cores N]`, over TCP and UDP.
//!
//! With `unix:/path` it listens there alone. It runs until SIGTERM or Ctrl-C, then drains and says
//! how much it has served.

use std::time::Duration;

use msec::{Config, Context, Engine, Server, process};

#[allow(missing_docs, unreachable_pub, unused_qualifications, dead_code)]
mod echo {
    include!("generated/echo.rs");
}
mod served;
use echo::{EchoRequest, EchoResponse, EchoService, EchoServiceServer};

struct Echo;

impl EchoService for Echo {
    fn echo(&self, _: &Context, request: EchoRequest) -> Result<EchoResponse, msec::Error> {
        Ok(EchoResponse { message: request.message })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::from_env()?;
    let mut listen = "127.0.0.1:7963".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} wants a value"))?;
        match flag.as_str() {
            "--listen" => listen = value,
            "--cores" => config = config.cores(value.parse()?),
            _ => return Err(format!("unknown flag {flag}: there are --listen, --cores").into()),
        }
    }
    let signals = process::block_signals()?;
    process::name_crashes()?;
    let engine = Engine::with(config)?;
    let mut server = Server::builder().service(EchoServiceServer::new(Echo)).listen(&listen);
    if !listen.starts_with("unix:") {
        server = server.listen(format!("{listen}@udp"));
    }
    let server = server.start(&engine)?;
    println!("echo listens on {} by {}", server.addresses().join(" and "), engine.io_backend());
    process::serve_until_signal(signals, &server, Duration::from_secs(5))?;
    served::print(&server);
    Ok(())
}

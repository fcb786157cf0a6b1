//! A relay: an echo service that asks another echo service.
//! `relay --listen 127.0.0.1:7964 --to 127.0.0.1:7963 [--cores N] [--routes FILE]`
//!
//! With a file of routes, `--to` may name a service of it: the engine chooses among its instances.
//! It runs until SIGTERM or Ctrl-C, then drains and says how much it has served.

use std::time::Duration;

use msec::{CallOptions, Client, Config, Context, Engine, Server, process};

#[allow(missing_docs, unreachable_pub, unused_qualifications, dead_code)]
mod echo {
    include!("generated/echo.rs");
}
mod served;
use echo::{EchoRequest, EchoResponse, EchoService, EchoServiceClient, EchoServiceServer};

struct Relay {
    next: EchoServiceClient,
}

impl EchoService for Relay {
    fn echo(&self, _: &Context, request: EchoRequest) -> Result<EchoResponse, msec::Error> {
        // Plain blocking code: the coroutine parks here, its core goes on with others.
        // To echo twice does no harm: a call that one instance did not answer may go to another.
        self.next.echo_with(&request, &CallOptions::new().idempotent(true))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::from_env()?;
    let (mut listen, mut to) = ("127.0.0.1:7964".to_owned(), "127.0.0.1:7963".to_owned());
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} wants a value"))?;
        match flag.as_str() {
            "--listen" => listen = value,
            "--to" => to = value,
            "--routes" => config = config.routes(value),
            "--cores" => config = config.cores(value.parse()?),
            _ => {
                return Err(
                    format!("unknown flag {flag}: --listen, --to, --cores, --routes").into()
                );
            }
        }
    }
    let signals = process::block_signals()?;
    process::name_crashes()?;
    let engine = Engine::with(config)?;
    let next = EchoServiceClient::new(Client::new(&engine, &to)?);
    let server = Server::builder()
        .service(EchoServiceServer::new(Relay { next }))
        .listen(&listen)
        .start(&engine)?;
    println!("relay listens on {} and asks {to}", server.addresses().join(" and "));
    process::serve_until_signal(signals, &server, Duration::from_secs(5))?;
    served::print(&server);
    Ok(())
}

//! One of several instances of a service: `instance --listen 127.0.0.1:7965 [--cores N]`.
//!
//! It echoes, as `echo` does, and it can be spoilt for a trial of what its callers then do:
//! `demo.Instance.Slow` with a number as its body makes each answer take so many milliseconds more,
//! and `demo.Instance.Served` says how many it has answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use msec::{Code, Config, Context, Engine, Error, Server, process};

#[allow(missing_docs, unreachable_pub, unused_qualifications, dead_code)]
mod echo {
    include!("generated/echo.rs");
}
mod served;
use echo::{EchoRequest, EchoResponse, EchoService, EchoServiceServer};

/// What the instance has become, and what it has done.
#[derive(Default)]
struct State {
    slow_ms: AtomicU64,
    served: AtomicU64,
}

struct Echo(Arc<State>);

impl EchoService for Echo {
    fn echo(&self, _: &Context, request: EchoRequest) -> Result<EchoResponse, Error> {
        let slow_ms = self.0.slow_ms.load(Ordering::Relaxed);
        if slow_ms > 0 {
            msec::sleep(Duration::from_millis(slow_ms))?;
        }
        self.0.served.fetch_add(1, Ordering::Relaxed);
        Ok(EchoResponse { message: request.message })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::from_env()?;
    let mut listen = "127.0.0.1:7965".to_owned();
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
    let state = Arc::new(State::default());
    let (slow, counted) = (state.clone(), state.clone());
    let server = Server::builder()
        .service(EchoServiceServer::new(Echo(state)))
        .raw("demo.Instance.Slow", move |context| {
            let text = std::str::from_utf8(context.body()).ok();
            let slow_ms = text.and_then(|text| text.parse().ok()).ok_or_else(|| {
                Error::new(Code::INVALID_PARAMETER, "the body is no number of milliseconds")
            })?;
            slow.slow_ms.store(slow_ms, Ordering::Relaxed);
            Ok(b"")
        })
        .raw("demo.Instance.Served", move |_| {
            Ok(counted.served.load(Ordering::Relaxed).to_string())
        })
        .listen(&listen)
        .start(&engine)?;
    println!("instance listens on {} by {}", server.addresses().join(" and "), engine.io_backend());
    process::serve_until_signal(signals, &server, Duration::from_secs(5))?;
    served::print(&server);
    Ok(())
}

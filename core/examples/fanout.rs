//! A service that asks several echo services in parallel:
//! `fanout --listen 127.0.0.1:7965 --to 127.0.0.1:7963 --to 127.0.0.1:7964 [--cores N]`
//!
//! ```text
//!                        ┌──► echo A ──┐
//!   caller ──► fanout ───┼──► echo B ──┼──► one answer, as late as the slowest of them
//!                        └──► echo C ──┘
//! ```
//!
//! Two ways to write it. `AskAll` starts the calls and waits for them one after another, which is
//! all that calls alone need. `AskAllInScope` runs a coroutine for each, in which any blocking code
//! may stand: several calls that follow each other, or a call and a computation on its answer.
//!
//! Neither says anything of deadlines. Nested calls inherit that of the request, so a caller who
//! waits 50 ms has the answer, or the error of whoever was too slow, in time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use msec::{CallOptions, Client, Config, Context, Engine, Error, Server, process};

#[allow(missing_docs, unreachable_pub, unused_qualifications, dead_code)]
mod echo {
    include!("generated/echo.rs");
}
#[allow(missing_docs, unreachable_pub, unused_qualifications, dead_code)]
mod fanout {
    include!("generated/fanout.rs");
}
mod served;
use echo::{EchoRequest, EchoResponse, EchoServiceClient};
use fanout::{Answer, AskRequest, AskResponse, FanoutService, FanoutServiceServer};

/// An echo service and how it is called in answers.
#[derive(Clone)]
struct Neighbour {
    name: String,
    echo: EchoServiceClient,
}

struct Fanout {
    neighbours: Vec<Neighbour>,
}

impl FanoutService for Fanout {
    fn ask_all(&self, _: &Context, request: AskRequest) -> Result<AskResponse, Error> {
        let request = EchoRequest { message: request.message };
        let options = CallOptions::new();
        // All are on their way before the first is waited for.
        let calls: Vec<_> = self
            .neighbours
            .iter()
            .map(|neighbour| (neighbour, neighbour.echo.echo_start(&request, &options)))
            .collect();
        let answers =
            calls.into_iter().map(|(neighbour, call)| answer(&neighbour.name, call.wait()));
        Ok(AskResponse { answers: answers.collect() })
    }

    fn ask_all_in_scope(&self, _: &Context, request: AskRequest) -> Result<AskResponse, Error> {
        let request = EchoRequest { message: request.message };
        // Coroutines of one core share memory without locks: they take turns, never run at a time.
        let answers = Rc::new(RefCell::new(vec![Answer::default(); self.neighbours.len()]));
        msec::scope(|scope| {
            for (index, neighbour) in self.neighbours.iter().cloned().enumerate() {
                let (request, answers) = (request.clone(), answers.clone());
                scope.spawn(move || {
                    let result = neighbour.echo.echo(&request);
                    answers.borrow_mut()[index] = answer(&neighbour.name, result);
                });
            }
        })?;
        Ok(AskResponse { answers: answers.take() })
    }
}

/// A neighbour that fails is a line of the answer, not the failure of the whole.
fn answer(from: &str, result: Result<EchoResponse, Error>) -> Answer {
    let from = from.to_owned();
    match result {
        Ok(response) => Answer { from, message: response.message, error: String::new() },
        Err(error) => Answer { from, error: error.to_string(), ..Answer::default() },
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::from_env()?;
    let mut listen = "127.0.0.1:7965".to_owned();
    let mut to = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} wants a value"))?;
        match flag.as_str() {
            "--listen" => listen = value,
            "--to" => to.push(value),
            "--cores" => config = config.cores(value.parse()?),
            _ => return Err(format!("unknown flag {flag}: --listen, --to, --cores").into()),
        }
    }
    if to.is_empty() {
        return Err("whom to ask? give --to ADDRESS once or several times".into());
    }
    let signals = process::block_signals()?;
    process::name_crashes()?;
    let engine = Engine::with(config)?;
    let neighbour = |name: &String| {
        let echo = EchoServiceClient::new(Client::new(&engine, name)?);
        Ok(Neighbour { name: name.clone(), echo })
    };
    let neighbours = to.iter().map(neighbour).collect::<Result<_, Error>>()?;
    let server = Server::builder()
        .service(FanoutServiceServer::new(Fanout { neighbours }))
        .listen(&listen)
        .start(&engine)?;
    println!("fanout listens on {} and asks {}", server.addresses().join(" and "), to.join(", "));
    process::serve_until_signal(signals, &server, Duration::from_secs(5))?;
    served::print(&server);
    Ok(())
}

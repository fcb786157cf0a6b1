//! Calls by plain threads: `msec-threads COUNT` has so many of them call an echo of this process
//! for two seconds, one call after another, and prints the median of a call as JSON.
//!
//! `bench/cpp/threads.cc` does the same through libmsec.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use msec::{CallOptions, Client, Config, Engine, Server};
use msec_bench::process::now_ns;

const METHOD: &str = "echo.EchoService.Echo";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = std::env::args().nth(1).unwrap_or_default().parse()?;
    let serving = Engine::with(Config::from_env()?.cores(1))?;
    let calling = Engine::with(Config::from_env()?.cores(1))?;
    let server = Server::builder()
        .raw(METHOD, |context| Ok(context.body().to_vec()))
        .listen("127.0.0.1:0")
        .start(&serving)?;
    let client = Client::new(&calling, &server.addresses()[0])?;
    let stop = Arc::<AtomicBool>::default();
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let (client, stop) = (client.clone(), stop.clone());
            std::thread::spawn(move || call(&client, &stop))
        })
        .collect();
    std::thread::sleep(Duration::from_secs(2));
    stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for thread in threads {
        all.extend(thread.join().map_err(|_| "a thread panicked")??);
    }
    all.sort_unstable();
    println!("{{\"ns\":{}}}", all[all.len() / 2]);
    Ok(())
}

fn call(client: &Client, stop: &AtomicBool) -> msec::Result<Vec<u64>> {
    let mut own = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun_ns = now_ns();
        client.call_raw(METHOD, &[b'x'; 64], &CallOptions::new())?;
        own.push(now_ns() - begun_ns);
    }
    Ok(own)
}

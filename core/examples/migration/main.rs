//! A migration: services and programs that were written for the original engine, in C++ and Java,
//! at work beside new ones.
//!
//! ```text
//!   client_library_sync ─┐                      ┌─► catalogue   a third party's protocol
//!   cgi_library ─────────┤   Library.counter ───┤
//!   callers in Rust ─────┼─► C++, msec.so       └─► Library.shelf ──┬─► Library.store
//!   msec call, curl ─────┘                          Java, msec.jar  │   C++, two instances
//!                                                                   └─► Demo.echo  Rust, new
//! ```
//!
//! What the original's documents teach is in cpp-examples/migration and java/migration, and was
//! built by what `msec gen --compat` makes; `MIGRATION_CPP` and `MIGRATION_JAVA` name the results.
//! All services run under `msec host`. Under calls the counter and the shelf are loaded anew, and
//! one of the two stores ends. On a terminal it runs until Ctrl-C, elsewhere for ten seconds;
//! `DEMO_SECONDS` sets a time for both. The exit status says whether everything was as expected.

#[path = "../demo/caller.rs"]
mod caller;
mod catalogue;
#[path = "../demo/expectation.rs"]
mod expectation;
#[path = "../demo/hosted.rs"]
mod hosted;
mod library;
#[path = "../demo/routes.rs"]
mod routes;
#[allow(dead_code, reason = "the other demo also asks what a service has done")]
#[path = "../demo/service.rs"]
mod service;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use msec_sys::process::TerminationSignals;

use library::Library;

/// What a run takes that nobody watches.
const SECONDS_DEFAULT: u64 = 10;
/// Where nobody has set an end: Ctrl-C is one.
const DAY: Duration = Duration::from_secs(86_400);

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("migration: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is as expected.
fn run() -> Result<bool, String> {
    let time = match std::env::var("DEMO_SECONDS") {
        Err(_) if std::io::stdout().is_terminal() => DAY,
        Err(_) => Duration::from_secs(SECONDS_DEFAULT),
        Ok(text) => match text.parse() {
            Ok(seconds @ 3..=86_400) => Duration::from_secs(seconds),
            _ => return Err(format!("DEMO_SECONDS=`{text}`: allowed is a number from 3 to 86400")),
        },
    };
    let path = |name: &str| {
        let set = std::env::var_os(name).map(PathBuf::from);
        set.ok_or_else(|| format!("{name} is not set; `make demo-migration` does"))
    };
    let mut library = Library::open(&path("MIGRATION_CPP")?, &path("MIGRATION_JAVA")?)?;
    let signals = TerminationSignals::block().map_err(|error| error.to_string())?;
    library.introduce();
    // Things happen after a third of the time, or soon where there is no end.
    let calm = (time / 3).min(Duration::from_secs(5));
    if signals.wait_at_most(calm).is_none() {
        println!("  the counter and the shelf are loaded anew, and one of the stores ends");
        library.change()?;
        signals.wait_at_most(time - calm);
    }
    // From here on a second Ctrl-C ends this at once, and the services with it.
    drop(signals);
    let (expectations, trace) = library.close()?;
    println!("\n  one request, from C++ by Java to C++ and Rust\n");
    trace.lines().for_each(|line| println!("  {line}"));
    println!();
    for (met, what, figures) in &expectations {
        let mark = if *met { "ok    " } else { "MISSED" };
        println!("  {mark}  {what}: {figures}");
    }
    println!("\n  docs/guide/migrating.md tells how to bring a service of your own over.\n");
    Ok(expectations.iter().all(|(met, _, _)| *met))
}

//! `msec`: runs services, calls them, presses them, writes code for them, and shows what they do.
//!
//! ```text
//!   arguments ─► flags.rs, by the table in commands.rs ─► call.rs │ press/ │ doctor/ │ …
//!                                                              │
//!                     request.rs: method and body ◄── schema.rs: .proto, descriptors, JSON
//! ```
//!
//! The exit status is 0 when it worked, 1 when the call or the run failed, 2 when the command line,
//! a file that it names or the JSON is wrong. Results go to standard output and everything else to
//! standard error, so that a result can be piped.

mod call;
mod commands;
mod completions;
mod config;
mod doctor;
mod failure;
mod flags;
mod generate;
mod help;
mod host;
mod new;
mod page;
mod press;
mod request;
mod route;
mod schema;
mod top;
mod trace;
mod version;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use failure::Failure;
use flags::Arguments;

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn run(mut words: Vec<OsString>) -> Result<(), Failure> {
    if words.is_empty() {
        return print(&help::overview());
    }
    let name = words.remove(0).to_string_lossy().into_owned();
    match &*name {
        "help" | "--help" | "-h" => return help::run(&words),
        "--version" | "-V" => return version::run(),
        _ => {}
    }
    let command = commands::find(&name)?;
    let parsed = Arguments::parse(command, words).map_err(|failure| failure.in_command(&name))?;
    if parsed.has("help") {
        return print(&help::of(command));
    }
    let done = match command.run {
        commands::Run::Call => call::run(&parsed),
        commands::Run::Press => press::run(&parsed),
        commands::Run::Top => top::run(&parsed),
        commands::Run::Trace => trace::run(&parsed),
        commands::Run::Route => route::run(&parsed),
        commands::Run::Generate => generate::run(&parsed),
        commands::Run::New => new::run(&parsed),
        commands::Run::Doctor => doctor::run(&parsed),
        commands::Run::Host => host::run(&parsed),
        commands::Run::Config => config::run(&parsed),
        commands::Run::Completions => completions::run(&parsed),
        commands::Run::Version => version::run(),
    };
    done.map_err(|failure| failure.in_command(&name))
}

/// Writes a result to standard output. A reader that has gone away has seen what it wanted.
fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

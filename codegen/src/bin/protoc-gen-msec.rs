//! `protoc-gen-msec`: what protoc runs for `--msec_out`. See `msec_codegen::plugin`.

use std::io::{self, Read, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut request = Vec::new();
    let answered = io::stdin()
        .lock()
        .read_to_end(&mut request)
        .map_err(|error| format!("cannot read the request: {error}"))
        .and_then(|_| msec_codegen::plugin::answer(&request).map_err(|error| error.to_string()))
        .and_then(|answer| {
            let mut out = io::stdout().lock();
            let written = out.write_all(&answer).and_then(|()| out.flush());
            written.map_err(|error| format!("cannot write the answer: {error}"))
        });
    match answered {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("protoc-gen-msec: {what}");
            ExitCode::FAILURE
        }
    }
}

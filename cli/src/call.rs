//! `msec call`: one call, and its answer on standard output.

use std::time::Duration;

use msec::{CallOptions, Client, Code, Config, clock};

use crate::failure::Failure;
use crate::flags::Arguments;
use crate::print_bytes;
use crate::request::{self, Request};

/// A method that no server has: the answer -6 tells that what was sent before it has been read.
const NO_METHOD: &str = "msec.none";

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let method = arguments.operand_text(1)?;
    let Some(request) = Request::of(arguments, method)? else {
        let text = "the message needs a schema (--proto or --descriptors), or --hex, or --raw";
        return Err(arguments.usage(&text));
    };
    let mut options = request::options(arguments)?.one_way(arguments.has("one-way"));
    if let Some(timeout) = arguments.duration("timeout")? {
        options = options.timeout(timeout);
    }
    let (_engine, client) = request::client(arguments, Config::from_env()?.cores(1))?;
    let begin_ns = clock::now_ns();
    let reply = client.call_raw(&request.method, &request.body, &options);
    let latency = Duration::from_nanos(clock::now_ns() - begin_ns);
    if arguments.has("verbose") {
        let (code, bytes) = match &reply {
            Ok(reply) => (Code::OK, reply.body.len()),
            Err(error) => (error.code(), 0),
        };
        let code = format!("code {} {}", code.0, code.text());
        eprintln!("{code}, {latency:.1?}, {} bytes out, {bytes} bytes in", request.body.len());
    }
    let reply = reply?;
    if arguments.has("one-way") {
        return confirm(&client, &options.one_way(false));
    }
    if reply.result != 0 {
        eprintln!("result: {}", reply.result);
    }
    print_bytes(&request.answer.write(&reply.body)?)
}

/// Makes sure that a request without an answer has arrived: a server reads a connection in order,
/// so once it has refused the next request it has read the one before. Over UDP nothing is sure.
fn confirm(client: &Client, options: &CallOptions) -> Result<(), Failure> {
    match client.call_raw(NO_METHOD, b"", options) {
        Err(error) if error.code() != Code::INVALID_METHOD => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

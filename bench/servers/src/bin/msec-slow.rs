//! The echo that takes `--sleep-ms`, as many at a time as come: a back end for rows with nested
//! calls.

use std::time::Duration;

use msec::{Context, Server};
use msec_bench_servers::echo::{EchoRequest, EchoResponse, EchoService, EchoServiceServer};
use msec_bench_servers::{Flags, serve};

struct Echo(Duration);

impl EchoService for Echo {
    fn echo(&self, _: &Context, request: EchoRequest) -> Result<EchoResponse, msec::Error> {
        msec::sleep(self.0)?;
        Ok(EchoResponse { message: request.message })
    }
}

fn main() -> msec::Result<()> {
    let flags = Flags::parse();
    let echo = Echo(Duration::from_millis(flags.sleep_ms));
    serve(flags.config()?, |engine| {
        Server::builder().service(EchoServiceServer::new(echo)).listen(&flags.listen).start(engine)
    })
}

//! The echo service as a plain callback: no coroutine, the answer is written on the core's loop.

use msec::{Context, Server};
use msec_bench_servers::echo::{EchoRequest, EchoResponse, EchoService, EchoServiceServer};
use msec_bench_servers::{Flags, serve};

struct Echo;

impl EchoService for Echo {
    fn echo(&self, _: &Context, request: EchoRequest) -> Result<EchoResponse, msec::Error> {
        Ok(EchoResponse { message: request.message })
    }
}

fn main() -> msec::Result<()> {
    let flags = Flags::parse();
    serve(flags.config()?, |engine| {
        Server::builder()
            .service(EchoServiceServer::new(Echo))
            .method("echo.EchoService.Echo", |options| {
                options.callback();
            })
            .listen(&flags.listen)
            .start(engine)
    })
}

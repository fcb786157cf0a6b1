//! Two methods on two cores: `echo.EchoService.Echo` answers at once, `bench.WorkService.Burn`
//! first uses the processor for `--burn-us`; with `--heavy` it is marked as a method that would
//! hold up its core.

use msec::{Context, Server};
use msec_bench_servers::echo::{EchoRequest, EchoResponse, EchoService, EchoServiceServer};
use msec_bench_servers::{Flags, burn, serve};

const BURN: &str = "bench.WorkService.Burn";

struct Echo;

impl EchoService for Echo {
    fn echo(&self, _: &Context, request: EchoRequest) -> Result<EchoResponse, msec::Error> {
        Ok(EchoResponse { message: request.message })
    }
}

fn main() -> msec::Result<()> {
    let flags = Flags::parse();
    let (microseconds, heavy) = (flags.burn_us, flags.heavy);
    serve(flags.config()?, |engine| {
        Server::builder()
            .service(EchoServiceServer::new(Echo))
            .raw(BURN, move |context| {
                burn(microseconds);
                // The bytes of an echo request are those of its answer.
                Ok(context.body_bytes())
            })
            .method(BURN, move |options| {
                if heavy {
                    options.heavy();
                }
            })
            .listen(&flags.listen)
            .start(engine)
    })
}

//! The echo service by TLS: `--certificate FILE --key FILE`, both in PEM form.

use msec::{Context, Server, ServerTls};
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
            .tls(ServerTls::new(&flags.certificate, &flags.key))
            .listen(format!("{}@tls", flags.listen))
            .start(engine)
    })
}

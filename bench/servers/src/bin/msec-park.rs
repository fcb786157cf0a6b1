//! A relay whose limits let a million calls wait for its next hop.

use std::time::Duration;

use msec::{CallOptions, Client, Context, Limits, Server};
use msec_bench_servers::echo::{
    EchoRequest, EchoResponse, EchoService, EchoServiceClient, EchoServiceServer,
};
use msec_bench_servers::{Flags, serve};

/// The million of the row, and what the cores hold spare.
const REQUESTS_MAX: u32 = 1_200_000;
/// Parking and releasing a million calls takes tens of seconds on a small machine.
const DEADLINE_MS: u32 = 600_000;

struct Relay {
    next: EchoServiceClient,
}

impl EchoService for Relay {
    fn echo(&self, _: &Context, request: EchoRequest) -> Result<EchoResponse, msec::Error> {
        let options = CallOptions::new().timeout(Duration::from_millis(u64::from(DEADLINE_MS)));
        self.next.echo_with(&request, &options)
    }
}

fn main() -> msec::Result<()> {
    let flags = Flags::parse();
    let limits = Limits {
        requests_per_process_max: REQUESTS_MAX,
        requests_per_method_max: REQUESTS_MAX,
        deadline_ms_default: DEADLINE_MS,
        ..Limits::DEFAULT
    };
    serve(flags.config()?.limits(limits), |engine| {
        let next = EchoServiceClient::new(Client::new(engine, &flags.to)?);
        Server::builder()
            .service(EchoServiceServer::new(Relay { next }))
            .listen(&flags.listen)
            .start(engine)
    })
}

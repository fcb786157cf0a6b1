//! gRPC by tonic on tokio's current-thread runtime: `echo.EchoService/Echo`, the service every RPC
//! peer offers. With `--certificate` and `--key` by TLS.

use msec_bench_peers::flags;
use tonic::transport::{Identity, Server, ServerTlsConfig};

/// `message EchoRequest { bytes message = 1; }`; the answer has the same shape.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EchoMessage {
    /// What comes back.
    #[prost(bytes = "bytes", tag = "1")]
    pub message: prost::bytes::Bytes,
}

#[allow(missing_docs, unused_qualifications, clippy::all)]
mod service {
    include!(concat!(env!("OUT_DIR"), "/echo.EchoService.rs"));
}

struct Echo;

#[tonic::async_trait]
impl service::echo_service_server::EchoService for Echo {
    async fn echo(
        &self,
        request: tonic::Request<EchoMessage>,
    ) -> Result<tonic::Response<EchoMessage>, tonic::Status> {
        Ok(tonic::Response::new(request.into_inner()))
    }
}

fn main() -> Result<(), tonic::transport::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs a file descriptor and no more");
    let flags = flags();
    let mut server = Server::builder();
    if let Some((certificate, key)) = flags.tls {
        let identity = Identity::from_pem(certificate, key);
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    let echo = service::echo_service_server::EchoServiceServer::new(Echo);
    runtime.block_on(server.add_service(echo).serve(flags.listen))
}

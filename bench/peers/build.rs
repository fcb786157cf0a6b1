//! Writes the gRPC echo service's trait, from a description instead of a .proto file, so that no
//! protoc is needed.

fn main() {
    let echo = tonic_build::manual::Method::builder()
        .name("echo")
        .route_name("Echo")
        .input_type("crate::EchoMessage")
        .output_type("crate::EchoMessage")
        .codec_path("tonic_prost::ProstCodec")
        .build();
    let service = tonic_build::manual::Service::builder()
        .name("EchoService")
        .package("echo")
        .method(echo)
        .build();
    tonic_build::manual::Builder::new().build_client(false).compile(&[service]);
}

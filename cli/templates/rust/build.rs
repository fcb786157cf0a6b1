//! Makes Rust of the service's .proto file.

fn main() -> Result<(), msec_codegen::Error> {
    msec_codegen::Build::new().proto("proto/LEVEL2.proto").compile()
}

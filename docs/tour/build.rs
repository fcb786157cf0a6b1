//! Makes Rust of the services of the tour.

fn main() -> Result<(), msec_codegen::Error> {
    msec_codegen::Build::new().proto("proto/shop.proto").compile()
}

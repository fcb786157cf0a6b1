//! Keeps the library loaded for good: threads of the engine run in it, and a class loader that goes
//! would take it away under them.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}

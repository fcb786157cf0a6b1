//! Names the library as programs that link it will ask for it: by its ABI, not by its version.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libmsec.so.0");
    println!("cargo:rerun-if-changed=build.rs");
}

//! Fuzzes [`msec_fuzz::routes::routes`]: `cargo +nightly fuzz run routes`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| msec_fuzz::routes::routes(input));

#[cfg(not(fuzzing))]
fn main() {
    msec_fuzz::run_files(msec_fuzz::routes::routes);
}

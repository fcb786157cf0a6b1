//! Fuzzes [`msec_fuzz::http::http`]: `cargo +nightly fuzz run http`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| msec_fuzz::http::http(input));

#[cfg(not(fuzzing))]
fn main() {
    msec_fuzz::run_files(msec_fuzz::http::http);
}

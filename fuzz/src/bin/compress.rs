//! Fuzzes [`msec_fuzz::compress::compress`]: `cargo +nightly fuzz run compress`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| msec_fuzz::compress::compress(input));

#[cfg(not(fuzzing))]
fn main() {
    msec_fuzz::run_files(msec_fuzz::compress::compress);
}

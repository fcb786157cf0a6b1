//! Fuzzes [`msec_fuzz::frame`]: `cargo +nightly fuzz run frame`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| msec_fuzz::frame(input));

#[cfg(not(fuzzing))]
fn main() {
    msec_fuzz::run_files(msec_fuzz::frame);
}

//! Fuzzes [`msec_fuzz::metadata`]: `cargo +nightly fuzz run metadata`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| msec_fuzz::metadata(input));

#[cfg(not(fuzzing))]
fn main() {
    msec_fuzz::run_files(msec_fuzz::metadata);
}

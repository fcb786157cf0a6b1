//! Fuzzes [`msec_fuzz::head`]: `cargo +nightly fuzz run head`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| msec_fuzz::head(input));

#[cfg(not(fuzzing))]
fn main() {
    msec_fuzz::run_files(msec_fuzz::head);
}

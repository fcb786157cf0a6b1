//! Fuzzes [`msec_fuzz::report::spans`]: `cargo +nightly fuzz run spans`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| msec_fuzz::report::spans(input));

#[cfg(not(fuzzing))]
fn main() {
    msec_fuzz::run_files(msec_fuzz::report::spans);
}

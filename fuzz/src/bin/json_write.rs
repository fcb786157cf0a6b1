//! Fuzzes [`msec_fuzz::json::json_write`]: `cargo +nightly fuzz run json_write`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| msec_fuzz::json::json_write(input));

#[cfg(not(fuzzing))]
fn main() {
    msec_fuzz::run_files(msec_fuzz::json::json_write);
}

//! Fuzzes [`msec_fuzz::report::log_record`]: `cargo +nightly fuzz run log_record`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| msec_fuzz::report::log_record(input));

#[cfg(not(fuzzing))]
fn main() {
    msec_fuzz::run_files(msec_fuzz::report::log_record);
}

//! The fuzzer's program for `prism_fuzz::segments`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| prism_fuzz::segments::run(input));

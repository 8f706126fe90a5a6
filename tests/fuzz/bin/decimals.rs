//! The fuzzer's program for `prism_fuzz::decimals`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| prism_fuzz::decimals::run(input));

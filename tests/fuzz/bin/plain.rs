//! The fuzzer's program for `prism_fuzz::plain`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| prism_fuzz::plain::run(input));

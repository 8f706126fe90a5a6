//! The fuzzer's program for `prism_fuzz::books`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| prism_fuzz::books::run(input));

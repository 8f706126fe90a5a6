//! The fuzzer's program for `prism_fuzz::decoders`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| prism_fuzz::decoders::run(input));

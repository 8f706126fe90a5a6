//! The fuzzer's program for `prism_fuzz::importers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| prism_fuzz::importers::run(input));

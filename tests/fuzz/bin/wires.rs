//! The fuzzer's program for `prism_fuzz::wires`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| prism_fuzz::wires::run(input));

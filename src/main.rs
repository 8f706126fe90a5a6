//! prism.
fn main() {}

//! What every parser keeps to, whatever it is given: one function a parser, for a fuzzer and for a short run in the tests.

pub mod books;
pub mod decimals;
pub mod decoders;
#[cfg(feature = "importers")]
pub mod importers;
pub mod mutation;
pub mod plain;
pub mod segments;
pub mod wires;

/// A function that panics if a parser does not keep its promises over an input.
pub type Target = fn(&[u8]);

/// Every target by its name, which is that of its directory in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("decoders", decoders::run),
    ("wires", wires::run),
    ("plain", plain::run),
    ("books", books::run),
    ("decimals", decimals::run),
    ("segments", segments::run),
    #[cfg(feature = "importers")]
    ("importers", importers::run),
];

/// One of so many that a letter of an input names: `a` is the first.
fn choice(letter: u8, n: usize) -> usize {
    usize::from(letter.wrapping_sub(b'a')) % n.max(1)
}

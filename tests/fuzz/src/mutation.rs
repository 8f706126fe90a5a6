//! Inputs made of others by a seeded generator: bits flipped, parts cut out, repeated and joined, numbers and nesting grown.

use prism_schemas::random::Random;

/// No input is made longer.
const LENGTH_MAX: usize = 16 << 10;

/// What parsers trip over.
const PIECES: [&[u8]; 20] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b".",
    b"-",
    b"e-19",
    b"\n",
    b"\\u0041",
    b"null",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551615",
    b"0.000000000000000001",
    b"1e308",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
];

fn below(random: &mut Random, n: usize) -> usize {
    random.below(n as u64) as usize
}

/// One of the inputs, changed in some places.
pub fn mutated(random: &mut Random, inputs: &[Vec<u8>]) -> Vec<u8> {
    let pick = below(random, inputs.len());
    let mut bytes = inputs.get(pick).cloned().unwrap_or_default();
    for _ in 0..1 + below(random, 4) {
        change(random, &mut bytes, inputs);
        bytes.truncate(LENGTH_MAX);
    }
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, inputs: &[Vec<u8>]) {
    let at = below(random, bytes.len() + 1);
    let end = (at + 1 + below(random, 40)).min(bytes.len());
    match below(random, 9) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let piece = PIECES[below(random, PIECES.len())];
            drop(bytes.splice(at..at, piece.iter().copied()));
        }
        // A field or row comes again.
        5 => {
            let part = bytes[at..end].repeat(1 + below(random, 20));
            drop(bytes.splice(at..at, part));
        }
        // Another input goes on here.
        6 => {
            let other = &inputs[below(random, inputs.len())];
            let from = below(random, other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        7 => {
            let digit = b'0' + random.below(10) as u8;
            let digits = vec![digit; 1 + below(random, 40)];
            drop(bytes.splice(at..at, digits));
        }
        // Deep nesting, closed or not.
        _ => {
            let depth = 1 + below(random, 300);
            let [begin, end]: [&[u8]; 2] = if random.below(2) == 0 { [b"[", b"]"] } else { [b"{\"a\":", b"}"] };
            let mut nested = begin.repeat(depth);
            nested.extend(end.repeat(depth * below(random, 2)));
            drop(bytes.splice(at..at, nested));
        }
    }
}

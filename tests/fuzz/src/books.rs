//! Updates of books: the first letter names the rules, the rest are updates made byte by byte.

use prism_schemas::book::{Checksum, Numbering, OrderBook, Rules, State};
use prism_schemas::event::{Book, Levels};

use crate::choice;

const NUMBERINGS: [Numbering; 6] = [
    Numbering::Rising,
    Numbering::Ranges,
    Numbering::Linked,
    Numbering::Chained,
    Numbering::Absent,
    Numbering::Unknown,
];

/// Numbers at which arithmetic ends.
const EDGES: [i64; 8] = [i64::MAX, i64::MIN, i64::MAX - 1, i64::MAX / 10, 0, -1, 1 << 32, 1];

/// Nothing panics, the sides of a book stay in order and hold no empty level, and a live one is not crossed.
pub fn run(input: &[u8]) {
    let Some((letter, rest)) = input.split_first() else { return };
    let rules = choice(*letter, NUMBERINGS.len() * 3);
    let checksum = [None, Some(Checksum::Okx), Some(Checksum::Kraken)][rules / NUMBERINGS.len()];
    let numbering = NUMBERINGS[rules % NUMBERINGS.len()];
    let mut book = OrderBook::new(Rules { numbering, checksum, truncates: checksum == Some(Checksum::Kraken) });
    let mut bytes = rest.iter().copied();
    while 0 < bytes.len() {
        let update = update(&mut bytes, &book, checksum);
        let _ = book.apply(&update);
        check(&book);
    }
}

fn check(book: &OrderBook) {
    if book.state() == State::Live {
        let (bids, asks): (Vec<_>, Vec<_>) = (book.bids().collect(), book.asks().collect());
        assert!(bids.iter().chain(&asks).all(|(price, size)| 0 < *price && 0 < *size), "{bids:?} {asks:?}");
        assert!(bids.is_sorted_by(|a, b| b.0 < a.0) && asks.is_sorted_by(|a, b| a.0 < b.0), "{bids:?} {asks:?}");
        assert!(bids.first().zip(asks.first()).is_none_or(|(bid, ask)| bid.0 < ask.0), "{bids:?} {asks:?}");
        assert_eq!(book.top(), bids.first().copied().zip(asks.first().copied()));
    }
    // Whoever takes it as a whole has the same levels.
    let whole = book.whole();
    let mut copy = OrderBook::new(Rules { numbering: Numbering::Absent, ..Rules::default() });
    if book.state() == State::Live && copy.apply(&whole).is_ok() {
        let sure = book.sure().map(|side| side.levels().collect::<Vec<_>>());
        assert_eq!([copy.bids().collect::<Vec<_>>(), copy.asks().collect()], sure);
    }
    let _ = (book.sure_top(), book.is_near_edge(), book.decimals());
}

/// An update of which the bytes are: what it has, its numbers, how many levels, and these.
fn update(bytes: &mut impl Iterator<Item = u8>, book: &OrderBook, checksum: Option<Checksum>) -> Book {
    let mut next = || bytes.next().unwrap_or(0);
    let has = next();
    let is = |bit: u8| has & (1 << bit) != 0;
    let last = book.last_update().unwrap_or(0);
    let mut id = |is_there: bool| is_there.then(|| number(&mut next).map_or(last.wrapping_add(1), |id| id as u64));
    let (first_update_id, update_id, previous) = (id(is(1)), id(is(2)), id(is(3)));
    let depth = is(4).then(|| next().into());
    let bids = is(5).then(|| levels(&mut next));
    let asks = is(6).then(|| levels(&mut next));
    // Mostly the chain goes on, or nothing else would be looked at.
    let previous_update_id = if has & 0x81 == 0x80 { Some(last) } else { previous };
    let checksum = checksum.filter(|_| is(7)).map(|rule| rule.of(book));
    Book { snapshot: is(0), bids, asks, first_update_id, update_id, previous_update_id, depth, checksum }
}

/// A small number, one at an edge, or `None`.
fn number(next: &mut impl FnMut() -> u8) -> Option<i64> {
    match next() {
        0..=63 => None,
        64..=71 => Some(EDGES[usize::from(next()) % EDGES.len()]),
        byte => Some(i64::from(byte) - 72),
    }
}

fn levels(next: &mut impl FnMut() -> u8) -> Levels {
    let n = next() % 32;
    let decimals = next();
    // The lists may be of different lengths, as protobuf allows.
    let uneven = usize::from(decimals & 0x0f == 0x0f);
    let mut levels = Levels {
        price_decimals: u32::from(decimals & 3),
        size_decimals: u32::from(decimals >> 6),
        ..Levels::default()
    };
    if decimals == 0x3c {
        levels.price_decimals = u32::MAX;
    }
    for _ in 0..n {
        levels.prices.push(number(next).unwrap_or(100));
        levels.sizes.push(number(next).unwrap_or(0));
    }
    levels.sizes.truncate(usize::from(n).saturating_sub(uneven));
    levels
}

//! Books of every numbering, through what venues do to them.

use super::*;
use crate::{InstrumentId, Market};

fn levels(pairs: &[(i64, i64)]) -> Option<Levels> {
    let (prices, sizes) = pairs.iter().copied().unzip();
    Some(Levels { prices, sizes, price_decimals: 1, size_decimals: 0 })
}

fn update(snapshot: bool, ids: (u64, u64), bids: &[(i64, i64)], asks: &[(i64, i64)]) -> Book {
    let (first, last) = ids;
    Book {
        snapshot,
        bids: levels(bids),
        asks: levels(asks),
        first_update_id: Some(first),
        update_id: Some(last),
        previous_update_id: first.checked_sub(1),
        ..Book::default()
    }
}

fn book(numbering: Numbering) -> OrderBook {
    OrderBook::new(Rules { numbering, checksum: None, truncates: false })
}

#[test]
fn a_rising_book_gaps_alone_and_a_snapshot_mends_it() {
    let mut book = book(Numbering::Rising);
    assert_eq!(book.apply(&update(false, (5, 5), &[(99, 1)], &[])), Ok(Applied::Waiting));
    assert_eq!(book.apply(&update(true, (7, 7), &[(99, 1), (98, 2)], &[(101, 1)])), Ok(Applied::Changed));
    assert_eq!(book.apply(&update(false, (8, 8), &[(99, 0), (100, 4)], &[])), Ok(Applied::Changed));
    assert_eq!(book.top(), Some(((100, 4), (101, 1))));
    // Sent twice: nothing happens.
    assert_eq!(book.apply(&update(false, (8, 8), &[(100, 9)], &[])), Ok(Applied::Old));
    assert_eq!(book.apply(&update(false, (10, 10), &[], &[])), Err(Trouble::Gap { after: 8, got: 10 }));
    assert_eq!(book.state(), State::Suspect);
    assert_eq!(book.apply(&update(false, (11, 11), &[], &[])), Ok(Applied::Waiting));
    assert_eq!(book.state(), State::Suspect);
    // A restart of the venue begins again at 1.
    assert_eq!(book.apply(&update(true, (1, 1), &[(50, 1)], &[(51, 1)])), Ok(Applied::Changed));
    assert_eq!((book.state(), book.top()), (State::Live, Some(((50, 1), (51, 1)))));
    assert_eq!(book.apply(&update(false, (1, 1), &[], &[])), Err(Trouble::Gap { after: 1, got: 1 }));
}

#[test]
fn deltas_wait_for_the_snapshot_they_join() {
    for numbering in [Numbering::Ranges, Numbering::Linked] {
        let mut book = book(numbering);
        for ids in [(1, 3), (4, 6), (7, 9)] {
            let size = ids.1 as i64;
            assert_eq!(book.apply(&update(false, ids, &[(90, size)], &[(110, size)])), Ok(Applied::Waiting));
        }
        assert_eq!(book.state(), State::Syncing);
        // In the snapshot: 1 to 5. The delta 4 to 6 overlaps it, as the first one may.
        assert_eq!(book.apply(&update(true, (0, 5), &[(90, 5)], &[(110, 5)])), Ok(Applied::Changed));
        assert_eq!((book.last_update(), book.top()), (Some(9), Some(((90, 9), (110, 9)))));
        assert!(book.apply(&update(false, (11, 12), &[], &[])).is_err(), "10 is missing");
        assert_eq!(book.state(), State::Suspect);
        // What comes while the next snapshot is under way joins it, the one that showed the gap too.
        assert_eq!(book.apply(&update(false, (13, 14), &[(91, 1)], &[])), Ok(Applied::Waiting));
        let early = book.apply(&update(true, (0, 8), &[(90, 5)], &[(110, 5)]));
        assert!(matches!(early, Err(Trouble::TooOld { snapshot: 8, .. })), "{early:?}");
        assert_eq!(book.apply(&update(true, (0, 11), &[(90, 5)], &[(110, 5)])), Ok(Applied::Changed));
        assert_eq!((book.last_update(), book.state()), (Some(14), State::Live));
        assert_eq!(book.top(), Some(((91, 1), (110, 5))));
    }
}

#[test]
fn a_venue_that_numbers_anew_is_noticed_though_nothing_said_so() {
    for numbering in [Numbering::Rising, Numbering::Ranges, Numbering::Linked] {
        let mut book = book(numbering);
        book.apply(&update(true, (0, 900), &[(99, 1)], &[(101, 1)])).unwrap();
        assert_eq!(book.apply(&update(false, (901, 901), &[], &[])), Ok(Applied::Changed));
        // The update that said so, 1, is lost.
        for id in 2..5 {
            assert_eq!(book.apply(&update(false, (id, id), &[(98, 1)], &[])), Ok(Applied::Old));
        }
        assert_eq!(book.apply(&update(false, (5, 5), &[], &[])), Err(Trouble::Gap { after: 901, got: 5 }));
        assert_eq!(book.state(), State::Suspect);
    }
}

#[test]
fn a_price_that_leaves_the_snapshot_behind_needs_a_new_one() {
    for (numbering, depth) in [(Numbering::Linked, 8), (Numbering::Ranges, 8), (Numbering::Linked, 1_000)] {
        let mut book = book(numbering);
        let side = |from: i64, step: i64| (0..8).map(|n| (from + n * step, 1)).collect::<Vec<_>>();
        let around = |mid: i64| [side(mid - 1, -1), side(mid + 1, 1)];
        let snapshot = |id: u64, mid: i64| {
            let [bids, asks] = around(mid);
            Book { depth: Some(depth), ..update(true, (0, id), &bids, &asks) }
        };
        book.apply(&snapshot(10, 1_000)).unwrap();
        // The price rises by a level with each update, the asks below it go, and far ones are told as they come.
        let mut rise = |id: u64| {
            let mid = 1_000 + id as i64 - 10;
            book.apply(&update(false, (id, id), &[(mid, 1)], &[(mid, 0), (mid + 8, 1)]))
        };
        let whole = (11..=16).map(&mut rise).collect::<Vec<_>>();
        assert_eq!(whole, [Ok(Applied::Changed); 6], "two of eight are left");
        if depth == 1_000 {
            // The snapshot had fewer levels than it could have: it was the whole book.
            assert_eq!(rise(17), Ok(Applied::Changed));
            continue;
        }
        assert_eq!(rise(17), Err(Trouble::Edge));
        assert_eq!(book.state(), State::Suspect);
        assert_eq!(book.apply(&update(false, (18, 18), &[(1_007, 7)], &[])), Ok(Applied::Waiting));
        assert_eq!(book.apply(&snapshot(17, 1_007)), Ok(Applied::Changed));
        assert_eq!((book.state(), book.top()), (State::Live, Some(((1_007, 7), (1_008, 1)))));
    }
}

#[test]
fn a_crossed_book_is_suspect() {
    let mut book = book(Numbering::Rising);
    book.apply(&update(true, (1, 1), &[(99, 1)], &[(101, 1)])).unwrap();
    assert_eq!(book.apply(&update(false, (2, 2), &[(101, 1)], &[])), Err(Trouble::Crossed));
    assert_eq!((book.state(), book.top()), (State::Suspect, None));
}

#[test]
fn decimals_grow_and_what_does_not_fit_is_refused() {
    let mut book = book(Numbering::Rising);
    book.apply(&update(true, (1, 1), &[(99, 1)], &[(101, 1)])).unwrap();
    let mut finer = update(false, (2, 2), &[(9905, 15)], &[]);
    finer.bids.as_mut().unwrap().price_decimals = 3;
    finer.bids.as_mut().unwrap().size_decimals = 1;
    assert_eq!(book.apply(&finer), Ok(Applied::Changed));
    assert_eq!((book.decimals(), book.top()), ((3, 1), Some(((9905, 15), (10100, 10)))));
    for level in [(i64::MAX / 2, 1), (0, 1), (-5, 1), (99, -1)] {
        let mut book = book.clone();
        assert_eq!(book.apply(&update(false, (3, 3), &[level], &[])), Err(Trouble::Unfit), "{level:?}");
    }
}

/// One size of an update is of seventeen decimals: what does not fit beside it does in the next snapshot.
#[test]
fn a_snapshot_ends_what_one_odd_number_began() {
    let mut book = book(Numbering::Rising);
    book.apply(&update(true, (1, 1), &[(99, 1)], &[(101, 1)])).unwrap();
    let mut odd = update(false, (2, 2), &[(98, 1)], &[]);
    odd.bids.as_mut().unwrap().size_decimals = 17;
    assert_eq!(book.apply(&odd), Ok(Applied::Changed));
    let large = [(99, 1_000_000)];
    assert_eq!(book.apply(&update(false, (3, 3), &large, &[])), Err(Trouble::Unfit));
    assert_eq!(book.apply(&update(true, (4, 4), &large, &[(101, 1)])), Ok(Applied::Changed));
    assert_eq!((book.decimals(), book.state()), ((1, 0), State::Live));
    assert_eq!((book.top(), book.bids().count()), (Some(((99, 1_000_000), (101, 1))), 1));
}

#[test]
fn the_last_number_there_is_has_none_behind_it() {
    for numbering in [Numbering::Rising, Numbering::Ranges] {
        let mut book = book(numbering);
        let last = (u64::MAX, u64::MAX);
        assert_eq!(book.apply(&update(true, last, &[(99, 1)], &[(101, 1)])), Ok(Applied::Changed));
        assert_eq!(book.apply(&update(false, last, &[(99, 2)], &[])), Ok(Applied::Old));
        assert_eq!(book.top(), Some(((99, 1), (101, 1))));
    }
}

#[test]
fn prices_without_sizes_are_no_levels() {
    let mut book = book(Numbering::Rising);
    let mut odd = update(true, (1, 1), &[(99, 1), (98, 1)], &[(101, 1)]);
    odd.bids.as_mut().unwrap().sizes.pop();
    assert_eq!(book.apply(&odd), Err(Trouble::Unfit));
}

#[test]
fn of_a_price_named_twice_in_a_delta_the_last_holds() {
    let mut book = book(Numbering::Rising);
    book.apply(&update(true, (1, 1), &[(99, 1)], &[(101, 1)])).unwrap();
    let twice = update(false, (2, 2), &[(100, 5), (100, 0)], &[(101, 0), (101, 7)]);
    assert_eq!(book.apply(&twice), Ok(Applied::Changed));
    assert_eq!(book.top(), Some(((99, 1), (101, 7))));
}

#[test]
fn a_venue_whose_numbering_is_not_known_has_no_live_book() {
    let of = |exchange| Rules::of(&InstrumentId::new(exchange, Market::Spot, "BTCUSDT"));
    assert_eq!(of("bybit").numbering, Numbering::Rising);
    let mut book = OrderBook::new(of("elsewhere"));
    assert_eq!(book.apply(&update(true, (1, 1), &[(99, 1)], &[(101, 1)])), Err(Trouble::Unknown));
    assert_eq!(book.apply(&update(false, (2, 2), &[], &[])), Err(Trouble::Unknown));
    assert_eq!((book.state(), book.top()), (State::Suspect, None));
}

#[test]
fn what_lies_beyond_the_reach_is_not_told() {
    let bids = [(99, 1), (98, 2)];
    let snapshot = |depth| Book { depth, ..update(true, (1, 1), &bids, &[(101, 1)]) };
    let sure = |book: &OrderBook| book.sure().map(|side| (side.levels().collect::<Vec<_>>(), side.is_whole));
    // Asked for: what was cut ends where the snapshot did, and so does one of which nobody says how many were asked for.
    for (depth, is_whole) in [(None, [false, false]), (Some(2), [false, true]), (Some(3), [true, true])] {
        let mut book = book(Numbering::Linked);
        book.apply(&snapshot(depth)).unwrap();
        book.apply(&update(false, (2, 2), &[(97, 5)], &[(100, 1), (102, 9)])).unwrap();
        let [(bids, bids_whole), (asks, asks_whole)] = sure(&book);
        assert_eq!([bids_whole, asks_whole], is_whole, "{depth:?}");
        assert_eq!(bids.len(), if bids_whole { 3 } else { 2 }, "{depth:?}");
        assert_eq!(asks.len(), if asks_whole { 3 } else { 2 }, "{depth:?}");
    }
    let mut cut = book(Numbering::Linked);
    cut.apply(&snapshot(None)).unwrap();
    cut.apply(&update(false, (2, 2), &[(99, 0), (98, 0), (97, 5)], &[])).unwrap();
    assert_eq!((cut.state(), cut.sure_top()), (State::Live, None), "a better bid than 97 may never have changed");
    // Who begins with a book as it is knows as much of it.
    for (numbering, depth) in [
        (Numbering::Linked, None),
        (Numbering::Linked, Some(3)),
        (Numbering::Linked, Some(2)),
        (Numbering::Rising, Some(2)),
    ] {
        let (mut one, mut other) = (book(numbering), book(numbering));
        one.apply(&Book { asks: levels(&[(101, 1), (103, 1)]), ..snapshot(depth) }).unwrap();
        one.apply(&update(false, (2, 2), &[(99, 0)], &[(102, 1)])).unwrap();
        other.apply(&one.whole()).unwrap();
        assert_eq!((sure(&other), other.last_update()), (sure(&one), Some(2)), "{numbering:?} {depth:?}");
    }
    // Told as long as it lasts: with as many as the venue tells there may be more.
    let mut told = book(Numbering::Rising);
    told.apply(&snapshot(Some(2))).unwrap();
    assert_eq!(told.sure().map(|side| side.is_whole), [false, true]);
    told.apply(&update(false, (2, 2), &[(99, 0)], &[(102, 1)])).unwrap();
    assert_eq!(told.sure().map(|side| (side.levels().count(), side.is_whole)), [(1, false), (2, false)]);
}

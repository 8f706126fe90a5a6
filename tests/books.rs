//! Recorded books through the real state machine: equal to the venues' own best prices and checksums, never crossed.

use std::collections::BTreeMap;

use prism_schemas::{
    Decimal, Event, InstrumentId, Market, OrderBook,
    book::{Applied, Level, Rules, State, Trouble},
    event::{Book, event::Body},
};

use crate::{
    recordings::{hftbacktest, load},
    support::shared,
};

/// Best bid and ask with sizes, in units of 1e-18.
type Top = [i128; 4];

fn exact(number: Decimal) -> i128 {
    i128::from(number.mantissa) * 10i128.pow(18 - number.decimals)
}

fn top(book: &OrderBook) -> Option<Top> {
    let (prices, sizes) = book.decimals();
    let level = |(price, size): Level| [exact(Decimal::new(price, prices)), exact(Decimal::new(size, sizes))];
    let (bid, ask) = book.top()?;
    let ([bid, bid_size], [ask, ask_size]) = (level(bid), level(ask));
    Some([bid, bid_size, ask, ask_size])
}

fn books(events: &[Event]) -> impl Iterator<Item = &Book> {
    events.iter().filter_map(|event| match &event.body {
        Some(Body::Book(book)) => Some(book),
        _ => None,
    })
}

#[test]
fn binance_books_have_the_top_of_every_common_book_ticker() {
    let test = "binance_books_have_the_top_of_every_common_book_ticker";
    let (Some(recording), Some(data)) = (hftbacktest(test), shared(test, "data")) else { return };
    assert_eq!(recording.events.len(), 6);
    let mut recordings = vec![(recording, 100)];
    // A few seconds of each.
    let mut n_small = 0;
    for name in ["BINANCE", "BINANCE_FUTURES", "BINANCE_DELIVERY"] {
        recordings.push((load(name, &[data.join(format!("cryptofeed/{name}.jsonl.zst"))]), 0));
    }
    for ((id, events), least) in
        recordings.iter().flat_map(|(of, least)| of.events.iter().zip(std::iter::repeat(least)))
    {
        let mut tops: BTreeMap<u64, Top> = BTreeMap::new();
        for event in events {
            let Some(Body::Ticker(ticker)) = &event.body else { continue };
            let numbers = [ticker.bid_price, ticker.bid_size, ticker.ask_price, ticker.ask_size];
            if let (Some(update), [Some(bid), Some(bid_size), Some(ask), Some(ask_size)]) = (ticker.update_id, numbers)
            {
                tops.insert(update, [bid, bid_size, ask, ask_size].map(exact));
            }
        }
        let mut book = OrderBook::new(Rules::of(id));
        let (mut n_waited, mut n_equal) = (0, 0);
        for update in books(events) {
            match book.apply(update).unwrap_or_else(|trouble| panic!("{id}: {trouble}")) {
                Applied::Waiting => n_waited += 1,
                Applied::Old => {}
                Applied::Changed => {
                    if let Some(expected) = book.last_update().and_then(|update| tops.get(&update)) {
                        assert_eq!(top(&book).as_ref(), Some(expected), "{id} at {:?}", book.last_update());
                        n_equal += 1;
                    }
                }
            }
        }
        println!("{id}: {n_waited} updates waited for the snapshot, {n_equal} tops equal");
        assert_eq!(book.state(), State::Live);
        n_small += if *least == 0 { n_equal } else { 0 };
        assert!(*least <= n_equal, "{id}: only {n_equal} updates have a book ticker");
    }
    assert_eq!(n_small, 289, "as counted at first");
}

#[test]
fn a_spot_book_that_drops_what_came_before_its_snapshot_is_told() {
    let Some(recording) = hftbacktest("a_spot_book_that_drops_what_came_before_its_snapshot_is_told") else { return };
    let id = InstrumentId::new("binance", Market::Spot, "BTCUSDT");
    let mut book = OrderBook::new(Rules::of(&id));
    let trouble =
        books(&recording.events[&id]).skip_while(|update| !update.snapshot).find_map(|update| book.apply(update).err());
    assert!(matches!(trouble, Some(Trouble::Gap { .. })), "{trouble:?}");
}

#[test]
fn bybit_books_are_contiguous_and_never_cross() {
    let Some(data) = shared("bybit_books_are_contiguous_and_never_cross", "data") else { return };
    let recording = load("BYBIT", &[data.join("cryptofeed_v3_agpl/BYBIT.first25s.jsonl.zst")]);
    let mut n_books = 0;
    for (id, events) in &recording.events {
        let mut book = OrderBook::new(Rules::of(id));
        for update in books(events) {
            assert_eq!(book.apply(update), Ok(Applied::Changed), "{id} at {:?}", update.update_id);
            n_books += 1;
        }
    }
    assert!(1_000 < n_books, "{n_books}");
}

#[test]
fn okx_and_kraken_books_match_every_checksum() {
    let test = "okx_and_kraken_books_match_every_checksum";
    let Some(data) = shared(test, "data") else { return };
    // Updates with a checksum, and all trades, as counted in the files by other means (tests in connectors too).
    for (name, n_updates, n_trades) in [("OKX", 290, 74), ("KRAKEN", 4_269, 10)] {
        let recording = load(name, &[data.join(format!("cryptofeed/{name}.jsonl.zst"))]);
        let (mut n, mut trades, mut changed) = (0, 0, 0);
        for (id, events) in &recording.events {
            let mut book = OrderBook::new(Rules::of(id));
            for update in books(events) {
                assert_eq!(book.apply(update), Ok(Applied::Changed), "{id}: update {n}");
                n += usize::from(update.checksum.is_some());
                // One size off by one unit, and the next checksum tells.
                if update.checksum.is_some() && !update.snapshot && changed == 0 {
                    let mut other = OrderBook::new(Rules::of(id));
                    let before = books(events).take_while(|other| !std::ptr::eq(*other, update));
                    before.for_each(|update| assert!(other.apply(update).is_ok()));
                    let mut wrong = update.clone();
                    if let Some(size) =
                        wrong.bids.iter_mut().chain(&mut wrong.asks).find_map(|levels| levels.sizes.first_mut())
                    {
                        *size += 1;
                        changed += usize::from(matches!(other.apply(&wrong), Err(Trouble::Checksum { .. })));
                    }
                }
            }
            trades += events.iter().filter(|event| matches!(event.body, Some(Body::Trade(_)))).count();
        }
        println!("{name}: {n} checksums equal over {} instruments", recording.events.len());
        assert_eq!((n, trades), (n_updates, n_trades), "{name}");
        assert_eq!(changed, 1, "{name}: no checksum sees a wrong size");
    }
}

//! Recordings of Coinbase and of Kraken's futures decode whole: counted by other means, books equal to the venues' own best prices.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use prism_exchange::exchange;
use prism_schemas::book::{Applied, Rules, State};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Side, Ticker};
use prism_schemas::topic::event_type;
use prism_schemas::{Decimal, Event, InstrumentId, Market, OrderBook};
use prism_sources::import::{Options, read};

/// Where the recordings are, or a line that says they are not.
fn data(test: &str) -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = std::env::var_os("PRISM_DATA").map_or(default, PathBuf::from);
    if !path.is_dir() {
        eprintln!("SKIPPED {test}: no ../shared/data");
        return None;
    }
    Some(path)
}

/// A file's events, whose counts are these; nothing of it is quarantined.
fn events(
    test: &str,
    file: &str,
    control: u64,
    counts: &[(&'static str, usize)],
) -> Option<Vec<(InstrumentId, Event)>> {
    let mut events = Vec::new();
    let path = data(test)?.join(file);
    let report = read(&[path], Options::default(), &mut |id, event| {
        events.push((id.clone(), event));
        Ok(())
    });
    let report = report.unwrap();
    assert_eq!((report.files[0].quarantined.clone(), report.files[0].control), (BTreeMap::new(), control), "{file}");
    let mut types: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (_, event) in &events {
        *types.entry(event_type(event.body.as_ref().unwrap())).or_default() += 1;
    }
    assert_eq!(types, counts.iter().copied().collect(), "{file}");
    Some(events)
}

/// Counted with Python: entries of each kind, and notices, requests and connections.
fn counts(deltas: usize, snapshots: usize, n: usize, tickers: usize, trades: usize) -> [(&'static str, usize); 6] {
    [
        ("book_delta", deltas),
        ("book_snapshot", snapshots),
        ("feed_status", 2 * n),
        ("instrument", n),
        ("ticker", tickers),
        ("trade", trades),
    ]
}

/// How often a ticker's best prices are those of the book at that moment, and how often not: in a book that every update
/// follows, and that never crosses.
fn tops(events: &[(InstrumentId, Event)]) -> (usize, usize) {
    let mut books: HashMap<&InstrumentId, OrderBook> = HashMap::new();
    let (mut n_equal, mut n_other) = (0, 0);
    for (id, event) in events {
        let book = books.entry(id).or_insert_with(|| OrderBook::new(Rules::of(id)));
        let price = |mantissa| Decimal::new(mantissa, book.decimals().0).shortest();
        let best = book.top().map(|(bid, ask)| (price(bid.0), price(ask.0)));
        match (&event.body, best) {
            (Some(Body::Book(update)), _) => assert_eq!(book.apply(update), Ok(Applied::Changed), "{id} {update:?}"),
            (Some(Body::Ticker(ticker)), Some(best)) => {
                let Ticker { bid_price: Some(bid), ask_price: Some(ask), .. } = **ticker else { panic!("{ticker:?}") };
                let is_equal = (bid.shortest(), ask.shortest()) == best;
                *(if is_equal { &mut n_equal } else { &mut n_other }) += 1;
            }
            // Who takes buys at the ask or between, never at the bid: only so are sides the takers'.
            (Some(Body::Trade(trade)), Some((bid, ask))) if id.exchange == "coinbase" => {
                let (price, is_buy) = (trade.price.unwrap().to_f64(), trade.side() == Side::Buy);
                let is_wrong = if is_buy { price <= bid.to_f64() } else { ask.to_f64() <= price };
                assert!(!is_wrong, "{id} {trade:?} at {bid} {ask}");
            }
            _ => {}
        }
    }
    assert!(books.values().all(|book| book.state() == State::Live));
    (n_equal, n_other)
}

#[test]
fn kraken_futures() {
    let file = "cryptofeed/KRAKEN_FUTURES.jsonl.zst";
    let Some(events) = events("kraken_futures", file, 35, &counts(7_014, 10, 10, 107, 1_003)) else { return };
    assert_eq!(tops(&events), (107, 0));
    let bitcoin = events.iter().find(|(id, _)| id.to_string() == "kraken:inverse:BTCUSD_210924");
    let Some(Body::Instrument(described)) = &bitcoin.unwrap().1.body else { panic!("{bitcoin:?}") };
    assert_eq!((described.contract_size, &*described.native_symbol), (Some(Decimal::new(1, 0)), "FI_XBTUSD_210924"));
}

#[test]
fn coinbase_exchange() {
    let file = "cryptofeed/COINBASE.jsonl.zst";
    let Some(events) = events("coinbase_exchange", file, 7, &counts(9_719, 10, 10, 107, 107)) else { return };
    // Tickers are of the match, and changes of the book are told before or behind it.
    assert_eq!(tops(&events), (100, 7));
}

#[test]
fn coinbase_advanced_trade() {
    let file = "cryptofeed_v3_agpl/COINBASE.jsonl.zst";
    let mut counts = counts(773, 2, 2, 160, 279).to_vec();
    counts.push(("kline", 204));
    let Some(events) = events("coinbase_advanced_trade", file, 37, &counts) else { return };
    // Levels are told fifty milliseconds at a time.
    assert_eq!(tops(&events), (132, 22));
}

/// Frames of others' tests, partly made after the documentation: all are understood, whatever their spaces.
#[test]
fn frames_of_other_clients_tests() {
    let Some(data) = data("frames_of_other_clients_tests") else { return };
    let Ok(file) = std::fs::File::open(data.join("nautilus_fixtures/adapters.tar.zst")) else {
        return eprintln!("SKIPPED frames_of_other_clients_tests: no nautilus_fixtures");
    };
    let mut tar = Vec::new();
    zstd::Decoder::new(file).unwrap().read_to_end(&mut tar).unwrap();
    let field = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches(['\0', ' ']).to_string();
    let (mut at, mut outcomes) = (0, BTreeMap::new());
    while let Some(header) = tar.get(at..at + 512).filter(|header| header[0] != 0) {
        let (name, size) = (field(&header[..100]), usize::from_str_radix(&field(&header[124..136]), 8).unwrap());
        let text = std::str::from_utf8(&tar[at + 512..at + 512 + size]);
        at += 512 + size.next_multiple_of(512);
        let mut parts = name.trim_end_matches(".json").rsplit('/');
        let [Some(test), Some(venue)] = [parts.next(), parts.next()] else { continue };
        let is_ours = ["book", "trade", "ticker", "bbo", "funding_rate", "l2_data", "subscri", "pong", "heartbeats"];
        let market = if test.contains("futures") { Market::Inverse } else { Market::Spot };
        if !test.starts_with("ws_") || !is_ours.iter().any(|kind| test.contains(kind)) {
            continue;
        }
        let Some(mut decoder) = exchange(venue, market).filter(|_| ["okx", "kraken", "coinbase"].contains(&venue))
        else {
            continue;
        };
        let mut events = Vec::new();
        let outcome = match decoder.decode(text.unwrap(), 1, &mut events) {
            Ok(()) => {
                events.first().map_or("control", |(_, event)| event_type(event.body.as_ref().unwrap())).to_string()
            }
            Err(error) => error.to_string(),
        };
        outcomes.insert(format!("{venue} {test}"), outcome);
    }
    println!("{outcomes:#?}");
    assert_eq!(outcomes.len(), 0);
}

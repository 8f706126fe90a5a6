//! Recordings of Coinbase and of Kraken's futures decode whole: counted by other means, books equal to the venues' own best prices.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use prism_exchange::exchange;
use prism_schemas::book::{Applied, Rules, State};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Instrument, Side, Ticker};
use prism_schemas::topic::event_type;
use prism_schemas::{Decimal, Event, InstrumentId, Market, OrderBook};
use prism_sources::import::{Options, read};

type Events = Vec<(InstrumentId, Event)>;

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
        // Of each instrument two, and one of the file: it is in the log whole.
        ("feed_status", 2 * n + 1),
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
    let expected = [
        ("coinbase", "control", "ws_heartbeats ws_subscriptions"),
        ("coinbase", "book_delta", "ws_l2_data_update"),
        ("coinbase", "book_snapshot", "ws_l2_data_snapshot"),
        ("coinbase", "ticker", "ws_ticker"),
        ("coinbase", "trade", "ws_market_trades"),
        ("kraken", "control", "ws_pong ws_subscribe_response"),
        ("kraken", "book_delta", "ws_book_update ws_futures_book_delta"),
        ("kraken", "book_snapshot", "ws_book_snapshot ws_futures_book_snapshot ws_futures_book_snapshot_with_zero_qty"),
        ("kraken", "ticker", "ws_ticker_snapshot ws_futures_ticker"),
        ("kraken", "trade", "ws_trade_update ws_futures_trade ws_futures_trade_snapshot"),
        ("okx", "book_delta", "ws_books_update"),
        ("okx", "book_snapshot", "ws_books_snapshot"),
        ("okx", "ticker", "ws_bbo_tbt ws_funding_rate ws_tickers"),
        ("okx", "trade", "ws_trades"),
    ];
    let expected = expected.iter().flat_map(|(venue, outcome, tests)| {
        tests.split(' ').map(move |test| (format!("{venue} {test}"), outcome.to_string()))
    });
    assert_eq!(outcomes, expected.collect());
}

/// Lines as cryptofeed records them, in a file of this venue: their events, and how often which rule was broken.
fn recorded(venue: &str, lines: &[(&str, &str)]) -> (Events, Vec<(String, u64)>) {
    let lines = lines.iter().enumerate().map(|(at, (head, data))| {
        let (ts, data) = (1_646_312_441 + at, serde_json::Value::from(*data));
        format!("{{\"t\":{head},\"conn\":\"{venue}.ws.1\",\"ts\":{ts}.5,\"data\":{data}}}\n")
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.jsonl");
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    let mut events = Vec::new();
    let report = read(&[path], Options::default(), &mut |id, event| {
        events.push((id.clone(), event));
        Ok(())
    });
    let quarantined = &report.unwrap().files[0].quarantined;
    (events, quarantined.iter().map(|(rule, (n, _))| (rule.to_string(), *n)).collect())
}

fn sizes(events: &[(InstrumentId, Event)]) -> Vec<(String, f64)> {
    let sized = |(id, event): &(InstrumentId, Event)| match &event.body {
        Some(Body::Trade(trade)) => Some((id.to_string(), trade.size?.to_f64())),
        _ => None,
    };
    events.iter().filter_map(sized).collect()
}

#[test]
fn what_answers_tell_of_contracts_reaches_the_connections_that_follow() {
    let answer = r#"{"code":"0","msg":"","data":[{"instId":"BTC-USDT-SWAP","instType":"SWAP","state":"live","settleCcy":"USDT","ctValCcy":"BTC","ctVal":"0.01","ctMult":"1","expTime":"","tickSz":"0.1","lotSz":"0.01","minSz":"0.01"}]}"#;
    let trade = r#"{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","tradeId":"219066264","px":"43568.8","sz":"7","side":"buy","ts":"1646312440645"}]}"#;
    let lines = [
        (r#""http","url":"https://www.okx.com/api/v5/public/instruments?instType=SWAP""#, answer),
        (r#""connect","addr":"wss://ws.okx.com:8443/ws/v5/public""#, ""),
        (r#""recv""#, trade),
    ];
    let (events, quarantined) = recorded("OKX", &lines);
    assert_eq!((sizes(&events), quarantined), (vec![("okx:linear:BTCUSDT".into(), 0.07)], vec![]));
    let described = events.iter().find_map(|(_, event)| match &event.body {
        Some(Body::Instrument(described)) => Some(described),
        _ => None,
    });
    assert_eq!(described.unwrap().lot_size, Some(Decimal::new(1, 4)));
    let spot = trade.replace("-SWAP", "");
    let (events, quarantined) = recorded("OKX", &[lines[1], lines[2], (r#""recv""#, &spot)]);
    let expected = (vec![("okx:spot:BTCUSDT".into(), 7.0)], vec![("unknown_contract_size".into(), 1)]);
    assert_eq!((sizes(&events), quarantined), expected);
}

#[test]
fn deribit() {
    let instruments = r#"{"jsonrpc":"2.0","result":[{"tick_size":0.5,"settlement_period":"perpetual","settlement_currency":"BTC","quote_currency":"USD","min_trade_amount":10.0,"kind":"future","is_active":true,"instrument_name":"BTC-PERPETUAL","contract_size":10.0,"base_currency":"BTC"}]}"#;
    let trade = r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.BTC-PERPETUAL.raw","data":[{"trade_seq":92836831,"trade_id":"137487241","timestamp":1646312440645,"tick_direction":1,"price":56168.0,"mark_price":56172.08,"instrument_name":"BTC-PERPETUAL","index_price":56173.74,"direction":"buy","amount":5580.0}]}}"#;
    let lines = [
        (r#""http","url":"https://www.deribit.com/api/v2/public/get_instruments?currency=BTC""#, instruments),
        (r#""http","url":"https://www.deribit.com/api/v2/public/get_currencies""#, "{}"),
        (r#""connect","addr":"wss://www.deribit.com/ws/api/v2""#, ""),
        (r#""recv""#, r#"{"jsonrpc":"2.0","id":1,"result":["trades.BTC-PERPETUAL.raw"]}"#),
        (r#""recv""#, trade),
    ];
    let (events, quarantined) = recorded("DERIBIT", &lines);
    assert_eq!((sizes(&events), quarantined), (vec![("deribit:inverse:BTCUSD".into(), 5_580.0)], vec![]));
    // Amounts are in USD: a contract of ours is worth one.
    let Some(Body::Instrument(described)) = &events[0].1.body else { panic!("{events:?}") };
    assert_eq!(described.contract_size, Some(Decimal::new(1, 0)));
}

/// What becomes of each kind of frame, and how many events or refusals it is.
const OUTCOMES: &[(&str, usize)] = &[
    ("binance bbo: ticker", 5),
    ("binance candlestick: kline", 5),
    ("binance funding_rate: ticker", 6),
    ("binance l2_event: book_delta", 5),
    ("binance l2_snapshot: book_snapshot", 2),
    ("binance l2_snapshot: invalid_field", 3),
    ("binance l2_topk: unknown_frame", 6),
    ("binance open_interest: unknown_frame", 4),
    ("binance ticker: ticker", 10),
    ("binance trade: trade", 5),
    ("coinbase l2_orderbook_update: book_delta", 1),
    ("coinbase l2_orderbook_snapshot: book_snapshot", 1),
    ("coinbase l2_snapshot: unknown_frame", 1),
    ("coinbase l3_event: unknown_frame", 1),
    ("coinbase ticker: ticker", 1),
    ("coinbase trade: trade", 1),
    ("deribit bbo: ticker", 2),
    ("deribit candlestick: unknown_frame", 2),
    ("deribit l2_event: book_delta", 2),
    ("deribit l2_event: book_snapshot", 2),
    ("deribit l2_snapshot: control", 2),
    ("deribit l2_topk: book_snapshot", 2),
    ("deribit open_interest: control", 3),
    ("deribit ticker: ticker", 2),
    ("deribit trade: trade", 3),
    ("kraken bbo: unknown_frame", 1),
    ("kraken candlestick: unknown_frame", 1),
    ("kraken l2_event: book_delta", 4),
    ("kraken l2_event: book_snapshot", 4),
    ("kraken l2_snapshot: invalid_field", 1),
    ("kraken l2_snapshot: unknown_frame", 2),
    ("kraken ticker: ticker", 3),
    ("kraken trade: trade", 7),
    ("okx bbo: ticker", 5),
    ("okx candlestick: kline", 5),
    ("okx funding_rate: ticker", 2),
    ("okx l2_event: book_delta", 1),
    ("okx l2_event: book_snapshot", 3),
    ("okx l2_snapshot: invalid_field", 5),
    ("okx l2_topk: invalid_field", 1),
    ("okx l2_topk: unknown_frame", 5),
    ("okx open_interest: invalid_field", 5),
    ("okx ticker: ticker", 5),
    ("okx trade: trade", 5),
];

/// Single frames of many kinds: what prism follows decodes, all else is refused with what it is. Depth answers name no
/// symbol, and what is no stream of theirs (open interest, answers) is asked for by other means.
#[test]
fn single_frames_of_many_kinds_decode_or_say_what_they_are() {
    let Some(data) = data("single_frames_of_many_kinds_decode_or_say_what_they_are") else { return };
    let file = std::fs::File::open(data.join("frames_crypto_msg_parser/frames.jsonl.zst")).unwrap();
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for line in std::io::BufReader::new(zstd::Decoder::new(file).unwrap()).lines() {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let [venue, module, of, raw] = ["exchange", "module", "test", "raw"].map(|name| line[name].as_str().unwrap());
        // Bybit's are of an API that is gone, v2.
        let (venue, module, of) = match venue {
            "coinbase_pro" => ("coinbase", of, "spot"),
            _ => (venue, module, of),
        };
        let Some(market) = of.split('_').next().and_then(Market::parse).filter(|_| venue != "bybit") else {
            continue;
        };
        let Some(mut decoder) = exchange(venue, market) else { continue };
        // What the venue's instruments say of linear contracts.
        for native in ["BTC-USDT-SWAP", "BTC-USDT-220325", "BTC-USDT-220624"] {
            let (native_symbol, contract_size) = (native.into(), Some(Decimal::new(1, 2)));
            let described = Instrument { native_symbol, contract_size, ..Instrument::default() };
            decoder.learn(&InstrumentId::new("okx", Market::Linear, native), &described);
        }
        let mut events = Vec::new();
        let outcome = match decoder.decode(raw, 1, &mut events) {
            Ok(()) => {
                events.first().map_or("control", |(_, event)| event_type(event.body.as_ref().unwrap())).to_string()
            }
            Err(error) => error.rule().to_string(),
        };
        *outcomes.entry(format!("{venue} {module}: {outcome}")).or_default() += events.len().max(1);
    }
    assert_eq!(outcomes, OUTCOMES.iter().map(|(outcome, n)| (outcome.to_string(), *n)).collect());
}

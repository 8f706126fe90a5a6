//! Kraken: version 2 of its spot streams, told by their shape, and its futures.
//!
//! Shaped after <https://docs.kraken.com/api/docs/websocket-v2/book>, <https://docs.kraken.com/api/docs/futures-api/websocket/book>
//! and the pages beside them; checksums computed apart from this project, as
//! <https://docs.kraken.com/api/docs/guides/spot-ws-book-v2> says.

use prism_exchange::{Exchange, Kraken, KrakenFutures};
use prism_schemas::OrderBook;
use prism_schemas::book::{Applied, Rules, State, Trouble};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Side, Ticker, trade};
use prism_schemas::{Decimal, InstrumentId, Market};

use super::{Frame, TS, decode, one};

pub(super) const FRAMES: &[Frame] = &[
    (
        "kraken",
        Market::Spot,
        r#"{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":62791.0,"qty":2.00000000},{"price":62790.5,"qty":0.10000000}],"asks":[{"price":62792.0,"qty":3.00000000},{"price":62793.2,"qty":0.00500000}],"checksum":2876045216}]}"#,
    ),
    (
        "kraken",
        Market::Spot,
        r#"{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":62791.0,"qty":0.00000000},{"price":62791.5,"qty":0.50000000}],"asks":[{"price":62792.0,"qty":1.25000000}],"checksum":2198424492,"timestamp":"2026-05-27T02:18:39.697069Z"}]}"#,
    ),
    (
        "kraken",
        Market::Spot,
        r#"{"channel":"trade","type":"update","data":[{"symbol":"XDG/USD","side":"sell","price":0.5147,"qty":6423.46326,"ord_type":"limit","trade_id":4665846,"timestamp":"2023-09-25T07:48:36.925533Z"},{"symbol":"XDG/USD","side":"buy","price":0.5148,"qty":1,"ord_type":"market","trade_id":4665847,"timestamp":"2023-09-25T07:48:37Z"}]}"#,
    ),
    (
        "kraken",
        Market::Spot,
        r#"{"channel":"ticker","type":"update","data":[{"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10036,"ask_qty":1361.44813783,"last":0.10035,"volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,"change":-0.00017,"change_pct":-0.17}]}"#,
    ),
    (
        "kraken",
        Market::Inverse,
        r#"{"feed":"book_snapshot","product_id":"PI_XBTUSD","timestamp":1612269825817,"seq":326072249,"tickSize":null,"bids":[{"price":34892.5,"qty":6385},{"price":34892,"qty":0}],"asks":[{"price":34911.5,"qty":20598.0}]}"#,
    ),
    (
        "kraken",
        Market::Inverse,
        r#"{"feed":"book","product_id":"PI_XBTUSD","side":"sell","seq":326072250,"price":34911.5,"qty":0.0,"timestamp":1612269953629}"#,
    ),
    (
        "kraken",
        Market::Inverse,
        r#"{"feed":"trade","product_id":"FI_XBTUSD_210924","uid":"05af78ac-a774-478c-a50c-8b9c234e071e","side":"sell","type":"liquidation","seq":653355,"time":1612266317519,"qty":15000,"price":34969.5}"#,
    ),
    (
        "kraken",
        Market::Linear,
        r#"{"feed":"trade_snapshot","product_id":"PF_XBTUSD","trades":[{"feed":"trade","product_id":"PF_XBTUSD","uid":"caa9c653-420b-4c24-a9f1-462a054d86f1","side":"sell","type":"fill","seq":655508,"time":1612269657781,"qty":0.044,"price":34893.0},{"feed":"trade","product_id":"PF_XBTUSD","uid":"45ee9737-1877-4682-bc68-e4ef818ef88a","side":"buy","type":"block","seq":655507,"time":1612269656839,"qty":1.5,"price":34891.0}]}"#,
    ),
    (
        "kraken",
        Market::Inverse,
        r#"{"time":1676393235406,"product_id":"PI_XBTUSD","funding_rate":-6.2604214e-11,"funding_rate_prediction":-3.65989977e-10,"relative_funding_rate":-1.380384722222e-6,"relative_funding_rate_prediction":-8.047629166667e-6,"next_funding_rate_time":1676394000000,"feed":"ticker","bid":21978.5,"ask":21987.0,"bid_size":2536.0,"ask_size":13948.0,"volume":31403908.0,"dtm":0,"leverage":"50x","index":21984.54,"premium":-0.1,"last":21983.5,"change":1.9974017538161748,"suspended":false,"tag":"perpetual","pair":"XBT:USD","openInterest":30072580.0,"markPrice":21979.68641534714,"maturityTime":0,"post_only":false,"volumeQuote":31403908.0}"#,
    ),
    (
        "kraken",
        Market::Inverse,
        r#"{"feed":"ticker_lite","product_id":"FI_BCHUSD_210730","bid":439.3,"ask":439.6,"change":2.640803926150981,"premium":0.3,"volume":3413476.0,"tag":"month","pair":"BCH:USD","dtm":7,"maturityTime":1627657200000}"#,
    ),
];

fn number(text: &str) -> Option<Decimal> {
    Some(Decimal::parse(text).unwrap())
}

fn books(kraken: &mut dyn Exchange, frame: &str) -> Book {
    let mut events = Vec::new();
    kraken.decode(frame, TS, &mut events).unwrap();
    match events.pop().map(|(_, event)| event.body) {
        Some(Some(Body::Book(book))) if events.is_empty() => book,
        other => panic!("{other:?}"),
    }
}

#[test]
fn digits_of_json_numbers_are_what_checksums_count() {
    let mut kraken = Kraken::default();
    let rules = Rules::of(&InstrumentId::new("kraken", Market::Spot, "BTCUSD"));
    let mut book = OrderBook::new(rules);
    let (snapshot, update) = (books(&mut kraken, FRAMES[0].2), books(&mut kraken, FRAMES[1].2));
    assert_eq!(snapshot.asks.as_ref().map(|asks| (asks.price_decimals, asks.size_decimals)), Some((1, 8)));
    assert_eq!(book.apply(&snapshot), Ok(Applied::Changed));
    // One digit more or less, and it is another checksum.
    for (from, to) in [("1.25000000", "1.25000001"), ("0.50000000", "0.5000000")] {
        let (mut other, mut kraken) = (book.clone(), Kraken::default());
        let applied = other.apply(&books(&mut kraken, &FRAMES[1].2.replace(from, to)));
        assert_eq!(matches!(applied, Err(Trouble::Checksum { .. })), to.ends_with('1'), "{to}: {applied:?}");
    }
    assert_eq!(book.apply(&update), Ok(Applied::Changed));
    assert_eq!((book.state(), book.top().unwrap().0), (State::Live, (627_915, 50_000_000)));
    // What is spaced out means the same.
    assert_eq!(books(&mut Kraken::default(), &FRAMES[1].2.replace(',', ", ")), Book { depth: None, ..update });
}

#[test]
fn the_depth_is_what_was_subscribed_to_or_what_a_snapshot_fits_in() {
    let mut kraken = Kraken::default();
    assert_eq!(books(&mut kraken, FRAMES[1].2).depth, None);
    assert_eq!(books(&mut kraken, FRAMES[0].2).depth, Some(10));
    let told = r#"{"method":"subscribe","result":{"channel":"book","depth":100,"snapshot":true,"symbol":"BTC/USD"},"success":true,"time_in":"2023-09-25T09:04:31.742599Z","time_out":"2023-09-25T09:04:31.742648Z"}"#;
    kraken.decode(told, TS, &mut Vec::new()).unwrap();
    assert_eq!(books(&mut kraken, FRAMES[0].2).depth, Some(100));
    assert_eq!(books(&mut kraken, FRAMES[1].2).depth, Some(100));
}

#[test]
fn trades_tickers_and_instruments_of_version_2() {
    let events = decode("kraken", Market::Spot, FRAMES[2].2).unwrap();
    let Some(Body::Trade(trade)) = &events[0].1.body else { panic!("{events:?}") };
    assert_eq!((trade.price, trade.size, trade.side()), (number("0.5147"), number("6423.46326"), Side::Sell));
    assert_eq!((&trade.id, &*events[0].0.symbol), (&Some(trade::Id::Number(4_665_846)), "DOGEUSD"));
    assert_eq!((events[1].1.ts_event, events[1].1.seq), (1_695_628_117_000_000_000, Some(4_665_847)));
    let (_, event) = one("kraken", Market::Spot, FRAMES[3].2);
    let expected = Ticker {
        last: number("0.10035"),
        bid_price: number("0.10025"),
        bid_size: number("740"),
        ask_price: number("0.10036"),
        ask_size: number("1361.44813783"),
        high_24h: number("0.10285"),
        low_24h: number("0.09979"),
        volume_24h: number("997038.98383185"),
        ..Ticker::default()
    };
    assert_eq!((event.ts_event, event.body), (TS, Some(Body::Ticker(expected.into()))));
    let pairs = r#"{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[{"symbol":"EUR/USD","base":"EUR","quote":"USD","status":"online","qty_precision":8,"qty_increment":1e-08,"price_precision":5,"price_increment":1e-05,"qty_min":0.5,"marginable":false,"has_index":true}]}}"#;
    let (id, event) = one("kraken", Market::Spot, pairs);
    let Some(Body::Instrument(described)) = event.body else { panic!("{event:?}") };
    assert_eq!((id.to_string().as_str(), described.tick_size), ("kraken:spot:EURUSD", number("0.00001")));
}

#[test]
fn what_is_no_data_of_kraken() {
    for frame in [
        r#"{"channel":"heartbeat"}"#,
        r#"{"channel":"status","type":"update","data":[{"version":"2.0.4","system":"online","api_version":"v2","connection_id":12393906104898154338}]}"#,
        r#"{"method":"pong","req_id":42,"time_in":"2023-09-25T09:05:00.123456Z","time_out":"2023-09-25T09:05:00.123500Z"}"#,
        r#"{"event":"heartbeat"}"#,
    ] {
        assert_eq!(decode("kraken", Market::Spot, frame), Ok(vec![]), "{frame}");
    }
    for frame in [
        r#"{"event":"info","version":1}"#,
        r#"{"event":"subscribed","feed":"book","product_ids":["PI_XBTUSD"]}"#,
        r#"{"feed":"heartbeat","time":1534262350627}"#,
    ] {
        assert_eq!(decode("kraken", Market::Inverse, frame), Ok(vec![]), "{frame}");
    }
    for (market, frame, rule) in [
        (
            Market::Spot,
            r#"{"error":"Currency pair not supported BTC/ABC","method":"subscribe","success":false,"symbol":"BTC/ABC"}"#,
            "refused_request",
        ),
        (Market::Spot, r#"{"channel":"level3","type":"update","data":[]}"#, "unknown_frame"),
        (Market::Inverse, r#"{"event":"alert","message":"Bad websocket message"}"#, "refused_request"),
        (Market::Inverse, r#"{"feed":"fills","fills":[]}"#, "unknown_frame"),
        (Market::Inverse, r#"{"feed":"ticker_lite","product_id":"RR_XBTUSD","bid":1,"ask":2}"#, "unknown_frame"),
    ] {
        assert_eq!(decode("kraken", market, frame).unwrap_err().rule(), rule, "{frame}");
    }
}

#[test]
fn futures_are_inverse_or_linear_by_their_name_and_numbered() {
    let ids: Vec<String> =
        FRAMES[4..].iter().map(|frame| decode(frame.0, frame.1, frame.2).unwrap()[0].0.to_string()).collect();
    let expected = [
        "inverse:BTCUSD",
        "inverse:BTCUSD",
        "inverse:BTCUSD_210924",
        "linear:BTCUSD",
        "inverse:BTCUSD",
        "inverse:BCHUSD_210730",
    ];
    assert_eq!(ids, expected.map(|id| format!("kraken:{id}")));
    let mut kraken = KrakenFutures::new(Market::Inverse);
    let mut book = OrderBook::new(Rules::of(&InstrumentId::new("kraken", Market::Inverse, "BTCUSD")));
    assert_eq!(book.apply(&books(&mut kraken, FRAMES[4].2)), Ok(Applied::Changed));
    assert_eq!(book.top(), Some(((348_925, 6_385), (349_115, 20_598))), "a size of 0 is no level");
    let later = FRAMES[5].2.replace("326072250", "326072252");
    let gap = book.clone().apply(&books(&mut kraken, &later));
    assert_eq!(gap, Err(Trouble::Gap { after: 326_072_249, got: 326_072_252 }));
    assert_eq!(book.apply(&books(&mut kraken, FRAMES[5].2)), Ok(Applied::Changed));
    assert_eq!(book.asks().count(), 0);
}

#[test]
fn trades_and_tickers_of_futures() {
    let (_, event) = one("kraken", Market::Inverse, FRAMES[6].2);
    let Some(Body::Trade(trade)) = event.body else { panic!("{event:?}") };
    assert_eq!((trade.liquidation, trade.block_trade, trade.size), (Some(true), Some(false), number("15000")));
    // The newest come first.
    let events = decode("kraken", Market::Linear, FRAMES[7].2).unwrap();
    let seqs: Vec<_> = events.iter().map(|(_, event)| (event.seq.unwrap(), event.index)).collect();
    assert_eq!(seqs, [(655_507, 0), (655_508, 1)]);
    let (_, event) = one("kraken", Market::Inverse, FRAMES[8].2);
    let Some(Body::Ticker(ticker)) = event.body else { panic!("{event:?}") };
    assert_eq!((ticker.funding_rate, ticker.mark), (number("-0.000001380384722222"), number("21979.68641534714")));
    assert_eq!((ticker.next_funding_ts, ticker.turnover_24h), (Some(1_676_394_000_000_000_000), None));
    let (_, event) = one("kraken", Market::Inverse, FRAMES[9].2);
    let Some(Body::Ticker(ticker)) = event.body else { panic!("{event:?}") };
    assert_eq!((event.ts_event, ticker.bid_price, ticker.mark), (TS, number("439.3"), None));
    let listed = r#"{"result":"success","instruments":[{"symbol":"pi_xbtusd","type":"futures_inverse","tickSize":0.5,"contractSize":1,"tradeable":true},{"symbol":"in_xbtusd","type":"spot index","tradeable":false},{"symbol":"PF_ODDUSD","type":"flexible_futures","tickSize":1,"contractSize":10,"tradeable":true}]}"#;
    let mut events = Vec::new();
    KrakenFutures::new(Market::Inverse).decode_instruments(listed, TS, &mut events).unwrap();
    let Some(Body::Instrument(described)) = &events[0].1.body else { panic!("{events:?}") };
    assert_eq!(
        (&*described.native_symbol, &*described.base, described.contract_size),
        ("PI_XBTUSD", "BTC", number("1"))
    );
    let Some(Body::Quarantined(odd)) = &events[1].1.body else { panic!("{events:?}") };
    assert_eq!((&*odd.rule, events.len()), ("unknown_contract_size", 2));
}

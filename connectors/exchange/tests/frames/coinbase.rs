//! Coinbase in both forms: its trades' sides, and the numbers of a connection as the chain of its books.
//!
//! Shaped after <https://docs.cdp.coinbase.com/exchange/websocket-feed/channels> and
//! <https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels>.

use prism_exchange::{Coinbase, Exchange};
use prism_schemas::OrderBook;
use prism_schemas::book::{Applied, Rules, State, Trouble};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Side, trade};
use prism_schemas::{Decimal, InstrumentId, Market};

use super::{Frame, TS, decode, one};

pub(super) const FRAMES: &[Frame] = &[
    (
        "coinbase",
        Market::Spot,
        r#"{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66-ca53-498f-9c13-a110027a60e8","taker_order_id":"132fb6ae-456b-4654-b4e0-d681ac05cea1","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}"#,
    ),
    (
        "coinbase",
        Market::Spot,
        r#"{"type":"snapshot","product_id":"BTC-USD","bids":[["10101.10","0.45054140"]],"asks":[["10102.55","0.57753524"]]}"#,
    ),
    (
        "coinbase",
        Market::Spot,
        r#"{"type":"l2update","product_id":"BTC-USD","time":"2019-08-14T20:42:27.265Z","changes":[["buy","10101.80","0.162567"],["sell","10102.55","0.0"]]}"#,
    ),
    (
        "coinbase",
        Market::Spot,
        r#"{"type":"ticker","sequence":37475248783,"product_id":"ETH-USD","price":"1285.22","open_24h":"1310.79","volume_24h":"245532.79269678","low_24h":"1280.52","high_24h":"1313.8","volume_30d":"9788783.60117027","best_bid":"1285.04","best_bid_size":"0.46688654","best_ask":"1285.27","best_ask_size":"1.56637040","side":"buy","time":"2022-10-19T23:28:22.061769Z","trade_id":370843401,"last_size":"11.4396987"}"#,
    ),
    (
        "coinbase",
        Market::Spot,
        r#"{"channel":"market_trades","timestamp":"2023-02-09T20:19:35.39625135Z","sequence_num":0,"events":[{"type":"snapshot","trades":[{"trade_id":"12","product_id":"ETH-USD","price":"1260.01","size":"0.3","side":"BUY","time":"2019-08-14T20:42:27.265Z"},{"trade_id":"11","product_id":"ETH-USD","price":"1260.02","size":"0.1","side":"SELL","time":"2019-08-14T20:42:27.1Z"}]}]}"#,
    ),
    (
        "coinbase",
        Market::Spot,
        r#"{"channel":"l2_data","timestamp":"2023-02-09T20:32:50.714964855Z","sequence_num":1,"events":[{"type":"snapshot","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"1970-01-01T00:00:00Z","price_level":"21921.73","new_quantity":"0.06317902"},{"side":"offer","event_time":"1970-01-01T00:00:00Z","price_level":"21921.74","new_quantity":"0.024"}]}]}"#,
    ),
    (
        "coinbase",
        Market::Spot,
        r#"{"channel":"l2_data","timestamp":"2023-02-09T20:32:51Z","sequence_num":2,"events":[{"type":"update","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2023-02-09T20:32:50.9Z","price_level":"21921.73","new_quantity":"0"},{"side":"bid","event_time":"2023-02-09T20:32:50.9Z","price_level":"21921.7","new_quantity":"1"}]}]}"#,
    ),
    (
        "coinbase",
        Market::Spot,
        r#"{"channel":"ticker","timestamp":"2023-02-09T20:30:37.167359596Z","sequence_num":3,"events":[{"type":"snapshot","tickers":[{"type":"ticker","product_id":"BTC-USD","price":"21932.98","volume_24_h":"16038.28770938","low_24_h":"21835.29","high_24_h":"23011.18","low_52_w":"15460","high_52_w":"48240","price_percent_chg_24_h":"-4.15775596190603","best_bid":"21931.98","best_bid_quantity":"8000.21","best_ask":"21933.98","best_ask_quantity":"8038.07770938"}]}]}"#,
    ),
    (
        "coinbase",
        Market::Spot,
        r#"{"channel":"candles","timestamp":"2023-06-09T20:19:35.39625135Z","sequence_num":4,"events":[{"type":"snapshot","candles":[{"start":"1686341700","high":"1867.72","low":"1865.63","open":"1867.38","close":"1866.81","volume":"0.20269406","product_id":"ETH-USD"},{"start":"1686341400","high":"1867.72","low":"1865.63","open":"1867.38","close":"1866.81","volume":"0.2","product_id":"ETH-USD"}]}]}"#,
    ),
];

fn number(text: &str) -> Option<Decimal> {
    Some(Decimal::parse(text).unwrap())
}

fn rules() -> Rules {
    Rules::of(&InstrumentId::new("coinbase", Market::Spot, "BTCUSD"))
}

fn book(coinbase: &mut Coinbase, frame: &str) -> Book {
    let mut events = Vec::new();
    coinbase.decode(frame, TS, &mut events).unwrap();
    match events.pop().map(|(_, event)| event.body) {
        Some(Some(Body::Book(book))) if events.is_empty() => book,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_side_is_the_takers_where_the_makers_is_told() {
    let (id, event) = one("coinbase", Market::Spot, FRAMES[0].2);
    let Some(Body::Trade(trade)) = event.body else { panic!("{event:?}") };
    assert_eq!((trade.side(), trade.id, event.seq), (Side::Buy, Some(trade::Id::Number(10)), Some(10)));
    assert_eq!((id.to_string().as_str(), event.ts_event), ("coinbase:spot:BTCUSD", 1_415_348_367_028_459_000));
    // The newest come first.
    let events = decode("coinbase", Market::Spot, FRAMES[4].2).unwrap();
    let sides = events.iter().map(|(_, event)| match &event.body {
        Some(Body::Trade(trade)) => (event.seq.unwrap(), event.index, trade.side()),
        other => panic!("{other:?}"),
    });
    assert_eq!(sides.collect::<Vec<_>>(), [(11, 0, Side::Buy), (12, 1, Side::Sell)]);
}

#[test]
fn books_of_exchange_follow_as_they_come() {
    let (mut coinbase, mut live) = (Coinbase::default(), OrderBook::new(rules()));
    assert_eq!(live.apply(&book(&mut coinbase, FRAMES[2].2)), Ok(Applied::Waiting));
    assert_eq!(live.apply(&book(&mut coinbase, FRAMES[1].2)), Ok(Applied::Changed));
    assert_eq!(live.apply(&book(&mut coinbase, FRAMES[2].2)), Ok(Applied::Changed));
    assert_eq!((live.bids().count(), live.asks().count(), live.state()), (2, 0, State::Live));
    // An update that cannot be read is missing; a trade that cannot be is not.
    for (frame, applied) in [
        (FRAMES[0].2.replace("400.23", "x"), Ok(Applied::Changed)),
        (FRAMES[2].2.replace("0.162567", "x"), Err(Trouble::Gap { after: 3, got: 4 })),
        (FRAMES[2].2[..100].to_string(), Err(Trouble::Gap { after: 3, got: 4 })),
    ] {
        let (mut coinbase, mut live) = (coinbase.clone(), live.clone());
        assert!(coinbase.decode(&frame, TS, &mut Vec::new()).is_err());
        assert_eq!(live.apply(&book(&mut coinbase, FRAMES[2].2)), applied, "{frame}");
    }
}

#[test]
fn a_number_that_is_missing_breaks_the_chain_of_every_book() {
    let (mut coinbase, mut live) = (Coinbase::default(), OrderBook::new(rules()));
    coinbase.decode(FRAMES[4].2, TS, &mut Vec::new()).unwrap();
    assert_eq!(live.apply(&book(&mut coinbase, FRAMES[5].2)), Ok(Applied::Changed));
    let update = |at: &str| FRAMES[6].2.replace("\"sequence_num\":2", &format!("\"sequence_num\":{at}"));
    assert_eq!(live.apply(&book(&mut coinbase, &update("2"))), Ok(Applied::Changed));
    // Other messages count, too.
    coinbase.decode(FRAMES[7].2, TS, &mut Vec::new()).unwrap();
    let (mut lost, mut without) = (coinbase.clone(), live.clone());
    assert_eq!(live.apply(&book(&mut coinbase, &update("4"))), Ok(Applied::Changed));
    assert_eq!(without.apply(&book(&mut lost, &update("5"))), Err(Trouble::Gap { after: 2, got: 4 }));
    assert_eq!(without.apply(&book(&mut lost, &update("6"))), Ok(Applied::Waiting));
    // A message that could not be read is missing as well; one of a channel that nobody reads is not.
    let (mut odd, mut torn) = (coinbase.clone(), live.clone());
    odd.decode(
        &FRAMES[7].2.replace("\"sequence_num\":3", "\"sequence_num\":5").replace("21932.98", "x"),
        TS,
        &mut Vec::new(),
    )
    .unwrap_err();
    assert_eq!(torn.apply(&book(&mut odd, &update("6"))), Err(Trouble::Gap { after: 4, got: 5 }));
    let status = r#"{"channel":"status","timestamp":"2023-02-09T20:29:49.753424311Z","sequence_num":5,"events":[]}"#;
    assert_eq!(coinbase.decode(status, TS, &mut Vec::new()).unwrap_err().rule(), "unknown_frame");
    // Nor is one of a product that is nobody's.
    let future = update("6").replace("BTC-USD", "BIT-28JUL23-CDE");
    assert_eq!(coinbase.decode(&future, TS, &mut Vec::new()).unwrap_err().rule(), "unknown_frame");
    assert_eq!(live.apply(&book(&mut coinbase, &update("7"))), Ok(Applied::Changed));
    // A new connection begins with 0.
    coinbase.decode(FRAMES[4].2, TS, &mut Vec::new()).unwrap();
    assert_eq!(live.apply(&book(&mut coinbase, &update("1"))), Err(Trouble::Gap { after: 7, got: 0 }));
    assert_eq!(live.apply(&book(&mut coinbase, &FRAMES[5].2.replace("num\":1", "num\":2"))), Ok(Applied::Changed));
}

#[test]
fn tickers_candles_products_and_what_is_no_data() {
    for (at, bid, size) in [(3, "1285.04", "0.46688654"), (7, "21931.98", "8000.21")] {
        let (_, event) = one("coinbase", Market::Spot, FRAMES[at].2);
        let Some(Body::Ticker(ticker)) = event.body else { panic!("{event:?}") };
        assert_eq!((ticker.bid_price, ticker.bid_size), (number(bid), number(size)));
    }
    let events = decode("coinbase", Market::Spot, FRAMES[8].2).unwrap();
    let closed = events.iter().map(|(_, event)| match &event.body {
        Some(Body::Kline(kline)) => (kline.closed, event.ts_event),
        other => panic!("{other:?}"),
    });
    assert_eq!(closed.collect::<Vec<_>>(), [(false, 1_686_341_975_396_251_350), (true, 1_686_341_700_000_000_000)]);
    for products in [
        r#"[{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","quote_increment":"0.01","base_increment":"0.00000001","display_name":"BTC/USD","min_market_funds":"1","status":"online"}]"#,
        r#"{"products":[{"product_id":"BTC-USD","base_increment":"0.00000001","quote_increment":"0.01","price_increment":"0.01","quote_min_size":"1","base_currency_id":"BTC","quote_currency_id":"USD","status":"online"},{"product_id":"BIT-28JUL23-CDE","base_currency_id":"","quote_currency_id":"USD"}]}"#,
    ] {
        let mut events = Vec::new();
        Coinbase::default().decode_instruments(products, TS, &mut events).unwrap();
        let [(_, event)] = &events[..] else { panic!("{events:?}") };
        let Some(Body::Instrument(described)) = &event.body else { panic!("{event:?}") };
        assert_eq!((described.price_decimals, described.size_decimals, &*described.base), (2, 8, "BTC"));
        assert_eq!(described.min_notional, number("1"));
    }
    for frame in [
        r#"{"type":"subscriptions","channels":[{"name":"level2","product_ids":["ETH-USD"]}]}"#,
        r#"{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":"2014-11-07T08:19:28.464459Z"}"#,
        r#"{"channel":"heartbeats","timestamp":"2023-06-23T20:31:26.122969572Z","sequence_num":0,"events":[{"current_time":"2023-06-23 20:31:56.121961769 +0000 UTC m=+91717.525857105","heartbeat_counter":3049}]}"#,
    ] {
        assert_eq!(decode("coinbase", Market::Spot, frame), Ok(vec![]), "{frame}");
    }
    for (frame, rule) in [
        (
            r#"{"type":"error","message":"Failed to subscribe","reason":"ABC-USD is not a valid product"}"#,
            "refused_request",
        ),
        (r#"{"type":"open","side":"sell","product_id":"BTC-USD","sequence":1}"#, "unknown_frame"),
        (&FRAMES[0].2.replace("BTC-USD", "BTC-PERP-INTX"), "unknown_frame"),
    ] {
        assert_eq!(decode("coinbase", Market::Spot, frame).unwrap_err().rule(), rule, "{frame}");
    }
}

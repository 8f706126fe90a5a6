//! Frames as the venues document them decode to these events; damaged ones to errors, never to half an event.

use prism_exchange::{Binance, Bybit, Coinbase, DecodeError, Deribit, Exchange, Kraken, KrakenFutures};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Levels, Side, Ticker, trade};
use prism_schemas::{Decimal, Event, InstrumentId, Market};

mod coinbase;
mod damaged;
mod deribit;
mod kraken;
mod okx;

const TS: i64 = 1_700_000_000_000_000_000;

fn exchange(name: &str, market: Market) -> Box<dyn Exchange> {
    match name {
        "binance" => Box::new(Binance::new(market).with_symbol("BNBBTC")),
        "okx" => okx::taught(market),
        "kraken" if market == Market::Spot => Box::new(Kraken::default()),
        "kraken" => Box::new(KrakenFutures::new(market)),
        "coinbase" => Box::new(Coinbase::default()),
        "deribit" => Box::new(Deribit::new(market)),
        _ => Box::new(Bybit::new(market)),
    }
}

fn decode(name: &str, market: Market, frame: &str) -> Result<Vec<(InstrumentId, Event)>, DecodeError> {
    let mut out = Vec::new();
    exchange(name, market).decode(frame, TS, &mut out)?;
    Ok(out)
}

fn one(name: &str, market: Market, frame: &str) -> (InstrumentId, Event) {
    let mut events = decode(name, market, frame).unwrap();
    assert_eq!(events.len(), 1, "{frame}");
    events.remove(0)
}

/// Venue, market and text.
type Frame = (&'static str, Market, &'static str);

const FRAMES: &[Frame] = &[
    (
        "binance",
        Market::Spot,
        r#"{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.00100000","q":"100.5","T":1672515782130,"m":true,"M":true}"#,
    ),
    (
        "binance",
        Market::Linear,
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":123456789,"s":"BTCUSDT","a":5933014,"p":"64000.10","q":"0.5","f":100,"l":105,"T":123456785,"m":false}}"#,
    ),
    (
        "binance",
        Market::Linear,
        r#"{"e":"depthUpdate","E":123456789,"T":123456788,"s":"BTCUSDT","U":157,"u":160,"pu":149,"b":[["64000.10","10.5"],["63999","0"]],"a":[["64000.2","100"]]}"#,
    ),
    (
        "binance",
        Market::Spot,
        r#"{"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"]],"asks":[["4.00000200","12.00000000"]]}"#,
    ),
    (
        "binance",
        Market::Spot,
        r#"{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}"#,
    ),
    (
        "binance",
        Market::Inverse,
        r#"{"stream":"btcusd_perp@bookTicker","data":{"u":17242169,"e":"bookTicker","s":"BTCUSD_PERP","ps":"BTCUSD","b":"9548.1","B":"52","a":"9548.5","A":"11","T":1591268628155,"E":1591268628166}}"#,
    ),
    (
        "binance",
        Market::Linear,
        r#"{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15000000","i":"11784.62659091","P":"11784.25641265","r":"0.00038167","T":1562306400000}"#,
    ),
    (
        "binance",
        Market::Linear,
        r#"{"e":"kline","E":1638747660000,"s":"BTCUSDT","k":{"t":1638747600000,"T":1638747659999,"s":"BTCUSDT","i":"1m","f":100,"L":200,"o":"0.0010","c":"0.0020","h":"0.0025","l":"0.0015","v":"1000","n":100,"x":true,"q":"1.0000","V":"500","Q":"0.500","B":"123456"}}"#,
    ),
    (
        "binance",
        Market::Linear,
        r#"{"e":"forceOrder","E":1568014460893,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"9910","ap":"9910","X":"FILLED","l":"0.014","z":"0.014","T":1568014460890}}"#,
    ),
    (
        "binance",
        Market::Spot,
        r#"{"e":"24hrTicker","E":1672515782136,"s":"BNBBTC","p":"0.0015","P":"250.00","w":"0.0018","x":"0.0009","c":"0.0025","Q":"10","b":"0.0024","B":"10","a":"0.0026","A":"100","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18","O":0,"C":86400000,"F":0,"L":18150,"n":18151}"#,
    ),
    (
        "binance",
        Market::Spot,
        r#"{"stream":"!ticker@arr","data":[{"e":"24hrTicker","E":1672515782136,"s":"BNBBTC","c":"0.0025","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18"},{"e":"24hrTicker","E":1672515782136,"s":"ETHBTC","c":"0.05","o":"0.05","h":"0.05","l":"0.05","v":"1","q":"0.05"}]}"#,
    ),
    (
        "bybit",
        Market::Linear,
        r#"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"seq":1783284617},{"T":1672304486865,"s":"BTCUSDT","S":"Sell","v":"2","p":"16578.00","L":"MinusTick","i":"6a2f3950-d8dd-5b31-9112-a178eb6023af","BT":true,"seq":1783284618}]}"#,
    ),
    (
        "bybit",
        Market::Linear,
        r#"{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1672304484978,"data":{"s":"BTCUSDT","b":[["16493.50","0.006"],["16493.00","0.100"]],"a":[["16611.00","0.029"]],"u":18521288,"seq":7961638724},"cts":1672304484976}"#,
    ),
    (
        "bybit",
        Market::Spot,
        r#"{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1687940967466,"data":{"s":"BTCUSDT","b":[["30247.20","0"]],"a":[],"u":177400507,"seq":66544703342},"cts":1687940967464}"#,
    ),
    (
        "bybit",
        Market::Linear,
        r#"{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"17217.33","openInterest":"68744.761","fundingRate":"-0.000212","nextFundingTime":"1673280000000"},"cs":24987956059,"ts":1673272861686}"#,
    ),
    (
        "bybit",
        Market::Linear,
        r#"{"topic":"kline.5.BTCUSDT","data":[{"start":1672324800000,"end":1672325099999,"interval":"5","open":"16649.5","close":"16677","high":"16677","low":"16608","volume":"2.081","turnover":"34666.4005","confirm":false,"timestamp":1672324988882}],"ts":1672324988882,"type":"snapshot"}"#,
    ),
    (
        "bybit",
        Market::Linear,
        r#"{"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":1739502303204,"data":[{"T":1739502302929,"s":"ROSEUSDT","S":"Buy","v":"20000","p":"0.04499"}]}"#,
    ),
    (
        "bybit",
        Market::Linear,
        r#"{"topic":"liquidation.GALAUSDT","type":"snapshot","ts":1673251091822,"data":{"price":"0.03803","side":"Buy","size":"1637","symbol":"GALAUSDT","updatedTime":1673251091822}}"#,
    ),
    (
        "okx",
        Market::Inverse,
        r#"{"arg":{"channel":"books","instId":"BTC-USD-220527"},"action":"update","data":[{"asks":[["30249.4","0","0","0"]],"bids":[["30182.6","452","0","1"]],"ts":"1652459225464","checksum":-914047754}]}"#,
    ),
    (
        "okx",
        Market::Spot,
        r#"{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"7849","px":"30218.8","sz":"0.1","side":"buy","ts":"1652459199958"}]}"#,
    ),
    (
        "kraken",
        Market::Spot,
        r#"[1920,{"a":[["0.042990","364630.28272081","1618678145.920470"]]},{"b":[["0.042980","0.00000000","1618678145.920708"]],"c":"4105471083"},"book-1000","SC\/EUR"]"#,
    ),
    (
        "kraken",
        Market::Spot,
        r#"[993,[["354.11000000","0.89594024","1618678142.557535","s","l",""]],"trade","XBT/USD"]"#,
    ),
];

#[test]
fn trades_carry_the_takers_side_and_exact_numbers() {
    let (id, event) = one("binance", Market::Spot, FRAMES[0].2);
    assert_eq!(id, InstrumentId::new("binance", Market::Spot, "BNBBTC"));
    assert_eq!((event.ts_event, event.ts_recv, event.seq), (1_672_515_782_130_000_000, TS, Some(12345)));
    let Some(Body::Trade(trade)) = event.body else { panic!() };
    assert_eq!((trade.price, trade.size), (Some(Decimal::new(1, 3)), Some(Decimal::new(1005, 1))));
    assert_eq!((trade.side(), trade.id, trade.stream.as_str()), (Side::Sell, Some(trade::Id::Number(12345)), "trade"));

    let events = decode("bybit", Market::Linear, FRAMES[11].2).unwrap();
    let sides: Vec<_> = events
        .iter()
        .map(|(_, event)| match &event.body {
            Some(Body::Trade(trade)) => (event.index, event.seq, trade.side(), trade.block_trade),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        sides,
        [(0, Some(1_783_284_617), Side::Buy, Some(false)), (1, Some(1_783_284_618), Side::Sell, Some(true))]
    );
}

#[test]
fn books_keep_their_update_ids() {
    let (_, event) = one("binance", Market::Linear, FRAMES[2].2);
    let levels = |prices: &[i64], sizes: &[i64], price_decimals, size_decimals| {
        Some(Levels { prices: prices.into(), sizes: sizes.into(), price_decimals, size_decimals })
    };
    let expected = Book {
        snapshot: false,
        bids: levels(&[640_001, 639_990], &[105, 0], 1, 1),
        asks: levels(&[640_002], &[100], 1, 0),
        first_update_id: Some(157),
        update_id: Some(160),
        previous_update_id: Some(149),
        ..Book::default()
    };
    assert_eq!(event.body, Some(Body::Book(expected)));
    assert_eq!(event.ts_event, 123_456_788_000_000);
    let (id, event) = one("binance", Market::Spot, FRAMES[3].2);
    assert_eq!((id.symbol.as_str(), event.ts_event), ("BNBBTC", TS));
    let (_, event) = one("bybit", Market::Linear, FRAMES[12].2);
    let Some(Body::Book(book)) = event.body else { panic!() };
    assert!(book.snapshot && book.update_id == Some(18_521_288) && book.depth == Some(50));
    assert_eq!((event.ts_event, event.seq), (1_672_304_484_976_000_000, Some(7_961_638_724)));
}

#[test]
fn absent_ticker_fields_stay_absent() {
    let (_, event) = one("bybit", Market::Linear, FRAMES[14].2);
    let expected = Ticker {
        mark: Some(Decimal::new(1_721_733, 2)),
        // Half of what both sides hold.
        open_interest: Some(Decimal::new(343_723_805, 4)),
        funding_rate: Some(Decimal::new(-212, 6)),
        next_funding_ts: Some(1_673_280_000_000_000_000),
        ..Ticker::default()
    };
    assert_eq!(event.body, Some(Body::Ticker(expected.into())));
    let (_, event) = one("binance", Market::Spot, FRAMES[4].2);
    assert_eq!(event.ts_event, TS);
    let (_, event) = one("binance", Market::Inverse, FRAMES[5].2);
    assert_eq!(event.ts_event, 1_591_268_628_155_000_000);
    let (_, event) = one("binance", Market::Linear, FRAMES[6].2);
    let Some(Body::Ticker(ticker)) = event.body else { panic!() };
    assert_eq!(ticker.next_funding_ts, Some(1_562_306_400_000_000_000));
    assert_eq!((event.ts_event, ticker.index), (1_562_305_380_000_000_000, Decimal::parse("11784.62659091")));
}

#[test]
fn klines_and_liquidations() {
    let (_, event) = one("binance", Market::Linear, FRAMES[7].2);
    let Some(Body::Kline(kline)) = event.body else { panic!() };
    assert!(kline.closed && kline.timeframe == "1m" && kline.n_trades == Some(100));
    let (_, event) = one("bybit", Market::Linear, FRAMES[15].2);
    let Some(Body::Kline(kline)) = event.body else { panic!() };
    assert!(!kline.closed && kline.timeframe == "5m" && kline.buy_volume.is_none());
    // Until 2025 Bybit told one order a second, as an object; its side is the position's, too (tardis-node, mappers/bybit.ts).
    for (frame, completeness) in
        [(&FRAMES[8], "latest_per_second"), (&FRAMES[16], "all"), (&FRAMES[17], "latest_per_second")]
    {
        let (_, event) = one(frame.0, frame.1, frame.2);
        let Some(Body::Liquidation(order)) = event.body else { panic!() };
        assert_eq!((order.side(), order.completeness.as_str()), (Side::Sell, completeness));
    }
    assert_eq!(decode("binance", Market::Spot, FRAMES[10].2).unwrap().len(), 2);
}

#[test]
fn acknowledgements_are_silent_and_the_rest_is_named() {
    for frame in [
        ("binance", r#"{"result":null,"id":3}"#),
        ("bybit", r#"{"success":true,"ret_msg":"","conn_id":"x","req_id":"","op":"subscribe"}"#),
        ("bybit", r#"{"success":true,"ret_msg":"pong","conn_id":"x","op":"ping"}"#),
        ("bybit", r#"{"req_id":"1","op":"pong","args":["1675418560633"],"conn_id":"x"}"#),
    ] {
        assert_eq!(decode(frame.0, Market::Linear, frame.1), Ok(vec![]), "{}", frame.1);
    }
    for (name, frame, rule) in [
        ("binance", r#"{"e":"executionReport","E":1}"#, "unknown_frame"),
        ("binance", r#"{"error":{"code":2,"msg":"Invalid request"}}"#, "refused_request"),
        ("binance", r#"{"code":-1121,"msg":"Invalid symbol."}"#, "refused_request"),
        ("binance", r#"{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"x","q":"1","T":1,"m":true}"#, "invalid_field"),
        ("binance", r#"{"e":"trade","E":1,"s":"BTCUSDT","t":1,"q":"1","T":1,"m":true}"#, "invalid_field"),
        ("binance", r#"{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]}"#, "invalid_field"),
        (
            "binance",
            r#"{"stream":"ethusdt@depth20","data":{"e":"depthUpdate","E":1,"s":"ETHUSDT","U":1,"u":2,"pu":0,"b":[],"a":[]}}"#,
            "unknown_frame",
        ),
        (
            "bybit",
            r#"{"success":false,"ret_msg":"error:handler not found,topic:x","op":"subscribe"}"#,
            "refused_request",
        ),
        ("bybit", r#"{"topic":"insurance.USDT","type":"snapshot","ts":1,"data":[]}"#, "unknown_frame"),
        (
            "bybit",
            r#"{"topic":"publicTrade.BTCUSDT","ts":1,"data":[{"T":1,"s":"BTCUSDT","v":"1","p":"1","i":"a"}]}"#,
            "invalid_field",
        ),
        ("bybit", "", "malformed_frame"),
        ("bybit", "{", "malformed_frame"),
        ("bybit", r#"{"topic":"#, "malformed_frame"),
    ] {
        let error = decode(name, Market::Linear, frame).unwrap_err();
        assert_eq!(error.rule(), rule, "{frame}: {error}");
    }
}

#[test]
fn trades_without_positive_price_and_size_are_quarantined_alone() {
    let frame = FRAMES[11].2.replace("\"16578.50\"", "\"0\"");
    let events = decode("bybit", Market::Linear, &frame).unwrap();
    let Some(Body::Quarantined(quarantined)) = &events[0].1.body else { panic!() };
    assert_eq!((quarantined.rule.as_str(), quarantined.raw.as_slice()), ("nonpositive_trade", frame.as_bytes()));
    assert!(matches!(events[1].1.body, Some(Body::Trade(_))));
    let frame = r#"{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":7,"p":"0","q":"0","X":"NA","m":true}"#;
    let (_, event) = one("binance", Market::Linear, frame);
    assert!(matches!(event.body, Some(Body::Quarantined(_))));
}

#[test]
fn okx_and_kraken_books_carry_checksums_and_common_names() {
    let frames = FRAMES.iter().filter(|(name, ..)| matches!(*name, "okx" | "kraken"));
    let events: Vec<_> = frames.map(|(name, market, frame)| one(name, *market, frame)).collect();
    let names: Vec<String> = events.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(names, ["okx:inverse:BTCUSD_220527", "okx:spot:BTCUSDT", "kraken:spot:SCEUR", "kraken:spot:BTCUSD"]);
    let Some(Body::Book(book)) = &events[0].1.body else { panic!() };
    assert_eq!((book.checksum, book.snapshot), (Some(-914_047_754_i32 as u32), false));
    // Both parts of a frame are one update, at the later of their times; zeros at the end count.
    let Some(Body::Book(book)) = &events[2].1.body else { panic!() };
    assert_eq!((book.checksum, book.depth), (Some(4_105_471_083), Some(1_000)));
    assert_eq!((book.asks.as_ref().unwrap().price_decimals, book.bids.as_ref().unwrap().sizes[0]), (6, 0));
    assert_eq!(events[2].1.ts_event, 1_618_678_145_920_708_000);
}

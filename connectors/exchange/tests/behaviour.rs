//! What venues do that their examples do not show, each from a source that is not us.

use prism_exchange::{Answer, Ask, Binance, Bybit, Exchange, Okx, Throttled, Wire, wire};
use prism_schemas::book::{Applied, OrderBook, Rules, State, Trouble};
use prism_schemas::event::Book;
use prism_schemas::event::event::Body;
use prism_schemas::{Event, InstrumentId, Market};

type Events = Vec<(InstrumentId, Event)>;

fn answer(venue: &str, ask: &Ask<'_>, body: &str) -> Events {
    let mut events = Events::new();
    wire(venue).unwrap().answer(ask, body, 1_700_000_000_000_000_000, &mut events).unwrap();
    events
}

// Seen in answers of api.bybit.com/v5/market/tickers?category=spot (2026-05 to 2026-10).
#[test]
fn a_turnover_of_any_number_of_digits_is_read_and_an_odd_row_is_quarantined_alone() {
    let row = |symbol: &str, last: &str, turnover: &str| {
        format!(r#"{{"symbol":"{symbol}","lastPrice":"{last}","volume24h":"1.5","turnover24h":"{turnover}"}}"#)
    };
    let rows = [
        row("BTCUSDT", "65000", "302542.8759139051798123456"),
        row("BABYDOGEUSDT", "0.0000000012345", "0.29009999999999997"),
        row("ODDUSDT", "a price", "1"),
        // Found by fuzzing: a row without a name is one, too, not a refusal of all.
        row("", "1", "1"),
    ];
    let body =
        format!(r#"{{"retCode":0,"retMsg":"OK","result":{{"list":[{}]}},"time":1700000000000}}"#, rows.join(","));
    let events = answer("bybit-spot", &Ask::Tickers, &body);
    let turnover = |at: usize| match &events[at].1.body {
        Some(Body::Ticker(ticker)) => ticker.turnover_24h.unwrap().to_f64(),
        other => panic!("{other:?}"),
    };
    assert!((turnover(0) - 302_542.875_913_905_2).abs() < 1e-6, "{}", turnover(0));
    assert_eq!(turnover(1), 0.290_099_999_999_999_97);
    let Some(Body::Quarantined(odd)) = &events[2].1.body else { panic!("{events:?}") };
    assert_eq!((&*odd.rule, &*events[2].0.symbol, events.len()), ("invalid_field", "ODDUSDT", 4));
    assert_eq!(&*events[3].0.symbol, "?");
    assert!(odd.detail.starts_with("ODDUSDT: ") && odd.detail.contains("lastPrice"), "{}", odd.detail);
    // Where no row can be read, the venue changed its format.
    let all =
        format!(r#"{{"retCode":0,"result":{{"list":[{}]}},"time":1700000000000}}"#, row("ODDUSDT", "a price", "1"));
    assert!(wire("bybit-spot").unwrap().answer(&Ask::Tickers, &all, 0, &mut Events::new()).is_err());
}

// bybit-exchange.github.io/docs/v5/error and developers.binance.com, "Error codes".
#[test]
fn failures_of_the_moment_and_floods_are_told_from_refusals() {
    for (venue, body, transient, throttled) in [
        ("bybit-linear", r#"{"retCode":10000,"retMsg":"Server Timeout"}"#, true, None),
        ("bybit-linear", r#"{"retCode":10016,"retMsg":"Internal server error"}"#, true, None),
        (
            "bybit-linear",
            r#"{"retCode":10429,"retMsg":"System level frequency protection"}"#,
            false,
            Some(Throttled::All),
        ),
        ("bybit-linear", r#"{"retCode":10018,"retMsg":"Exceeded the IP Rate Limit."}"#, false, Some(Throttled::All)),
        ("bybit-linear", r#"{"retCode":10006,"retMsg":"Too many visits!"}"#, false, Some(Throttled::Kind)),
        ("bybit-linear", r#"{"retCode":10001,"retMsg":"Request parameter error"}"#, false, None),
        ("binance-spot", r#"{"code":-1007,"msg":"Timeout waiting for response from backend server."}"#, true, None),
        ("binance-spot", r#"{"code":-1121,"msg":"Invalid symbol."}"#, false, None),
    ] {
        let wire = wire(venue).unwrap();
        assert_eq!((wire.is_transient(body), wire.throttled(body)), (transient, throttled), "{body}");
    }
}

// api.bybit.com/v5/market/instruments-info?category=linear lists them among the perpetual contracts.
#[test]
fn dated_contracts_are_asked_for_with_their_dash() {
    let linear = wire("bybit-linear").unwrap();
    for (ours, theirs) in [
        ("BTCUSDT25SEP26", "BTCUSDT-25SEP26"),
        ("ETHUSDT1JAN27", "ETHUSDT-1JAN27"),
        ("BTCUSDT", "BTCUSDT"),
        ("1000PEPEUSDT", "1000PEPEUSDT"),
        ("币安人生USDT", "币安人生USDT"),
        ("25SEP26", "25SEP26"),
        ("MAY", "MAY"),
    ] {
        assert_eq!(linear.native(ours), theirs);
    }
    assert_eq!(wire("bybit-spot").unwrap().native("BTCUSDT25SEP26"), "BTCUSDT25SEP26");
}

// `BybitSymbolType` of nautilus_bybit; of 732 rows in 2026-08 174 were stocks, 4 commodities, 117 of the innovation zone.
#[test]
fn contracts_on_something_else_than_crypto_are_told_apart() {
    let zones = ["", "innovation", "adventure", "stock", "commodity", "forex", "etf", "bond"];
    let row = |zone| {
        format!(
            r#"{{"symbol":"AUSDT","contractType":"LinearPerpetual","symbolType":"{zone}","status":"Trading","baseCoin":"A","quoteCoin":"USDT","settleCoin":"USDT","deliveryTime":"0","priceFilter":{{"tickSize":"0.1"}},"lotSizeFilter":{{"qtyStep":"0.1"}}}}"#
        )
    };
    let rows = zones.map(row).join(",");
    let body = format!(r#"{{"retCode":0,"retMsg":"OK","result":{{"list":[{rows}]}},"time":1672054488010}}"#);
    let events = answer("bybit-linear", &Ask::Instruments, &body);
    let kinds = events.iter().map(|(_, event)| match &event.body {
        Some(Body::Instrument(one)) => &*one.contract_type,
        other => panic!("{other:?}"),
    });
    let (crypto, others) = (["LinearPerpetual"; 3], ["TRADIFI_LinearPerpetual"; 5]);
    assert_eq!(kinds.collect::<Vec<_>>(), [&crypto[..], &others[..]].concat());
}

// bybit-exchange.github.io/docs/v5/market/risk-limit shows texts; answers hold numbers, too.
#[test]
fn margins_are_numbers_or_texts() {
    for margin in ["0.005", "\"0.005\""] {
        let body = format!(
            r#"{{"retCode":0,"result":{{"list":[{{"id":1,"symbol":"BTCUSDT","riskLimitValue":"150","maintenanceMargin":{margin},"initialMargin":{margin},"maxLeverage":"100"}}]}},"time":1672054488010}}"#
        );
        let events = answer("bybit-linear", &Ask::RiskLimit("BTCUSDT"), &body);
        let Some(Body::RiskLimit(limit)) = &events[0].1.body else { panic!("{events:?}") };
        assert_eq!(limit.tiers[0].maintenance_margin.unwrap().to_f64(), 0.005);
    }
}

// developers.binance.com, "Liquidation Order Streams": p original price, ap average price, q original, z filled quantity.
#[test]
fn a_forced_order_is_told_as_it_was_filled() {
    let told = |fields: &str| {
        let frame = format!(
            r#"{{"e":"forceOrder","E":1568014460893,"o":{{"s":"BTCUSDT","S":"SELL","q":"0.014","p":"9910",{fields}"X":"FILLED","T":1568014460893}}}}"#
        );
        let mut events = Events::new();
        Binance::new(Market::Linear).decode(&frame, 1_568_014_461_000_000_000, &mut events).unwrap();
        let Some(Body::Liquidation(order)) = &events[0].1.body else { panic!("{events:?}") };
        (order.price.unwrap().to_f64(), order.size.unwrap().to_f64())
    };
    assert_eq!(told(r#""ap":"9905.5","z":"0.010","#), (9905.5, 0.01));
    assert_eq!(told(r#""ap":"0","z":"0","#), (9910.0, 0.014));
    assert_eq!(told(""), (9910.0, 0.014));
}

// developers.binance.com, spot WebSocket streams, "serverShutdown": sent before a connection is ended.
#[test]
fn a_venue_that_leaves_is_understood() {
    let frame = r#"{"e":"serverShutdown","E":1770123456789}"#;
    let mut spot = wire("binance-spot").unwrap();
    let mut events = Events::new();
    spot.decode(frame, 1, &mut events).unwrap();
    assert!(spot.is_leaving(frame) && events.is_empty(), "{events:?}");
    assert!(!spot.is_leaving(r#"{"result":null,"id":1}"#));
    assert_eq!(spot.answered(r#"{"result":null,"id":1}"#), Some((1, Answer::Accepted)));
    assert!(!Bybit::new(Market::Linear).is_leaving(frame));
}

// okx.com/docs-v5, "WS / Order book channel": prevSeqId is the seqId before, -1 of a snapshot, equal to seqId where nothing
// changed, and above it where the numbers begin anew; checksum is 0 on every frame since 2026-05.
#[test]
fn okx_books_are_live_by_their_chain_of_numbers() {
    let frame = |action: &str, previous: i64, number: i64, bid: &str| {
        format!(
            r#"{{"arg":{{"channel":"books","instId":"BTC-USDT"}},"action":"{action}","data":[{{"asks":[["101","1","0","1"]],"bids":[["{bid}","1","0","1"]],"ts":"1700000000000","checksum":0,"prevSeqId":{previous},"seqId":{number}}}]}}"#
        )
    };
    let decode = |frame: &str| -> (InstrumentId, Book) {
        let mut events = Events::new();
        Okx::new(Market::Spot).decode(frame, 1_700_000_000_000_000_000, &mut events).unwrap();
        match events.pop() {
            Some((id, Event { body: Some(Body::Book(book)), .. })) => (id, book),
            other => panic!("{other:?}"),
        }
    };
    let (id, snapshot) = decode(&frame("snapshot", -1, 10, "100"));
    let mut book = OrderBook::new(Rules::of(&id));
    let apply = |book: &mut OrderBook, frame: &str| book.apply(&decode(frame).1);
    assert_eq!(book.apply(&snapshot), Ok(Applied::Changed));
    assert_eq!(apply(&mut book, &frame("update", 10, 15, "100.1")), Ok(Applied::Changed));
    assert_eq!(apply(&mut book, &frame("update", 15, 15, "100.1")), Ok(Applied::Changed));
    assert_eq!(apply(&mut book, &frame("update", 15, 3, "100.2")), Ok(Applied::Changed), "the numbers begin anew");
    assert_eq!((book.state(), book.last_update()), (State::Live, Some(3)));
    assert_eq!(apply(&mut book, &frame("update", 4, 5, "100.3")), Err(Trouble::Gap { after: 3, got: 4 }));
    assert_eq!(book.state(), State::Suspect);
    assert_eq!(apply(&mut book, &frame("update", 5, 6, "100.3")), Ok(Applied::Waiting));
    let mut unlinked = OrderBook::new(Rules::of(&id));
    assert_eq!(unlinked.apply(&snapshot), Ok(Applied::Changed));
    let unfit = apply(&mut unlinked, &frame("update", -1, 11, "100.3"));
    assert_eq!(unfit, Err(Trouble::Unfit), "nothing tells that it follows");
    assert_eq!(apply(&mut book, &frame("snapshot", -1, 6, "100.3")), Ok(Applied::Changed));
    assert_eq!(book.state(), State::Live);
}

// bybit-exchange.github.io/docs/changelog/v5, 2026-06-11, and market/open-interest: 63910691 of both sides, 31955346 of one;
// a delta of wss://stream.bybit.com/v5/public/linear of 2026-09-22 has these two values. Binance counts one side.
#[test]
fn open_interest_is_counted_once() {
    let history = |row: &str| {
        let body = format!(
            r#"{{"retCode":0,"retMsg":"OK","result":{{"symbol":"BTCUSD","category":"inverse","list":[{row}]}},"time":1}}"#
        );
        match &answer("bybit-inverse", &Ask::OpenInterest("BTCUSD", 1), &body)[0].1.body {
            Some(Body::OpenInterest(open)) => open.size.unwrap().to_f64(),
            other => panic!("{other:?}"),
        }
    };
    let ts = r#""timestamp":"1669571400000""#;
    assert_eq!(
        history(&format!(r#"{{"openInterest":"63910691","singleOpenInterest":"31955346",{ts}}}"#)),
        31_955_346.0
    );
    assert_eq!(history(&format!(r#"{{"openInterest":"63910691",{ts}}}"#)), 31_955_345.5);
    let delta = r#"{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","openInterestValue":"5250990127.10","singleOpenInterestValue":"2625495106.91","fundingIntervalHour":"4"},"cs":1,"ts":1695340800000}"#;
    let mut events = Events::new();
    Bybit::new(Market::Linear).decode(delta, 0, &mut events).unwrap();
    let Some(Body::Ticker(ticker)) = &events[0].1.body else { panic!("{events:?}") };
    assert_eq!(ticker.open_interest_value.unwrap().to_f64(), 2_625_495_106.91);
    assert_eq!((ticker.open_interest, ticker.funding_interval), (None, Some(4 * 3_600_000_000_000)));
}

// LAYERUSDT settled every four hours until 2025-05-06T08:00 and every hour since, up to 16 ms late (data.binance.vision).
#[test]
fn a_settlement_says_how_long_it_is_after_the_one_before_whatever_the_order() {
    let hour = 3_600_000;
    let row = |symbol: &str, at: i64| {
        format!(
            r#"{{"symbol":"{symbol}","fundingTime":{},"fundingRate":"0.0001","markPrice":"1"}}"#,
            at * hour + at % 5
        )
    };
    let rows = [row("AUSDT", 28), row("AUSDT", 16), row("BUSDT", 24), row("AUSDT", 24), row("AUSDT", 80)];
    let events = answer("binance-linear", &Ask::Funding("AUSDT", 5), &format!("[{}]", rows.join(",")));
    let found: Vec<_> = events
        .iter()
        .map(|(id, event)| match &event.body {
            Some(Body::FundingRate(rate)) => {
                let hours = rate.interval.map(|interval| interval / hour / 1_000_000);
                (&*id.symbol, event.ts_event / hour / 1_000_000, hours)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let expected =
        [("AUSDT", 16, None), ("AUSDT", 24, Some(8)), ("AUSDT", 28, Some(4)), ("AUSDT", 80, None), ("BUSDT", 24, None)];
    assert_eq!(found, expected);
}

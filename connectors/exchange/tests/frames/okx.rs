//! OKX beyond trades and books of spot: contracts counted in base, best prices, marks, funding, forced orders.
//!
//! Shaped after <https://www.okx.com/docs-v5/en/>, "Public Data" and "Order Book Trading / Market Data".

use prism_exchange::{Exchange, Okx};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Instrument, Side, Ticker};
use prism_schemas::{Decimal, InstrumentId, Market};

use super::{Frame, TS, decode, one};

pub(super) const FRAMES: &[Frame] = &[
    (
        "okx",
        Market::Linear,
        r#"{"arg":{"channel":"trades-all","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","tradeId":"219066264","px":"43568.8","sz":"7","side":"buy","ts":"1646312440645"}]}"#,
    ),
    (
        "okx",
        Market::Linear,
        r#"{"arg":{"channel":"books-l2-tbt","instId":"BTC-USDT-SWAP"},"action":"snapshot","data":[{"asks":[["43741.9","4","0","1"]],"bids":[["43741.8","250","0","1"]],"ts":"1646314548269","checksum":2127111983,"prevSeqId":-1,"seqId":10}]}"#,
    ),
    (
        "okx",
        Market::Spot,
        r#"{"arg":{"channel":"books50-l2-tbt","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["43736.2","0.1358","0","2"]],"bids":[],"ts":"1646314295200","checksum":796530682,"prevSeqId":10,"seqId":15}]}"#,
    ),
    (
        "okx",
        Market::Linear,
        r#"{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["20386.8","7","0","2"]],"bids":[["20386.7","50.5","0","5"]],"ts":"1656642503092","seqId":363996337}]}"#,
    ),
    (
        "okx",
        Market::Linear,
        r#"{"arg":{"channel":"tickers","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP","last":"29963","lastSz":"2","askPx":"29960","askSz":"12","bidPx":"29959.9","bidSz":"431","open24h":"31589.3","high24h":"31907.2","low24h":"29302","volCcy24h":"108540.53","vol24h":"10854053","ts":"1654166233877"}]}"#,
    ),
    (
        "okx",
        Market::Linear,
        r#"{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP","markPx":"42310.6","ts":"1630049139746"}]}"#,
    ),
    (
        "okx",
        Market::Linear,
        r#"{"arg":{"channel":"index-tickers","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","idxPx":"103895","high24h":"104985.1","open24h":"103172.7","low24h":"103008.2","ts":"1746942707815"}]}"#,
    ),
    (
        "okx",
        Market::Linear,
        r#"{"arg":{"channel":"open-interest","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","instType":"SWAP","oi":"2216113.01","oiCcy":"22161.1301","oiUsd":"1939251795.5","ts":"1743041250440"}]}"#,
    ),
    (
        "okx",
        Market::Inverse,
        r#"{"arg":{"channel":"open-interest","instId":"BTC-USD-SWAP"},"data":[{"instId":"BTC-USD-SWAP","instType":"SWAP","oi":"4092973","oiCcy":"13840.048827662696883","ts":"1654348683853"}]}"#,
    ),
    (
        "okx",
        Market::Linear,
        r#"{"arg":{"channel":"funding-rate","instId":"BTC-USDT-SWAP"},"data":[{"fundingRate":"0.0001534702159002","fundingTime":"1646323200000","instId":"BTC-USDT-SWAP","instType":"SWAP","nextFundingRate":"","ts":"1646312440645"}]}"#,
    ),
    (
        "okx",
        Market::Linear,
        r#"{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0","bkPx":"0.007831","ccy":"","posSide":"short","side":"buy","sz":"13","ts":"1692266434010"}],"instFamily":"IOST-USDT","instId":"IOST-USDT-SWAP","instType":"SWAP","uly":"IOST-USDT"}]}"#,
    ),
];

/// A decoder that knows of two contracts what they are worth: 0.01 BTC, and 1,000 IOST.
pub(super) fn taught(market: Market) -> Box<dyn Exchange> {
    let mut okx = Okx::new(market);
    for (native, symbol, size) in
        [("BTC-USDT-SWAP", "BTCUSDT", Decimal::new(1, 2)), ("IOST-USDT-SWAP", "IOSTUSDT", Decimal::new(1_000, 0))]
    {
        let described = Instrument { native_symbol: native.into(), contract_size: Some(size), ..Instrument::default() };
        okx.learn(&InstrumentId::new("okx", Market::Linear, symbol), &described);
    }
    Box::new(okx)
}

fn number(text: &str) -> Option<Decimal> {
    Some(Decimal::parse(text).unwrap())
}

#[test]
fn contracts_margined_in_usdt_are_told_in_base() {
    let (id, event) = one("okx", Market::Linear, FRAMES[0].2);
    assert_eq!(id.to_string(), "okx:linear:BTCUSDT");
    let Some(Body::Trade(trade)) = event.body else { panic!("{event:?}") };
    assert_eq!((trade.size, trade.price, &*trade.stream), (number("0.07"), number("43568.8"), "trades-all"));
    let (_, event) = one("okx", Market::Linear, FRAMES[1].2);
    let Some(Body::Book(book)) = event.body else { panic!("{event:?}") };
    let (bids, asks) = (book.bids.unwrap(), book.asks.unwrap());
    assert_eq!((bids.sizes[0], bids.size_decimals, asks.sizes[0], asks.size_decimals), (25, 1, 4, 2));
    // The checksum is over contracts.
    assert_eq!((book.checksum, book.update_id, book.snapshot), (None, Some(10), true));
    let (_, event) = one("okx", Market::Linear, FRAMES[10].2);
    let Some(Body::Liquidation(order)) = &event.body else { panic!("{event:?}") };
    assert_eq!((order.size, order.side(), &*order.completeness), (number("13000"), Side::Buy, "latest_per_second"));
    // Where nobody said what a contract is worth, no size is told.
    for at in [0, 1, 3, 4] {
        let error = Okx::new(Market::Linear).decode(FRAMES[at].2, TS, &mut Vec::new()).unwrap_err();
        assert_eq!(error.rule(), "unknown_contract_size", "{error}");
    }
    // Of forced orders of all contracts those that are known are told.
    let mut events = Vec::new();
    Okx::new(Market::Linear).decode(FRAMES[10].2, TS, &mut events).unwrap();
    let Some(Body::Quarantined(unknown)) = &events[0].1.body else { panic!("{events:?}") };
    assert_eq!((&*unknown.rule, &*events[0].0.symbol), ("unknown_contract_size", "IOSTUSDT"));
    // Nor of options.
    let option = FRAMES[0].2.replace("BTC-USDT-SWAP", "BTC-USD-220304-32000-P");
    assert_eq!(decode("okx", Market::Linear, &option).unwrap_err().rule(), "unknown_frame");
}

#[test]
fn contracts_are_worth_what_instruments_say() {
    let item = |id: &str, value: &str, currency: &str| {
        format!(
            r#"{{"instId":"{id}","instType":"SWAP","state":"live","settleCcy":"USDT","ctValCcy":"{currency}","ctVal":"{value}","ctMult":"1","expTime":"","tickSz":"0.1","lotSz":"0.01","minSz":"0.01","maxLmtSz":"100000000"}}"#
        )
    };
    let rows = [item("BTC-USDT-SWAP", "0.01", "BTC"), item("ODD-USDT-SWAP", "10", "USDT")].join(",");
    let (mut okx, mut events) = (Okx::new(Market::Linear), Vec::new());
    okx.decode_instruments(&format!(r#"{{"code":"0","msg":"","data":[{rows}]}}"#), TS, &mut events).unwrap();
    let (id, event) = &events[0];
    let Some(Body::Instrument(described)) = &event.body else { panic!("{event:?}") };
    // All sizes are in base, as those of trades are.
    assert_eq!((described.lot_size, described.size_decimals), (number("0.0001"), 4));
    assert_eq!((described.contract_size, described.max_size), (number("0.01"), number("1000000")));
    assert_eq!((&*described.base, &*described.quote, described.expiry), ("BTC", "USDT", None));
    okx.learn(id, described);
    let mut trades = Vec::new();
    okx.decode(FRAMES[0].2, TS, &mut trades).unwrap();
    assert_eq!(trades.len(), 1);
    // One whose worth is in another currency is told, alone.
    let Some(Body::Quarantined(odd)) = &events[1].1.body else { panic!("{events:?}") };
    assert_eq!((&*odd.rule, events.len()), ("unknown_contract_size", 2));
}

#[test]
fn states_of_the_market_are_tickers() {
    let ticker = |at: usize| {
        let (id, event) = one("okx", FRAMES[at].1, FRAMES[at].2);
        let Some(Body::Ticker(ticker)) = event.body else { panic!("{event:?}") };
        (id.to_string(), event.ts_event, *ticker)
    };
    let (_, _, best) = ticker(3);
    let expected = Ticker {
        bid_price: number("20386.7"),
        bid_size: number("0.505"),
        ask_price: number("20386.8"),
        ask_size: number("0.07"),
        update_id: Some(363_996_337),
        ..Ticker::default()
    };
    assert_eq!(best, expected);
    let (_, _, whole) = ticker(4);
    // The venue's own volume in base is that in contracts times what they are worth.
    assert_eq!((whole.volume_24h, whole.turnover_24h), (number("108540.53"), None));
    assert_eq!((whole.bid_size, whole.ask_size), (number("4.31"), number("0.12")));
    let only = |ticker: Ticker| Ticker { mark: ticker.mark, ..Ticker::default() };
    let (id, ts, mark) = ticker(5);
    assert_eq!((id.as_str(), ts, mark.mark), ("okx:linear:BTCUSDT", 1_630_049_139_746_000_000, number("42310.6")));
    assert_eq!(mark, only(mark));
    // The index of BTC-USDT is that of its perpetual contract.
    let (id, _, index) = ticker(6);
    assert_eq!((id.as_str(), index.index), ("okx:linear:BTCUSDT", number("103895")));
    assert_eq!(ticker(7).2.open_interest, number("22161.1301"), "in base");
    assert_eq!(ticker(8).2.open_interest, number("4092973"), "in contracts");
    let (_, ts, funding) = ticker(9);
    assert_eq!((funding.funding_rate, ts), (number("0.0001534702159002"), 1_646_312_440_645_000_000));
    assert_eq!(funding.next_funding_ts, Some(1_646_323_200_000_000_000));
    let nothing = FRAMES[5].2.replace("markPx", "other");
    assert_eq!(decode("okx", Market::Linear, &nothing).unwrap_err().rule(), "invalid_field");
}

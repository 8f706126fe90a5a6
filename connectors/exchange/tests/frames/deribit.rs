//! Deribit: the market by the name, books by their chain or whole, tickers, trades.
//!
//! Shaped after <https://docs.deribit.com/subscriptions/orderbook/bookinstrument_nameinterval> and the pages beside it; rows of two
//! parts and books without a type are those of 2020, as other clients' tests have them.

use prism_exchange::Deribit;
use prism_schemas::OrderBook;
use prism_schemas::book::{Applied, Rules, Trouble};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Side, trade};
use prism_schemas::{Decimal, InstrumentId, Market};

use super::{Frame, TS, decode, one};

pub(super) const FRAMES: &[Frame] = &[
    (
        "deribit",
        Market::Inverse,
        r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.BTC-PERPETUAL.raw","data":[{"trade_seq":30289442,"trade_id":"48079269","timestamp":1590484512188,"tick_direction":2,"price":8950.0,"mark_price":8948.9,"instrument_name":"BTC-PERPETUAL","index_price":8955.88,"direction":"sell","amount":10.0},{"trade_seq":30289443,"trade_id":"ETH-34066672","timestamp":1590484512189,"tick_direction":2,"price":8950.5,"mark_price":8948.9,"liquidation":"T","instrument_name":"BTC-PERPETUAL","index_price":8955.88,"direction":"buy","amount":20.0,"block_trade_id":"BLOCK-1"}]}}"#,
    ),
    (
        "deribit",
        Market::Inverse,
        r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.100ms","data":{"type":"snapshot","timestamp":1554373962454,"instrument_name":"BTC-PERPETUAL","change_id":297217,"bids":[["new",5042.34,30.0],["new",5041.94,20.0]],"asks":[["new",5042.64,40.0],["new",5043.3,40.0]]}}}"#,
    ),
    (
        "deribit",
        Market::Inverse,
        r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.100ms","data":{"type":"change","timestamp":1554373911330,"prev_change_id":297217,"instrument_name":"BTC-PERPETUAL","change_id":297218,"bids":[["delete",5041.94,0.0],["delete",5042.34]],"asks":[["change",5042.64,50.0],["new",5042.5,10.0]]}}}"#,
    ),
    (
        "deribit",
        Market::Inverse,
        r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.ETH-25JUN21.none.10.100ms","data":{"timestamp":1554375447971,"instrument_name":"ETH-25JUN21","change_id":109615,"bids":[[160.0,40.0]],"asks":[[161.0,20.0]]}}}"#,
    ),
    (
        "deribit",
        Market::Linear,
        r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"ticker.BTC_USDC-PERPETUAL.100ms","data":{"timestamp":1623060194301,"stats":{"volume_usd":284061480.0,"volume":7871.02139035,"price_change":0.7229,"low":35213.5,"high":36824.5},"state":"open","settlement_price":36169.49,"open_interest":502.5,"min_price":35898.37,"max_price":36991.72,"mark_price":36446.51,"last_price":36457.5,"interest_value":1.7362511643080387,"instrument_name":"BTC_USDC-PERPETUAL","index_price":36441.64,"funding_8h":0.0000211,"estimated_delivery_price":36441.64,"current_funding":1.2e-7,"best_bid_price":36442.5,"best_bid_amount":5.0,"best_ask_price":0.0,"best_ask_amount":0.0}}}"#,
    ),
    (
        "deribit",
        Market::Inverse,
        r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.BTC-PERPETUAL","data":{"timestamp":1550658624149,"instrument_name":"BTC-PERPETUAL","best_bid_price":3914.97,"best_bid_amount":40,"best_ask_price":3996.61,"best_ask_amount":50}}}"#,
    ),
];

fn number(text: &str) -> Option<Decimal> {
    Some(Decimal::parse(text).unwrap())
}

fn book(frame: &str) -> Book {
    match one("deribit", Market::Inverse, frame).1.body {
        Some(Body::Book(book)) => book,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_name_tells_the_market() {
    for (name, expected) in [
        ("BTC-PERPETUAL", "inverse:BTCUSD"),
        ("ETH-25JUN21", "inverse:ETHUSD_25JUN21"),
        ("BTC_USDC-PERPETUAL", "linear:BTCUSDC"),
        ("SOL_USDC-29AUG25", "linear:SOLUSDC_29AUG25"),
        ("BTC_USDC", "spot:BTCUSDC"),
    ] {
        let (id, _) = one("deribit", Market::Inverse, &FRAMES[5].2.replace("BTC-PERPETUAL", name));
        assert_eq!(id.to_string(), format!("deribit:{expected}"));
    }
    for name in ["BTC-25MAR16-420-C", "BTC-FS-29AUG25_PERP", "BTC"] {
        let error = decode("deribit", Market::Inverse, &FRAMES[5].2.replace("BTC-PERPETUAL", name)).unwrap_err();
        assert_eq!(error.rule(), "unknown_frame", "{name}");
    }
}

#[test]
fn books_link_by_the_change_before() {
    let mut live = OrderBook::new(Rules::of(&InstrumentId::new("deribit", Market::Inverse, "BTCUSD")));
    assert_eq!(live.apply(&book(FRAMES[1].2)), Ok(Applied::Changed));
    assert_eq!(live.top(), Some(((504_234, 30), (504_264, 40))));
    let lost = FRAMES[2].2.replace("\"prev_change_id\":297217", "\"prev_change_id\":297299");
    assert_eq!(live.clone().apply(&book(&lost)), Err(Trouble::Gap { after: 297_217, got: 297_299 }));
    assert_eq!(live.apply(&book(FRAMES[2].2)), Ok(Applied::Changed));
    assert_eq!((live.bids().count(), live.asks().next()), (0, Some((504_250, 10))));
    // Books of 2020 name no type: the first is the one that names none before it.
    for at in [1, 2] {
        let old = FRAMES[at].2.replace("\"type\":\"snapshot\",", "").replace("\"type\":\"change\",", "");
        assert_eq!(book(&old), book(FRAMES[at].2));
    }
    // Of a depth they are whole; in groups their prices are rounded.
    let whole = book(FRAMES[3].2);
    assert_eq!(
        (whole.snapshot, whole.depth, whole.update_id, whole.previous_update_id),
        (true, Some(10), Some(109_615), None)
    );
    let grouped = decode("deribit", Market::Inverse, &FRAMES[3].2.replace(".none.", ".5.")).unwrap_err();
    assert_eq!(grouped.rule(), "unknown_frame");
    let odd =
        decode("deribit", Market::Inverse, &FRAMES[2].2.replace("\"change\",5042", "\"other\",5042")).unwrap_err();
    assert_eq!(odd.rule(), "invalid_field");
}

#[test]
fn trades_and_tickers() {
    let events = decode("deribit", Market::Inverse, FRAMES[0].2).unwrap();
    let [first, second] = [0, 1].map(|at: usize| match &events[at].1.body {
        Some(Body::Trade(trade)) => trade,
        other => panic!("{other:?}"),
    });
    assert_eq!((&first.id, first.side(), first.size), (&Some(trade::Id::Number(48_079_269)), Side::Sell, number("10")));
    assert_eq!((first.liquidation, first.block_trade), (Some(false), Some(false)));
    assert_eq!((second.liquidation, second.block_trade), (Some(true), Some(true)));
    assert_eq!(second.id, Some(trade::Id::Text("ETH-34066672".into())));
    assert_eq!((events[1].1.seq, events[1].1.ts_event), (Some(30_289_443), 1_590_484_512_189_000_000));
    let (_, event) = one("deribit", Market::Linear, FRAMES[4].2);
    let Some(Body::Ticker(ticker)) = event.body else { panic!("{event:?}") };
    assert_eq!((ticker.funding_rate, ticker.open_interest), (number("0.00000012"), number("502.5")));
    assert_eq!((ticker.bid_price, ticker.ask_price, ticker.ask_size), (number("36442.5"), None, None));
    assert_eq!(ticker.volume_24h, number("7871.02139035"));
    let inverse =
        FRAMES[4].2.replace("BTC_USDC-PERPETUAL", "BTC-PERPETUAL").replace("\"ticker.", "\"incremental_ticker.");
    let Some(Body::Ticker(ticker)) = one("deribit", Market::Inverse, &inverse).1.body else { panic!() };
    assert_eq!(ticker.volume_24h, number("284061480"), "in USD, as its sizes");
}

#[test]
fn instruments_and_what_is_no_data() {
    let body = r#"{"jsonrpc":"2.0","result":[{"tick_size":0.5,"taker_commission":0.0005,"settlement_period":"perpetual","settlement_currency":"BTC","quote_currency":"USD","min_trade_amount":10.0,"kind":"future","is_active":true,"instrument_name":"BTC-PERPETUAL","expiration_timestamp":32503708800000,"contract_size":10.0,"base_currency":"BTC"},{"tick_size":0.0005,"kind":"option","is_active":true,"instrument_name":"BTC-25MAR16-420-C","base_currency":"BTC","quote_currency":"BTC","contract_size":1.0}],"usIn":1,"usOut":2,"usDiff":1,"testnet":false}"#;
    let mut events = Vec::new();
    Deribit::new(Market::Inverse).decode_instruments(body, TS, &mut events).unwrap();
    let [(_, event)] = &events[..] else { panic!("{events:?}") };
    let Some(Body::Instrument(described)) = &event.body else { panic!("{event:?}") };
    // Amounts are in USD: one is worth one, though an order is for tens.
    assert_eq!((described.contract_size, described.lot_size, described.expiry), (number("1"), number("10"), None));
    for frame in [
        r#"{"jsonrpc":"2.0","id":3600,"result":["trades.BTC-PERPETUAL.raw"],"usIn":1,"usOut":2,"usDiff":1,"testnet":false}"#,
        r#"{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}"#,
    ] {
        assert_eq!(decode("deribit", Market::Inverse, frame), Ok(vec![]), "{frame}");
    }
    for (frame, rule) in [
        (
            r#"{"jsonrpc":"2.0","id":8,"error":{"message":"Invalid params","data":{"reason":"must be array"},"code":-32602}}"#,
            "refused_request",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"perpetual.BTC-PERPETUAL.raw","data":{}}}"#,
            "unknown_frame",
        ),
    ] {
        assert_eq!(decode("deribit", Market::Inverse, frame).unwrap_err().rule(), rule, "{frame}");
    }
    // Members in another order.
    let turned = r#"{"params":{"data":{"timestamp":1550658624149,"instrument_name":"BTC-PERPETUAL","best_bid_price":3914.97,"best_bid_amount":40},"channel":"quote.BTC-PERPETUAL"},"method":"subscription","jsonrpc":"2.0"}"#;
    assert_eq!(decode("deribit", Market::Inverse, turned).unwrap().len(), 1);
}

//! Events through the whole graph to rows: what is refused is told and leaves nothing behind, and all else counts once.

use std::sync::{Arc, Mutex};

use prism_schemas::{
    Cell, Decimal, Event, Topic, Ts, Version, Versions,
    event::{Batch, Instrument, Kline, Quarantined, Side, Trade, event::Body, trade::Id},
    random::Random,
    time::{HOUR, MINUTE, SECOND},
};
use serde_json::json;

use crate::{
    admit::Admission,
    assemble::{Plan, assemble},
    drive::{Driver, Pace},
    settings::Settings,
    tables::{Sink, tables},
};

/// 2024-03-05T06:00:00Z.
const START: Ts = 1_709_618_400 * SECOND;

pub(crate) fn settings() -> Settings {
    serde_json::from_value(json!({
        "time": { "epoch": "100ms", "grace": "250ms", "horizon": "2h", "max_ahead": "10s" },
        "timeframes": { "maintained": ["1m", "5m"], "roles": ["1m"], "weights": [1.0] },
        "bars": { "empty": "omit", "streams": ["aggTrade", "trade"], "jump": 2.0, "gap_max": "1h" },
        "indicators": { "columns": [] },
        "score": { "profile": "prism", "divergence_threshold": 10.0, "divergence_max": 10.0 },
        "relations": { "benchmark": "BTCUSDT", "window": 60 },
        "signals": { "bullish": 70.0, "bearish": 30.0, "hysteresis": 3.0, "cooldown": "5m", "risk": 0.001, "position_max": 5.0 },
    }))
    .unwrap()
}

/// A trade at so many milliseconds after the start, received 50 ms later.
fn trade(at: i64, id: u64, price: (i64, u32), size: (i64, u32)) -> Event {
    let body = Trade {
        id: (0 < id).then_some(Id::Number(id)),
        price: Some(Decimal::new(price.0, price.1)),
        size: Some(Decimal::new(size.0, size.1)),
        side: Side::Buy.into(),
        stream: "trade".into(),
        ..Trade::default()
    };
    let ts_event = START + at * (SECOND / 1_000);
    let seq = (0 < id).then_some(id);
    Event { ts_event, ts_recv: ts_event + SECOND / 20, seq, index: 0, body: Some(Body::Trade(body)) }
}

/// The same event, received so much later.
fn delayed(event: Event, by: i64) -> Event {
    Event { ts_recv: event.ts_recv + by, ..event }
}

fn of_stream(name: &str, event: Event) -> Event {
    match event.body {
        Some(Body::Trade(trade)) => Event { body: Some(Body::Trade(Trade { stream: name.into(), ..trade })), ..event },
        other => panic!("{other:?} is no trade"),
    }
}

fn batch(market: &str, event: Event) -> Batch {
    Batch { exchange: "test".into(), market: market.into(), symbol: "ETHUSDT".into(), events: vec![event] }
}

/// Every version of every row that these messages of one partition make, and those that close what they open.
fn rows(settings: &Settings, stride: u64, batches: &[Batch]) -> Vec<Version> {
    let plan = Plan::new(settings.clone()).unwrap();
    let mut admission = Admission::new(plan.registry.clone(), settings, Topic::Trades, 0);
    let mut records = Vec::new();
    batches.iter().for_each(|batch| admission.admit(batch, &mut records));
    let end = admission.known().unwrap() + 10 * MINUTE as u64;
    let rows = Arc::new(Mutex::new(Vec::new()));
    let sink: Sink = {
        let rows = rows.clone();
        Arc::new(move |versions: Versions| rows.lock().unwrap().extend(versions.to_vec()))
    };
    timely::execute_directly(move |worker| {
        let (inputs, probe) = worker.dataflow(|scope| assemble(scope, &plan, |outputs| tables(outputs, &plan, &sink)));
        let pace = Pace { epoch: plan.settings.time.epoch as u64, stride, batch: 0 };
        let mut driver = Driver::new(inputs, probe, pace);
        records.into_iter().for_each(|record| driver.send(worker, record));
        driver.advance(end);
        driver.drain(worker);
    });
    let mut rows = Arc::into_inner(rows).unwrap().into_inner().unwrap();
    let known = |row: &Version| match row.get("known_at") {
        Some(Cell::Ts(known)) => *known,
        other => panic!("known at {other:?}"),
    };
    rows.sort_by_cached_key(|row| (row.table.name, known(row), row.key()));
    rows
}

fn spot(events: Vec<Event>) -> Vec<Version> {
    let batches: Vec<Batch> = events.into_iter().map(|event| batch("spot", event)).collect();
    let all = rows(&settings(), 600, &batches);
    let same = rows(&settings(), 1, &batches);
    let texts = |rows: &[Version]| rows.iter().map(|row| row.to_json().to_string()).collect::<Vec<_>>().join("\n");
    assert_eq!(texts(&all), texts(&same), "the stride shows");
    all
}

/// Columns of a table's rows, as text.
fn told(rows: &[Version], table: &str, columns: &[&str]) -> Vec<String> {
    let cell = |cell: Option<&Cell>| match cell {
        Some(Cell::Text(text)) => text.to_string(),
        Some(cell) => cell.to_json().to_string(),
        None => panic!("no such column in {table}"),
    };
    let of = rows.iter().filter(|row| row.table.name == table);
    of.map(|row| columns.iter().map(|name| cell(row.get(name))).collect::<Vec<_>>().join(" ")).collect()
}

/// The newest version of each minute.
fn minutes(rows: &[Version], columns: &[&str]) -> Vec<String> {
    let bars: Vec<Version> = rows.iter().filter(|row| row.get("timeframe") == Some(&"1m".into())).cloned().collect();
    let mut last: Vec<(String, String)> = Vec::new();
    for (start, text) in told(&bars, "bars", &["ts"]).into_iter().zip(told(&bars, "bars", columns)) {
        match last.iter_mut().find(|(have, _)| *have == start) {
            Some(found) => found.1 = text,
            None => last.push((start, text)),
        }
    }
    last.into_iter().map(|(_, text)| text).collect()
}

fn rules(rows: &[Version]) -> Vec<String> {
    [
        told(rows, "quarantine", &["rule"]),
        told(rows, "late_events", &["reason"]).iter().map(|_| "late".into()).collect(),
    ]
    .concat()
}

/// All orders of these, by Heap's algorithm.
fn orders<T: Clone>(of: &mut Vec<T>, n: usize, out: &mut Vec<Vec<T>>) {
    if n <= 1 {
        return out.push(of.clone());
    }
    for at in 0..n {
        orders(of, n - 1, out);
        of.swap(if n.is_multiple_of(2) { at } else { 0 }, n - 1);
    }
}

#[test]
fn a_market_that_is_not_known_is_refused_by_its_name() {
    let kline = Kline { closed: true, ..Kline::default() };
    let forming = Kline { closed: false, ..kline.clone() };
    let of = |body: Body| Event { ts_event: START, ts_recv: START + SECOND, seq: None, index: 0, body: Some(body) };
    let frame = Quarantined { rule: "not_json".into(), ..Quarantined::default() };
    let batches = [
        batch("spot", trade(0, 1, (100, 0), (1, 0))),
        batch("option", trade(10, 2, (900, 0), (9, 0))),
        batch("option", of(Body::Kline(kline.into()))),
        batch("option", of(Body::Kline(forming.into()))),
        batch("option", of(Body::Quarantined(frame))),
        batch("spot", trade(2_000, 2, (101, 0), (1, 0))),
    ];
    let rows = rows(&settings(), 600, &batches);
    assert_eq!(minutes(&rows, &["market", "high", "n_trades"]), ["spot 101.0 2"]);
    let refused = told(&rows, "quarantine", &["market", "symbol", "rule"]);
    assert_eq!(refused, ["option ETHUSDT unknown_market", "option ETHUSDT not_json", "option ETHUSDT unknown_market"]);
    assert!(told(&rows, "quarantine", &["detail"])[0].contains("\"option\""));
}

#[test]
fn a_receive_time_far_in_the_future_dates_nothing_else() {
    let year = 365 * 24 * HOUR;
    let rows = spot(vec![
        trade(0, 1, (100, 0), (1, 0)),
        delayed(trade(1_000, 2, (100, 0), (1, 0)), 3 * HOUR),
        delayed(trade(1_500, 3, (100, 0), (1, 0)), 70 * year),
        trade(2_000, 4, (100, 0), (1, 0)),
        trade(61_000, 5, (100, 0), (1, 0)),
    ]);
    assert_eq!(rules(&rows), ["clock", "clock"]);
    assert_eq!(minutes(&rows, &["n_trades", "revision"]), ["2 0", "1 0"]);
    let moved = told(&rows, "bars", &["known_at"]);
    assert!(moved[0].starts_with("\"2024-03-05T06:01:00"), "{moved:?}");
}

#[test]
fn what_comes_after_a_long_silence_dates_itself() {
    // A silence, and then a trade that a correction may still use, and one that is too late: as ever.
    let rows = spot(vec![
        trade(0, 1, (100, 0), (1, 0)),
        delayed(trade(1_000, 2, (101, 0), (1, 0)), HOUR + 50 * MINUTE),
        delayed(trade(2_000, 3, (102, 0), (1, 0)), 3 * HOUR),
        trade(3 * 3_600_000, 4, (103, 0), (1, 0)),
    ]);
    assert_eq!(rules(&rows), ["late"]);
    assert_eq!(minutes(&rows, &["n_trades", "revision"]), ["2 1", "1 0"]);
}

#[test]
fn the_wanted_stream_takes_over_and_no_time_counts_twice() {
    let agg = |at, id| of_stream("aggTrade", trade(at, id, (100, 0), (10, 0)));
    let raw = |at, id| trade(at, id, (100, 0), (1, 0));
    // A recording of one stream, then live ones of the other.
    let rows = spot(vec![raw(1_000, 501), raw(2_000, 502), agg(61_000, 7), raw(61_000, 503), agg(62_000, 8)]);
    assert_eq!(minutes(&rows, &["volume", "n_trades"]), ["2.0 2", "20.0 2"]);
    assert_eq!(rules(&rows), ["second_stream"]);
    // Both at once: a match is in both, whichever comes first.
    let rows =
        spot(vec![raw(1_000, 501), agg(1_000, 7), agg(2_000, 8), raw(2_000, 502), agg(3_000, 9), raw(3_000, 503)]);
    assert_eq!(minutes(&rows, &["volume", "n_trades"]), ["21.0 3"]);
    assert_eq!(rules(&rows), ["second_stream"; 3]);
    // What the first stream tells late of its own time still counts; equal ids of two streams are two trades.
    let late = delayed(raw(1_500, 8), 5 * MINUTE);
    let rows = spot(vec![raw(1_000, 501), raw(2_000, 502), agg(3_000, 8), agg(200_000, 9), late, agg(400_000, 10)]);
    assert_eq!(minutes(&rows, &["volume", "n_trades"])[0], "13.0 4");
    assert_eq!(rules(&rows), Vec::<String>::new());
}

#[test]
fn a_stream_that_is_wanted_less_or_only_has_the_past_takes_nothing_over() {
    let agg = |at, id| of_stream("aggTrade", trade(at, id, (100, 0), (10, 0)));
    let raw = |at, id| trade(at, id, (100, 0), (1, 0));
    let rows = spot(vec![agg(1_000, 7), raw(2_000, 501), of_stream("other", raw(3_000, 1)), agg(4_000, 8)]);
    assert_eq!(minutes(&rows, &["volume"]), ["20.0"]);
    assert_eq!(rules(&rows), ["second_stream"; 2]);
    // A trade that is too late to be used gives its stream nothing.
    let first = delayed(of_stream("other", raw(-3 * 3_600_000, 1)), 3 * HOUR);
    let rows = spot(vec![first, of_stream("another", raw(1_000, 1)), of_stream("other", raw(2_000, 2))]);
    assert_eq!(minutes(&rows, &["volume"]), ["1.0"]);
    assert_eq!(rules(&rows), ["second_stream", "late"]);
    // History of the wanted stream among live trades of the other, of a time that those have and of one long past.
    let old = |at, id| delayed(agg(at, id), 3 * HOUR);
    let rows = spot(vec![
        raw(3 * 3_600_000, 501),
        old(-120_000, 1),
        delayed(agg(10_790_000, 2), 11 * SECOND),
        raw(10_802_000, 502),
    ]);
    assert_eq!(minutes(&rows, &["volume"]), ["2.0"]);
    assert_eq!(rules(&rows), ["second_stream", "late"]);
}

#[test]
fn one_trade_with_many_decimals_changes_no_other() {
    let events = [
        trade(1_000, 1, (6_183_763, 2), (12_345, 3)),
        trade(2_000, 2, (6_183_801, 2), (1, 18)),
        trade(3_000, 3, (61_837_000_000_000_001, 12), (2_000_000_000_000_000, 3)),
        trade(4_000, 4, (6, 5), (9_000_000_000_000, 0)),
        trade(5_000, 5, (61_900, 0), (7, 0)),
    ];
    let mut all = Vec::new();
    orders(&mut events.to_vec(), events.len(), &mut all);
    let expected: Vec<Version> = spot(all[0].clone());
    let values = |rows: &[Version]| minutes(rows, &["open", "high", "low", "close", "volume", "turnover", "n_trades"]);
    assert_eq!(rules(&expected), ["out_of_range"], "worth 10^17");
    // 12.345 + 1e-18 + 9e12 + 7 and its value, to the nearest floats.
    assert_eq!(values(&expected), ["61837.63 61900.0 0.00006 61900.0 9000000000019.346 541196685.54235 4"]);
    for order in all {
        // All are received at the end, in this order.
        let mut order = order;
        order.iter_mut().for_each(|event| event.ts_recv = START + 10 * SECOND);
        let rows = spot(order);
        assert_eq!(values(&rows), values(&expected));
        assert_eq!(rules(&rows), ["out_of_range"]);
    }
}

#[test]
fn more_decimals_than_a_number_may_have_are_refused_and_leave_nothing() {
    let rows = spot(vec![
        trade(1_000, 1, (1, 255), (1, 0)),
        trade(2_000, 2, (100, 0), (1, 19)),
        trade(3_000, 3, (100, 0), (i64::MAX, 0)),
        trade(4_000, 4, (1, 300), (1, 0)),
        trade(5_000, 5, (100, 0), (90_000_000_000, 0)),
        // Refused ones used up no identity.
        trade(6_000, 1, (100, 0), (1, 0)),
    ]);
    assert_eq!(rules(&rows), ["out_of_range", "out_of_range", "out_of_range", "incomplete_trade"]);
    assert_eq!(minutes(&rows, &["volume", "n_trades"]), ["90000000001.0 2"]);
}

#[test]
fn a_trade_refused_for_its_unknown_contract_size_may_be_sent_again() {
    let declare = |contract_size: Decimal| {
        let instrument = Instrument { contract_size: Some(contract_size), ..Instrument::default() };
        let body = Some(Body::Instrument(instrument.into()));
        Event { ts_event: START, ts_recv: START + 2 * SECOND, seq: None, index: 0, body }
    };
    let sent = trade(1_000, 1, (50_000, 0), (10, 0));
    let events = [
        sent.clone(),
        declare(Decimal::new(100, 300)),
        declare(Decimal::new(100, 0)),
        delayed(sent.clone(), 5 * SECOND),
        delayed(sent, 6 * SECOND),
    ];
    let rows = rows(&settings(), 1, &events.map(|event| batch("inverse", event)));
    assert_eq!(rules(&rows), ["unknown_contract_size", "out_of_range", "duplicate"]);
    assert_eq!(minutes(&rows, &["volume", "turnover", "n_trades"]), ["0.02 1000.0 1"]);
}

#[test]
fn trades_that_nothing_orders_have_an_order_of_their_own() {
    let events = [(100, 1), (103, 2), (99, 3), (101, 4)].map(|(price, size)| trade(1_000, 0, (price, 0), (size, 0)));
    let mut all = Vec::new();
    orders(&mut events.to_vec(), events.len(), &mut all);
    for order in all {
        let rows = spot(order);
        assert_eq!(minutes(&rows, &["open", "close", "volume", "n_trades"]), ["99.0 103.0 10.0 4"]);
    }
}

/// Trades of one minute in any order, of mixed decimals, with ties, and with sizes whose sum leaves 64 bits, against sums and
/// orders made apart.
#[test]
fn whatever_a_minute_holds_it_folds_exactly() {
    for seed in 0..6 {
        let mut random = Random::new(seed, "minute");
        let mut trades = Vec::new();
        for id in 1..=60 {
            let at = 10 + random.below(40) as i64;
            let price = (1 + random.below(900) as i64, random.below(3) as u32);
            let size = match random.below(8) {
                0 => (8_000_000_000_000_000_000, 8),
                1 => (1 + random.below(1 << 50) as i64, 8),
                _ => (1 + random.below(5_000) as i64, random.below(5) as u32),
            };
            // So that a turnover fits 64 bits where a sum of sizes does not.
            let price = if 1 << 60 < size.0 { (1 + random.below(2) as i64, 2) } else { price };
            trades.push((at, id, price, size));
        }
        let number = |(mantissa, decimals): (i64, u32)| mantissa as f64 / 10f64.powi(decimals as i32);
        let prices = || trades.iter().map(|(_, _, price, _)| number(*price));
        // One session's ids order trades of one time.
        let of = |(_, _, price, _): &(i64, u64, (i64, u32), (i64, u32))| number(*price);
        let first = of(trades.iter().min_by_key(|(at, id, ..)| (*at, *id)).unwrap());
        let last = of(trades.iter().max_by_key(|(at, id, ..)| (*at, *id)).unwrap());
        let volume: i128 =
            trades.iter().map(|(.., (size, decimals))| i128::from(*size) * 10i128.pow(8 - decimals)).sum();
        let whole = (volume / 100_000_000) as f64 + (volume % 100_000_000) as f64 / 1e8;
        let expected = [first, prices().fold(0.0, f64::max), prices().fold(f64::MAX, f64::min), last, whole]
            .map(|value| format!("{value:?}"))
            .join(" ");
        for _ in 0..4 {
            for at in (1..trades.len()).rev() {
                trades.swap(at, random.below(at as u64 + 1) as usize);
            }
            // All are received at once, so that only their arrival differs.
            let events = trades
                .iter()
                .map(|(at, id, price, size)| Event { ts_recv: START + SECOND / 10, ..trade(*at, *id, *price, *size) });
            // One of the minute before has all the decimals there are, so that those of this one look alike.
            let before = trade(-30_000, 1_000, (1, 2), (1, 8));
            let rows = spot([before].into_iter().chain(events).collect());
            let got = minutes(&rows, &["open", "high", "low", "close", "volume", "n_trades"]);
            assert_eq!(got[1..], [format!("{expected} 60")], "seed {seed}");
        }
    }
}

#[test]
fn months_are_not_made_of_weeks() {
    for (maintained, fine) in
        [(json!(["1w", "1M"]), false), (json!(["1M"]), false), (json!(["1d", "1w", "1M"]), true), (json!(["1w"]), true)]
    {
        let mut with = serde_json::to_value(settings()).unwrap();
        with["timeframes"]["maintained"] = maintained.clone();
        with["timeframes"]["roles"] = json!([maintained[0]]);
        let with: Settings = serde_json::from_value(with).unwrap();
        assert_eq!(with.check().map_err(|error| error.contains("1M")), if fine { Ok(()) } else { Err(true) });
    }
    let mut twice = settings();
    twice.bars.streams.push("trade".into());
    assert!(twice.check().unwrap_err().contains("bars.streams"));
}

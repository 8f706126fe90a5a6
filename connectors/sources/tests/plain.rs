//! Binance's rows however they are spelled: events are those of the numbers that were written, which nothing here reads.

use prism_schemas::event::event::Body;
use prism_schemas::event::{Kline, Side, Trade, trade};
use prism_schemas::time::{MILLISECOND, MINUTE};
use prism_schemas::{Decimal, Event, InstrumentId, Market, Ts};
use prism_sources::import::{self, Options};
use proptest::prelude::*;

/// 2024-01-01.
const BEGIN: Ts = 1_704_067_200_000 * MILLISECOND;

/// How a cell is written.
#[derive(Clone, Copy, Debug)]
enum Spelling {
    Plain,
    Zeros,
    LeadingZeros,
    Exponent,
    Spaces,
    Quotes,
    /// Not at all, so that its row is quarantined.
    Wrong(&'static str),
}

fn spelling() -> impl Strategy<Value = Spelling> {
    let wrong = prop::sample::select(vec!["", "x", "1.2.3", "--1", "\"1,5\"", "1e", "é", "99999999999999999999"]);
    prop_oneof![
        12 => Just(Spelling::Plain),
        3 => Just(Spelling::Zeros),
        2 => Just(Spelling::LeadingZeros),
        2 => Just(Spelling::Exponent),
        2 => Just(Spelling::Spaces),
        2 => Just(Spelling::Quotes),
        1 => wrong.prop_map(Spelling::Wrong),
    ]
}

/// A number and how it is written.
#[derive(Clone, Copy, Debug)]
struct Number(i64, usize, Spelling);

fn number() -> impl Strategy<Value = Number> {
    let mantissa = prop_oneof![
        8 => 1i64..10_000_000_000,
        1 => 1i64..=i64::MAX,
        1 => Just(i64::MAX),
        1 => -1_000i64..=0,
    ];
    (mantissa, 0usize..9, spelling()).prop_map(|(mantissa, decimals, spelling)| Number(mantissa, decimals, spelling))
}

impl Number {
    fn text(self) -> String {
        let Number(mantissa, decimals, spelling) = self;
        let sign = if mantissa < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", mantissa.unsigned_abs(), width = decimals + 1);
        let (whole, part) = digits.split_at(digits.len() - decimals);
        let point = if decimals == 0 { "" } else { "." };
        let plain = format!("{sign}{whole}{point}{part}");
        match spelling {
            Spelling::Plain => plain,
            Spelling::Zeros => format!("{sign}{whole}.{part}000"),
            Spelling::LeadingZeros => format!("{sign}00{whole}{point}{part}"),
            Spelling::Exponent => format!("{mantissa}e-{decimals}"),
            Spelling::Spaces => format!(" {plain}\t"),
            Spelling::Quotes => format!("\"{plain}\""),
            Spelling::Wrong(text) => text.into(),
        }
    }

    /// The number with the fewest decimals, unless it is not written.
    fn value(self) -> Option<Decimal> {
        let Number(mut mantissa, mut decimals, spelling) = self;
        while 0 < decimals && mantissa % 10 == 0 {
            (mantissa, decimals) = (mantissa / 10, decimals - 1);
        }
        let is_written = !matches!(spelling, Spelling::Wrong(_));
        is_written.then_some(Decimal { mantissa, decimals: decimals as u32 })
    }
}

/// An instant of whole ms, in one of the units that are told apart.
fn instant(ts: Ts, unit: usize) -> String {
    let ms = ts / MILLISECOND;
    match unit {
        0 => format!("{ms}"),
        1 => format!("{ms}000"),
        2 => format!("{ms}000000"),
        3 => format!("\"{ms}\""),
        _ => format!("{ms}.0"),
    }
}

/// Lines of a file: headed, ended as on Windows, the last one without an end.
fn text(header: &str, lines: &[String], [headed, windows, open]: [bool; 3]) -> String {
    let end = if windows { "\r\n" } else { "\n" };
    let head = headed.then(|| header.to_string());
    let mut text: String = head.iter().chain(lines).map(|line| format!("{line}{end}")).collect();
    if open {
        text.truncate(text.len() - end.len());
    }
    text
}

/// What is read of a file, without whose it is; of what is quarantined the rule.
fn read(name: &str, text: &str) -> Vec<Result<Event, String>> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), text).unwrap();
    let options = Options { market: Some(Market::Spot), ..Options::default() };
    let (instrument, mut found) = (InstrumentId::new("binance", Market::Spot, "BTCUSDT"), Vec::new());
    let report = import::read(&[dir.path().join(name)], options, &mut |id, event| {
        assert_eq!(*id, instrument);
        match event.body {
            // What imports say around the events.
            Some(Body::FeedStatus(_) | Body::Instrument(_)) => {}
            Some(Body::Quarantined(quarantined)) => found.push(Err(quarantined.rule)),
            _ => found.push(Ok(event)),
        }
        Ok(())
    });
    report.unwrap();
    found
}

fn event(ts: Ts, seq: Option<u64>, body: Body) -> Event {
    Event { ts_event: ts, ts_recv: ts, seq, index: 0, body: Some(body) }
}

const MAKERS: [(&str, Side); 6] = [
    ("true", Side::Sell),
    ("false", Side::Buy),
    ("True", Side::Sell),
    ("False", Side::Buy),
    ("\"true\"", Side::Sell),
    (" false", Side::Buy),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn trades_are_their_numbers(
        rows in prop::collection::vec((number(), number(), 0usize..5, 0usize..6, 0u64..=u64::MAX), 0..40),
        shape: [bool; 3],
        is_single: bool,
    ) {
        let plain = (Number(1, 0, Spelling::Plain), Number(1, 0, Spelling::Plain), 0, 0, 7);
        let (mut lines, mut expected) = (Vec::new(), Vec::new());
        // The first row tells what the file is.
        for (at, (price, size, unit, maker, id)) in (0..).zip([plain].into_iter().chain(rows)) {
            let (ts, (maker, side)) = (BEGIN + at * 37 * MILLISECOND, MAKERS[maker]);
            let (p, s, t) = (price.text(), size.text(), instant(ts, unit));
            lines.push(match is_single {
                true => format!("{id},{p},{s},1.5,{t},{maker},true"),
                false => format!("{id},{p},{s},1,2,{t},{maker},true"),
            });
            let body = |price: Decimal, size: Decimal| Trade {
                id: Some(trade::Id::Number(id)),
                price: Some(price),
                size: Some(size),
                side: side.into(),
                stream: if is_single { "trade" } else { "aggTrade" }.into(),
                ..Trade::default()
            };
            expected.push(match (price.value(), size.value()) {
                (Some(price), Some(size)) if 0 < price.mantissa && 0 < size.mantissa => {
                    Ok(event(ts, Some(id), Body::Trade(body(price, size))))
                }
                (Some(_), Some(_)) => Err("nonpositive_trade".to_string()),
                _ => Err("invalid_row".to_string()),
            });
        }
        let (name, header) = match is_single {
            true => ("BTCUSDT-trades-2024-01-01.csv", "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match"),
            false => (
                "BTCUSDT-aggTrades-2024-01-01.csv",
                "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker,is_best_match",
            ),
        };
        prop_assert_eq!(read(name, &text(header, &lines, shape)), expected);
    }

    #[test]
    fn bars_are_their_numbers(
        rows in prop::collection::vec((prop::array::uniform7(number()), 0usize..5, 0u64..10_000), 0..40),
        shape: [bool; 3],
    ) {
        let plain = ([Number(1, 0, Spelling::Plain); 7], 0, 7);
        let (mut lines, mut expected) = (Vec::new(), Vec::new());
        for (at, (numbers, unit, n)) in (0..).zip([plain].into_iter().chain(rows)) {
            let start = BEGIN + at * MINUTE;
            let cells = numbers.map(Number::text);
            let [open, high, low, close, volume, turnover, bought] = &cells;
            let (begin, end) = (instant(start, unit), instant(start + MINUTE - MILLISECOND, unit));
            lines.push(format!("{begin},{open},{high},{low},{close},{volume},{end},{turnover},{n},{bought},2.5,0"));
            let values = numbers.map(Number::value);
            // Turnover and what was bought may be missing.
            let is_empty = |at: usize| matches!(numbers[at].2, Spelling::Wrong(""));
            let is_read = (0..7).all(|at| values[at].is_some() || 4 < at && is_empty(at));
            let has_trades = values[4].is_none_or(|volume| volume.mantissa != 0) || n == 0;
            let [open, high, low, close, volume, turnover, buy_volume] = values;
            let kline = Kline {
                timeframe: "1m".into(),
                start,
                open,
                high,
                low,
                close,
                volume,
                turnover,
                buy_volume,
                n_trades: Some(n),
                closed: true,
            };
            expected.push(match is_read && has_trades {
                true => Ok(event(start + MINUTE, None, Body::Kline(kline.into()))),
                false => Err("invalid_row".to_string()),
            });
        }
        let header = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,\
                      taker_buy_quote_volume,ignore";
        prop_assert_eq!(read("BTCUSDT-1m-2024-01.csv", &text(header, &lines, shape)), expected);
    }
}

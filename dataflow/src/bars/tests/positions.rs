//! Positions over bars, against METHODS.md read word by word over all that was told.

use prism_schemas::{
    Decimal, Timeframe, Ts,
    event::{Feed, Liquidation, OpenInterest, Side, Ticker, event::Body},
    time::{HOUR, MINUTE},
};
use proptest::prelude::*;

use super::{Log, MS, TEN, minutes, settings};
use crate::{
    flow,
    positions::{Forced, Positions},
};

/// Something told: of when, and how long after.
#[derive(Clone, Copy, Debug)]
struct Made {
    ts: Ts,
    late: i64,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Series(i64),
    Ticker(Option<i64>, Option<i64>),
    /// Whether it buys, price, size, and whether all are told.
    Forced(bool, i64, i64, bool),
}

fn made() -> impl Strategy<Value = Made> {
    let late = prop_oneof![3 => Just(20 * MS), 1 => Just(7 * MINUTE), 1 => 0..HOUR, 1 => Just(3 * HOUR)];
    let some = || prop::option::of(1..1_000i64);
    let what = prop_oneof![
        (1..1_000i64).prop_map(What::Series),
        (some(), some()).prop_map(|(open, rate)| What::Ticker(open, rate)),
        (any::<bool>(), 1..3i64, 1..3i64, any::<bool>())
            .prop_map(|(buy, price, size, all)| What::Forced(buy, price, size, all)),
    ];
    // Few instants, so that some are the same.
    (0..300i64, late, what).prop_map(|(at, late, what)| Made { ts: TEN + at * 5_000 * MS, late, what })
}

/// A log of these, of trades once a minute, and of silence behind them.
fn log(told: &[Made]) -> Log {
    let mut log = Log::default();
    log.says("", "A", TEN - MINUTE, Feed::Connected);
    log.trades("A", TEN, TEN + 30 * MINUTE, MINUTE);
    let number = |mantissa| Some(Decimal::new(mantissa, 1));
    for made in told {
        let body = match made.what {
            What::Series(size) => Body::OpenInterest(OpenInterest { size: number(size), ..OpenInterest::default() }),
            What::Ticker(open, rate) => {
                let [open_interest, funding_rate] = [open, rate].map(|of| of.and_then(number));
                Body::Ticker(Ticker { open_interest, funding_rate, ..Ticker::default() }.into())
            }
            What::Forced(buy, price, size, all) => Body::Liquidation(Liquidation {
                side: if buy { Side::Buy } else { Side::Sell }.into(),
                price: number(price),
                size: number(size),
                completeness: if all { "all" } else { "latest_per_second" }.into(),
            }),
        };
        log.push(made.ts + made.late, "A", made.ts, made.ts + made.late, body);
    }
    log.trade("A", TEN + 6 * HOUR, TEN + 6 * HOUR + 20 * MS);
    log
}

/// What METHODS.md says of a bar from `start` to `end` that closed at this price.
fn expected(told: &[Made], start: Ts, end: Ts, close: f64) -> Option<Positions> {
    let read = |number: i64| number as f64 / 10.0;
    let used: Vec<&Made> = told
        .iter()
        // Horizon 2h, base 1m.
        .filter(|made| made.ts + made.late - Timeframe::M1.end(Timeframe::M1.start(made.ts)) <= 2 * HOUR)
        .collect();
    let newest = |of: &dyn Fn(&What) -> Option<i64>| {
        let said = used.iter().filter_map(|made| Some((made.ts, of(&made.what)?)));
        said.filter(|(ts, _)| end - 10 * MINUTE <= *ts && *ts < end).max().map(|(_, number)| read(number))
    };
    let open = newest(&|what| match what {
        What::Series(size) => Some(*size),
        What::Ticker(open, _) => *open,
        What::Forced(..) => None,
    });
    let rate = newest(&|what| if let What::Ticker(_, rate) = what { *rate } else { None });
    let mut orders: Vec<(Ts, bool, i64, i64)> = Vec::new();
    let mut is_all = true;
    for made in &used {
        if let What::Forced(buy, price, size, all) = made.what
            && (start..end).contains(&made.ts)
        {
            orders.push((made.ts, buy, price, size));
            is_all &= all;
        }
    }
    orders.sort_unstable();
    orders.dedup();
    let worth = |price: i64, size: i64| read(size) * read(price);
    let side = |of: bool| {
        let own = || orders.iter().filter(move |(_, buy, ..)| *buy == of);
        flow::Side {
            n: own().count() as u64,
            volume: own().map(|(.., size)| read(*size)).sum(),
            turnover: own().map(|(.., price, size)| worth(*price, *size)).sum(),
        }
    };
    let largest = orders.iter().map(|(.., price, size)| worth(*price, *size)).fold(0.0, f64::max);
    let forced = (!orders.is_empty()).then(|| Forced { longs: side(false), shorts: side(true), largest, is_all });
    let is_any = open.is_some() || rate.is_some() || forced.is_some();
    let worth = open.map(|open| open * close).into();
    is_any.then(|| Positions { open_interest: open.into(), worth, funding_rate: rate.into(), forced })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn positions_are_what_was_told(told in prop::collection::vec(made(), 1..60), stride in 1u64..600, fine: bool) {
        let mut settings = if fine { settings() } else { minutes() };
        settings.timeframes.roles = vec![Timeframe::M1, Timeframe::M5];
        settings.timeframes.weights = vec![1.0; 2];
        let mut arrived = told.clone();
        arrived.sort_by_key(|made| made.ts + made.late);
        let log = log(&arrived);
        let bars = log.run_with(&settings, stride, 1);
        prop_assert_eq!(&bars, &log.run_with(&settings, 1, 1), "whatever the stride");
        for timeframe in [Timeframe::M1, Timeframe::M5] {
            let mut start = TEN;
            while start < TEN + 25 * MINUTE {
                let end = timeframe.end(start);
                let bar = bars.bar("A", timeframe, start).unwrap();
                let expected = expected(&told, start, end, bar.close);
                prop_assert_eq!(bar.positions.as_deref(), expected.as_ref(), "{} {}", timeframe, start - TEN);
                start = end;
            }
        }
        prop_assert!(bars.bar("A", Timeframe::H1, TEN).is_none_or(|bar| bar.positions.is_none()));
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let mut log = log(&[]);
    let open = |size| Body::OpenInterest(OpenInterest { size: Some(Decimal::new(size, 0)), ..OpenInterest::default() });
    log.push(TEN, "A", TEN, TEN, open(0));
    log.push(TEN + 1, "A", TEN + MINUTE, TEN + 1, open(5));
    log.push(TEN + 2, "A", -1, TEN + 2, open(5));
    log.push(TEN + 3, "A", TEN, TEN + 3, Body::Liquidation(Liquidation::default()));
    let errors = log.run(&minutes()).errors;
    assert_eq!(errors, ["ahead_of_clock", "impossible_time", "non_positive", "non_positive"]);
}

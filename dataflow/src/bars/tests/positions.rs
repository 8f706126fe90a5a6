//! Positions over bars, against METHODS.md read word by word over all that was told.

use prism_schemas::{
    Decimal, Timeframe, Ts,
    event::{Feed, Liquidation, LongShortRatio, OpenInterest, RiskLimit, Side, Ticker, event::Body, risk_limit::Tier},
    time::{HOUR, MINUTE},
};
use proptest::prelude::*;

use super::{Log, MS, TEN, minutes, settings};
use crate::{
    flow,
    positions::{Forced, Margins, Positions},
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
    /// Open interest, funding rate, and the hours between settlements.
    Ticker(Option<i64>, Option<i64>, Option<i64>),
    /// Whose, long and short.
    Ratio(&'static str, i64, i64),
    /// Leverage; a tenth of it is the initial margin, and half of that the maintenance margin.
    Margins(i64),
    /// Whether it buys, price, size, and whether all are told.
    Forced(bool, i64, i64, bool),
}

fn made() -> impl Strategy<Value = Made> {
    let late = prop_oneof![3 => Just(20 * MS), 1 => Just(7 * MINUTE), 1 => 0..HOUR, 1 => Just(3 * HOUR)];
    let some = || prop::option::of(1..1_000i64);
    let what = prop_oneof![
        (1..1_000i64).prop_map(What::Series),
        (some(), some(), some()).prop_map(|(open, rate, hours)| What::Ticker(open, rate, hours)),
        (prop_oneof![Just("account"), Just("top_position"), Just("taker")], 0..9i64, 1..9i64)
            .prop_map(|(kind, long, short)| What::Ratio(kind, long, short)),
        (0..9i64).prop_map(What::Margins),
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
            What::Ticker(open, rate, hours) => {
                let [open_interest, funding_rate] = [open, rate].map(|of| of.and_then(number));
                let funding_interval = hours.map(|hours| hours * HOUR);
                Body::Ticker(Ticker { open_interest, funding_rate, funding_interval, ..Ticker::default() }.into())
            }
            What::Ratio(kind, long, short) => {
                let (kind, [long, short]) = (kind.into(), [long, short].map(number));
                Body::LongShortRatio(LongShortRatio { kind, period: "5m".into(), long, short })
            }
            What::Margins(leverage) => {
                let of = |mantissa, decimals| Some(Decimal::new(mantissa, decimals));
                let (initial_margin, maintenance_margin) = (of(leverage, 1), of(5 * leverage, 2));
                let tier = Tier { limit: None, leverage_max: of(leverage, 0), maintenance_margin, initial_margin };
                let (tier, larger) =
                    (Tier { limit: of(5, 0), ..tier }, Tier { limit: of(6, 0), leverage_max: of(1, 0), ..tier });
                // In whichever order.
                Body::RiskLimit(RiskLimit { tiers: vec![larger, tier] })
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

/// What it says of forced orders among what is used.
fn forced(used: &[&Made], start: Ts, end: Ts) -> Option<Forced> {
    let read = |number: i64| number as f64 / 10.0;
    let mut orders: Vec<(Ts, bool, i64, i64)> = Vec::new();
    let mut is_all = true;
    for made in used {
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
    (!orders.is_empty()).then(|| Forced { longs: side(false), shorts: side(true), largest, is_all })
}

/// What METHODS.md says of a bar from `start` to `end` that closed at this price.
fn expected(told: &[Made], start: Ts, end: Ts, close: f64) -> Option<Positions> {
    let read = |number: i64| number as f64 / 10.0;
    let used: Vec<&Made> = told
        .iter()
        // Horizon 2h, base 1m.
        .filter(|made| made.ts + made.late - Timeframe::M1.end(Timeframe::M1.start(made.ts)) <= 2 * HOUR)
        .collect();
    let newest = |minutes: i64, of: &dyn Fn(&What) -> Option<f64>| {
        let said = used.iter().filter_map(|made| Some((made.ts, of(&made.what)?)));
        let holds = said.filter(|(ts, _)| end - minutes * MINUTE <= *ts && *ts < end);
        holds.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map(|(_, number)| number)
    };
    let open = newest(10, &|what| match what {
        What::Series(size) => Some(read(*size)),
        What::Ticker(open, ..) => open.map(read),
        _ => None,
    });
    let rate = newest(10, &|what| if let What::Ticker(_, rate, _) = what { rate.map(read) } else { None });
    let hours = newest(30, &|what| if let What::Ticker(.., hours) = what { hours.map(|of| of as f64) } else { None });
    let ratio = |whose| {
        newest(30, &|what| match what {
            What::Ratio(kind, long, short) if *kind == whose && 0 < *long => Some(read(*long) / read(*short)),
            _ => None,
        })
    };
    let leverage = newest(30, &|what| match what {
        What::Margins(leverage) if 0 < *leverage => Some(*leverage as f64),
        _ => None,
    });
    let margins =
        leverage.map(|leverage| Margins { leverage, initial: leverage / 10.0, maintenance: 5.0 * leverage / 100.0 });
    let forced = forced(&used, start, end);
    let of = Positions {
        open_interest: open.into(),
        worth: open.map(|open| open * close).into(),
        funding_rate: rate.into(),
        funding_interval: hours.into(),
        accounts: ratio("account").into(),
        top_positions: ratio("top_position").into(),
        margins,
        forced,
    };
    (of != Positions::NONE).then_some(of)
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

//! What takers bought and sold within bars, against sums over the trades themselves.

use std::collections::BTreeMap;

use prism_schemas::{
    Decimal, Timeframe, Ts,
    event::{Feed, Side, Trade, event::Body, trade::Id},
    time::{HOUR, MINUTE},
};
use proptest::prelude::*;

use super::{Log, MS, TEN, minutes, settings};
use crate::{
    bar::Number,
    flow::{Flow, Sides},
    footprint::Level,
};

/// A trade: when, what it costs and how much of it in units of these many decimals, whether the taker buys, and how late it comes.
#[derive(Clone, Copy, Debug)]
struct Made {
    ts: Ts,
    price: (i64, u32),
    size: (i64, u32),
    buy: bool,
    late: i64,
}

fn made() -> impl Strategy<Value = Made> {
    let late = prop_oneof![3 => Just(20 * MS), 1 => Just(7 * MINUTE), 1 => 0..HOUR];
    let number = || (1..2_000_000i64, 0..4u32);
    (0..12 * MINUTE, number(), number(), any::<bool>(), late).prop_map(|(at, price, size, buy, late)| Made {
        ts: TEN + at,
        price,
        size,
        buy,
        late,
    })
}

/// A log of these trades, followed by one that closes their bars, and silence.
fn log(trades: &[Made]) -> Log {
    let mut log = Log::default();
    log.says("", "A", TEN - MINUTE, Feed::Connected);
    for (n, made) in trades.iter().enumerate() {
        let (decimal, known) = (|(mantissa, decimals)| Some(Decimal::new(mantissa, decimals)), made.ts + made.late);
        let body = Trade {
            id: Some(Id::Number(n as u64)),
            price: decimal(made.price),
            size: decimal(made.size),
            side: if made.buy { Side::Buy } else { Side::Sell }.into(),
            stream: "trade".into(),
            ..Trade::default()
        };
        log.push(known, "A", made.ts, known, Body::Trade(body));
    }
    log.trade("A", TEN + 30 * MINUTE, TEN + 2 * HOUR);
    log
}

/// A number of six decimals, as anybody reads it.
fn read(number: i128) -> f64 {
    format!("{}.{:06}", number / 1_000_000, number % 1_000_000).parse().unwrap()
}

/// What METHODS.md says of these trades, all within an interval.
fn expected(trades: &[Made], start: Ts, end: Ts) -> Flow {
    let at_six = |(mantissa, decimals): (i64, u32)| i128::from(mantissa) * 10i128.pow(6 - decimals);
    let sides = |trades: &[&Made]| {
        let of = |buy: bool| {
            let own = || trades.iter().filter(move |made| made.buy == buy);
            let value = |made: &&&Made| {
                let (price, size) = (made.price, made.size);
                at_six((price.0 * size.0, price.1 + size.1))
            };
            let volume = own().map(|made| at_six(made.size)).sum();
            crate::flow::Side {
                n: own().count() as u64,
                volume: read(volume),
                turnover: read(own().map(|made| value(&made)).sum()),
            }
        };
        Sides { bought: of(true), sold: of(false) }
    };
    let slot =
        |n: i64| -> Vec<&Made> { trades.iter().filter(|made| 6 * (made.ts - start) / (end - start) == n).collect() };
    let mut classes: BTreeMap<u8, (u64, i128)> = BTreeMap::new();
    for made in trades {
        let value = at_six((made.price.0 * made.size.0, made.price.1 + made.size.1));
        let class = (1..32).rev().find(|class| (1i128 << class) * 1_000_000 <= value).unwrap_or(0);
        let of = classes.entry(class).or_default();
        *of = (of.0 + 1, of.1 + if made.buy { value } else { -value });
    }
    let class = |(class, (n, delta)): (u8, (u64, i128))| crate::flow::Class {
        class,
        n,
        delta: if delta < 0 { -read(-delta) } else { read(delta) },
    };
    Flow {
        whole: sides(&trades.iter().collect::<Vec<_>>()),
        slots: std::array::from_fn(|n| sides(&slot(n as i64))),
        classes: classes.into_iter().map(class).collect(),
        ..Flow::default()
    }
}

/// Of a level: number, trades, sizes and imbalances.
type Told = (i128, [usize; 2], [f64; 2], [bool; 2]);

/// What METHODS.md says of the levels of these trades: the height as a number of millionths, and of each level its number,
/// trades, sizes and imbalances, all by counting at every height there is.
fn footprint(trades: &[Made]) -> Option<(i128, Vec<Told>, i128)> {
    let at_six = |(mantissa, decimals): (i64, u32)| i128::from(mantissa) * 10i128.pow(6 - decimals);
    let unit =
        (0..=6).map(|tens| 10i128.pow(6 - tens)).find(|unit| trades.iter().all(|t| at_six(t.price) % unit == 0))?;
    let levels_at = |height: i128| -> BTreeMap<i128, Vec<&Made>> {
        let mut levels = BTreeMap::<_, Vec<&Made>>::new();
        trades.iter().for_each(|made| levels.entry(at_six(made.price) / height).or_default().push(made));
        levels
    };
    let heights = (0..30).flat_map(|tens| [10i128.pow(tens), 5 * 10i128.pow(tens)]).filter(|height| unit <= *height);
    let (height, levels) = heights.map(|height| (height, levels_at(height))).find(|(_, levels)| levels.len() <= 32)?;
    let size = |number: i128, buy: bool| -> i128 {
        let own = levels.get(&number).into_iter().flatten().filter(|made| made.buy == buy);
        own.map(|made| at_six(made.size)).sum()
    };
    let all: i128 = levels.keys().map(|number| size(*number, true) + size(*number, false)).sum();
    let (lowest, highest) = (*levels.keys().next()?, *levels.keys().next_back()?);
    let least = |size: i128| all <= 2 * size * levels.len() as i128;
    let told = levels.iter().map(|(number, made)| {
        let n = [true, false].map(|buy| made.iter().filter(|made| made.buy == buy).count());
        let [bought, sold] = [true, false].map(|buy| size(*number, buy));
        let marks = [
            lowest < *number && 3 * size(number - 1, false) <= bought && least(bought),
            *number < highest && 3 * size(number + 1, true) <= sold && least(sold),
        ];
        (*number, n, [read(bought), read(sold)], marks)
    });
    let poc = levels.keys().min_by_key(|number| (-size(**number, true) - size(**number, false), **number));
    Some((height, told.collect(), *poc?))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn flows_are_what_their_trades_say(trades in prop::collection::vec(made(), 1..60), stride in 1u64..600, fine: bool) {
        // The finest timeframe is a role in one of them, and none in the other.
        let settings = if fine { settings() } else { minutes() };
        let mut settings = settings;
        settings.timeframes.roles = vec![Timeframe::M1, Timeframe::M5];
        settings.timeframes.weights = vec![1.0; 2];
        let mut arrived = trades.clone();
        arrived.sort_by_key(|made| made.ts + made.late);
        let bars = log(&arrived).run_with(&settings, stride, 1);
        let first = trades.iter().map(|made| made.ts).min().unwrap();
        for timeframe in [Timeframe::M1, Timeframe::M5] {
            let mut start = timeframe.start(first);
            while start < TEN + 12 * MINUTE {
                let end = timeframe.end(start);
                let within: Vec<Made> = trades.iter().filter(|made| (start..end).contains(&made.ts)).copied().collect();
                let bar = bars.bar("A", timeframe, start).unwrap();
                let flow = bar.flow.as_deref().unwrap();
                let told = flow.footprint.as_ref().map(|told| {
                    let level = |at: &Level| (at.number, at.n.map(|n| n as usize), at.volume, at.is_imbalanced);
                    let height = (1e6 * told.height.price(1, 0)).round() as i128;
                    let poc = told.levels[usize::from(told.poc)].number;
                    (height, told.levels.iter().map(level).collect(), poc)
                });
                prop_assert_eq!(told, footprint(&within), "{} {}", timeframe, start - TEN);
                let plain = Flow { footprint: None, poc: Number::ABSENT, ..flow.clone() };
                prop_assert_eq!(plain, expected(&within, start, end), "{} {}", timeframe, start - TEN);
                start = end;
            }
        }
    }
}

/// A part whose height rose to a power of ten is no part of single prices, whatever finer ones follow.
#[test]
fn a_bar_of_parts_has_the_height_of_its_own_trades() {
    let made =
        |at: i64, price: (i64, u32)| Made { ts: TEN + at * 1_000 * MS, price, size: (1, 0), buy: true, late: 20 * MS };
    let coarse = (0..161).map(|n| made(n % 60, (10_000 + n, 2)));
    for fine in [made(61, (10_003, 2)), made(61, (1_000_305, 4))] {
        let mut trades: Vec<Made> = coarse.clone().chain([fine]).collect();
        trades.sort_by_key(|made| made.ts);
        let mut settings = minutes();
        settings.timeframes.roles = vec![Timeframe::M1, Timeframe::M5];
        settings.timeframes.weights = vec![1.0; 2];
        let bars = log(&trades).run_with(&settings, 600, 1);
        let bar = bars.bar("A", Timeframe::M5, TEN).unwrap();
        let told = bar.flow.as_ref().and_then(|flow| flow.footprint.clone()).unwrap();
        assert_eq!((told.height.price(1, 0), told.levels.len()), (0.1, 17));
        assert_eq!(told.levels[0].volume[0], 11.0);
    }
}

/// Beside a price of eighteen decimals others need more than nineteen digits.
#[test]
fn a_price_of_eighteen_decimals_has_a_level_of_its_own() {
    let at =
        |at: i64, price: (i64, u32)| Made { ts: TEN + at * 1_000 * MS, price, size: (1, 0), buy: true, late: 20 * MS };
    let trades = [at(0, (3_388, 1)), at(1, (1_000_000_000_000_000_001, 18)), at(2, (3_387, 1)), at(3, (3_388, 1))];
    let mut settings = minutes();
    settings.timeframes.roles = vec![Timeframe::M1];
    settings.timeframes.weights = vec![1.0];
    let bar = log(&trades).run(&settings).bar("A", Timeframe::M1, TEN).unwrap();
    let told = bar.flow.as_ref().and_then(|flow| flow.footprint.clone()).unwrap();
    let prices: Vec<(f64, u32)> = told.levels.iter().map(|of| (told.height.price(of.number, 0), of.n[0])).collect();
    assert_eq!(prices, [(1.0, 1), (338.7, 1), (338.8, 2)]);
}

#[test]
fn only_roles_bars_with_sides_have_a_flow() {
    let mut log = Log::default();
    log.says("", "A", TEN - MINUTE, Feed::Connected);
    log.trades("A", TEN, TEN + 3 * MINUTE, 10_000 * MS);
    log.kline("B", Timeframe::M1, TEN, TEN + MINUTE);
    let sideless = Trade {
        price: Some(Decimal::new(1, 0)),
        size: Some(Decimal::new(1, 0)),
        stream: "trade".into(),
        ..Trade::default()
    };
    log.push(TEN + MINUTE + 20 * MS, "A", TEN + MINUTE + 1, TEN + MINUTE + 20 * MS, Body::Trade(sideless));
    log.trade("B", TEN + 20 * MINUTE, TEN + 20 * MINUTE);
    let mut settings = minutes();
    settings.timeframes.roles = vec![Timeframe::M1];
    settings.timeframes.weights = vec![1.0];
    let bars = log.run(&settings);
    let has_flow = |symbol, timeframe, start| bars.bar(symbol, timeframe, start).unwrap().flow.is_some();
    assert!(has_flow("A", Timeframe::M1, TEN) && has_flow("A", Timeframe::M1, TEN + 2 * MINUTE));
    assert!(!has_flow("A", Timeframe::M1, TEN + MINUTE), "nobody says who took");
    assert!(!has_flow("A", Timeframe::M5, TEN), "no role");
    assert!(!has_flow("B", Timeframe::M1, TEN), "the venue's");
    let quiet = bars.bar("A", Timeframe::M1, TEN + 4 * MINUTE).unwrap().flow;
    assert_eq!(quiet, Some(Flow::quiet()));
}

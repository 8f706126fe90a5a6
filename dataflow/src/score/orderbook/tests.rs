//! The order book components against their formulas in METHODS.md, recomputed at every bar, and what must hold of any.

#![expect(clippy::disallowed_methods, reason = "the reference uses another tanh on purpose")]

use std::collections::BTreeMap;

use prism_schemas::table::BOOK_COLUMNS;
use proptest::prelude::*;

use crate::{
    bar::Bar,
    book::Depth,
    score::{
        component::{Inputs, Reading, squash},
        orderbook::dimension,
    },
};

/// Numbers of a bar's depth by column; NaN is absent.
type Numbers = BTreeMap<&'static str, f64>;

/// Readings of all components at each bar; none where a bar has no depth.
fn run(bars: &[Option<Numbers>]) -> BTreeMap<&'static str, Vec<Option<Reading>>> {
    let bar = Bar::ohlcv(0, [1.0; 5]);
    let mut readings: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut all = dimension(0.225).components;
    for numbers in bars {
        let depth = numbers.as_ref().map(|of| {
            Depth::of(
                &BOOK_COLUMNS.iter().filter(|name| **name != "live_share").map(|name| of[name]).collect::<Vec<_>>(),
            )
        });
        for weighted in &mut all {
            let reading = weighted.component.update(Inputs {
                bar: &bar,
                row: &[],
                depth: depth.as_ref(),
                flow: None,
                stake: None,
                structure: None,
            });
            readings.entry(weighted.component.name()).or_default().push(reading);
        }
    }
    readings
}

/// A book of these sizes, which grow from level to level, and these costs.
fn book(bid: f64, ask: f64, spread: f64, mid: f64) -> Numbers {
    let of = |name: &&'static str| {
        let side = if name.contains("bid") || name.contains("sell") { bid } else { ask };
        let number = match *name {
            "bid" => mid - spread / 2.0,
            "ask" => mid + spread / 2.0,
            "mid" | "mid_mean" => mid,
            "spread" | "spread_mean" => spread,
            "spread_bps" => 1e4 * spread / mid,
            "microprice" => mid - spread / 2.0 + spread * bid / (bid + ask),
            "ofi" => bid - ask,
            name if name.starts_with("imbalance") => (bid - ask) / (bid + ask),
            name if name.starts_with("slippage") => 1e3 / side,
            name => side * f64::from(name.len() as u32),
        };
        (*name, number)
    };
    BOOK_COLUMNS.iter().map(of).collect()
}

/// The same with both sides exchanged.
fn mirrored(book: &Numbers) -> Numbers {
    let of = |name: &&'static str| {
        let other = match *name {
            "bid" | "ask" | "mid" | "mid_mean" => {
                return (
                    *name,
                    2.0 * 1e4
                        - book[if *name == "bid" {
                            "ask"
                        } else if *name == "ask" {
                            "bid"
                        } else {
                            name
                        }],
                );
            }
            "microprice" => return (*name, 2.0 * 1e4 - book[name]),
            "ofi" => return (*name, -book[name]),
            name if name.starts_with("imbalance") => return (name, -book[name]),
            name if name.starts_with("bid_") => name.replacen("bid_", "ask_", 1),
            name if name.starts_with("ask_") => name.replacen("ask_", "bid_", 1),
            name if name.contains("_buy_") => name.replacen("_buy_", "_sell_", 1),
            name if name.contains("_sell_") => name.replacen("_sell_", "_buy_", 1),
            name => name.to_string(),
        };
        (*name, book[&*other])
    };
    book.keys().map(of).collect()
}

/// Bars whose books move, some without.
fn walk(seed: u64, n_bars: usize) -> Vec<Option<Numbers>> {
    let mut state = seed;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let bar = |_| {
        let mut book = book(1.0 + 9.0 * random(), 1.0 + 9.0 * random(), 0.1 + random(), 1e4);
        for (name, number) in &mut book {
            let is_signed = name.starts_with("imbalance") || *name == "ofi";
            // The mirror is at 10,000.
            *number *= match *name {
                _ if is_signed => 0.5 + 0.5 * random(),
                "mid_mean" => 1.0,
                _ => 1.0 + 1e-4 * random(),
            };
            if random() < 0.004 {
                *number = f64::NAN;
            }
        }
        (0.05 < random()).then_some(book)
    };
    (0..n_bars).map(bar).collect()
}

fn of(book: &Numbers, name: &str) -> Option<f64> {
    Some(book[name]).filter(|number| !number.is_nan())
}

fn relative(book: &Numbers, a: &str, b: &str) -> Option<f64> {
    let (a, b) = (of(book, a)?, of(book, b)?);
    Some((a - b) / (a + b))
}

fn weighted(parts: &[(f64, Option<f64>)]) -> Option<f64> {
    let weight: f64 = parts.iter().filter(|(_, x)| x.is_some()).map(|(w, _)| w).sum();
    let sum: f64 = parts.iter().filter_map(|(w, x)| Some(w * (*x)?)).sum();
    (0.0 < weight).then(|| sum / weight)
}

/// The last 20 values of bars that have one, the bar's own among them, oldest first.
fn last(bars: &[Option<Numbers>], value: impl Fn(&Numbers) -> Option<f64>) -> Option<Vec<f64>> {
    value(bars.last()?.as_ref()?)?;
    let all: Vec<f64> = bars.iter().flatten().filter_map(value).collect();
    Some(all[all.len().checked_sub(20)?..].to_vec())
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

type Formula = (&'static str, fn(&[Option<Numbers>]) -> Option<(f64, f64)>);

const FORMULAS: [Formula; 6] = [
    ("liquidity", |bars| {
        let book = bars.last()?.as_ref()?;
        let spreads = last(bars, |book| Some(of(book, "spread_mean")? / of(book, "mid_mean")?))?;
        let near = |n: u32, w| (w, relative(book, &format!("bid_depth_{n}bp"), &format!("ask_depth_{n}bp")));
        let x = weighted(&[near(10, 0.4), near(50, 0.3), near(100, 0.2), near(200, 0.1)])?;
        let both = |n: u32| Some(of(book, &format!("bid_depth_{n}"))? + of(book, &format!("ask_depth_{n}"))?);
        let (e, k) = ((mean(&spreads) / spreads[19]).min(1.0), both(5)? / both(25)?);
        Some((x, 50.0 + 50.0 * (2.0 * x).tanh() * e * (1.0 - k / 2.0)))
    }),
    ("imbalance", |bars| {
        let book = bars.last()?.as_ref()?;
        let level = |n: u32, w| (w, of(book, &format!("imbalance_{n}")));
        let levels = weighted(&[level(1, 0.1), level(5, 0.2), level(10, 0.3), level(25, 0.4)])?;
        let x = 0.35 * levels + 0.35 * of(book, "imbalance_weighted")? + 0.3 * of(book, "imbalance_mean")?;
        let y = last(bars, |book| of(book, "imbalance_10"))?;
        let variance = y.iter().map(|y_i| (y_i - mean(&y)).powi(2)).sum::<f64>() / 20.0;
        let z = (y[19] - mean(&y)) / variance.sqrt();
        (y.iter().any(|value| *value != y[0])).then(|| (x, 50.0 + 35.0 * (2.0 * x).tanh() + 15.0 * (z / 2.0).tanh()))
    }),
    ("impact", |bars| {
        let book = bars.last()?.as_ref()?;
        let at = |n: &str, w| (w, relative(book, &format!("slippage_buy_{n}"), &format!("slippage_sell_{n}")));
        let x = weighted(&[at("1k", 0.1), at("10k", 0.2), at("100k", 0.3), at("1m", 0.4)])?;
        Some((x, 50.0 + 50.0 * (2.0 * x).tanh()))
    }),
    ("oir", |bars| {
        let r = of(bars.last()?.as_ref()?, "imbalance_mean")?;
        Some((r, 50.0 + 50.0 * (2.0 * r).tanh()))
    }),
    ("di", |bars| {
        let book = bars.last()?.as_ref()?;
        let m = (of(book, "microprice")? - of(book, "mid_mean")?) / of(book, "spread_mean")?;
        Some((m, 50.0 + 25.0 * (m / 2.0).tanh() + 25.0 * (2.0 * of(book, "imbalance_5")?).tanh()))
    }),
    ("ofi", |bars| {
        let flow =
            |book: &Numbers| Some(2.0 * of(book, "ofi")? / (of(book, "bid_depth_5")? + of(book, "ask_depth_5")?));
        let x = last(bars, flow)?;
        let usual = (x.iter().map(|x| x * x).sum::<f64>() / 20.0).sqrt();
        (usual != 0.0).then(|| (x[19], squash(x[19] / usual)))
    }),
];

#[test]
fn formulas() {
    let bars = walk(7, 400);
    let readings = run(&bars);
    assert!(dimension(1.0).components.iter().map(|part| part.component.name()).eq(FORMULAS.map(|(name, _)| name)));
    for (name, formula) in FORMULAS {
        let mut n_readings = 0;
        for (at, reading) in readings[name].iter().enumerate() {
            let expected = formula(&bars[..=at]);
            let both = reading.zip(expected);
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
            assert_eq!(reading.is_some(), expected.is_some(), "{name} at {at}");
            assert!(
                both.is_none_or(|(have, (raw, score))| close(have.raw, raw) && close(have.score, score)),
                "{name} {at}"
            );
            n_readings += usize::from(both.is_some());
        }
        assert!(330 < n_readings, "{name}: {n_readings}");
    }
}

#[test]
fn a_bar_without_a_book_has_no_reading_and_ends_no_window() {
    let mut bars = walk(8, 60);
    bars.iter_mut().for_each(|bar| _ = bar.get_or_insert_with(|| book(2.0, 3.0, 1.0, 1e4)));
    bars.splice(30..35, (0..5).map(|_| None));
    for (name, readings) in run(&bars) {
        assert!(readings[30..35].iter().all(Option::is_none), "{name}");
        assert!(readings[35..].iter().flatten().count() > 20, "{name}");
    }
}

#[test]
fn a_window_begins_anew_after_fifty_bars_without_its_number() {
    for n_missing in [49, 50, 120] {
        let mut bars = walk(9, 40);
        bars.iter_mut().for_each(|bar| *bar = Some(book(2.0, 3.0 + f64::from(u8::from(bar.is_some())), 1.0, 1e4)));
        bars.splice(20..20, (0..n_missing).map(|_| None));
        let readings = &run(&bars)["ofi"];
        let first = readings[20..].iter().position(Option::is_some).unwrap();
        assert_eq!(first, if n_missing < 50 { n_missing } else { n_missing + 19 }, "{n_missing}");
    }
}

proptest! {
    #[test]
    fn scores_are_bounded_and_mirrored_books_mirror_them(seed in 0u64.., n_bars in 20usize..60) {
        let bars = walk(seed, n_bars);
        let mirrors: Vec<_> = bars.iter().map(|bar| bar.as_ref().map(mirrored)).collect();
        let (there, mirrored) = (run(&bars), run(&mirrors));
        for (name, readings) in &there {
            for (have, other) in readings.iter().zip(&mirrored[name]) {
                prop_assert_eq!(have.is_some(), other.is_some());
                let Some((have, other)) = have.zip(*other) else { continue };
                prop_assert!((0.0..=100.0).contains(&have.score), "{}: {}", name, have.score);
                prop_assert!((have.raw + other.raw).abs() < 1e-9 && (have.score + other.score - 100.0).abs() < 1e-6, "{}: {:?} {:?}", name, have, other);
            }
        }
    }

    #[test]
    fn balanced_books_are_neutral(sizes in prop::collection::vec(1.0..100.0f64, 20..40)) {
        let bars: Vec<_> = sizes.iter().map(|size| Some(book(*size, *size, 1.0, 1e4))).collect();
        for (name, readings) in run(&bars) {
            prop_assert!(readings.iter().flatten().all(|reading| reading.score == 50.0), "{}: {:?}", name, readings);
        }
    }
}

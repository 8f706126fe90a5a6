//! The order flow components against their formulas in METHODS.md, recomputed at every bar, and what must hold of any.

#![expect(clippy::disallowed_methods, reason = "the reference uses another tanh on purpose")]

use std::{collections::BTreeMap, sync::Arc};

use prism_schemas::table::BOOK_COLUMNS;
use proptest::prelude::*;

use crate::{
    bar::Bar,
    book::Depth,
    flow::{Class, Flow, Side, Sides},
    score::{
        component::{Inputs, Reading},
        flows::{Flowed, Flows, Moves},
        orderflow::dimension,
    },
};

mod formulas;

use formulas::{At, FORMULAS};

/// A bar: open, close, what takers bought and sold, and of its book `ofi`, `spread_mean` and `mid_mean`.
#[derive(Clone)]
struct Made {
    open: f64,
    close: f64,
    flow: Option<Flow>,
    book: Option<[f64; 3]>,
}

/// Readings of all components at each bar.
fn run(bars: &[Made]) -> BTreeMap<&'static str, Vec<Option<Reading>>> {
    let mut readings: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let (mut all, mut flows) = (dimension(0.225).components, Flows::default());
    for made in bars {
        let numbers = |[ofi, spread, mid]: [f64; 3]| {
            let of = |name: &&&str| match **name {
                "ofi" => ofi,
                "spread_mean" => spread,
                "mid_mean" => mid,
                _ => 1.0,
            };
            Depth::of(
                &BOOK_COLUMNS.iter().filter(|name| **name != "live_share").map(|name| of(&name)).collect::<Vec<_>>(),
            )
        };
        let depth = made.book.map(numbers);
        let bar = Bar {
            flow: made.flow.clone().map(Arc::new),
            ..Bar::ohlcv(0, [made.open, made.open.max(made.close), made.open.min(made.close), made.close, 1.0])
        };
        let mut moves = Moves::default();
        let now = Flowed::of(&bar);
        let flow = flows.read(now.as_ref(), &mut moves);
        for weighted in &mut all {
            let reading = weighted.component.update(Inputs {
                bar: &bar,
                row: &[],
                depth: depth.as_ref(),
                flow,
                stake: None,
                structure: None,
            });
            readings.entry(weighted.component.name()).or_default().push(reading);
        }
        flows.push(now);
    }
    readings
}

/// A flow of these slots: number, size and price of what takers bought and sold.
fn flow(slots: [[(u64, f64, f64); 2]; 6], classes: &[(u8, u64, f64)]) -> Flow {
    let side = |(n, volume, price): (u64, f64, f64)| Side { n, volume, turnover: volume * price };
    let slots = slots.map(|[bought, sold]| Sides { bought: side(bought), sold: side(sold) });
    let whole = |of: fn(&Sides) -> Side| Side {
        n: slots.iter().map(|slot| of(slot).n).sum(),
        volume: slots.iter().map(|slot| of(slot).volume).sum(),
        turnover: slots.iter().map(|slot| of(slot).turnover).sum(),
    };
    let classes = classes.iter().map(|(class, n, delta)| Class { class: *class, n: *n, delta: *delta }).collect();
    Flow {
        whole: Sides { bought: whole(|slot| slot.bought), sold: whole(|slot| slot.sold) },
        slots,
        classes,
        ..Flow::default()
    }
}

/// A walk of prices near 100 with takers on both sides, some slots and some bars without any, and a book at most bars.
fn walk(seed: u64, n_bars: usize, step: f64) -> Vec<Made> {
    let mut state = seed;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let (mut price, mut bars) = (100.0, Vec::new());
    for _ in 0..n_bars {
        let (open, is_quiet) = (price, random() < 0.05);
        let mut made = [[(0, 0.0, 0.0); 2]; 6];
        for slot in &mut made {
            for (side, taken) in slot.iter_mut().enumerate() {
                price *= 1.0 + step * (random() - 0.5);
                if !is_quiet && random() < 0.7 {
                    let n = 1 + (random() * 9.0) as u64;
                    let half = if side == 0 { step / 8.0 } else { -step / 8.0 };
                    *taken = (n, n as f64 * (0.1 + random()), price * (1.0 + half));
                }
            }
        }
        let mut flow = flow(made, &[]);
        let worth = flow.whole.turnover();
        let n = flow.whole.bought.n + flow.whole.sold.n;
        let rare = n.min(u64::from(random() < 0.6));
        let classes = [(7, n - rare, worth * (random() - 0.5)), (11, rare, worth * (random() - 0.5))];
        flow.classes =
            classes.into_iter().filter(|(_, n, _)| 0 < *n).map(|(class, n, delta)| Class { class, n, delta }).collect();
        let spread = 0.01 * (1.0 + random());
        let book = (random() < 0.95).then(|| [20.0 * (random() - 0.5), spread, price]);
        bars.push(Made { open, close: price, flow: (random() < 0.97).then_some(flow), book });
    }
    bars
}

#[test]
fn formulas() {
    let bars = walk(7, 400, 1e-3);
    let readings = run(&bars);
    let names = FORMULAS.map(|(name, _)| name).into_iter().chain(["open_interest"]);
    assert!(dimension(1.0).components.iter().map(|part| part.component.name()).eq(names));
    for (name, formula) in FORMULAS {
        let mut n_readings = 0;
        for (at, reading) in readings[name].iter().enumerate() {
            let expected = At::new(&bars[..=at]).and_then(|at| formula(&at));
            let both = reading.zip(expected);
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-8 * (1.0 + b.abs());
            assert_eq!(reading.is_some(), expected.is_some(), "{name} at {at}");
            assert!(
                both.is_none_or(|(have, (raw, score))| close(have.raw, raw) && close(have.score, score)),
                "{name} at {at}: {both:?}"
            );
            n_readings += usize::from(both.is_some());
        }
        assert!(310 < n_readings, "{name}: {n_readings}");
    }
}

/// The same with buyers and sellers exchanged, and prices turned around 100.
fn mirrored(bar: &Made) -> Made {
    let turn = |side: &Side| Side { turnover: 200.0 * side.volume - side.turnover, ..*side };
    let sides = |sides: &Sides| Sides { bought: turn(&sides.sold), sold: turn(&sides.bought) };
    let flow = bar.flow.as_ref().map(|flow| Flow {
        whole: sides(&flow.whole),
        slots: flow.slots.each_ref().map(sides),
        classes: flow.classes.iter().map(|class| Class { delta: -class.delta, ..*class }).collect(),
        ..Flow::default()
    });
    let book = bar.book.map(|[ofi, spread, mid]| [-ofi, spread, 200.0 - mid]);
    Made { open: 200.0 - bar.open, close: 200.0 - bar.close, flow, book }
}

#[test]
fn a_window_begins_anew_after_fifty_bars_without_a_flow() {
    for n_missing in [49, 50, 120] {
        let mut bars = walk(9, 60, 1e-3);
        bars.retain(|bar| bar.flow.as_ref().is_some_and(|flow| flow.whole.is_active()));
        bars.truncate(40);
        bars.splice(20..20, (0..n_missing).map(|_| Made { open: 1.0, close: 1.0, flow: None, book: None }));
        let readings = &run(&bars)["vpin"];
        assert!(readings[19].is_some() && readings[20..20 + n_missing].iter().all(Option::is_none));
        let first = readings[20..].iter().position(Option::is_some).unwrap();
        assert_eq!(first, if n_missing < 50 { n_missing } else { n_missing + 19 }, "{n_missing}");
    }
}

#[test]
fn where_the_price_stands_still_nothing_is_said_of_how_it_moves() {
    let one = || flow([[(1, 0.3, 0.1), (1, 0.1, 0.1)]; 6], &[(0, 12, 0.02)]);
    let bars: Vec<_> = (0..30).map(|_| Made { open: 0.1, close: 0.1, flow: Some(one()), book: None }).collect();
    for (name, readings) in run(&bars) {
        let is_of_price =
            ["absorption", "realised_spread", "kyle_lambda", "adverse_selection", "cvd_divergence"].contains(&name);
        assert!(!is_of_price || readings.iter().all(Option::is_none), "{name}: {:?}", readings.last());
    }
}

proptest! {
    #[test]
    fn scores_are_bounded_and_mirrored_flows_mirror_them(seed in 0u64.., n_bars in 20usize..60) {
        // Prices hardly move, so that turning them around leaves turnovers nearly as they were.
        let bars = walk(seed, n_bars, 1e-7);
        let mirrors: Vec<_> = bars.iter().map(mirrored).collect();
        let (there, mirrored) = (run(&bars), run(&mirrors));
        for (name, readings) in &there {
            for (have, other) in readings.iter().zip(&mirrored[name]) {
                prop_assert_eq!(have.is_some(), other.is_some(), "{}", name);
                let Some((have, other)) = have.zip(*other) else { continue };
                prop_assert!((0.0..=100.0).contains(&have.score), "{}: {}", name, have.score);
                prop_assert!((have.score + other.score - 100.0).abs() < 1e-3, "{}: {:?} {:?}", name, have, other);
            }
        }
    }

    #[test]
    fn balanced_takers_are_neutral(sizes in prop::collection::vec(0.1..10.0f64, 20..40), step in -1e-3..1e-3f64) {
        let mut price = 100.0;
        let mut next = |size: &f64| {
            price *= 1.0 + step * size;
            let slots = [[(3, *size, price), (3, *size, price)]; 6];
            Made { open: price, close: price, flow: Some(flow(slots, &[(7, 36, 0.0)])), book: Some([0.0, 0.01, price]) }
        };
        let bars: Vec<_> = sizes.iter().map(&mut next).collect();
        for (name, readings) in run(&bars) {
            // Prices that move without takers are a divergence.
            let is_neutral = |reading: &Reading| name == "cvd_divergence" || reading.score == 50.0;
            prop_assert!(readings.iter().flatten().all(is_neutral), "{}: {:?}", name, readings);
        }
    }
}

//! What must hold of any component of sentiment, and what each says of plain cases; their formulas are recomputed in
//! `tests/oracle/sentiment.py`.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{
    bar::Bar,
    flow::{Flow, Side, Sides},
    positions::{Forced, Margins},
    score::{
        component::Reading,
        flows::{Flowed, Flows, Moves},
        stakes::Stakes,
    },
};

/// The names of the indicators that are read, and what they are where the market neither moves nor leans.
const ROW: [(&str, f64); 5] =
    [("atr_14", 1.0), ("atr_50", 1.0), ("rsi_14", 50.0), ("relative_volume", 1.0), ("ema_50", 128.0)];

/// A bar: where it opens and closes, the ratios, the funding rate, what was bought and sold, who was forced out.
#[derive(Clone, Copy, Debug)]
struct Made {
    open: f64,
    close: f64,
    accounts: Option<f64>,
    top: Option<f64>,
    rate: Option<f64>,
    taken: (u32, u32),
    forced: (u32, u32),
    rsi: f64,
    volume: f64,
}

/// A market at rest of which everything is told.
const REST: Made = Made {
    open: 128.0,
    close: 128.0,
    accounts: Some(1.0),
    top: Some(1.0),
    rate: Some(0.0),
    taken: (5, 5),
    forced: (5, 5),
    rsi: 50.0,
    volume: 1.0,
};

fn side(n: u32) -> Side {
    let volume = f64::from(n);
    Side { n: n.into(), volume, turnover: 128.0 * volume }
}

impl Made {
    fn bar(&self) -> Bar {
        let (longs, shorts) = self.forced;
        let (longs, shorts) = (side(longs), side(shorts));
        let forced = (0 < longs.n + shorts.n).then_some(Forced { longs, shorts, ..Forced::NONE });
        let positions = Positions {
            open_interest: 1_000.0.into(),
            worth: 128_000.0.into(),
            funding_rate: self.rate.into(),
            accounts: self.accounts.into(),
            top_positions: self.top.into(),
            margins: Some(Margins { leverage: 50.0, initial: 0.02, maintenance: 0.01 }),
            forced,
            ..Positions::NONE
        };
        let (bought, sold) = self.taken;
        let flow = Flow { whole: Sides { bought: side(bought), sold: side(sold) }, ..Flow::default() };
        let (open, close) = (self.open, self.close);
        let bar = Bar::ohlcv(0, [open, open.max(close), open.min(close), close, 10.0]);
        let positions = Some(Arc::new(positions));
        Bar { positions, flow: Some(Arc::new(flow)), turnover: 1_280.0.into(), ..bar }
    }

    /// The same from the other side.
    fn mirrored(&self) -> Made {
        let across = |price: f64| 256.0 - price;
        let inverse = |ratio: Option<f64>| ratio.map(|ratio| 1.0 / ratio);
        let (bought, sold) = self.taken;
        let (longs, shorts) = self.forced;
        Made {
            open: across(self.open),
            close: across(self.close),
            accounts: inverse(self.accounts),
            top: inverse(self.top),
            rate: self.rate.map(|rate| -rate),
            taken: (sold, bought),
            forced: (shorts, longs),
            rsi: 100.0 - self.rsi,
            volume: self.volume,
        }
    }
}

/// Readings of all components at each bar.
fn run(bars: &[Made]) -> Vec<BTreeMap<&'static str, Option<Reading>>> {
    let names = ROW.map(|(name, _)| name.to_string());
    let mut all = dimension(0.1, &Columns::of(&names)).unwrap().components;
    let (mut flows, mut stakes) = (Flows::default(), Stakes::default());
    let read = |made: &Made| {
        let bar = made.bar();
        let mut row = ROW.map(|(_, value)| Some(value));
        (row[2], row[3]) = (Some(made.rsi), Some(made.volume));
        let (now, stake, mut moves) = (Flowed::of(&bar), stakes.read(&bar, None), Moves::default());
        let flow = flows.read(now.as_ref(), &mut moves);
        let inputs = Inputs { bar: &bar, row: &row, depth: None, flow, stake: stake.as_deref(), structure: None };
        let readings = all.iter_mut().map(|one| (one.component.name(), one.component.update(inputs))).collect();
        flows.push(now);
        stakes.push(&bar);
        readings
    };
    bars.iter().map(read).collect()
}

/// What a component says after a market at rest and then these bars.
fn after_rest(name: &str, bars: &[Made]) -> Option<Reading> {
    let all: Vec<Made> = std::iter::repeat_n(REST, 30).chain(bars.iter().copied()).collect();
    run(&all).pop()?[name]
}

fn score(name: &str, made: Made) -> f64 {
    after_rest(name, &[made]).unwrap().score
}

#[test]
fn at_rest_nothing_leans() {
    let readings = run(&[REST; 40]).pop().unwrap();
    assert_eq!(readings.len(), 7);
    for (name, reading) in readings {
        assert_eq!(reading.map(|reading| reading.score), Some(50.0), "{name}");
    }
}

#[test]
fn crowds_are_followed_while_they_grow_and_faded_at_extremes() {
    let of = |accounts: f64| score("long_short_ratio", Made { accounts: Some(accounts), top: None, ..REST });
    // The last 20 changes are one jump: tanh(sqrt(19) / sqrt(19)) = tanh 1 at either ratio.
    assert!(55.0 < of(1.5) && of(1.5) > of(3.0) && of(3.0) > of(9.0), "{} {} {}", of(1.5), of(3.0), of(9.0));
    let steady = |accounts: f64| {
        let made = Made { accounts: Some(accounts), top: None, ..REST };
        after_rest("long_short_ratio", &[made; 20]).unwrap().score
    };
    assert!(50.0 < steady(1.5) && (steady(3.0) - 50.0).abs() < 1e-9 && steady(9.0) < 20.0);
    let rate = |rate: f64| after_rest("funding_rate", &[Made { rate: Some(rate), ..REST }; 20]).unwrap().score;
    assert!(50.0 < rate(0.000_3) && (rate(0.001) - 50.0).abs() < 1e-9 && rate(0.003) < 20.0);
    // Of two rates the one that leapt is faded.
    assert!(score("funding_volatility", Made { rate: Some(0.000_5), ..REST }) < 40.0);
}

#[test]
fn forced_sales_weigh_while_they_last_and_lift_once_they_are_over() {
    let crash = Made { close: 126.0, forced: (200, 0), ..REST };
    let over = Made { forced: (0, 0), ..REST };
    assert!(after_rest("liquidations", &[crash]).unwrap().score < 40.0);
    assert!(60.0 < after_rest("liquidations", &[crash, over]).unwrap().score);
    let nobody = Made { forced: (0, 0), ..REST };
    assert_eq!(run(&[nobody; 30]).pop().unwrap()["liquidations"], None);
}

#[test]
fn risk_goes_against_the_crowded_side_and_what_is_not_told_is_absent() {
    let crowded = Made { accounts: Some(4.0), ..REST };
    let risk = after_rest("risk", &[crowded]).unwrap();
    // A range of 1/128: .4 x .5 + .3 x 2^-(.01 x 32) + .3 x 2^-(.01 x 128).
    assert!((risk.raw - (0.2 + 0.3 * libm::exp2(-0.32) + 0.3 * libm::exp2(-1.28))).abs() < 1e-12 && risk.score < 45.0);
    let silent = Made { accounts: None, top: None, rate: None, ..REST };
    let readings = run(&[silent; 40]).pop().unwrap();
    let there: Vec<&str> = readings.iter().filter(|(_, reading)| reading.is_some()).map(|(name, _)| *name).collect();
    assert_eq!(there, ["liquidations", "market_mood", "volume_sentiment"]);
}

#[test]
fn mood_follows_momentum_volume_and_trend() {
    let up = Made { open: 127.0, close: 130.0, rsi: 70.0, ..REST };
    let of = |volume| score("market_mood", Made { volume, ..up });
    assert!(60.0 < of(1.0) && of(1.0) < of(4.0));
    // 100 (.3 x .4 + .2 tanh(3) / 2 + .2 tanh(1)).
    let expected = 100.0 * (0.12 + 0.1 * libm::tanh(3.0) + 0.2 * libm::tanh(1.0));
    assert!((after_rest("market_mood", &[Made { volume: 1.0, ..up }]).unwrap().raw - expected).abs() < 1e-9);
}

fn made() -> impl Strategy<Value = Made> {
    let price = || (-64i32..64).prop_map(|n| 128.0 + f64::from(n) / 64.0);
    let ratio = || prop::option::weighted(0.9, (-3i32..4).prop_map(|n| 2.0_f64.powi(n)));
    let rate = prop::option::weighted(0.9, (-300i32..300).prop_map(|n| f64::from(n) * 1e-5));
    let taken = (1u32..9, 1u32..9);
    let forced = prop_oneof![2 => Just((0, 0)), 1 => (0u32..50, 0u32..50)];
    let indicators = (0i32..=100, 0i32..9);
    (price(), price(), ratio(), ratio(), rate, taken, forced, indicators).prop_map(
        |(open, close, accounts, top, rate, taken, forced, (rsi, volume))| {
            let (rsi, volume) = (f64::from(rsi), f64::from(volume));
            Made { open, close, accounts, top, rate, taken, forced, rsi, volume }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn readings_are_bounded_and_mirrored_bars_mirror_them(bars in prop::collection::vec(made(), 20..60)) {
        let mirrored: Vec<Made> = bars.iter().map(Made::mirrored).collect();
        for (own, across) in run(&bars).into_iter().zip(run(&mirrored)) {
            for ((name, own), across) in own.into_iter().zip(across.into_values()) {
                prop_assert_eq!(own.is_some(), across.is_some(), "{}", name);
                let Some((own, across)) = own.zip(across) else { continue };
                prop_assert!((0.0..=100.0).contains(&own.score) && own.raw.is_finite(), "{} {:?}", name, own);
                // A range is another share of a mirrored price.
                let tolerance = if name == "risk" { 0.5 } else { 1e-6 };
                prop_assert!((own.score + across.score - 100.0).abs() < tolerance, "{} {:?} {:?}", name, own, across);
            }
        }
    }
}

//! The volume components against their formulas in METHODS.md, recomputed at every bar.

#![expect(clippy::disallowed_methods, reason = "the reference uses another tanh on purpose")]

use crate::{
    bar::Bar,
    indicator::contract::{flat, walk},
    score::{
        component::{Columns, squash},
        technical::tests::{Formula, Past, check, columns},
        volume::dimension,
    },
};

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn covariance(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| (a - mean(x)) * (b - mean(y))).sum::<f64>() / x.len() as f64
}

/// None if one of them is constant.
fn correlation(x: &[f64], y: &[f64]) -> Option<f64> {
    let moved = |x: &[f64]| x.iter().any(|value| *value != x[0]);
    (moved(x) && moved(y)).then(|| covariance(x, y) / (covariance(x, x) * covariance(y, y)).sqrt())
}

fn flow(past: Past<'_>) -> Option<f64> {
    let delta: f64 = past.last(14, "volume_delta")?.iter().sum();
    let volume: f64 = past.bars.iter().rev().take(14).map(|bar| bar.volume).sum();
    (0.0 < volume).then(|| delta / volume)
}

const FORMULAS: &[Formula] = &[
    ("volume_delta", |past| {
        let d = flow(past)?;
        Some((d, 50.0 + 50.0 * (2.0 * d * (0.5 + past.get("adx_14")? / 50.0)).tanh()))
    }),
    ("adl", |past| {
        let ago: Vec<f64> = (0..20).map(|j| -f64::from(j)).collect();
        let r = correlation(&past.last(20, "adl")?, &ago)?;
        Some((r, squash(3.0 * r)))
    }),
    ("cmf", |past| {
        let x = mean(&past.last(3, "cmf_20")?);
        Some((x, squash(8.0 * x)))
    }),
    ("relative_volume", |past| {
        let (v, bar) = (past.get("relative_volume")?, past.bars.last()?);
        let side = if bar.open == bar.close { 0.0 } else { (bar.close - bar.open).signum() };
        Some((v, squash(side * v)))
    }),
    ("obv", |past| {
        let change = |i| Some(past.ago(i, "obv")? - past.ago(i + 5, "obv")?);
        let changes: Vec<f64> = (0..20).map(change).collect::<Option<_>>()?;
        let rho = correlation(&past.last(20, "obv")?, &past.closes(20)?)?;
        let range = |values: &[f64]| {
            values.iter().fold(f64::MIN, |a, b| a.max(*b)) - values.iter().fold(f64::MAX, |a, b| a.min(*b))
        };
        let largest = past.last(25, "obv")?.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        (1e-14 * largest < range(&changes)).then_some(())?;
        let z = (changes[0] - mean(&changes)) / covariance(&changes, &changes).sqrt();
        Some((z, squash(z * (1.0 + rho) / 2.0)))
    }),
    ("divergence", |past| {
        let f = (3.0 * flow(past)?).tanh();
        let atr = past.get("atr_14").filter(|atr| 0.0 < *atr)?;
        let closes = past.closes(15)?;
        let p = ((closes[0] - closes[14]) / (atr * 14f64.sqrt())).tanh();
        Some((f - p, 50.0 + 25.0 * (f - p)))
    }),
];

#[test]
fn formulas() {
    let names = columns();
    let volume = || dimension(0.15, &Columns::of(&names)).unwrap();
    assert_eq!(check(volume(), FORMULAS, &walk(400, 31, 40.0)), [373, 381, 379, 380, 376, 386]);
    // Bars of the venue first, one more among the others, and a silence.
    let mut bars = walk(500, 32, 40.0);
    for i in (0..100).chain([200]) {
        bars[i].buy_volume = crate::bar::Number::ABSENT;
    }
    let last = bars[299].close;
    bars.splice(300..360, (300..360).map(flat(last)));
    assert_eq!(check(volume(), FORMULAS, &bars), [326, 439, 436, 439, 434, 326]);
}

#[test]
fn dead_markets_are_absent() {
    let names = columns();
    let bars: Vec<Bar> = (0..300).map(flat(0.1)).collect();
    assert_eq!(check(dimension(0.15, &Columns::of(&names)).unwrap(), FORMULAS, &bars), [0; 6]);
}

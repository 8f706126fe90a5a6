//! The technical components against their formulas in METHODS.md, recomputed at every bar.

#![expect(clippy::disallowed_methods, reason = "the reference uses another tanh on purpose")]

use prism_schemas::table::INDICATOR_COLUMNS;

use crate::{
    bar::Bar,
    indicator::contract::{flat, rows, walk},
    score::{
        component::{Columns, Component, Inputs, Reading, squash},
        profile::Dimension,
        technical::{Rsi, dimension},
    },
};

/// All columns.
pub(in crate::score) fn columns() -> Vec<String> {
    INDICATOR_COLUMNS.iter().map(|name| name.to_string()).collect()
}

/// Bars so far with their indicators.
#[derive(Clone, Copy)]
pub(in crate::score) struct Past<'a> {
    pub(in crate::score) bars: &'a [Bar],
    rows: &'a [Vec<Option<f64>>],
}

impl Past<'_> {
    /// A column's value, this many bars ago.
    pub(in crate::score) fn ago(&self, n_bars: usize, name: &str) -> Option<f64> {
        let column = INDICATOR_COLUMNS.iter().position(|column| *column == name).unwrap();
        self.rows[self.rows.len().checked_sub(1 + n_bars)?][column]
    }

    /// A column's value at the last bar.
    pub(in crate::score) fn get(&self, name: &str) -> Option<f64> {
        self.ago(0, name)
    }

    /// A column's last values, newest first, if there are as many.
    pub(in crate::score) fn last(&self, n: usize, name: &str) -> Option<Vec<f64>> {
        (0..n).map(|i| self.ago(i, name)).collect()
    }

    /// Closes, newest first.
    pub(in crate::score) fn closes(&self, n: usize) -> Option<Vec<f64>> {
        (n <= self.bars.len()).then(|| self.bars.iter().rev().take(n).map(|bar| bar.close).collect())
    }
}

/// A component's name and its formula for raw value and score.
pub(in crate::score) type Formula = (&'static str, fn(Past<'_>) -> Option<(f64, f64)>);

/// Compares every component with its formula at every bar; gives the number of readings of each.
pub(in crate::score) fn check(mut dimension: Dimension, formulas: &[Formula], bars: &[Bar]) -> Vec<usize> {
    let rows = rows(bars);
    assert!(dimension.components.iter().map(|part| part.component.name()).eq(formulas.iter().map(|(name, _)| *name)));
    let compare = |(part, (name, formula)): (&mut _, &Formula)| {
        let crate::score::profile::Weighted { component, .. } = part;
        let mut n_readings = 0;
        for (i, bar) in bars.iter().enumerate() {
            let reading =
                component.update(Inputs { bar, row: &rows[i], depth: None, flow: None, stake: None, structure: None });
            match (reading, formula(Past { bars: &bars[..=i], rows: &rows[..=i] })) {
                (Some(Reading { raw, score }), Some(expected)) => {
                    n_readings += 1;
                    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
                    assert!(
                        close(raw, expected.0) && close(score, expected.1),
                        "{name} at {i}: {raw} {score} {expected:?}"
                    );
                    assert!((0.0..=100.0).contains(&score), "{name} at {i}: {score}");
                }
                (reading, expected) => {
                    assert!(reading.is_none() && expected.is_none(), "{name} at {i}: {reading:?} {expected:?}")
                }
            }
        }
        n_readings
    };
    dimension.components.iter_mut().zip(formulas).map(compare).collect()
}

fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

fn positive(x: f64) -> Option<f64> {
    (0.0 < x).then_some(x)
}

const FORMULAS: &[Formula] = &[
    ("rsi", |past| {
        past.bars.iter().find(|bar| bar.close != past.bars[0].close)?;
        let r = past.get("rsi_14")?;
        let score = match r {
            30.0..=70.0 => 50.0 + 2.0 * (r - 50.0),
            70.0.. => 90.0 - 40.0 * (r - 70.0) / 30.0,
            _ => 10.0 + 40.0 * (30.0 - r) / 30.0,
        };
        Some((r, score))
    }),
    ("ao", |past| {
        let (ao, atr) = (past.last(6, "ao")?, positive(past.get("atr_14")?)?);
        let (v, m) = (ao[0] / atr, (ao[0] - ao[1]) / atr);
        let t = (0..5).map(|j| sign(ao[j] - ao[j + 1])).sum::<f64>() / 5.0;
        Some((v, 50.0 + 50.0 * (0.5 * (v / 2.0).tanh() + 0.3 * (2.0 * m).tanh() + 0.2 * t)))
    }),
    ("macd", |past| {
        let (line, histogram) = (past.last(2, "macd_line")?, past.last(2, "macd_histogram")?);
        let atr = positive(past.get("atr_14")?)?;
        let h = histogram[0] / atr;
        let slopes = 0.15 * sign(histogram[0] - histogram[1]) + 0.15 * sign(line[0] - line[1]);
        Some((h, 50.0 + 50.0 * (0.4 * (2.0 * h).tanh() + 0.3 * (line[0] / atr / 2.0).tanh() + slopes)))
    }),
    ("williams_r", |past| {
        let w = past.get("williams_r_14")?;
        let bars = &past.bars[past.bars.len() - 14..];
        bars.iter().find(|bar| bar.high != bars[0].low || bar.low != bars[0].low)?;
        let x = 100.0 + w;
        let score = match x {
            20.0..=80.0 => x,
            80.0.. => 80.0 - 1.5 * (x - 80.0),
            _ => 20.0 + 1.5 * (20.0 - x),
        };
        Some((w, score))
    }),
    ("cci", |past| {
        let c = past.get("cci_20")?;
        let bars = &past.bars[past.bars.len() - 20..];
        bars.iter().find(|bar| bar.typical() != bars[0].typical())?;
        let far = 50.0 + (squash(2.0 * sign(c)) - 50.0) * (1.0 - (c.abs() - 200.0) / 200.0).max(0.0);
        Some((c, if c.abs() <= 200.0 { squash(c / 100.0) } else { far }))
    }),
    ("atr", |past| {
        let (fast, slow) = (positive(past.get("atr_14")?)?, positive(past.get("atr_50")?)?);
        let x = fast / slow;
        let trend = ((past.bars.last()?.close - past.get("ema_20")?) / fast).tanh();
        Some((x, 50.0 + 50.0 * trend * x.min(2.0) / 2.0))
    }),
];

#[test]
fn formulas() {
    let names = columns();
    let technical = || dimension(0.15, &Columns::of(&names)).unwrap();
    assert_eq!(check(technical(), FORMULAS, &walk(400, 21, 40.0)), [386, 362, 366, 387, 381, 350]);
    // Silent, alive, silent: with trends strong enough for the extremes.
    let mut bars: Vec<Bar> = (0..40).map(flat(40.0)).chain(walk(500, 22, 40.0)).collect();
    for (i, bar) in bars.iter_mut().enumerate().skip(40) {
        let tide = 1.0 + 0.1 * libm::sin(i as f64 / 20.0);
        for price in [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close] {
            *price *= tide;
        }
    }
    let last = bars[539].close;
    bars.extend((540..600).map(flat(last)));
    assert_eq!(check(technical(), FORMULAS, &bars), [560, 560, 560, 513, 519, 550]);
    for (name, low, high) in [("rsi_14", 30.0, 70.0), ("williams_r_14", -80.0, -20.0), ("cci_20", -200.0, 200.0)] {
        let column = names.iter().position(|column| column == name).unwrap();
        let values: Vec<f64> = rows(&bars[..540]).iter().filter_map(|row| row[column]).collect();
        assert!(values.iter().any(|x| *x < low) && values.iter().any(|x| high < *x), "{name} stays within its range");
    }
}

#[test]
fn dead_markets_are_absent() {
    let names = columns();
    let bars: Vec<Bar> = (0..300).map(flat(0.1)).collect();
    assert_eq!(check(dimension(0.15, &Columns::of(&names)).unwrap(), FORMULAS, &bars), [0; 6]);
}

#[test]
fn labels() {
    let words = [29.9, 30.0, 44.9, 45.0, 55.0, 55.1, 70.0, 70.1].map(|rsi| <Rsi as Component>::label(rsi, 0.0));
    let (oversold, overbought) = ("moderately oversold", "moderately overbought");
    let middle = [oversold, oversold, "neutral", "neutral", overbought, overbought];
    assert_eq!(words[0], "strongly oversold");
    assert_eq!(words[1..7], middle);
    assert_eq!(words[7], "strongly overbought");
}

#[test]
fn missing_columns() {
    let names = ["rsi_14".to_string()];
    assert_eq!(dimension(0.15, &Columns::of(&names)).err().unwrap().0, "ao");
}

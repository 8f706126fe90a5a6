//! What must hold of any component of price structure; their formulas are recomputed in `tests/oracle/structure.py`.

use std::collections::BTreeMap;

use crate::{
    bar::Bar,
    indicator::{Atr, Indicator, VwapDay, contract::walk},
    score::{
        component::{Columns, Inputs, Reading},
        pricestructure::dimension,
        profile::Weighted,
    },
    structure::Structure,
};

/// A series, its structure and the components that read it.
struct Series {
    atr: Atr,
    vwap: VwapDay,
    structure: Structure,
    components: Vec<Weighted>,
}

type Readings = BTreeMap<&'static str, Option<Reading>>;

impl Series {
    fn new() -> Series {
        let names = ["atr_14".to_string(), "vwap_day".to_string()];
        let components = dimension(0.15, &Columns::of(&names)).unwrap().components;
        Series { atr: Atr::new(14), vwap: VwapDay::default(), structure: Structure::default(), components }
    }

    /// What components make of a bar with these indicators; they keep nothing.
    fn read(&mut self, bar: &Bar, row: &[Option<f64>]) -> Readings {
        let inputs = Inputs { bar, row, depth: None, flow: None, stake: None, structure: Some(&self.structure) };
        self.components.iter_mut().map(|one| (one.component.name(), one.component.update(inputs))).collect()
    }

    fn next(&mut self, bar: &Bar) -> Readings {
        let row = [self.atr.next(bar)[0], self.vwap.next(bar)[0]];
        let readings = self.read(bar, &row);
        self.structure.push(bar, row[0]);
        readings
    }
}

/// The same, seen from the other side of a price that no rounding touches.
fn mirrored(bar: &Bar) -> Bar {
    let [open, high, low, close] = [bar.open, bar.low, bar.high, bar.close].map(|price| 256.0 - price);
    let turnover = bar.turnover.get().map(|turnover| 256.0 * bar.volume - turnover);
    Bar { open, high, low, close, turnover: turnover.into(), ..bar.clone() }
}

/// Bars whose prices have few binary digits.
fn bars(seed: u64) -> Vec<Bar> {
    let round = |price: f64| (price * 4096.0).round() / 4096.0;
    let bars = walk(600, seed, 128.0).into_iter();
    let rounded = bars.map(|bar| {
        let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(round);
        Bar { open, high, low, close, ..bar }
    });
    rounded.collect()
}

#[test]
fn readings_are_bounded_and_mirrored_bars_mirror_them() {
    let mut seen: BTreeMap<&str, (usize, f64, f64)> = BTreeMap::new();
    for seed in 1..6 {
        let [mut series, mut other] = [Series::new(), Series::new()];
        for (at, bar) in bars(seed).iter().enumerate() {
            let (own, across) = (series.next(bar), other.next(&mirrored(bar)));
            for ((name, own), across) in own.into_iter().zip(across.into_values()) {
                assert_eq!(own.is_some(), across.is_some(), "{name} at {at}");
                let (Some(own), Some(across)) = (own, across) else { continue };
                assert!((0.0..=100.0).contains(&own.score) && own.raw.is_finite(), "{name} at {at}: {own:?}");
                // Of equally large bins the lower one is the point of control on both sides.
                if name != "value_area" {
                    assert!((own.score + across.score - 100.0).abs() < 1e-6, "{name} at {at}: {own:?} {across:?}");
                }
                let (n, least, most) = seen.entry(name).or_insert((0, 100.0, 0.0));
                (*n, *least, *most) = (*n + 1, least.min(own.score), most.max(own.score));
            }
        }
    }
    assert_eq!(seen.len(), 6);
    for (name, (n, least, most)) in seen {
        assert!(2_000 < n && least < 40.0 && 60.0 < most, "{name}: {n} readings from {least} to {most}");
    }
}

#[test]
fn a_little_price_changes_a_score_a_little() {
    for seed in 10..15 {
        let mut series = Series::new();
        bars(seed).iter().for_each(|bar| drop(series.next(bar)));
        let (vwap, atr) = (128.0, 1.0);
        let mut before: Option<Readings> = None;
        for step in -8_000..8_000 {
            let close = 128.0 + f64::from(step) / 1_000.0;
            let now = series.read(&Bar::ohlcv(0, [close, close, close, close, 1.0]), &[Some(atr), Some(vwap)]);
            for (name, now) in &now {
                let was = before.as_ref().map_or(now, |before| &before[name]);
                let [was, now] = [was, now].map(|reading| reading.unwrap().score);
                // Through a narrow gap it is steep.
                assert!((now - was).abs() < 5.0, "{name} at {close}: from {was} to {now}");
            }
            before = Some(now);
        }
    }
}

#[test]
fn without_a_unit_nothing_is_read() {
    let mut series = Series::new();
    let still = Bar::ohlcv(0, [100.0, 100.0, 100.0, 100.0, 1.0]);
    for _ in 0..80 {
        assert!(series.next(&still).values().all(Option::is_none), "a dead market is neither bullish nor bearish");
    }
}

//! What every indicator must keep: names, warm-up, independence of clones, finite values, determinism.

use prism_schemas::{table::INDICATOR_COLUMNS, time::MINUTE};

use crate::{bar::Bar, indicator::indicators};

/// Index of the first value of each column (METHODS.md, in brackets).
const FIRST: &[(&str, usize)] = &[
    ("sma_5", 4),
    ("sma_10", 9),
    ("sma_20", 19),
    ("sma_50", 49),
    ("sma_200", 199),
    ("ema_9", 8),
    ("ema_12", 11),
    ("ema_20", 19),
    ("ema_26", 25),
    ("ema_50", 49),
    ("ema_200", 199),
    ("dema_20", 38),
    ("tema_20", 57),
    ("wma_20", 19),
    ("rsi_14", 14),
    ("macd_line", 25),
    ("macd_signal_line", 33),
    ("macd_histogram", 33),
    ("stochastic_k", 17),
    ("stochastic_d", 17),
    ("williams_r_14", 13),
    ("cci_20", 19),
    ("ao", 33),
    ("roc_10", 10),
    ("adx_14", 27),
    ("plus_di_14", 14),
    ("minus_di_14", 14),
    ("atr_14", 14),
    ("atr_20", 20),
    ("atr_50", 50),
    ("bollinger_upper", 19),
    ("bollinger_middle", 19),
    ("bollinger_lower", 19),
    ("bollinger_percent_b", 19),
    ("bollinger_width", 19),
    ("keltner_upper", 20),
    ("keltner_middle", 20),
    ("keltner_lower", 20),
    ("donchian_upper", 19),
    ("donchian_lower", 19),
    ("donchian_middle", 19),
    ("obv", 0),
    ("adl", 0),
    ("cmf_20", 19),
    ("mfi_14", 14),
    ("vwap_day", 0),
    ("volume_sma_20", 19),
    ("relative_volume", 20),
    ("volume_delta", 0),
    ("cvd", 0),
    ("psar", 1),
    ("supertrend", 10),
    ("supertrend_direction", 10),
];

/// One row of all indicators per bar.
pub(crate) fn rows(bars: &[Bar]) -> Vec<Vec<Option<f64>>> {
    let mut all = indicators();
    let row = |bar| {
        let mut row = Vec::new();
        all.iter_mut().for_each(|indicator| indicator.update(bar, &mut row));
        row
    };
    bars.iter().map(row).collect()
}

/// The i-th bar of a market that does not trade.
pub(crate) fn flat(price: f64) -> impl Fn(i64) -> Bar {
    move |i| Bar { buy_volume: 0.0.into(), ..Bar::ohlcv(i * MINUTE, [price, price, price, price, 0.0]) }
}

/// A random walk of one-minute bars with flow, prices around `scale`.
pub(crate) fn walk(n_bars: usize, seed: u64, scale: f64) -> Vec<Bar> {
    let mut state = seed;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut open = scale;
    let mut bars = Vec::new();
    for i in 0..n_bars {
        let close = open * (1.0 + 0.01 * (random() - 0.5));
        let high = open.max(close) * (1.0 + 0.002 * random());
        let low = open.min(close) * (1.0 - 0.002 * random());
        let volume = 1.0 + 9.0 * random();
        bars.push(Bar {
            buy_volume: (volume * random()).into(),
            turnover: (volume * (high + low) / 2.0).into(),
            ..Bar::ohlcv(i as i64 * MINUTE, [open, high, low, close, volume])
        });
        open = close;
    }
    bars
}

#[test]
fn names() {
    let names: Vec<String> = indicators().iter().flat_map(|indicator| indicator.names()).collect();
    assert_eq!(names, INDICATOR_COLUMNS);
    assert!(FIRST.iter().map(|(name, _)| name).eq(INDICATOR_COLUMNS));
}

#[test]
fn warm_up() {
    let rows = rows(&walk(300, 1, 100.0));
    for (column, (name, first)) in FIRST.iter().enumerate() {
        for (i, row) in rows.iter().enumerate() {
            assert_eq!(row[column].is_some(), *first <= i, "{name} at bar {i}");
        }
    }
}

#[test]
fn clones_are_independent() {
    let (bars, others) = (walk(300, 2, 100.0), walk(300, 3, 50.0));
    for mut indicator in indicators() {
        let (mut row, mut expected) = (Vec::new(), Vec::new());
        let mut alone = indicator.boxed();
        for (i, bar) in bars.iter().enumerate() {
            // A copy that goes another way must leave no trace.
            let mut copy = indicator.boxed();
            others[i..].iter().take(5).for_each(|other| copy.update(other, &mut Vec::new()));
            if i % 7 == 3 {
                indicator = indicator.boxed();
            }
            indicator.update(bar, &mut row);
            alone.update(bar, &mut expected);
        }
        assert_eq!(row, expected, "{:?}", indicator.names());
    }
}

#[test]
fn same_bars_same_bits() {
    let bars = walk(400, 4, 3.0e4);
    let bits = |rows: Vec<Vec<Option<f64>>>| -> Vec<_> { rows.concat().iter().map(|x| x.map(f64::to_bits)).collect() };
    assert_eq!(bits(rows(&bars)), bits(rows(&bars)));
}

#[test]
fn only_finite_values() {
    let cases = [1.0, 0.1, 1e-12, 1e12].map(|price| (0..300).map(flat(price)).collect());
    let moving = [1e-12, 1e-8, 1e8, 1e12].map(|scale| walk(300, 5, scale));
    // A market that dies, and one that wakes up.
    let dying: Vec<Bar> = walk(100, 6, 0.3).into_iter().chain((100..400).map(flat(0.3))).collect();
    let waking = (0..100).map(flat(0.3)).chain(walk(300, 7, 0.3).into_iter().skip(100)).collect();
    for bars in cases.into_iter().chain(moving).chain([dying, waking]) {
        let rows = rows(&bars);
        assert!(rows.iter().flatten().flatten().all(|value| value.is_finite()));
    }
}

#[test]
fn flat_market() {
    let bars: Vec<Bar> = (0..300).map(flat(0.1)).collect();
    let last = rows(&bars).pop().unwrap();
    let value = |name: &str| last[INDICATOR_COLUMNS.iter().position(|column| *column == name).unwrap()];
    for absent in ["bollinger_percent_b", "cmf_20", "vwap_day", "relative_volume"] {
        assert_eq!(value(absent), None, "{absent}");
    }
    let zero = "rsi_14 stochastic_k stochastic_d williams_r_14 cci_20 roc_10 adx_14 plus_di_14 minus_di_14 atr_14 atr_20 \
                atr_50 bollinger_width obv adl mfi_14 volume_sma_20 volume_delta cvd";
    for zero in zero.split_whitespace() {
        assert_eq!(value(zero), Some(0.0), "{zero}");
    }
    for price in ["bollinger_upper", "bollinger_middle", "donchian_middle", "psar", "supertrend"] {
        assert_eq!(value(price), Some(0.1), "{price}");
    }
    assert_eq!(value("supertrend_direction"), Some(1.0));
}

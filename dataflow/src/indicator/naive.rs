//! From-scratch recomputation, straight from METHODS.md, of what TA-Lib lacks.

use prism_schemas::{
    Timeframe,
    table::INDICATOR_COLUMNS,
    time::{DAY, MINUTE},
};

use crate::{
    bar::Bar,
    indicator::contract::{rows, walk},
};

/// Compares a column with `naive(bars up to and including this one)` at every bar; gives the number of values.
fn check(bars: &[Bar], rows: &[Vec<Option<f64>>], name: &str, naive: impl Fn(&[Bar]) -> Option<f64>) -> usize {
    let column = INDICATOR_COLUMNS.iter().position(|column| *column == name).unwrap();
    let mut n_values = 0;
    for (i, row) in rows.iter().enumerate() {
        match (row[column], naive(&bars[..=i])) {
            (Some(value), Some(expected)) => {
                n_values += 1;
                let scale = expected.abs().max(1e-6 * bars[i].close);
                assert!((value - expected).abs() <= 1e-9 * scale, "{name} at {i}: {value} but {expected}");
            }
            (value, expected) => assert_eq!(value, expected, "{name} at {i}"),
        }
    }
    n_values
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n_values = values.len() as f64;
    values.sum::<f64>() / n_values
}

fn last(bars: &[Bar], n: usize) -> Option<&[Bar]> {
    bars.len().checked_sub(n).map(|from| &bars[from..])
}

fn smooth(values: &[f64], n: usize, smoothing: f64) -> Option<f64> {
    let (seed, rest) = values.split_at_checked(n)?;
    Some(rest.iter().fold(mean(seed.iter().copied()), |v, x| v + smoothing * (x - v)))
}

fn atr(bars: &[Bar], n: usize) -> Option<f64> {
    let range = |pair: &[Bar]| {
        let (close, bar) = (pair[0].close, &pair[1]);
        (bar.high - bar.low).max((bar.high - close).abs()).max((bar.low - close).abs())
    };
    smooth(&bars.windows(2).map(range).collect::<Vec<_>>(), n, 1.0 / n as f64)
}

fn adl(bars: &[Bar]) -> f64 {
    let term = |bar: &Bar| bar.volume * ((bar.close - bar.low) - (bar.high - bar.close)) / (bar.high - bar.low);
    bars.iter().filter(|bar| bar.low < bar.high).map(term).sum()
}

/// Direction and value after all bars.
fn supertrend(bars: &[Bar]) -> Option<(f64, f64)> {
    let bands = |i: usize| {
        let middle = (bars[i].high + bars[i].low) / 2.0;
        atr(&bars[..=i], 10).map(|atr| (middle + 3.0 * atr, middle - 3.0 * atr, middle))
    };
    let mut trend: Option<(f64, f64, f64)> = None;
    for (i, bar) in bars.iter().enumerate() {
        let Some((upper, lower, middle)) = bands(i) else { continue };
        trend = Some(match trend {
            None => (upper, lower, if bar.close >= middle { 1.0 } else { -1.0 }),
            Some((upper_1, lower_1, direction)) => {
                let close_1 = bars[i - 1].close;
                let upper = if upper < upper_1 || close_1 > upper_1 { upper } else { upper_1 };
                let lower = if lower > lower_1 || close_1 < lower_1 { lower } else { lower_1 };
                let turned = if direction == 1.0 { bar.close < lower } else { bar.close > upper };
                (upper, lower, if turned { -direction } else { direction })
            }
        });
    }
    trend.map(|(upper, lower, direction)| (direction, if direction == 1.0 { lower } else { upper }))
}

#[test]
fn bands_and_oscillators() {
    // Trends that last, so that SuperTrend turns now and then.
    let mut bars = walk(500, 11, 40.0);
    for (i, bar) in bars.iter_mut().enumerate() {
        let tide = 1.0 + 0.2 * libm::sin(i as f64 / 25.0);
        for price in [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close] {
            *price *= tide;
        }
    }
    let rows = rows(&bars);
    let middles = |bars: &[Bar]| mean(bars.iter().map(|bar| (bar.high + bar.low) / 2.0));
    let ao = |bars: &[Bar]| Some(middles(last(bars, 5)?) - middles(last(bars, 34)?));
    assert_eq!(check(&bars, &rows, "ao", ao), 500 - 33);

    for (name, side) in [("keltner_upper", 2.0), ("keltner_middle", 0.0), ("keltner_lower", -2.0)] {
        let keltner = |bars: &[Bar]| {
            let closes: Vec<f64> = bars.iter().map(|bar| bar.close).collect();
            Some(smooth(&closes, 20, 2.0 / 21.0)? + side * atr(bars, 20)?)
        };
        assert_eq!(check(&bars, &rows, name, keltner), 500 - 20);
    }

    let upper = |bars: &[Bar]| last(bars, 20).map(|bars| bars.iter().map(|bar| bar.high).fold(f64::MIN, f64::max));
    let lower = |bars: &[Bar]| last(bars, 20).map(|bars| bars.iter().map(|bar| bar.low).fold(f64::MAX, f64::min));
    assert_eq!(check(&bars, &rows, "donchian_upper", upper), 500 - 19);
    assert_eq!(check(&bars, &rows, "donchian_lower", lower), 500 - 19);
    assert_eq!(check(&bars, &rows, "donchian_middle", |bars| Some((upper(bars)? + lower(bars)?) / 2.0)), 500 - 19);

    let direction = |bars: &[Bar]| supertrend(bars).map(|(direction, _)| direction);
    assert_eq!(check(&bars, &rows, "supertrend", |bars| supertrend(bars).map(|(_, value)| value)), 500 - 10);
    assert_eq!(check(&bars, &rows, "supertrend_direction", direction), 500 - 10);
    let column = INDICATOR_COLUMNS.len() - 1;
    assert!(3 <= rows.windows(2).skip(10).filter(|pair| pair[0][column] != pair[1][column]).count());
}

#[test]
fn volume() {
    let mut bars = walk(400, 12, 40.0);
    for bar in bars.iter_mut().skip(100).take(30) {
        (bar.volume, bar.turnover, bar.buy_volume) = (0.0, 0.0.into(), 0.0.into());
    }
    for bar in &mut bars[..50] {
        bar.buy_volume = crate::bar::Number::ABSENT;
    }
    for bar in bars.iter_mut().step_by(3) {
        bar.turnover = crate::bar::Number::ABSENT;
    }
    // Midnight falls into the silence.
    bars.iter_mut().for_each(|bar| bar.start += 20 * DAY - 120 * MINUTE);
    let rows = rows(&bars);
    let volume = |bars: &[Bar]| bars.iter().map(|bar| bar.volume).sum::<f64>();

    let cmf = |bars: &[Bar]| last(bars, 20).filter(|bars| 0.0 < volume(bars)).map(|bars| adl(bars) / volume(bars));
    assert_eq!(check(&bars, &rows, "cmf_20", cmf), 400 - 19 - 11);
    let cvd = |bars: &[Bar]| {
        bars.last()?.buy_volume.get()?;
        Some(bars.iter().filter_map(|bar| bar.buy_volume.get().map(|buy| 2.0 * buy - bar.volume)).sum())
    };
    assert_eq!(check(&bars, &rows, "cvd", cvd), 350);
    let vwap = |bars: &[Bar]| {
        let midnight = bars.last()?.start / DAY * DAY;
        let day: Vec<Bar> = bars.iter().filter(|bar| midnight <= bar.start).cloned().collect();
        let value = |bar: &Bar| bar.turnover.get().unwrap_or((bar.high + bar.low + bar.close) / 3.0 * bar.volume);
        (0.0 < volume(&day)).then(|| day.iter().map(value).sum::<f64>() / volume(&day))
    };
    assert_eq!(check(&bars, &rows, "vwap_day", vwap), 400 - 10);
    let recent = |bars: &[Bar]| {
        let (bar, before) = bars.split_last()?;
        let baseline = volume(last(before, 20)?) / 20.0;
        (0.0 < baseline).then(|| bar.volume / baseline)
    };
    assert_eq!(check(&bars, &rows, "relative_volume", recent), 400 - 20 - 11);
}

#[test]
fn time_of_day() {
    let mut bars = walk(40 * 6, 13, 40.0);
    for (i, bar) in bars.iter_mut().enumerate() {
        (bar.timeframe, bar.start) = (Timeframe::H4, i as i64 * Timeframe::H4.length());
    }
    // Bars may be missing, and a time of day may be without volume.
    bars.iter_mut().filter(|bar| bar.start % DAY == 0).for_each(|bar| bar.volume = 0.0);
    bars.retain(|bar| bar.start / DAY != 5 && bar.start / DAY != 17);
    let relative_volume = |bars: &[Bar]| {
        let (bar, before) = bars.split_last()?;
        let same = |other: &&Bar| (bar.start - other.start) % DAY == 0;
        let volumes: Vec<f64> = before.iter().filter(same).map(|bar| bar.volume).collect();
        let running = |m: f64, (count, volume): (usize, &f64)| m + (volume - m) / 20.0f64.min(count as f64 + 1.0);
        let baseline = match volumes.len() {
            0..3 => mean(last(before, 20)?.iter().map(|bar| bar.volume)),
            _ => volumes.iter().enumerate().fold(0.0, running),
        };
        (0.0 < baseline).then(|| bar.volume / baseline)
    };
    // Five of six times of day from day 3 on: the first 20 bars end within it.
    assert_eq!(check(&bars, &rows(&bars), "relative_volume", relative_volume), 5 * 38 - 15);

    bars.iter_mut().for_each(|bar| bar.timeframe = Timeframe::D1);
    let recent = |bars: &[Bar]| {
        let (bar, before) = bars.split_last()?;
        Some(bar.volume / mean(last(before, 20)?.iter().map(|bar| bar.volume)))
    };
    assert_eq!(check(&bars, &rows(&bars), "relative_volume", recent), bars.len() - 20);
}

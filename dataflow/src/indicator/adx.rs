//! Average directional index: `DI = 100 S_dm / S_tr`, `DX = 100 |+DI - -DI| / (+DI + -DI)`, adx Wilder's average of DX
//! (as TA-Lib).

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{
        Indicator,
        rounding::{percent, sign},
        smooth::Smooth,
        true_range::TrueRange,
    },
};

/// ADX, PLUS_DI and MINUS_DI of TA-Lib in one, but for ties of +DM and -DM that rounding decides there.
#[derive(Clone, Serialize, Deserialize)]
pub struct Adx {
    period: u32,
    previous: Option<(f64, f64)>,
    true_range: TrueRange,
    /// Bars in the sums, counted up to `period`.
    n_bars: u32,
    /// True range, +DM and -DM: the sum of the first `period - 1`, then `s = s - s / period + x`.
    sums: [f64; 3],
    dx: f64,
    adx: Smooth,
}

impl Adx {
    /// Over `period` bars.
    pub const fn new(period: u32) -> Adx {
        let adx = Smooth::wilder(period);
        Adx { period, previous: None, true_range: TrueRange::new(), n_bars: 0, sums: [0.0; 3], dx: 0.0, adx }
    }

    /// +DI and -DI.
    fn directions(&mut self, bar: &Bar) -> Option<(f64, f64)> {
        let true_range = self.true_range.next(bar);
        let (high, low) = self.previous.replace((bar.high, bar.low))?;
        let (up, down) = (bar.high - high, low - bar.low);
        // A tie counts for neither.
        let more = sign(up - down, bar.close);
        let plus = if 0.0 < up && 0.0 < more { up } else { 0.0 };
        let minus = if 0.0 < down && more < 0.0 { down } else { 0.0 };
        self.n_bars = self.period.min(self.n_bars + 1);
        for (sum, x) in self.sums.iter_mut().zip([true_range?, plus, minus]) {
            if self.n_bars == self.period {
                *sum -= *sum / f64::from(self.period);
            }
            *sum += x;
        }
        let [ranges, plus, minus] = self.sums;
        (self.n_bars == self.period).then(|| (percent(plus, ranges), percent(minus, ranges)))
    }
}

impl Indicator for Adx {
    type Output = [Option<f64>; 3];

    fn columns(&self) -> Vec<String> {
        ["adx", "plus_di", "minus_di"].map(|name| format!("{name}_{}", self.period)).into()
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 3] {
        let Some((plus, minus)) = self.directions(bar) else { return [None; 3] };
        if plus + minus != 0.0 {
            self.dx = percent((plus - minus).abs(), plus + minus);
        }
        [self.adx.next(self.dx), Some(plus), Some(minus)]
    }
}

//! MACD seeded as TA-Lib does: the fast average starts on the 12 bars that end with the slow one's first; nothing
//! before bar 33.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{Indicator, smooth::Smooth},
};

/// Kept only when asked for by name; it converges to [`super::Macd`] by bar 200 or so.
#[derive(Clone, Serialize, Deserialize)]
pub struct MacdTalib {
    n_bars: u32,
    fast: Smooth,
    slow: Smooth,
    signal_line: Smooth,
}

impl MacdTalib {
    /// 12/26/9.
    pub const fn new() -> MacdTalib {
        MacdTalib { n_bars: 0, fast: Smooth::ema(12), slow: Smooth::ema(26), signal_line: Smooth::ema(9) }
    }
}

impl Default for MacdTalib {
    fn default() -> MacdTalib {
        MacdTalib::new()
    }
}

impl Indicator for MacdTalib {
    type Output = [Option<f64>; 3];

    fn columns(&self) -> Vec<String> {
        ["talib_macd", "talib_macd_signal", "talib_macd_hist"].map(String::from).into()
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 3] {
        let slow = self.slow.next(bar.close);
        let fast = if 14 <= self.n_bars { self.fast.next(bar.close) } else { None };
        self.n_bars = self.n_bars.saturating_add(1);
        let line = fast.zip(slow).map(|(fast, slow)| fast - slow);
        let signal_line = line.and_then(|line| self.signal_line.next(line));
        match line.zip(signal_line) {
            Some((line, signal_line)) => [Some(line), Some(signal_line), Some(line - signal_line)],
            None => [None; 3],
        }
    }
}

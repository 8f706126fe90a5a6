//! Keltner channel: `EMA(20, C) +- 2 atr_20`.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{Atr, Indicator, smooth::Smooth},
};

/// All three wait for the average true range.
#[derive(Clone, Serialize, Deserialize)]
pub struct Keltner {
    ranges: f64,
    middle: Smooth,
    atr: Atr,
}

impl Keltner {
    /// Over `period` bars, `ranges` average true ranges wide to either side.
    pub const fn new(period: u32, ranges: f64) -> Keltner {
        Keltner { ranges, middle: Smooth::ema(period), atr: Atr::new(period) }
    }
}

impl Indicator for Keltner {
    type Output = [Option<f64>; 3];

    fn columns(&self) -> Vec<String> {
        ["upper", "middle", "lower"].map(|name| format!("keltner_{name}")).into()
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 3] {
        let (middle, atr) = (self.middle.next(bar.close), self.atr.value(bar));
        middle.zip(atr).map_or([None; 3], |(middle, atr)| {
            let reach = self.ranges * atr;
            [Some(middle + reach), Some(middle), Some(middle - reach)]
        })
    }
}

//! Log returns from bar to bar at the base timeframe.

use prism_schemas::Ts;
use serde::{Deserialize, Serialize};

use crate::{
    bar::{Bar, Quality},
    operator::{Machine, Misplaced, scan_by_key_of},
    settings::{Empty, Settings},
    types::Rows,
};

/// A log return over one bar: from the end of the bar before to its own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Return {
    pub(super) instrument: u32,
    pub(super) start: Ts,
    pub(super) end: Ts,
    pub(super) value: f64,
}

/// When the last bar that has prices ended, and at what.
#[derive(Clone)]
struct LastClose {
    last: Option<(Ts, f64)>,
    empty: Empty,
}

impl Machine for LastClose {
    type In = Bar;
    type Out = Return;

    fn next(&mut self, bar: &Bar) -> Option<Return> {
        if bar.quality == Quality::Gap {
            return None;
        }
        let (end, last) = self.last.replace((bar.end, bar.close))?;
        // Where empty bars are left out, the close before stands for them.
        if end != bar.start && self.empty == Empty::Flat {
            return None;
        }
        let value = libm::log(bar.close / last);
        Some(Return { instrument: bar.instrument, start: bar.start, end: bar.end, value })
    }
}

pub(super) fn returns<'s>(bars: Rows<'s, Bar>, settings: &Settings, misplaced: &Misplaced) -> Rows<'s, Return> {
    let (base, empty) = (settings.timeframes.base(), settings.bars.empty);
    let of_base = move |bar: &Bar| bar.timeframe == base;
    scan_by_key_of(bars, "returns", settings.keep(), misplaced, of_base, move |_| LastClose { last: None, empty })
}

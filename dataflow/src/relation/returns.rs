//! Log returns from bar to bar at the base timeframe.

use prism_schemas::Ts;
use serde::{Deserialize, Serialize};

use crate::{
    bar::{Bar, Quality},
    operator::{Machine, Misplaced, scan_by_key_of},
    settings::Settings,
    types::Rows,
};

/// A log return over one bar.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Return {
    pub(super) instrument: u32,
    pub(super) start: Ts,
    pub(super) end: Ts,
    pub(super) value: f64,
}

#[derive(Clone)]
struct LastClose(Option<f64>);

impl Machine for LastClose {
    type In = Bar;
    type Out = Return;

    fn next(&mut self, bar: &Bar) -> Option<Return> {
        if bar.quality == Quality::Gap {
            return None;
        }
        let last = self.0.replace(bar.close)?;
        let value = libm::log(bar.close / last);
        Some(Return { instrument: bar.instrument, start: bar.start, end: bar.end, value })
    }
}

pub(super) fn returns<'s>(bars: Rows<'s, Bar>, settings: &Settings, misplaced: &Misplaced) -> Rows<'s, Return> {
    let base = settings.timeframes.base();
    let of_base = move |bar: &Bar| bar.timeframe == base;
    scan_by_key_of(bars, "returns", settings.keep(), misplaced, of_base, |_| LastClose(None))
}

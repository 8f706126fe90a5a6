//! Indicators: small state machines over bars, one file each, all in one list.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    bar::Bar,
    operator::{BadState, load, save},
};

mod adl;
mod adx;
mod ao;
mod atr;
mod bollinger;
mod cci;
mod cmf;
mod dema;
mod donchian;
mod ema;
mod keltner;
mod macd;
mod macd_talib;
mod mfi;
mod obv;
mod psar;
mod relative_volume;
mod roc;
pub(crate) mod rounding;
mod rsi;
mod sma;
pub(crate) mod smooth;
mod stochastic;
mod supertrend;
mod tema;
pub(crate) mod true_range;
mod volume_delta;
mod volume_sma;
mod vwap_day;
mod williams_r;
pub(crate) mod window;
mod wma;

#[cfg(test)]
pub(crate) mod contract;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod naive;

pub use adl::Adl;
pub use adx::Adx;
pub use ao::Ao;
pub use atr::Atr;
pub use bollinger::Bollinger;
pub use cci::Cci;
pub use cmf::Cmf;
pub use dema::Dema;
pub use donchian::Donchian;
pub use ema::Ema;
pub use keltner::Keltner;
pub use macd::Macd;
pub use macd_talib::MacdTalib;
pub use mfi::Mfi;
pub use obv::Obv;
pub use psar::Psar;
pub use relative_volume::RelativeVolume;
pub use roc::Roc;
pub use rsi::Rsi;
pub use sma::Sma;
pub use stochastic::Stochastic;
pub use supertrend::Supertrend;
pub use tema::Tema;
pub use volume_delta::VolumeDelta;
pub use volume_sma::VolumeSma;
pub use vwap_day::VwapDay;
pub use williams_r::WilliamsR;
pub use wma::Wma;

/// A streaming indicator: a small constant cost a bar, cheap to clone, silent until warm.
pub trait Indicator: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// One value per column.
    type Output: AsRef<[Option<f64>]>;

    /// Column names, as in the table `indicators`.
    fn columns(&self) -> Vec<String>;

    /// Takes the next bar (never a gap bar) and gives each column's value, `None` until warm or where undefined.
    fn next(&mut self, bar: &Bar) -> Self::Output;

    /// What it would make of the next bar; it stays where it is.
    fn peek(&self, bar: &Bar) -> Self::Output {
        self.clone().next(bar)
    }
}

/// An indicator with its type erased.
pub trait Running: Send + Sync {
    /// A copy with the same state.
    fn boxed(&self) -> Box<dyn Running>;
    /// Appends its state.
    fn save(&self, to: &mut Vec<u8>);
    /// Takes its state from where it was saved.
    fn load(&mut self, from: &mut &[u8]) -> Result<(), BadState>;
    /// Column names.
    fn names(&self) -> Vec<String>;
    /// Takes the next bar and appends each column's value; what is not finite is absent.
    fn update(&mut self, bar: &Bar, row: &mut Vec<Option<f64>>);
    /// Appends what it would make of the next bar; it stays where it is.
    fn look(&self, bar: &Bar, row: &mut Vec<Option<f64>>);
}

impl<I: Indicator> Running for I {
    fn boxed(&self) -> Box<dyn Running> {
        Box::new(self.clone())
    }

    fn save(&self, to: &mut Vec<u8>) {
        save(self, to);
    }

    fn load(&mut self, from: &mut &[u8]) -> Result<(), BadState> {
        load(self, from)
    }

    fn names(&self) -> Vec<String> {
        self.columns()
    }

    fn update(&mut self, bar: &Bar, row: &mut Vec<Option<f64>>) {
        put(&self.next(bar), row);
    }

    fn look(&self, bar: &Bar, row: &mut Vec<Option<f64>>) {
        put(&self.peek(bar), row);
    }
}

/// Appends values; what is not finite is absent.
fn put(values: &impl AsRef<[Option<f64>]>, row: &mut Vec<Option<f64>>) {
    row.extend(values.as_ref().iter().map(|value| value.filter(|value| value.is_finite())));
}

/// Indicators kept only when `indicators.columns` names them: variants that would repeat the catalogue.
pub fn variants() -> Vec<Box<dyn Running>> {
    vec![Box::new(MacdTalib::new())]
}

/// Every indicator of prism with its settings. Adding one is a file and a line here (and its columns in `schemas`).
pub fn indicators() -> Vec<Box<dyn Running>> {
    vec![
        Box::new(Sma::new(5)),
        Box::new(Sma::new(10)),
        Box::new(Sma::new(20)),
        Box::new(Sma::new(50)),
        Box::new(Sma::new(200)),
        Box::new(Ema::new(9)),
        Box::new(Ema::new(12)),
        Box::new(Ema::new(20)),
        Box::new(Ema::new(26)),
        Box::new(Ema::new(50)),
        Box::new(Ema::new(200)),
        Box::new(Dema::new(20)),
        Box::new(Tema::new(20)),
        Box::new(Wma::new(20)),
        Box::new(Rsi::new(14)),
        Box::new(Macd::new(12, 26, 9)),
        Box::new(Stochastic::new(14, 3, 3)),
        Box::new(WilliamsR::new(14)),
        Box::new(Cci::new(20)),
        Box::new(Ao::new(5, 34)),
        Box::new(Roc::new(10)),
        Box::new(Adx::new(14)),
        Box::new(Atr::new(14)),
        Box::new(Atr::new(20)),
        Box::new(Atr::new(50)),
        Box::new(Bollinger::new(20, 2.0)),
        Box::new(Keltner::new(20, 2.0)),
        Box::new(Donchian::new(20)),
        Box::new(Obv::new()),
        Box::new(Adl::new()),
        Box::new(Cmf::new(20)),
        Box::new(Mfi::new(14)),
        Box::new(VwapDay::new()),
        Box::new(VolumeSma::new(20)),
        Box::new(RelativeVolume::new(20)),
        Box::new(VolumeDelta::new()),
        Box::new(Psar::new(0.02, 0.2)),
        Box::new(Supertrend::new(10, 3.0)),
    ]
}

//! The last bars of a series with the positions in its contract, and what is made of them.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    component::sign,
    naked::Naked,
    window::{MISSED_MAX, WINDOW, part},
};
use crate::{
    bar::Bar,
    operator::shared,
    positions::{Forced, Positions},
    structure::Structured,
};

/// Bars after which one may still have been a cascade that is fading.
const FADES: usize = 3;
/// Bars, the newest, whose positions or flow say something at the next one.
pub const READ: usize = WINDOW + FADES;
/// Logarithms whose usual change is less than this do not move.
const STILL: f64 = 1e-12;
/// A funding rate that crowds.
const CROWDED: f64 = 0.000_5;
/// Bars over which the regime is told.
const REGIME: usize = 5;
/// Bars in which the weight of forced orders halves.
const HALF_LIFE: f64 = 5.0;

/// A bar with open interest.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Open {
    ln_open: f64,
    ln_close: f64,
    open: f64,
    close: f64,
    turnover: Option<f64>,
}

/// A bar with what was forced out in it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Out {
    longs: f64,
    shorts: f64,
    /// The close above the open, or below.
    moved: f64,
    is_cascade: bool,
}

impl Out {
    fn of(bar: &Bar) -> Out {
        let forced = bar.positions.as_ref().and_then(|positions| positions.forced).unwrap_or(Forced::NONE);
        let (longs, shorts) = (forced.longs.turnover, forced.shorts.turnover);
        Out { longs, shorts, moved: sign(bar.close - bar.open), is_cascade: false }
    }

    fn worth(&self) -> f64 {
        self.longs + self.shorts
    }

    fn imbalance(&self) -> Option<f64> {
        imbalance(self.longs, self.shorts)
    }
}

fn imbalance(longs: f64, shorts: f64) -> Option<f64> {
    (0.0 < longs + shorts).then(|| (longs - shorts) / (longs + shorts))
}

/// Open interest at a bar's close, and what is made of it and the 19 bars before that have one; METHODS.md defines each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenInterest {
    /// Changes over 1, 5 and 19 bars, in percent.
    pub changes: [Option<f64>; 3],
    /// How price and open interest move together over 5 bars, -1..1, and in words.
    pub regime: Option<(f64, &'static str)>,
    /// -1..1, below 0 bearish, as all of these.
    pub divergence: Option<f64>,
    /// Over all horizons.
    pub structure: Option<f64>,
    /// Those who pay to hold what is built up.
    pub crowding: Option<f64>,
    /// How many times 20 bars' trading is open.
    pub concentration: Option<f64>,
}

impl OpenInterest {
    /// All in one, -1..1.
    pub fn lean(&self) -> Option<f64> {
        let regime = self.regime.map(|(regime, _)| regime);
        part([(0.4, regime), (0.2, self.divergence), (0.2, self.structure), (0.2, self.crowding)])
    }
}

/// What was forced out lately; METHODS.md defines each.
#[derive(Clone, Debug, PartialEq)]
pub struct Liquidations {
    /// Of longs over shorts in the last 20 bars, the newest weighing most.
    pub weighted_imbalance: Option<f64>,
    /// How much more was forced out than in the bar before, over the usual.
    pub acceleration: f64,
    /// Worth of the bar's own over the mean.
    pub over_mean: f64,
    /// In words.
    pub cascade: &'static str,
    /// -100..100, above 0 where forced sales are over.
    pub reversal_potential: f64,
}

/// What is made of a bar and those before it beside indicators and readings: of positions, and of where they were traded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stake {
    /// Where the bar has an open interest.
    pub open_interest: Option<OpenInterest>,
    /// Where one of the last 20 bars has a forced order.
    pub liquidations: Option<Liquidations>,
    /// Points of control near its close, where there are any; none of a bar that forms.
    pub naked: Option<Naked>,
    /// What it changed in the structure of its series; none of a bar that forms.
    pub structure: Option<Arc<Structured>>,
}

impl Stake {
    /// Bytes it takes where it is shared.
    pub(crate) fn bytes(&self) -> usize {
        shared::<Stake>() + self.structure.as_ref().map_or(0, |structure| structure.bytes())
    }
}

/// The last bars of a series, as many as a next one needs before it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Stakes {
    open: VecDeque<Open>,
    n_missed: u8,
    out: VecDeque<Out>,
}

impl Stakes {
    /// What is made of the next bar, which is no gap, beside what is naked near it.
    pub(crate) fn read(&self, bar: &Bar, naked: Option<Naked>) -> Option<Arc<Stake>> {
        let positions = bar.positions.as_deref();
        let open_interest = positions.and_then(|positions| self.open_interest(bar, positions));
        let now = Out::of(bar);
        let is_any = 0.0 < now.worth() || self.out.iter().any(|out| 0.0 < out.worth());
        let liquidations = is_any.then(|| self.liquidations(now).0);
        let is_told = open_interest.is_some() || liquidations.is_some() || naked.is_some();
        is_told.then(|| Arc::new(Stake { open_interest, liquidations, naked, structure: None }))
    }

    /// Takes it.
    pub(crate) fn push(&mut self, bar: &Bar) {
        match bar.positions.as_deref().and_then(|positions| Open::of(bar, positions)) {
            Some(open) => {
                self.n_missed = 0;
                push(&mut self.open, open);
            }
            None => {
                self.n_missed = (self.n_missed + 1).min(MISSED_MAX);
                if self.n_missed == MISSED_MAX {
                    self.open.clear();
                }
            }
        }
        let now = Out::of(bar);
        // Mostly nobody is forced out anywhere.
        let is_cascade = 0.0 < now.worth() && self.liquidations(now).1;
        push(&mut self.out, Out { is_cascade, ..now });
    }

    fn open_interest(&self, bar: &Bar, positions: &Positions) -> Option<OpenInterest> {
        let now = Open::of(bar, positions)?;
        if self.open.len() + 1 < WINDOW {
            return Some(OpenInterest::default());
        }
        let last = || self.open.iter().chain([&now]);
        let before = |h: usize| &self.open[self.open.len() - h];
        let changes = [1, REGIME, WINDOW - 1].map(|h| Some(100.0 * (now.open / before(h).open - 1.0)));
        let usual = |of: fn(&Open) -> f64| {
            let squares = last().zip(last().skip(1)).map(|(a, b)| (of(b) - of(a)) * (of(b) - of(a)));
            Some((squares.sum::<f64>() / (WINDOW - 1) as f64).sqrt()).filter(|usual| STILL < *usual)
        };
        let [ln_open, ln_close]: [fn(&Open) -> f64; 2] = [|of| of.ln_open, |of| of.ln_close];
        let moved = |of: fn(&Open) -> f64, usual: f64, h: usize| {
            libm::tanh((of(&now) - of(before(h))) / (usual * (h as f64).sqrt()))
        };
        let turnover = last().try_fold(0.0, |sum, bar| Some(sum + bar.turnover?)).filter(|sum| 0.0 < *sum);
        let concentration = positions.worth.get().zip(turnover).map(|(worth, turnover)| worth / turnover);
        let Some((of_open, of_close)) = usual(ln_open).zip(usual(ln_close)) else {
            return Some(OpenInterest { changes, concentration, ..OpenInterest::default() });
        };
        let (open, close) = (|h| moved(ln_open, of_open, h), |h| moved(ln_close, of_close, h));
        let place = |of: fn(&Open) -> f64| {
            let (low, high) = last().map(of).fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
            2.0 * (of(&now) - low) / (high - low) - 1.0
        };
        let structure = (open(1) + open(REGIME) + open(WINDOW - 1)) / 3.0 * close(WINDOW - 1);
        let built = f64::midpoint(1.0, open(WINDOW - 1));
        let funding_rate = positions.funding_rate.get();
        Some(OpenInterest {
            changes,
            regime: Some((close(REGIME) * (0.75 + 0.25 * open(REGIME)), regime(close(REGIME), open(REGIME)))),
            divergence: Some(place(|of| of.close) * place(|of| of.open)),
            structure: Some(structure),
            crowding: funding_rate.map(|rate| -libm::tanh(rate / CROWDED) * built),
            concentration,
        })
    }

    /// Given the next bar's own; and whether that is a cascade.
    fn liquidations(&self, now: Out) -> (Liquidations, bool) {
        let last = || self.out.iter().chain([&now]);
        let n = self.out.len() + 1;
        let mean = last().map(Out::worth).sum::<f64>() / n as f64;
        let (worth, before) = (now.worth(), self.out.back().map_or(0.0, Out::worth));
        let [longs, shorts] = [|out: &Out| out.longs, |out: &Out| out.shorts].map(|of: fn(&Out) -> f64| {
            let ages = (0..n).rev();
            last().zip(ages).map(|(out, age)| of(out) * libm::exp2(-(age as f64) / HALF_LIFE)).sum::<f64>()
        });
        let (acceleration, over_mean) = ((worth - before) / mean, worth / mean);
        let side = now.imbalance().unwrap_or(0.0);
        let is_whole = n == WINDOW;
        let is_cascade = is_whole && 3.0 * mean <= worth && 0.6 <= side.abs() && now.moved == -sign(side);
        let passed = self.out.iter().rev().take(FADES).find(|out| out.is_cascade);
        let cascade = match passed {
            _ if !is_whole => "none",
            _ if is_cascade => "cascade",
            Some(passed) if worth < passed.worth() / 2.0 => "fading",
            _ if 2.0 * mean <= worth && before < worth => "building",
            _ => "none",
        };
        // Of equal ones the newest.
        let peak =
            last().rev().take(REGIME).fold(&now, |most, out| if most.worth() < out.worth() { out } else { most });
        let reversal_potential = match peak.imbalance() {
            Some(side) if is_whole => {
                100.0 * side * libm::tanh(peak.worth() / (3.0 * mean)) * (1.0 - worth / peak.worth())
            }
            _ => 0.0,
        };
        let weighted_imbalance = imbalance(longs, shorts);
        (Liquidations { weighted_imbalance, acceleration, over_mean, cascade, reversal_potential }, is_cascade)
    }
}

impl Open {
    fn of(bar: &Bar, positions: &Positions) -> Option<Open> {
        let (open, close) = (positions.open_interest.get()?, bar.close);
        let turnover = bar.turnover.get();
        Some(Open { ln_open: libm::log(open), ln_close: libm::log(close), open, close, turnover })
    }
}

/// What price and open interest say by their directions.
fn regime(price: f64, open: f64) -> &'static str {
    match (0.0 < price, 0.0 < open) {
        _ if price == 0.0 || open == 0.0 => "none",
        (true, true) => "long_buildup",
        (false, true) => "short_buildup",
        (true, false) => "short_covering",
        (false, false) => "long_unwinding",
    }
}

fn push<T>(last: &mut VecDeque<T>, next: T) {
    if last.len() + 1 == WINDOW {
        last.pop_front();
    }
    last.push_back(next);
}

//! The last bars of a series with what takers bought and sold in them, and how the price moved with it.

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use super::window::{MISSED_MAX, WINDOW};
use crate::{
    bar::Bar,
    flow::{Flow, Side, Sides},
};

/// Changes of price at least, below which nothing is said of how it moves.
const CHANGES_MIN: usize = 12;
/// Prices that differ by less than this share are equal.
const SAME: f64 = 1e-12;

/// A bar with its flow.
#[derive(Clone, Serialize, Deserialize)]
pub struct Flowed {
    /// Its last price.
    pub close: f64,
    /// What takers bought and sold in it.
    pub flow: Arc<Flow>,
}

/// The last 20 bars of a series that have a flow, which lie close enough together.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Flows {
    last: VecDeque<Flowed>,
    n_missed: u8,
}

impl Flows {
    /// Takes the next bar, and gives what components read of those there are if it has a flow.
    pub(crate) fn push<'a>(&'a mut self, bar: &Bar, moves: &'a mut Moves) -> Option<Flowing<'a>> {
        let Some(flow) = bar.flow.clone() else {
            self.n_missed += 1;
            if self.n_missed == MISSED_MAX {
                *self = Flows::default();
            }
            return None;
        };
        self.n_missed = 0;
        if self.last.len() == WINDOW {
            self.last.pop_front();
        }
        self.last.push_back(Flowed { close: bar.close, flow });
        if self.last.len() == WINDOW {
            moves.take(&self.last);
        }
        Some(Flowing { last: &self.last, moves })
    }
}

/// An active slot: what takers bought there less what they sold, and its mean price.
#[derive(Clone, Copy, Debug)]
struct Active {
    delta: f64,
    mean: f64,
}

/// How the price moved over the slots of the last 20 bars.
#[derive(Default)]
pub(crate) struct Moves {
    active: Vec<Active>,
    sigma: Option<f64>,
    sigma_of_closes: Option<f64>,
    traded_spread: Option<f64>,
    adverse: Option<f64>,
}

impl Moves {
    fn take(&mut self, last: &VecDeque<Flowed>) {
        let slots = || last.iter().flat_map(|bar| &bar.flow.slots).filter(|slot| slot.is_active());
        self.active.clear();
        self.active.extend(slots().map(|slot| Active { delta: slot.delta(), mean: slot.turnover() / slot.volume() }));
        let least = SAME * last.back().map_or(f64::NAN, |bar| bar.close);
        let root = |n: usize, squares: f64| Some((squares / n as f64).sqrt()).filter(|root| least < *root);
        let n = self.changes().count();
        self.sigma = (CHANGES_MIN <= n).then(|| self.changes().map(|(_, change)| change * change).sum());
        self.sigma = self.sigma.and_then(|squares| root(n, squares));
        let closes = last.iter().zip(last.iter().skip(1)).map(|(before, bar)| bar.close - before.close);
        self.sigma_of_closes = root(last.len() - 1, closes.map(|change| change * change).sum());
        let (mut weights, mut spreads, mut sizes, mut moved) = (0.0, 0.0, 0.0, 0.0);
        for slot in slots().filter(|slot| 0 < slot.bought.n && 0 < slot.sold.n) {
            let Sides { bought, sold } = slot;
            let weight = bought.volume.min(sold.volume);
            weights += weight;
            spreads += weight * (bought.turnover / bought.volume - sold.turnover / sold.volume);
        }
        for pair in self.active.windows(2) {
            sizes += pair[0].delta.abs();
            moved += pair[0].delta * (pair[1].mean - pair[0].mean);
        }
        self.traded_spread = (0.0 < weights).then(|| spreads / weights);
        self.adverse = (0.0 < sizes).then(|| moved / sizes);
    }

    /// Of each active slot but the first: bought less sold, and the change of the mean price from the one before.
    pub(super) fn changes(&self) -> impl Iterator<Item = (f64, f64)> + Clone {
        self.active.windows(2).map(|pair| (pair[1].delta, pair[1].mean - pair[0].mean))
    }

    /// Root of the mean square of these changes (quote).
    pub(super) fn sigma(&self) -> Option<f64> {
        self.sigma
    }

    /// Root of the mean square of changes from close to close (quote).
    pub(super) fn sigma_of_closes(&self) -> Option<f64> {
        self.sigma_of_closes
    }

    /// What takers pay to buy more than they get where they sell (quote). Stoll (2000), "Friction".
    pub(super) fn traded_spread(&self) -> Option<f64> {
        self.traded_spread
    }

    /// How far the price then goes with takers (quote): half of what makers lose. Huang, Stoll (1996).
    pub(super) fn adverse(&self) -> Option<f64> {
        self.adverse
    }
}

/// What components read of flows: a bar that has one, and those before it.
#[derive(Clone, Copy)]
pub struct Flowing<'a> {
    last: &'a VecDeque<Flowed>,
    moves: &'a Moves,
}

impl<'a> Flowing<'a> {
    /// The bar's own.
    pub(super) fn now(&self) -> &'a Flow {
        &self.last[self.last.len() - 1].flow
    }

    /// The last `n` bars, oldest first; none if there are fewer.
    pub(super) fn last(&self, n: usize) -> Option<impl DoubleEndedIterator<Item = &'a Flowed> + Clone + use<'a>> {
        Some(self.last.range(self.last.len().checked_sub(n)?..))
    }

    /// The slots of the last `n` bars, oldest first.
    pub(super) fn slots(&self, n: usize) -> Option<impl DoubleEndedIterator<Item = &'a Sides> + Clone + use<'a>> {
        Some(self.last(n)?.flat_map(|bar| &bar.flow.slots))
    }

    /// All that takers bought and sold in the last `n` bars.
    pub(super) fn sum(&self, n: usize) -> Option<Sides> {
        let add =
            |a: Side, b: &Side| Side { n: a.n + b.n, volume: a.volume + b.volume, turnover: a.turnover + b.turnover };
        let both =
            |sum: Sides, of: &Sides| Sides { bought: add(sum.bought, &of.bought), sold: add(sum.sold, &of.sold) };
        Some(self.last(n)?.fold(Sides::default(), |sum, bar| both(sum, &bar.flow.whole)))
    }

    /// How the price moved over the last 20 bars; none if there are fewer.
    pub(super) fn moves(&self) -> Option<&'a Moves> {
        (self.last.len() == WINDOW).then_some(self.moves)
    }
}

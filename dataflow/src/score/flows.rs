//! The last bars of a series with what takers bought and sold in them, and how the price moved with it.

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use super::window::{MISSED_MAX, WINDOW};
use crate::{
    bar::Bar,
    flow::{CLASSES, Flow, SLOTS, Side, Sides},
};

/// Changes of price at least, below which nothing is said of how it moves.
const CHANGES_MIN: usize = 12;
/// Prices that differ by less than this share are equal.
pub(super) const SAME: f64 = 1e-12;

/// An active slot: what takers bought there less what they sold, and its mean price.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Active {
    delta: f64,
    mean: f64,
}

/// A bar with its flow, and what is made of that once and read often.
#[derive(Clone, Serialize, Deserialize)]
pub struct Flowed {
    /// Its last price.
    pub close: f64,
    /// What takers bought and sold in it.
    pub flow: Arc<Flow>,
    active: [Active; SLOTS],
    n_active: usize,
    /// Of slots in which both sides took: the lesser sizes, and those x what was paid more for buying.
    weight: f64,
    spread: f64,
}

impl Flowed {
    /// Of a bar that has one.
    pub(crate) fn of(bar: &Bar) -> Option<Flowed> {
        let flow = bar.flow.clone()?;
        let (mut active, mut n_active, mut weight, mut spread) = ([Active::default(); SLOTS], 0, 0.0, 0.0);
        for slot in flow.slots.iter().filter(|slot| slot.is_active()) {
            active[n_active] = Active { delta: slot.delta(), mean: slot.turnover() / slot.volume() };
            n_active += 1;
            let Sides { bought, sold } = slot;
            if 0 < bought.n && 0 < sold.n {
                let lesser = bought.volume.min(sold.volume);
                weight += lesser;
                spread += lesser * (bought.turnover / bought.volume - sold.turnover / sold.volume);
            }
        }
        Some(Flowed { close: bar.close, flow, active, n_active, weight, spread })
    }
}

/// The last bars of a series that have a flow, which lie close enough together: as many as a next one needs before it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Flows {
    last: VecDeque<Arc<Flowed>>,
    /// Their trades by class of worth.
    counts: [u64; CLASSES as usize],
    n_missed: u8,
}

impl Flows {
    /// What components read of the next bar if that has a flow.
    pub(crate) fn read<'a>(&'a self, now: Option<&'a Flowed>, moves: &'a mut Moves) -> Option<Flowing<'a>> {
        let now = now?;
        if self.last.len() + 1 == WINDOW {
            moves.take(&self.last, now);
        }
        Some(Flowing { flows: self, now, moves })
    }

    /// Takes the next bar.
    pub(crate) fn push(&mut self, now: Option<Flowed>) {
        let Some(now) = now else {
            self.n_missed += 1;
            if self.n_missed == MISSED_MAX {
                *self = Flows::default();
            }
            return;
        };
        self.n_missed = 0;
        if self.last.len() + 1 == WINDOW
            && let Some(oldest) = self.last.pop_front()
        {
            oldest.flow.classes.iter().for_each(|of| self.counts[usize::from(of.class)] -= of.n);
        }
        now.flow.classes.iter().for_each(|of| self.counts[usize::from(of.class)] += of.n);
        self.last.push_back(Arc::new(now));
    }
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
    fn take(&mut self, before: &VecDeque<Arc<Flowed>>, now: &Flowed) {
        let last = || before.iter().map(|bar| &**bar).chain([now]);
        self.active.clear();
        last().for_each(|bar| self.active.extend_from_slice(&bar.active[..bar.n_active]));
        let least = SAME * now.close;
        let root = |n: usize, squares: f64| Some((squares / n as f64).sqrt()).filter(|root| least < *root);
        let (mut n, mut squares, mut sizes, mut moved) = (0, 0.0, 0.0, 0.0);
        for pair in self.active.windows(2) {
            let change = pair[1].mean - pair[0].mean;
            n += 1;
            squares += change * change;
            sizes += pair[0].delta.abs();
            moved += pair[0].delta * change;
        }
        self.sigma = root(n, squares).filter(|_| CHANGES_MIN <= n);
        let (mut weights, mut spreads, mut of_closes, mut close) = (0.0, 0.0, 0.0, None);
        for bar in last() {
            weights += bar.weight;
            spreads += bar.spread;
            let change = close.replace(bar.close).map_or(0.0, |before| bar.close - before);
            of_closes += change * change;
        }
        self.sigma_of_closes = root(before.len(), of_closes);
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
    flows: &'a Flows,
    now: &'a Flowed,
    moves: &'a Moves,
}

impl<'a> Flowing<'a> {
    /// The bar's own.
    pub(super) fn now(&self) -> &'a Flow {
        &self.now.flow
    }

    /// The last `n` bars, oldest first; none if there are fewer.
    pub(super) fn last(&self, n: usize) -> Option<impl DoubleEndedIterator<Item = &'a Flowed> + Clone + use<'a>> {
        let before = &self.flows.last;
        let first = (before.len() + 1).checked_sub(n)?;
        Some(before.range(first..).map(|bar| &**bar).chain([self.now]))
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
        (self.flows.last.len() + 1 == WINDOW).then_some(self.moves)
    }

    /// Trades of the last 20 bars by class of worth; none if there are fewer.
    pub(super) fn counts(&self) -> Option<[u64; CLASSES as usize]> {
        let mut counts = (self.flows.last.len() + 1 == WINDOW).then_some(self.flows.counts)?;
        self.now().classes.iter().for_each(|of| counts[usize::from(of.class)] += of.n);
        Some(counts)
    }
}

//! The formulas of order flow, from METHODS.md, over all bars at once.

use super::Made;
use crate::{
    flow::{Flow, Side, Sides},
    score::component::squash,
};

/// What a formula reads: the bars up to one, the flows among them, newest last, and the names of METHODS.md.
pub(super) struct At<'a> {
    bars: &'a [Made],
    flows: Vec<(f64, &'a Flow)>,
}

fn rel(a: f64, b: f64) -> Option<f64> {
    (a + b != 0.0).then(|| (a - b) / (a + b))
}

fn part(parts: &[(f64, Option<f64>)]) -> Option<f64> {
    let weight: f64 = parts.iter().filter(|(_, x)| x.is_some()).map(|(w, _)| w).sum();
    let sum: f64 = parts.iter().filter_map(|(w, x)| Some(w * (*x)?)).sum();
    (0.0 < weight).then(|| sum / weight)
}

fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt()
}

impl<'a> At<'a> {
    pub(super) fn new(bars: &'a [Made]) -> Option<At<'a>> {
        bars.last()?.flow.as_ref()?;
        Some(At { bars, flows: bars.iter().filter_map(|bar| Some((bar.close, bar.flow.as_ref()?))).collect() })
    }

    fn last(&self, n: usize) -> Option<&[(f64, &'a Flow)]> {
        self.flows.get(self.flows.len().checked_sub(n)?..)
    }

    fn close(&self) -> f64 {
        self.bars[self.bars.len() - 1].close
    }

    fn whole(&self) -> Option<&'a Sides> {
        self.flows.last().map(|(_, flow)| &flow.whole).filter(|whole| whole.bought.n + whole.sold.n > 0)
    }

    fn slots(&self, n: usize) -> Option<Vec<&'a Sides>> {
        Some(self.last(n)?.iter().flat_map(|(_, flow)| &flow.slots).collect())
    }

    fn active(&self) -> Option<Vec<(f64, f64)>> {
        let active = self.slots(20)?.into_iter().filter(|slot| slot.bought.n + slot.sold.n > 0);
        let of = |slot: &Sides| {
            let volume = slot.bought.volume + slot.sold.volume;
            (slot.bought.volume - slot.sold.volume, (slot.bought.turnover + slot.sold.turnover) / volume)
        };
        Some(active.map(of).collect())
    }

    /// d and u.
    fn changes(&self) -> Option<Vec<(f64, f64)>> {
        Some(self.active()?.windows(2).map(|pair| (pair[1].0, pair[1].1 - pair[0].1)).collect())
    }

    fn sigma(&self) -> Option<f64> {
        let u: Vec<f64> = self.changes()?.iter().map(|(_, u)| *u).collect();
        (12 <= u.len() && 1e-12 * self.close() < rms(&u)).then(|| rms(&u))
    }

    fn sigma_of_closes(&self) -> Option<f64> {
        let changes: Vec<f64> = self.last(20)?.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        (1e-12 * self.close() < rms(&changes)).then(|| rms(&changes))
    }

    fn traded(&self) -> Option<f64> {
        let both: Vec<_> = self.slots(20)?.into_iter().filter(|slot| slot.bought.n * slot.sold.n > 0).collect();
        let weight = |slot: &&Sides| slot.bought.volume.min(slot.sold.volume);
        let spread = |slot: &&Sides| slot.bought.turnover / slot.bought.volume - slot.sold.turnover / slot.sold.volume;
        let weights: f64 = both.iter().map(weight).sum();
        (!both.is_empty()).then(|| both.iter().map(|slot| weight(slot) * spread(slot)).sum::<f64>() / weights)
    }

    fn adverse(&self) -> Option<f64> {
        let active = self.active()?;
        let moved: f64 = active.windows(2).map(|pair| pair[0].0 * (pair[1].1 - pair[0].1)).sum();
        let sizes: f64 = active.windows(2).map(|pair| pair[0].0.abs()).sum();
        (sizes != 0.0).then(|| moved / sizes)
    }

    fn balance_of(&self, n: usize) -> Option<f64> {
        let sum = |of: fn(&Sides) -> f64| Some(self.last(n)?.iter().map(|(_, flow)| of(&flow.whole)).sum::<f64>());
        rel(sum(|sides| sides.bought.volume)?, sum(|sides| sides.sold.volume)?)
    }

    /// The last 20 values of bars that have one, the bar's own among them.
    fn values(&self, value: impl Fn(&Made) -> Option<f64>) -> Option<Vec<f64>> {
        value(&self.bars[self.bars.len() - 1])?;
        let all: Vec<f64> = self.bars.iter().filter_map(value).collect();
        Some(all[all.len().checked_sub(20)?..].to_vec())
    }
}

pub(super) type Formula = (&'static str, fn(&At<'_>) -> Option<(f64, f64)>);

pub(super) const FORMULAS: [Formula; 12] = [
    ("flow_imbalance", |at| {
        let slots = &at.flows.last()?.1.slots;
        let newest = slots.iter().rev().find(|slot| slot.bought.n + slot.sold.n > 0);
        let volumes = |sides: &Sides| rel(sides.bought.volume, sides.sold.volume);
        let counts = |sides: &Sides| rel(sides.bought.n as f64, sides.sold.n as f64);
        let five = |of: fn(&Side) -> f64| {
            let sum =
                |side: fn(&Sides) -> &Side| Some(at.last(5)?.iter().map(|(_, f)| of(side(&f.whole))).sum::<f64>());
            rel(sum(|sides| &sides.bought)?, sum(|sides| &sides.sold)?)
        };
        let whole = &at.flows.last()?.1.whole;
        let v = part(&[(0.2, newest.and_then(volumes)), (0.3, volumes(whole)), (0.5, five(|side| side.volume))])?;
        let n = part(&[(0.2, newest.and_then(counts)), (0.3, counts(whole)), (0.5, five(|side| side.n as f64))])?;
        let x = 0.7 * v + 0.3 * n;
        Some((x, 50.0 + 50.0 * (2.0 * x).tanh()))
    }),
    ("cvd_slope", |at| {
        let slots = at.slots(5)?;
        let sums: Vec<f64> =
            (1..=30).map(|n| slots[..n].iter().map(|s| s.bought.volume - s.sold.volume).sum()).collect();
        let (mean, time) = (sums.iter().sum::<f64>() / 30.0, 14.5);
        let xy: f64 = sums.iter().enumerate().map(|(t, x)| (x - mean) * (t as f64 - time)).sum();
        let xx: f64 = sums.iter().map(|x| (x - mean).powi(2)).sum();
        let tt: f64 = (0..30).map(|t| (f64::from(t) - time).powi(2)).sum();
        let r = xy / (xx * tt).sqrt();
        (xx > 1e-20).then(|| (r, squash(3.0 * r)))
    }),
    ("cvd_divergence", |at| {
        let deltas = |n| -> Option<Vec<f64>> {
            Some(at.last(n)?.iter().map(|(_, f)| f.whole.bought.volume - f.whole.sold.volume).collect())
        };
        let f = (deltas(5)?.iter().sum::<f64>() / (rms(&deltas(20)?) * 5f64.sqrt())).tanh();
        let p = ((at.close() - at.last(6)?[0].0) / (at.sigma_of_closes()? * 5f64.sqrt())).tanh();
        Some((f - p, 50.0 + 25.0 * (f - p)))
    }),
    ("runs", |at| {
        let active: Vec<f64> =
            at.slots(5)?.iter().rev().filter_map(|slot| rel(slot.bought.volume, slot.sold.volume)).collect();
        let newest = *active.first()?;
        let run = active.iter().take_while(|x| 0.0 < **x * newest);
        let x: f64 = run.sum();
        Some((x, squash(x)))
    }),
    ("large_trades", |at| {
        let (last, whole) = (at.last(20)?, at.whole()?);
        let n_from = |k: u8| -> u64 {
            last.iter().flat_map(|(_, f)| &*f.classes).filter(|class| k <= class.class).map(|class| class.n).sum()
        };
        let k = (0..=32).find(|k| n_from(*k) as f64 <= n_from(0) as f64 / 20.0)?;
        let classes = &at.flows.last()?.1.classes;
        let delta: f64 = classes.iter().filter(|class| k <= class.class).map(|class| class.delta).sum();
        let x = delta / (whole.bought.turnover + whole.sold.turnover);
        Some((x, 50.0 + 50.0 * (3.0 * x).tanh()))
    }),
    ("absorption", |at| {
        let whole = at.whole()?;
        let turnover = |sides: &Sides| sides.bought.turnover + sides.sold.turnover;
        let mean = at.last(20)?.iter().map(|(_, f)| turnover(&f.whole)).sum::<f64>() / 20.0;
        let (balance, q) = (rel(whole.bought.volume, whole.sold.volume)?, turnover(whole));
        let p = (at.close() - at.bars[at.bars.len() - 1].open) / at.sigma_of_closes()? * balance.signum();
        let x = balance * (q / mean / 2.0).min(1.0) * (q / 50_000.0).min(1.0) * (1.0 - p).clamp(0.0, 1.0);
        Some((x, 50.0 - 50.0 * (2.0 * x).tanh()))
    }),
    ("quote_refresh", |at| {
        let y = |bar: &Made| {
            let Sides { bought, sold } = &bar.flow.as_ref()?.whole;
            let ([ofi, _, mid], all) = (bar.book?, bought.turnover + sold.turnover);
            (all != 0.0).then(|| (ofi * mid - (bought.turnover - sold.turnover)) / all)
        };
        let values = at.values(y)?;
        Some((values[19], squash(values[19] / rms(&values))))
    }),
    ("effective_spread", |at| {
        let spreads = at.values(|bar| bar.book.map(|[_, spread, mid]| spread / mid))?;
        let (mean, balance) =
            (spreads.iter().sum::<f64>() / 20.0, rel(at.whole()?.bought.volume, at.whole()?.sold.volume)?);
        let score = 50.0 + 50.0 * (2.0 * balance).tanh() * (1.0 - (mean / spreads[19]).min(1.0));
        Some((1e4 * at.traded()? / at.close(), score))
    }),
    ("realised_spread", |at| {
        let (t, a) = (at.traded()?, at.adverse()?);
        let balance = rel(at.whole()?.bought.volume, at.whole()?.sold.volume)?;
        let score = 50.0 - 50.0 * (2.0 * balance).tanh() * (t - 2.0 * a) / (t.abs() + 2.0 * a.abs());
        Some((1e4 * (t - 2.0 * a) / at.close(), score))
    }),
    ("vpin", |at| {
        let slots = at.slots(20)?;
        let of = |slot: &Sides| (slot.bought.volume, slot.sold.volume);
        let all: f64 = slots.iter().map(|slot| of(slot).0 + of(slot).1).sum();
        // Bought and sold up to a volume, by interpolation; buckets are differences.
        let up_to = |volume: f64| {
            let (mut sum, mut delta) = (0.0, 0.0);
            for (bought, sold) in slots.iter().map(|slot| of(slot)) {
                let share = ((volume - sum) / (bought + sold)).min(1.0);
                if bought + sold <= 0.0 || share <= 0.0 {
                    continue;
                }
                (sum, delta) = (sum + share * (bought + sold), delta + share * (bought - sold));
            }
            delta
        };
        let edges: Vec<f64> = (0..=30).map(|n| up_to(all * f64::from(n) / 30.0)).collect();
        let vpin = edges.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum::<f64>() / all;
        Some((vpin, 50.0 + 50.0 * (3.0 * vpin * at.balance_of(5)?).tanh()))
    }),
    ("kyle_lambda", |at| {
        let (changes, sigma) = (at.changes()?, at.sigma()?);
        let n = changes.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| changes.iter().map(of).sum::<f64>() / n;
        let (d, u, du, dd) = (mean(|c| c.0), mean(|c| c.1), mean(|c| c.0 * c.1), mean(|c| c.0 * c.0));
        let lambda = (du - d * u) / (dd - d * d);
        let volume = |f: &Flow| f.whole.bought.volume + f.whole.sold.volume;
        let usual = at.last(20)?.iter().map(|(_, f)| volume(f)).sum::<f64>() / 20.0;
        let whole = &at.flows.last()?.1.whole;
        let z = lambda * (whole.bought.volume - whole.sold.volume) / (sigma * 6f64.sqrt());
        Some((1e4 * lambda * usual / at.close(), squash(z)))
    }),
    ("adverse_selection", |at| {
        let (lost, balance) = (2.0 * at.adverse()?, rel(at.whole()?.bought.volume, at.whole()?.sold.volume)?);
        let score = 50.0 + 50.0 * (2.0 * balance).tanh() * (lost / at.sigma()?).tanh();
        Some((1e4 * lost / at.close(), score))
    }),
];

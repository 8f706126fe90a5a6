//! A book over an interval: integrals over time and sums over events, exact, so that parts can be merged.

use std::cmp::Ordering;

use prism_schemas::{Ts, book::Level, decimal::POW10};

/// `imbalance_mean` is made of imbalances cut to so many parts of 1.
const PARTS: i128 = 1_000_000_000;

/// The best levels, and what is summed of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Top {
    bid: Level,
    ask: Level,
    /// (bid size - ask size) / (bid size + ask size), in parts.
    imbalance: i64,
}

impl Top {
    pub(super) fn new((bid, ask): (Level, Level)) -> Top {
        let (less, all) = (i128::from(bid.1) - i128::from(ask.1), i128::from(bid.1) + i128::from(ask.1));
        let imbalance = match i64::try_from(less * PARTS) {
            // Much faster, and nearly always.
            Ok(parts) => parts.checked_div(all as i64).unwrap_or(0),
            Err(_) => (less * PARTS).checked_div(all).unwrap_or(0) as i64,
        };
        Top { bid, ask, imbalance }
    }

    pub(super) fn levels(&self) -> (Level, Level) {
        (self.bid, self.ask)
    }

    /// The same in finer units.
    pub(super) fn scaled(self, price: i64, size: i64) -> Option<Top> {
        let level = |(p, s): Level| Some((p.checked_mul(price)?, s.checked_mul(size)?));
        Some(Top { bid: level(self.bid)?, ask: level(self.ask)?, ..self })
    }

    /// What came to the best levels less what left them, bids less asks, when they became `after`.
    fn flow(&self, after: &Top) -> i128 {
        // At a better price all is new, at a worse one all is gone.
        let gain = |old: Level, new: Level, better: Ordering| match better {
            Ordering::Greater => i128::from(new.1),
            Ordering::Equal => i128::from(new.1) - i128::from(old.1),
            Ordering::Less => -i128::from(old.1),
        };
        gain(self.bid, after.bid, after.bid.0.cmp(&self.bid.0))
            - gain(self.ask, after.ask, self.ask.0.cmp(&after.ask.0))
    }
}

/// An interval so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Over {
    pub(super) start: Ts,
    pub(super) end: Ts,
    /// When its bar closes.
    pub(super) close: Ts,
    /// Up to where time is counted.
    from: Ts,
    /// Nanoseconds in which the book was at hand.
    pub(super) live: i64,
    /// Of ask - bid, ask + bid and the imbalance, times nanoseconds.
    spread: i128,
    sum: i128,
    imbalance: i128,
    flow: i128,
    pub(super) n_updates: u64,
    /// A break lies in it, or the book was out of step for a time.
    pub(super) is_suspect: bool,
    /// Of prices and sizes.
    pub(super) decimals: (u32, u32),
}

impl Over {
    pub(super) fn new(start: Ts, end: Ts, close: Ts, decimals: (u32, u32)) -> Over {
        Over {
            start,
            end,
            close,
            from: start,
            live: 0,
            spread: 0,
            sum: 0,
            imbalance: 0,
            flow: 0,
            n_updates: 0,
            is_suspect: false,
            decimals,
        }
    }

    /// The best levels were these until `to`, or the book was out of step.
    #[inline]
    pub(super) fn last(&mut self, to: Ts, top: Option<&Top>, is_broken: bool) {
        let passed = to - self.from;
        self.from = to;
        self.is_suspect |= is_broken && 0 < passed;
        let Some(top) = top.filter(|_| 0 < passed) else { return };
        let (bid, ask) = (top.bid.0, top.ask.0);
        self.live += passed;
        self.spread += i128::from(ask - bid) * i128::from(passed);
        self.sum += (i128::from(ask) + i128::from(bid)) * i128::from(passed);
        self.imbalance += i128::from(top.imbalance) * i128::from(passed);
    }

    /// The best levels changed by one event.
    #[inline]
    pub(super) fn flowed(&mut self, before: &Top, after: &Top) {
        if before != after {
            self.flow += before.flow(after);
        }
    }

    /// Goes on in other units; what does not fit them, coarser ones always, is dropped, and said to be.
    #[cold]
    pub(super) fn rescale(&mut self, decimals: (u32, u32)) {
        let power = |from: u32, to: u32| Some(i128::from(POW10[to.checked_sub(from)? as usize]));
        let (price, size) = (power(self.decimals.0, decimals.0), power(self.decimals.1, decimals.1));
        let fits = |sum: &mut i128, unit: Option<i128>| {
            unit.and_then(|unit| sum.checked_mul(unit)).map(|scaled| *sum = scaled).is_some()
        };
        if !(fits(&mut self.spread, price) && fits(&mut self.sum, price) && fits(&mut self.flow, size)) {
            let is_suspect = true;
            *self = Over { from: self.from, is_suspect, ..Over::new(self.start, self.end, self.close, decimals) };
        }
        self.decimals = decimals;
    }

    /// Takes in a part of it, which ends later than what it has.
    pub(super) fn merge(&mut self, part: &Over) {
        let mut part = *part;
        let finest = (self.decimals.0.max(part.decimals.0), self.decimals.1.max(part.decimals.1));
        for over in [&mut *self, &mut part] {
            if over.decimals != finest {
                over.rescale(finest);
            }
        }
        self.live += part.live;
        self.spread += part.spread;
        self.sum += part.sum;
        self.imbalance += part.imbalance;
        self.flow += part.flow;
        self.n_updates += part.n_updates;
    }

    /// `ofi`, the means of spread, mid and imbalance, and the share of the interval in which the book was at hand.
    pub(super) fn numbers(&self) -> [f64; 5] {
        let (price, size) = (POW10[self.decimals.0 as usize] as f64, POW10[self.decimals.1 as usize] as f64);
        let (live, share) = (self.live as f64, self.live as f64 / (self.end - self.start) as f64);
        if self.live == 0 {
            return [f64::NAN, f64::NAN, f64::NAN, f64::NAN, share];
        }
        [
            self.flow as f64 / size,
            self.spread as f64 / live / price,
            self.sum as f64 / (2.0 * live) / price,
            self.imbalance as f64 / live / PARTS as f64,
            share,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(bid: Level, ask: Level) -> Top {
        Top::new((bid, ask))
    }

    #[test]
    fn flow_is_that_of_the_paper() {
        // Cont, Kukanov, Stoikov (2014), section 2.1: sizes at the same price by their change, whole queues elsewhere.
        let before = top((100, 5), (101, 7));
        for (after, expected) in [
            (before, 0),
            (top((100, 9), (101, 7)), 4),
            (top((100, 5), (101, 9)), -2),
            (top((101, 3), (102, 4)), 3 + 7),
            (top((99, 8), (100, 2)), -5 - 2),
        ] {
            assert_eq!(before.flow(&after), expected, "{after:?}");
        }
    }

    #[test]
    fn means_are_weighted_by_time() {
        let mut over = Over::new(0, 100, 100, (1, 0));
        over.last(20, None, false);
        over.last(50, Some(&top((100, 3), (102, 1))), false);
        over.last(100, Some(&top((100, 1), (104, 1))), false);
        let [_, spread, mid, imbalance, share] = over.numbers();
        assert_eq!((spread, share), ((2.0 * 30.0 + 4.0 * 50.0) / 80.0 / 10.0, 0.8));
        assert!((mid - (101.0 * 30.0 + 102.0 * 50.0) / 80.0 / 10.0).abs() < 1e-12);
        assert!((imbalance - 0.5 * 30.0 / 80.0).abs() < 1e-12);
    }

    #[test]
    fn parts_make_the_whole_at_the_finest_decimals() {
        let (before, after) = (top((100, 3), (102, 1)), top((100, 1), (104, 1)));
        let mut whole = Over::new(0, 100, 100, (1, 0));
        whole.last(40, Some(&before), false);
        whole.flowed(&before, &after);
        whole.last(100, Some(&after), false);
        let mut first = Over::new(0, 40, 40, (1, 0));
        first.last(40, Some(&before), false);
        let mut second = Over::new(40, 100, 100, (1, 0));
        second.flowed(&before, &after);
        second.last(100, Some(&after), false);
        second.rescale((3, 2));
        let mut sum = Over::new(0, 100, 100, (1, 0));
        [first, second].iter().for_each(|part| sum.merge(part));
        assert_eq!((sum.numbers(), sum.decimals), (whole.numbers(), (3, 2)));
    }

    #[test]
    fn sizes_of_nineteen_digits_have_an_imbalance() {
        let huge = i64::MAX;
        assert_eq!(top((1, huge), (2, 1)).imbalance, 999_999_999);
        assert_eq!(top((1, huge), (2, huge)).imbalance, 0);
        assert_eq!(top((1, 1), (2, 3)).imbalance, -500_000_000);
    }
}

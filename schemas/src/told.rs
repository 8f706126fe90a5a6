//! Which instants of a series were told already, in whatever order they come.

use crate::Ts;

/// Stretches that are kept; beyond, the oldest are taken as told without a hole.
const STRETCHES_MAX: usize = 8_192;

/// Instants that were told: a series of equal steps takes the room of one stretch, whatever its length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Disjoint, in order.
    stretches: Vec<Stretch>,
    /// At or before this all instants count as told.
    floor: Option<Ts>,
}

/// `first`, `first + step`, ... `last`; a step of 0 for one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    first: Ts,
    last: Ts,
    step: Ts,
}

impl Stretch {
    const fn one(ts: Ts) -> Stretch {
        Stretch { first: ts, last: ts, step: 0 }
    }

    /// Of so many steps; without one if it is a single instant.
    const fn new(first: Ts, last: Ts, step: Ts) -> Stretch {
        Stretch { first, last, step: if first == last { 0 } else { step } }
    }

    /// Both as one, if the other goes on from this in the same steps.
    fn joined(self, next: Stretch) -> Option<Stretch> {
        let step = next.first.checked_sub(self.last)?;
        let fits = |own: Ts| own == 0 || own == step;
        (fits(self.step) && fits(next.step)).then_some(Stretch { first: self.first, last: next.last, step })
    }
}

impl Told {
    /// Takes note of an instant; false if it was told before.
    pub fn take(&mut self, ts: Ts) -> bool {
        if self.floor.is_some_and(|floor| ts <= floor) {
            return false;
        }
        let behind = self.stretches.partition_point(|stretch| stretch.first <= ts);
        let at = match behind.checked_sub(1).map(|before| (before, self.stretches[before])) {
            Some((before, Stretch { first, last, step })) if ts <= last => {
                // A step is more than 0 here, or `ts` is the one instant.
                let past = if step == 0 { 0 } else { (ts - first) % step };
                if past == 0 {
                    return false;
                }
                let cut = ts - past;
                let parts = [Stretch::new(first, cut, step), Stretch::one(ts), Stretch::new(cut + step, last, step)];
                self.stretches.splice(before..=before, parts);
                before + 1
            }
            _ => {
                self.stretches.insert(behind, Stretch::one(ts));
                behind
            }
        };
        self.join(at);
        self.join(at.saturating_sub(1));
        if STRETCHES_MAX < self.stretches.len() {
            self.floor = Some(self.stretches.remove(0).last);
        }
        true
    }

    /// The newest instant that was told.
    pub fn newest(&self) -> Option<Ts> {
        self.stretches.last().map(|stretch| stretch.last).or(self.floor)
    }

    /// Makes a stretch and the next one, if they are.
    fn join(&mut self, at: usize) {
        if let Some(next) = self.stretches.get(at + 1)
            && let Some(joined) = self.stretches[at].joined(*next)
        {
            self.stretches[at] = joined;
            self.stretches.remove(at + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_series_is_one_stretch_whatever_its_order() {
        let mut told = Told::default();
        let pages = (50..100).chain(0..50).chain(100..200).chain(20..150);
        let new = pages.filter(|n| told.take(n * 300)).count();
        assert_eq!((new, told.stretches.len(), told.newest()), (200, 1, Some(199 * 300)));
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_beyond_counts_as_told() {
        let mut told = Told::default();
        // Steps that grow by one each: two instants are a stretch.
        let instants: Vec<Ts> = (0..10 * STRETCHES_MAX as Ts).map(|n| n * (n + 1) / 2).collect();
        assert!(instants.iter().all(|ts| told.take(*ts)));
        assert!(told.stretches.len() <= STRETCHES_MAX);
        assert!(instants.iter().all(|ts| !told.take(*ts)) && !told.take(4));
    }

    proptest::proptest! {
        #[test]
        fn an_instant_is_new_once(instants in proptest::collection::vec(0i64..60, 0..120)) {
            let (mut told, mut set) = (Told::default(), HashSet::new());
            for ts in instants {
                proptest::prop_assert_eq!(told.take(ts), set.insert(ts));
                proptest::prop_assert_eq!(told.newest(), set.iter().max().copied());
                proptest::prop_assert!(told.stretches.windows(2).all(|pair| pair[0].last < pair[1].first));
            }
        }
    }
}

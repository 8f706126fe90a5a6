//! Whether something is on, over event time.

use prism_schemas::Ts;

use super::timeline::Timeline;

/// Turns that are kept: more within the span that bars can be corrected in make it unknown before, and unknown is off.
const TURNS_MAX: usize = 4_096;

/// What becomes of a switch at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    On,
    Off,
    /// Off and on: a break, after which it is as it was before.
    Both,
}

/// On or off, over event time. The order in which turns are told does not show, nor that one is told twice.
#[derive(Clone, Debug)]
pub(super) struct Switch {
    before: bool,
    turns: Timeline<Turn>,
}

impl Switch {
    /// Of which nothing was told: `before` is how it was always.
    pub(super) fn new(before: bool) -> Switch {
        Switch { before, turns: Timeline::new() }
    }

    /// It is on or off from this time on. What goes off at `ts` is still on at that instant.
    pub(super) fn turn(&mut self, ts: Ts, on: bool) {
        let turn = if on { Turn::On } else { Turn::Off };
        self.turns.learn(ts, turn, |one, other| if one == other { one } else { Turn::Both });
        if self.turns.bound(TURNS_MAX) {
            self.before = false;
        }
    }

    /// How it is after the turns up to and including `ts`.
    pub(super) fn is_on_after(&self, ts: Ts) -> bool {
        let last = self.turns.until(ts).find(|(_, turn)| *turn != Turn::Both);
        last.map_or(self.before, |(_, turn)| turn == Turn::On)
    }

    /// Whether it is off from `ts` on, and was not turned since.
    pub(super) fn is_off_from(&self, ts: Ts) -> bool {
        !self.is_on_after(ts - 1) && self.turns.between(ts - 1, Ts::MAX).next().is_none()
    }

    /// Whether it is on over all of `[start, end)`.
    pub(super) fn is_on(&self, start: Ts, end: Ts) -> bool {
        self.is_on_after(start) && self.turns.between(start, end - 1).all(|(_, turn)| turn == Turn::On)
    }

    /// The last instant up to `ts` at which it was on.
    pub(super) fn last_on(&self, ts: Ts) -> Option<Ts> {
        let mut end = ts;
        for (at, turn) in self.turns.until(ts) {
            match turn {
                Turn::On => return Some(end),
                Turn::Off => end = at,
                Turn::Both => {}
            }
        }
        self.before.then_some(end)
    }

    /// Nobody will ask for times before `ts`, but for the last instant it was on.
    pub(super) fn forget(&mut self, ts: Ts) {
        let mut oldest = None;
        for (at, turn) in self.turns.until(ts) {
            match turn {
                Turn::Off => oldest = Some(at),
                Turn::On => {
                    oldest = oldest.or(Some(at));
                    break;
                }
                Turn::Both => {}
            }
        }
        if let Some(at) = oldest {
            self.before = self.is_on_after(at - 1);
            self.turns.forget(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(turns: &[(Ts, bool)], before: bool) -> Switch {
        let mut switch = Switch::new(before);
        turns.iter().for_each(|(ts, on)| switch.turn(*ts, *on));
        switch
    }

    /// Instant by instant. At the last one it is on if it was before, whatever becomes of it there.
    fn naive(turns: &[(Ts, bool)], before: bool, start: Ts, end: Ts) -> bool {
        let mut is_on = before;
        for ts in 0..end - 1 {
            let [on, off] = [true, false].map(|on| turns.contains(&(ts, on)));
            if on != off {
                is_on = on;
            }
            if start <= ts && (!is_on || (off && start < ts)) {
                return false;
            }
        }
        true
    }

    proptest! {
        #[test]
        fn the_order_of_telling_does_not_show(
            turns in prop::collection::vec((0..20i64, any::<bool>()), 0..12).prop_shuffle(),
            before: bool,
            limit in 0..20i64,
        ) {
            let mut sorted = turns.clone();
            sorted.sort_unstable();
            let (switch, mut pruned) = (told(&turns, before), told(&sorted, before));
            pruned.forget(limit);
            for start in 0..20 {
                for end in start + 2..=22 {
                    let expected = naive(&turns, before, start, end);
                    prop_assert_eq!(switch.is_on(start, end), expected, "[{}, {})", start, end);
                    prop_assert!(start < limit || pruned.is_on(start, end) == expected, "[{}, {}) after {}", start, end, limit);
                }
                prop_assert!(start < limit || pruned.last_on(start) == switch.last_on(start), "{} after {}", start, limit);
            }
        }
    }

    #[test]
    fn ends_and_breaks() {
        let (on, off) = (true, false);
        for (turns, start, end, expected) in [
            (&[(0, on), (9, off)][..], 0, 10, true),
            (&[(0, on), (9, off)], 0, 11, false),
            (&[(1, on)], 0, 10, false),
            (&[(0, on), (5, off), (5, on)], 0, 10, false),
            (&[(0, on), (5, off), (5, on)], 5, 10, true),
            // Connected and lost at once.
            (&[(5, on), (5, off)], 5, 10, false),
        ] {
            assert_eq!(told(turns, false).is_on(start, end), expected, "{turns:?} [{start}, {end})");
        }
        assert_eq!(told(&[(0, on), (9, off), (12, off)], false).last_on(20), Some(9));
        assert_eq!(told(&[(0, on), (9, off), (12, on)], false).last_on(20), Some(20));
        assert_eq!(told(&[(5, off)], false).last_on(20), None);
    }

    #[test]
    fn what_is_bounded_is_off_where_it_is_forgotten() {
        let mut switch = Switch::new(true);
        (0..3 * TURNS_MAX as i64).for_each(|ts| switch.turn(ts, ts % 2 == 0));
        assert_eq!(switch.turns.until(Ts::MAX).count(), TURNS_MAX);
        assert!(!switch.is_on(-9, -5));
    }
}

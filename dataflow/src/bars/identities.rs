//! Remembers trade identities while the horizon accepts their trades, so that the first of equal trades wins.

use std::collections::{HashSet, VecDeque};

use prism_schemas::{Timeframe, Ts};

use crate::{bar::EventId, event::Trade, settings::Settings};

/// Entries of one instrument that are kept, of 16 bytes or a little more; then the oldest minute makes room.
const ENTRIES_MAX: usize = 1 << 21;

/// Identities of one instrument's recent trades, minute by minute.
///
/// Keeps a minute (of event time) while a trade of it would be accepted: a bit of 64 numbers that are near each other, and
/// about 30 bytes of any other identity. What does not fit any more is not taken for new: see `Known::Unsure`.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// Rising.
    minutes: VecDeque<Minute>,
    /// All texts of all minutes.
    texts: HashSet<u64, foldhash::fast::RandomState>,
    /// The stream that came last, and its largest number that is remembered.
    newest: Option<(u32, u64)>,
    n_entries: usize,
    /// Minutes that begin before made room.
    unsure: Ts,
}

#[derive(Debug)]
struct Minute {
    start: Ts,
    numbers: Vec<Numbers>,
    texts: Vec<u64>,
}

/// Numbers of a stream.
#[derive(Debug)]
struct Numbers {
    stream: u32,
    /// Numbers divided by 64, rising, and a bit for each that is in.
    blocks: Vec<(u64, u64)>,
}

/// What is known of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// This is its first trade.
    First,
    /// One came before.
    Again,
    /// Its minute made room: one may have come before.
    Unsure,
}

impl Numbers {
    fn has(&self, number: u64) -> bool {
        let (block, bit) = (number / 64, 1 << (number % 64));
        let at = self.blocks.binary_search_by_key(&block, |(block, _)| *block);
        at.is_ok_and(|at| self.blocks[at].1 & bit != 0)
    }

    /// Takes a number in; whether that takes an entry.
    #[inline]
    fn insert(&mut self, number: u64) -> bool {
        let (block, bit) = (number / 64, 1 << (number % 64));
        match self.blocks.last_mut() {
            Some((last, bits)) if *last == block => *bits |= bit,
            Some((last, _)) if block < *last => match self.blocks.binary_search_by_key(&block, |(block, _)| *block) {
                Ok(at) => self.blocks[at].1 |= bit,
                Err(at) => {
                    self.blocks.insert(at, (block, bit));
                    return true;
                }
            },
            _ => {
                self.blocks.push((block, bit));
                return true;
            }
        }
        false
    }

    fn largest(&self) -> Option<u64> {
        self.blocks.last().map(|(block, bits)| block * 64 + u64::from(bits.ilog2()))
    }
}

impl Minute {
    fn numbers(&self, stream: u32) -> Option<&Numbers> {
        self.numbers.iter().find(|numbers| numbers.stream == stream)
    }

    fn insert(&mut self, stream: u32, number: u64) -> bool {
        let at = self.numbers.iter().position(|numbers| numbers.stream == stream).unwrap_or_else(|| {
            self.numbers.push(Numbers { stream, blocks: Vec::new() });
            self.numbers.len() - 1
        });
        self.numbers[at].insert(number)
    }

    fn n_entries(&self) -> usize {
        self.texts.len() + self.numbers.iter().map(|numbers| numbers.blocks.len()).sum::<usize>()
    }
}

impl Identities {
    /// Whether this is the first trade of its identity, which is remembered from now on.
    #[inline]
    pub(super) fn hear(&mut self, trade: &Trade, settings: &Settings) -> Known {
        // Numbers mostly rise, in the newest minute.
        if trade.id_kind == 1
            && self.newest.is_some_and(|(stream, newest)| stream == trade.stream && newest < trade.id)
            && let Some(minute) = self.minutes.back_mut()
            && (0..Timeframe::M1.length()).contains(&(trade.ts_event - minute.start))
            && let Some(numbers) = minute.numbers.last_mut().filter(|numbers| numbers.stream == trade.stream)
        {
            self.n_entries += usize::from(numbers.insert(trade.id));
            self.newest = Some((trade.stream, trade.id));
            return Known::First;
        }
        self.hear_any(trade, settings)
    }

    #[inline(never)]
    fn hear_any(&mut self, trade: &Trade, settings: &Settings) -> Known {
        let id = trade.event_id();
        if id == EventId::None {
            return Known::First;
        }
        self.forget(trade, settings);
        let start = Timeframe::M1.start(trade.ts_event);
        if start < self.unsure {
            return Known::Unsure;
        }
        let n_entries = match id {
            EventId::Number(number) => {
                // One that came before most likely did so in the same minute.
                let stream = trade.stream;
                if self.minutes.iter().rev().filter_map(|minute| minute.numbers(stream)).any(|have| have.has(number)) {
                    return Known::Again;
                }
                let newest = self.newest.filter(|(of, _)| *of == stream).map(|(_, newest)| newest);
                let newest = newest.or_else(|| self.largest(stream)).map_or(number, |newest| newest.max(number));
                self.newest = Some((stream, newest));
                usize::from(self.minute(start).insert(stream, number))
            }
            EventId::Text(text) => {
                let text = text ^ u64::from(trade.stream).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                if !self.texts.insert(text) {
                    return Known::Again;
                }
                self.minute(start).texts.push(text);
                1
            }
            EventId::None => 0,
        };
        self.n_entries += n_entries;
        while ENTRIES_MAX < self.n_entries {
            self.unsure = self.minutes[0].start + Timeframe::M1.length();
            self.forget_first();
        }
        Known::First
    }

    fn minute(&mut self, start: Ts) -> &mut Minute {
        let at = match self.minutes.back() {
            Some(last) if start < last.start => self.minutes.partition_point(|minute| minute.start < start),
            Some(last) if start == last.start => self.minutes.len() - 1,
            _ => self.minutes.len(),
        };
        if self.minutes.get(at).is_none_or(|minute| minute.start != start) {
            self.minutes.insert(at, Minute { start, numbers: Vec::new(), texts: Vec::new() });
        }
        &mut self.minutes[at]
    }

    /// The largest number of a stream.
    fn largest(&self, stream: u32) -> Option<u64> {
        self.minutes.iter().filter_map(|minute| minute.numbers(stream)?.largest()).max()
    }

    /// Forgets minutes whose trades the horizon does not accept any more.
    fn forget(&mut self, trade: &Trade, settings: &Settings) {
        let (base, n_minutes) = (settings.timeframes.base(), self.minutes.len());
        let last = |minute: &Minute| minute.start + Timeframe::M1.length() - 1;
        while let Some(first) = self.minutes.front()
            && settings.time.horizon < trade.known as Ts - base.end(base.start(last(first)))
        {
            self.forget_first();
        }
        if self.minutes.len() < n_minutes {
            self.newest = self.newest.and_then(|(stream, _)| Some((stream, self.largest(stream)?)));
        }
    }

    fn forget_first(&mut self) {
        let Some(first) = self.minutes.pop_front() else { return };
        self.n_entries -= first.n_entries();
        for text in &first.texts {
            self.texts.remove(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use prism_schemas::time::{MINUTE, SECOND};
    use proptest::prelude::*;

    use super::*;
    use crate::bars::tests::settings;

    fn trade(stream: u32, kind: u8, id: u64, second: i64, known: i64) -> Trade {
        Trade {
            ts_event: second * SECOND,
            ts_recv: known * SECOND,
            known: (known * SECOND) as u64,
            seq: id,
            id,
            price: 1,
            size: 1,
            instrument: 0,
            index: 0,
            price_decimals: 0,
            size_decimals: 0,
            id_kind: kind,
            buy: true,
            inverse: false,
            stream,
        }
    }

    #[test]
    fn an_identity_is_known_as_long_as_the_horizon_accepts_its_minute() {
        let settings = settings();
        let mut identities = Identities::default();
        let horizon = settings.time.horizon / SECOND;
        for (id, second, known, expected) in [
            (7, 30, 31, Known::First),
            (7, 30, 900, Known::Again),
            (7, 30, 60 + horizon, Known::Again),
            (7, horizon, 61 + horizon, Known::First),
            // A counter that begins anew rises again.
            (1, horizon, 62 + horizon, Known::First),
            (1, horizon, 63 + horizon, Known::Again),
        ] {
            assert_eq!(identities.hear(&trade(0, 1, id, second, known), &settings), expected, "{id} at {known}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_taken_for_new() {
        let settings = settings();
        let mut identities = Identities::default();
        let n = ENTRIES_MAX as u64 / 2;
        for id in 0..3 * n {
            // A minute for each half; numbers far from each other.
            let second = (id / n) as i64 * 60;
            assert_eq!(identities.hear(&trade(0, 1, id * 64, second, second), &settings), Known::First);
        }
        assert!(identities.n_entries <= ENTRIES_MAX);
        assert_eq!(identities.hear(&trade(0, 1, 0, 0, 200), &settings), Known::Unsure);
        assert_eq!(identities.hear(&trade(0, 1, n * 64, 60, 200), &settings), Known::Again);
        // Consecutive numbers take next to nothing.
        let mut identities = Identities::default();
        (0..n).for_each(|id| assert_eq!(identities.hear(&trade(0, 1, id, 0, 0), &settings), Known::First));
        assert_eq!(identities.n_entries, n as usize / 64);
    }

    proptest! {
        #[test]
        fn equals_a_plain_list(
            trades in prop::collection::vec((0u32..2, 0u8..3, 0u64..400, 0i64..900, 0i64..40), 0..300),
        ) {
            let settings = settings();
            let (mut identities, mut seen, mut now) = (Identities::default(), Vec::new(), 0);
            for (stream, kind, id, ago, pause) in trades {
                now += pause * pause;
                let one = trade(stream, kind, id, (now - ago).max(0), now);
                let key = (stream, kind, id);
                let accepted = |ts: Ts| one.known as Ts - (Timeframe::M1.start(ts) + MINUTE) <= settings.time.horizon;
                let is_known = kind != 0 && seen.iter().any(|(have, ts)| *have == key && accepted(*ts));
                let expected = if is_known { Known::Again } else { Known::First };
                prop_assert_eq!(identities.hear(&one, &settings), expected, "{:?}", one);
                if !is_known {
                    seen.push((key, one.ts_event));
                }
            }
        }
    }
}

//! Remembers trade identities while the horizon accepts their trades, so that the first of equal trades wins.

use std::collections::{BTreeMap, HashSet, VecDeque};

use prism_schemas::{Timeframe, Ts};

use crate::{bar::EventId, event::Trade, settings::Settings};

/// Entries of one instrument that are kept, of 8 bytes or a little more; then the oldest minute makes room.
const ENTRIES_MAX: usize = 1 << 21;

/// Identities of one instrument's recent trades, minute by minute of event time: a trade that is told again has the time it
/// had, while row numbers and counters begin anew.
///
/// Keeps a minute while a trade of it would be accepted: a bit of 32 numbers that are near each other, and about 30 bytes of
/// any other identity. What does not fit any more is not taken for new: see `Known::Unsure`.
#[derive(Debug)]
pub(super) struct Identities {
    /// Numbers of the newest minute, at hand, if there is one.
    start: Ts,
    current: Numbers,
    /// All others; rising.
    minutes: VecDeque<Minute>,
    n_entries: usize,
    entries_max: usize,
    /// Minutes that begin before made room.
    unsure: Ts,
}

#[derive(Debug)]
struct Minute {
    start: Ts,
    numbers: Vec<Numbers>,
    texts: HashSet<(u32, u64), foldhash::fast::RandomState>,
}

/// Numbers of a stream: 32 to a block, which is counted from the first number's, with a bit for each that is in.
#[derive(Debug)]
struct Numbers {
    stream: u32,
    /// The first number's block.
    base: u64,
    /// The last block that rose, at hand, and those before it.
    last: (u32, u32),
    rising: Vec<(u32, u32)>,
    others: BTreeMap<u64, u32>,
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

impl Default for Identities {
    fn default() -> Identities {
        let (current, minutes) = (Numbers::new(0, 0), VecDeque::new());
        Identities { start: Ts::MIN, current, minutes, n_entries: 0, entries_max: ENTRIES_MAX, unsure: Ts::MIN }
    }
}

impl Numbers {
    fn new(stream: u32, number: u64) -> Numbers {
        Numbers { stream, base: number / 32, last: (0, bit(number)), rising: Vec::new(), others: BTreeMap::new() }
    }

    /// Begins anew with one number, in the room it has; gives what it was.
    fn begin(&mut self, stream: u32, number: u64) -> Numbers {
        let next = Numbers { rising: std::mem::take(&mut self.rising), ..Numbers::new(stream, number) };
        let mut done = std::mem::replace(self, next);
        done.rising = self.rising.as_slice().into();
        self.rising.clear();
        done
    }

    /// Takes a number in, if it is new; the number of entries that takes.
    #[inline(always)]
    fn insert(&mut self, number: u64) -> Option<usize> {
        let (block, bit) = ((number / 32).wrapping_sub(self.base), bit(number));
        if u64::from(self.last.0) < block && block <= u64::from(u32::MAX) {
            self.rising.push(self.last);
            self.last = (block as u32, bit);
            return Some(1);
        }
        if block != u64::from(self.last.0) {
            return self.insert_late(block, bit);
        }
        let is_new = self.last.1 & bit == 0;
        self.last.1 |= bit;
        is_new.then_some(0)
    }

    #[inline(never)]
    fn insert_late(&mut self, block: u64, bit: u32) -> Option<usize> {
        let n_before = self.others.len();
        let bits = match self.rising.binary_search_by_key(&block, |(block, _)| u64::from(*block)) {
            Ok(at) => &mut self.rising[at].1,
            Err(_) => self.others.entry(block).or_default(),
        };
        let is_new = *bits & bit == 0;
        *bits |= bit;
        is_new.then(|| self.others.len() - n_before)
    }

    fn n_entries(&self) -> usize {
        1 + self.rising.len() + self.others.len()
    }
}

/// A number's place in its block.
fn bit(number: u64) -> u32 {
    1 << (number % 32)
}

impl Minute {
    fn new(start: Ts) -> Minute {
        Minute { start, numbers: Vec::new(), texts: HashSet::default() }
    }

    /// Takes an identity in, if it is new; the number of entries that takes.
    #[inline]
    fn insert(&mut self, stream: u32, id: EventId) -> Option<usize> {
        match id {
            EventId::Number(number) => match self.numbers.iter_mut().find(|numbers| numbers.stream == stream) {
                Some(numbers) => numbers.insert(number),
                None => {
                    self.numbers.push(Numbers::new(stream, number));
                    Some(1)
                }
            },
            EventId::Text(text) => self.texts.insert((stream, text)).then_some(1),
            // Equal events without an identity are distinct.
            EventId::None => Some(0),
        }
    }

    fn n_entries(&self) -> usize {
        self.texts.len() + self.numbers.iter().map(Numbers::n_entries).sum::<usize>()
    }
}

impl Identities {
    /// Whether this is the first trade of its identity, which is remembered from now on.
    #[inline(always)]
    pub(super) fn hear(&mut self, trade: &Trade, settings: &Settings) -> Known {
        // The fast path, without a division.
        let n_entries = if trade.id_kind == 1
            && trade.stream == self.current.stream
            && (0..Timeframe::M1.length()).contains(&trade.ts_event.wrapping_sub(self.start))
        {
            self.current.insert(trade.id)
        } else {
            match self.insert(trade, settings) {
                Some(n_entries) => n_entries,
                None => return Known::Unsure,
            }
        };
        let Some(n_entries) = n_entries else { return Known::Again };
        self.n_entries += n_entries;
        while self.entries_max < self.n_entries {
            self.make_room();
        }
        Known::First
    }

    /// As `Minute::insert`; `None` if the trade's minute had to make room.
    #[inline(never)]
    fn insert(&mut self, trade: &Trade, settings: &Settings) -> Option<Option<usize>> {
        self.forget(trade, settings);
        let start = Timeframe::M1.start(trade.ts_event);
        if start < self.unsure {
            return None;
        }
        match trade.event_id() {
            EventId::Number(number) if self.start < start => {
                let before = std::mem::replace(&mut self.start, start);
                let done = self.current.begin(trade.stream, number);
                if before != Ts::MIN {
                    self.minute(before).numbers.push(done);
                }
                Some(Some(1))
            }
            id => Some(self.minute(start).insert(trade.stream, id)),
        }
    }

    fn minute(&mut self, start: Ts) -> &mut Minute {
        let at = self.minutes.partition_point(|minute| minute.start < start);
        if self.minutes.get(at).is_none_or(|minute| minute.start != start) {
            self.minutes.insert(at, Minute::new(start));
        }
        &mut self.minutes[at]
    }

    /// Forgets minutes whose trades the horizon does not accept any more.
    fn forget(&mut self, trade: &Trade, settings: &Settings) {
        let base = settings.timeframes.base();
        let last = |minute: &Minute| minute.start.saturating_add(Timeframe::M1.length() - 1);
        while let Some(first) = self.minutes.front()
            && settings.time.horizon < (trade.known as Ts).saturating_sub(base.end(base.start(last(first))))
        {
            self.n_entries -= first.n_entries();
            self.minutes.pop_front();
        }
    }

    #[cold]
    fn make_room(&mut self) {
        let (start, n_entries) = match self.minutes.pop_front() {
            Some(first) => (first.start, first.n_entries()),
            None => (std::mem::replace(&mut self.start, Ts::MIN), self.current.n_entries()),
        };
        self.n_entries -= n_entries;
        self.unsure = start.saturating_add(Timeframe::M1.length());
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
            // Another row 7, of another file.
            (7, 900, 900, Known::First),
            (7, 31, 60 + horizon, Known::Again),
            (7, horizon, 61 + horizon, Known::First),
            // Forgotten with its minute; nobody asks any more but this test.
            (7, 30, 61 + horizon, Known::First),
        ] {
            assert_eq!(identities.hear(&trade(0, 1, id, second, known), &settings), expected, "{id} at {known}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_taken_for_new() {
        let settings = settings();
        let mut identities = Identities { entries_max: 200, ..Identities::default() };
        for id in 0..300 {
            // A minute for each hundred; numbers far from each other.
            let second = (id / 100) as i64 * 60;
            assert_eq!(identities.hear(&trade(0, 1, id * 32, second, second), &settings), Known::First);
        }
        assert_eq!(identities.n_entries, 200);
        assert_eq!(identities.hear(&trade(0, 1, 0, 0, 200), &settings), Known::Unsure);
        assert_eq!(identities.hear(&trade(0, 1, 100 * 32, 60, 200), &settings), Known::Again);
        // One minute that is too full.
        for id in 0..300 {
            identities.hear(&trade(0, 1, id * 32, 240, 240), &settings);
            assert!(identities.n_entries <= 200);
        }
        assert_eq!(identities.hear(&trade(0, 1, 1, 240, 240), &settings), Known::Unsure);
        // Consecutive numbers take next to nothing.
        let mut identities = Identities::default();
        (0..640).for_each(|id| assert_eq!(identities.hear(&trade(0, 1, id, 0, 0), &settings), Known::First));
        assert_eq!(identities.n_entries, 20);
    }

    proptest! {
        #[test]
        fn equals_a_plain_list(
            trades in prop::collection::vec(
                (0u32..2, 0u8..3, prop_oneof![(0u64..400).prop_map(Some), Just(None)], -20i64..900, 0i64..40),
                0..300,
            ),
            base in prop_oneof![Just(Timeframe::M1), Just(Timeframe::M5)],
        ) {
            let mut settings = settings();
            settings.timeframes.roles[0] = base;
            settings.time.horizon = 10 * MINUTE;
            let (mut identities, mut seen, mut now, mut rising) = (Identities::default(), Vec::new(), 0, 0);
            for (stream, kind, id, ago, pause) in trades {
                // Half of them are the next of a stream that rises.
                let one = match id {
                    Some(id) => {
                        now += pause * pause / 8;
                        trade(stream, kind, id, (now - ago).max(0), now)
                    }
                    None => {
                        rising += 1 + ago.max(0) as u64 % 3;
                        trade(0, 1, rising, now, now)
                    }
                };
                if settings.time.horizon < one.known as Ts - base.end(base.start(one.ts_event)) {
                    continue;
                }
                let key = (one.stream, one.id_kind, one.id, Timeframe::M1.start(one.ts_event));
                let expected = if one.id_kind != 0 && seen.contains(&key) { Known::Again } else { Known::First };
                prop_assert_eq!(identities.hear(&one, &settings), expected, "{:?}", one);
                seen.push(key);
            }
            let current = if identities.start == Ts::MIN { 0 } else { identities.current.n_entries() };
            let n_entries = current + identities.minutes.iter().map(Minute::n_entries).sum::<usize>();
            prop_assert_eq!(identities.n_entries, n_entries);
        }
    }
}

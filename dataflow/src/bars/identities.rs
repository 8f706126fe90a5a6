//! Remembers trade identities while the horizon accepts their trades, so that the first of equal trades wins.

use std::collections::{BTreeMap, HashSet, VecDeque};

use prism_schemas::{Timeframe, Ts};

use super::rising::{Block, Rising};
use crate::{
    bar::EventId,
    event::Trade,
    operator::{find, room},
    settings::Settings,
};

/// Entries of one instrument that are kept, of 8 bytes or a little more; then the oldest minute makes room.
const ENTRIES_MAX: u32 = 1 << 21;

/// Identities of one instrument's recent trades, minute by minute of event time: a trade that is told again has the time it
/// had, while row numbers and counters begin anew.
///
/// Keeps a minute while a trade of it would be accepted: 8 bytes for 32 numbers that are near each other, and about 30 bytes
/// for any other identity. What does not fit any more is not taken for new: see `Known::Unsure`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Identities {
    /// Start of the newest minute of numbers, whose last block that rose is at hand; none is `Ts::MIN`.
    start: Ts,
    /// Its first number's block: others are counted from there.
    base: u64,
    last: Block,
    stream: u32,
    /// The newest minute's blocks that rose, before the last.
    rising: Rising,
    /// Entries elsewhere, the one at hand among them.
    n_others: u32,
    entries_max: u32,
    /// Minutes of numbers, by minute and stream; the newest has what does not rise.
    minutes: VecDeque<Numbers>,
    /// By minute.
    texts: VecDeque<(Ts, Texts)>,
    /// Minutes that begin before made room.
    unsure: Ts,
}

/// Streams and identities that are no numbers.
type Texts = HashSet<(u32, u64), foldhash::fast::RandomState>;

/// Numbers of a stream in a minute.
#[derive(Debug)]
struct Numbers {
    start: Ts,
    stream: u32,
    /// Blocks that rose; none of the newest minute, or of one that never was.
    rising: Box<[Block]>,
    base: u64,
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
        Identities {
            start: Ts::MIN,
            base: 0,
            last: (0, 0),
            stream: 0,
            rising: Rising::default(),
            n_others: 0,
            entries_max: ENTRIES_MAX,
            minutes: VecDeque::new(),
            texts: VecDeque::new(),
            unsure: Ts::MIN,
        }
    }
}

impl Numbers {
    /// Takes a number in, given its blocks that rose. Whether it is new, and how many entries it took.
    fn insert(&mut self, rising: &mut [Block], number: u64) -> (bool, u32) {
        let block = (number / 32).wrapping_sub(self.base);
        let before = self.others.len();
        let bits = match rising.binary_search_by_key(&block, |(have, _)| (*have).into()) {
            Ok(at) => &mut rising[at].1,
            Err(_) => self.others.entry(block).or_insert(0),
        };
        let is_new = *bits & bit(number) == 0;
        *bits |= bit(number);
        (is_new, (self.others.len() - before) as u32)
    }
}

/// A number's place in its block.
fn bit(number: u64) -> u32 {
    1 << (number % 32)
}

impl Identities {
    /// Whether this is the first trade of its identity, which is remembered from now on.
    #[inline(always)]
    pub(super) fn hear(&mut self, trade: &Trade, settings: &Settings) -> Known {
        // The fast path, without a division.
        if let EventId::Number(number) = trade.event_id()
            && trade.shape.stream() == self.stream
            && (0..Timeframe::M1.length()).contains(&trade.ts_event.wrapping_sub(self.start))
        {
            let (block, (last, bits)) = ((number / 32).wrapping_sub(self.base), self.last);
            // No branch on which of the two it is: where streams share their numbers nobody can foretell that.
            let rises = u64::from(last) < block && block <= u64::from(u32::MAX);
            let is_new = rises | (block == u64::from(last)) & (bits & bit(number) == 0);
            if is_new & self.rising.has_room() {
                self.rising.put(self.last, rises);
                self.last = (block as u32, bit(number) | if rises { 0 } else { bits });
                return Known::First;
            }
        }
        self.hear_any(trade, settings)
    }

    #[inline(never)]
    fn hear_any(&mut self, trade: &Trade, settings: &Settings) -> Known {
        self.forget(trade, settings);
        let start = Timeframe::M1.start(trade.ts_event);
        if start < self.unsure {
            return Known::Unsure;
        }
        let stream = trade.shape.stream();
        let is_new = match trade.event_id() {
            EventId::Number(number) if self.start < start => self.begin(start, stream, number),
            EventId::Number(number) if (start, stream) == (self.start, self.stream) => self.insert(number),
            EventId::Number(number) => self.insert_late(start, stream, number),
            EventId::Text(text) => {
                let at = find(&self.texts, &start, |(start, _)| *start).unwrap_or_else(|at| {
                    self.texts.insert(at, (start, Texts::default()));
                    at
                });
                let is_new = self.texts[at].1.insert((stream, text));
                self.n_others += u32::from(is_new);
                is_new
            }
            // Equal events without an identity are distinct.
            EventId::None => true,
        };
        while self.entries_max < self.n_entries() {
            self.make_room();
        }
        self.rising.limit(self.entries_max.saturating_sub(self.n_others));
        if is_new { Known::First } else { Known::Again }
    }

    /// Begins a minute with a number.
    fn begin(&mut self, start: Ts, stream: u32, number: u64) -> bool {
        self.end();
        (self.start, self.stream) = (start, stream);
        (self.base, self.last) = (number / 32, (0, bit(number)));
        let at = self.find(start, stream).unwrap_or_else(|at| at);
        let newest = Numbers { start, stream, rising: Box::default(), base: self.base, others: BTreeMap::new() };
        self.minutes.insert(at, newest);
        self.n_others += 1;
        true
    }

    /// Puts what is at hand of the newest minute to the rest.
    fn end(&mut self) {
        if self.start == Ts::MIN {
            return;
        }
        self.rising.push(self.last);
        let rising = self.rising.take();
        self.n_others += rising.len() as u32 - 1;
        if let Ok(at) = self.find(self.start, self.stream) {
            self.minutes[at].rising = rising;
        }
        self.start = Ts::MIN;
    }

    /// Bytes it keeps beside itself.
    pub(super) fn bytes(&self) -> usize {
        self.n_entries() as usize * size_of::<Block>() + room(&self.minutes)
    }

    fn n_entries(&self) -> u32 {
        self.n_others + self.rising.len()
    }

    /// Takes in a number of the newest minute.
    fn insert(&mut self, number: u64) -> bool {
        let block = (number / 32).wrapping_sub(self.base);
        if u64::from(self.last.0) < block && block <= u64::from(u32::MAX) {
            self.rising.push(self.last);
            self.last = (block as u32, bit(number));
            return true;
        }
        if block == u64::from(self.last.0) {
            let is_new = self.last.1 & bit(number) == 0;
            self.last.1 |= bit(number);
            return is_new;
        }
        let Ok(at) = self.find(self.start, self.stream) else { return true };
        let (is_new, n_more) = self.minutes[at].insert(self.rising.as_mut_slice(), number);
        self.n_others += n_more;
        is_new
    }

    /// Takes in a number of another minute or stream than the newest.
    fn insert_late(&mut self, start: Ts, stream: u32, number: u64) -> bool {
        let at = self.find(start, stream).unwrap_or_else(|at| {
            let base = number / 32;
            self.minutes.insert(at, Numbers { start, stream, rising: Box::default(), base, others: BTreeMap::new() });
            at
        });
        let mut rising = std::mem::take(&mut self.minutes[at].rising);
        let (is_new, n_more) = self.minutes[at].insert(&mut rising, number);
        self.minutes[at].rising = rising;
        self.n_others += n_more;
        is_new
    }

    fn find(&self, start: Ts, stream: u32) -> Result<usize, usize> {
        find(&self.minutes, &(start, stream), |minute| (minute.start, minute.stream))
    }

    /// Forgets minutes whose trades the horizon does not accept any more.
    fn forget(&mut self, trade: &Trade, settings: &Settings) {
        let base = settings.timeframes.base();
        let is_over = |start: Ts| {
            let last = start.saturating_add(Timeframe::M1.length() - 1);
            settings.time.horizon < (trade.known as Ts).saturating_sub(base.end(base.start(last)))
        };
        while let Some(first) = self.oldest().filter(|first| is_over(*first)) {
            self.drop_minute(first);
        }
    }

    fn oldest(&self) -> Option<Ts> {
        let fronts = [self.minutes.front().map(|minute| minute.start), self.texts.front().map(|(start, _)| *start)];
        fronts.into_iter().flatten().min()
    }

    fn drop_minute(&mut self, start: Ts) {
        if start == self.start {
            self.end();
        }
        while let Some(minute) = self.minutes.pop_front_if(|minute| minute.start == start) {
            self.n_others -= (minute.rising.len() + minute.others.len()) as u32;
        }
        while let Some((_, texts)) = self.texts.pop_front_if(|(first, _)| *first == start) {
            self.n_others -= texts.len() as u32;
        }
    }

    #[cold]
    fn make_room(&mut self) {
        let Some(start) = self.oldest() else { return };
        self.drop_minute(start);
        self.unsure = start.saturating_add(Timeframe::M1.length());
    }
}

#[cfg(test)]
mod tests {
    use prism_schemas::time::{MINUTE, SECOND};
    use proptest::prelude::*;

    use super::*;
    use crate::{bars::tests::settings, event::Shape};

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
            buy: true,
            shape: Shape::new(stream, 0, 0, kind, false),
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
    fn what_the_horizon_does_not_accept_is_forgotten() {
        let settings = settings();
        let minutes = settings.time.horizon / MINUTE + 2;
        for kind in [1, 2] {
            let mut identities = Identities::default();
            for minute in 0..5 * minutes {
                identities.hear(&trade(0, kind, 32 * minute as u64, minute * 60, minute * 60), &settings);
            }
            assert!(i64::from(identities.n_entries()) <= minutes, "{kind}: {}", identities.n_entries());
        }
    }

    #[test]
    fn a_stream_of_numbers_that_ended_keeps_no_texts() {
        let (settings, mut identities) = (settings(), Identities::default());
        identities.hear(&trade(0, 1, 7, 0, 0), &settings);
        let minutes = settings.time.horizon / MINUTE + 2;
        for minute in 0..5 * minutes {
            identities.hear(&trade(0, 2, minute as u64, minute * 60, minute * 60), &settings);
        }
        assert!(i64::from(identities.n_entries()) <= minutes, "{}", identities.n_entries());
        assert_eq!(identities.hear(&trade(0, 1, 7, 5 * minutes * 60, 5 * minutes * 60), &settings), Known::First);
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
        assert_eq!(identities.n_entries(), 200);
        assert_eq!(identities.hear(&trade(0, 1, 0, 0, 200), &settings), Known::Unsure);
        assert_eq!(identities.hear(&trade(0, 1, 100 * 32, 60, 200), &settings), Known::Again);
        // One minute that is too full.
        for id in 0..300 {
            identities.hear(&trade(0, 1, id * 32, 240, 240), &settings);
            assert!(identities.n_entries() <= 200);
        }
        assert_eq!(identities.hear(&trade(0, 1, 1, 240, 240), &settings), Known::Unsure);
        // Consecutive numbers take next to nothing.
        let mut identities = Identities::default();
        (0..640).for_each(|id| assert_eq!(identities.hear(&trade(0, 1, id, 0, 0), &settings), Known::First));
        assert_eq!(identities.n_entries(), 20);
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
                let key = (one.shape.stream(), one.event_id(), Timeframe::M1.start(one.ts_event));
                let expected = if one.event_id() != EventId::None && seen.contains(&key) { Known::Again } else { Known::First };
                prop_assert_eq!(identities.hear(&one, &settings), expected, "{:?}", one);
                seen.push(key);
            }
            let (is_open, minutes) = (identities.start != Ts::MIN, &identities.minutes);
            let numbers = minutes.iter().map(|minute| minute.rising.len() + minute.others.len()).sum::<usize>();
            let texts = identities.texts.iter().map(|(_, texts)| texts.len()).sum::<usize>();
            prop_assert_eq!(identities.n_others as usize, numbers + texts + usize::from(is_open));
        }
    }
}

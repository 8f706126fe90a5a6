//! Remembers trade identities for a while, so that the first of equal trades wins.

use std::collections::{HashSet, VecDeque};

use prism_schemas::Ts;

use crate::{bar::EventId, event::Trade};

/// A stream's number, whether the identity is a text, and the identity.
type Key = (u32, bool, u64);

/// Identities of one instrument's recent trades. Numbers mostly rise, so appending is the fast path.
///
/// Keeps 16 bytes a numbered trade and about 60 any other, for the span it is asked to remember and until there is no room.
#[derive(Debug, Default)]
pub(super) struct Dedup {
    /// The stream whose numbers rise.
    stream: u32,
    rising: VecDeque<(u64, Ts)>,
    /// None of the stream's numbers that are remembered is above this one; kept at hand, as the ring's end is rarely in the cache.
    last: Option<u64>,
    /// All other identities.
    others: HashSet<Key, foldhash::fast::RandomState>,
    order: VecDeque<(Ts, Key)>,
    /// The newest receive time that what is too old was not yet forgotten by.
    now: Ts,
}

impl Dedup {
    /// Whether this is the first trade of its identity within `span` of receive time.
    #[inline]
    pub(super) fn is_first(&mut self, trade: &Trade, span: i64) -> bool {
        // Receive times and numbers rise: nothing older can matter, and forgetting waits until there is no room.
        if trade.id_kind == 1
            && trade.stream == self.stream
            && self.now <= trade.ts_recv
            && self.rising.len() < self.rising.capacity()
            && self.last.is_some_and(|last| last < trade.id)
        {
            self.last = Some(trade.id);
            self.now = trade.ts_recv;
            self.rising.push_back((trade.id, trade.ts_recv));
            return true;
        }
        self.is_first_of_all(trade, span)
    }

    #[inline(never)]
    fn is_first_of_all(&mut self, trade: &Trade, span: i64) -> bool {
        let now = trade.ts_recv;
        self.forget(self.now.max(now), span);
        self.now = now;
        let key = match trade.event_id() {
            EventId::None => return true,
            EventId::Number(id) => (trade.stream, false, id),
            EventId::Text(id) => (trade.stream, true, id),
        };
        if let (stream, false, id) = key {
            if self.rising.is_empty() {
                self.begin(stream);
            }
            if stream == self.stream {
                if self.last.is_none_or(|last| last < id) {
                    self.last = Some(id);
                    self.rising.push_back((id, now));
                    return true;
                }
                if self.rising.binary_search_by_key(&id, |(have, _)| *have).is_ok() {
                    return false;
                }
            }
        }
        let is_new = self.others.insert(key);
        if is_new {
            self.order.push_back((now, key));
        }
        is_new
    }

    /// No number is in the ring: whose rise next, and from where on.
    fn begin(&mut self, stream: u32) {
        let stands = self.last.is_none_or(|last| self.others.contains(&(stream, false, last)));
        if self.stream != stream || !stands {
            let numbers = self.order.iter().filter(|(_, (of, text, _))| *of == stream && !text);
            self.last = numbers.map(|(_, (.., id))| *id).max();
            self.stream = stream;
        }
    }

    /// Forgets what is older than `span` before `now`.
    fn forget(&mut self, now: Ts, span: i64) {
        let is_old = |ts: Ts| ts.saturating_add(span) < now;
        while self.rising.front().is_some_and(|(_, ts)| is_old(*ts)) {
            self.rising.pop_front();
        }
        while let Some(&(ts, key)) = self.order.front()
            && is_old(ts)
        {
            self.order.pop_front();
            self.others.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade(id: u64, kind: u8, second: i64) -> Trade {
        of_stream(0, id, kind, second)
    }

    fn of_stream(stream: u32, id: u64, kind: u8, second: i64) -> Trade {
        Trade {
            ts_event: 0,
            ts_recv: second,
            known: 0,
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
    fn first_wins_within_the_span() {
        let mut dedup = Dedup::default();
        for (id, kind, second, expected) in [
            (5, 1, 0, true),
            (5, 1, 1, false),
            (3, 1, 2, true),
            (3, 1, 3, false),
            (9, 1, 4, true),
            (5, 2, 5, true),
            (5, 2, 6, false),
            (0, 0, 7, true),
            (0, 0, 7, true),
            (5, 1, 10, false),
            (5, 1, 11, true),
            (5, 2, 20, true),
        ] {
            assert_eq!(dedup.is_first(&trade(id, kind, second), 10), expected, "{id} {kind} at {second}");
        }
    }

    #[test]
    fn a_number_below_others_is_remembered_when_all_above_it_are_forgotten() {
        let mut dedup = Dedup::default();
        for (id, minute, expected) in [(100, 0, true), (50, 5, true), (50, 12, false), (40, 12, true), (50, 13, false)]
        {
            assert_eq!(dedup.is_first(&trade(id, 1, minute), 10), expected, "{id} at {minute}");
        }
        // All are forgotten: whatever comes is new, and rises again.
        for (id, minute, expected) in [(50, 30, true), (51, 30, true), (50, 31, false), (51, 31, false), (49, 31, true)]
        {
            assert_eq!(dedup.is_first(&trade(id, 1, minute), 10), expected, "{id} at {minute}");
        }
    }

    #[test]
    fn equal_numbers_of_two_streams_are_two_trades() {
        let mut dedup = Dedup::default();
        for (stream, id, second, expected) in [
            (1, 7, 0, true),
            (0, 7, 1, true),
            (1, 7, 2, false),
            (0, 7, 2, false),
            (0, 8, 3, true),
            // The first stream's ring is empty: the second's numbers rise there from now on.
            (0, 8, 12, false),
            (0, 9, 12, true),
            (0, 9, 13, false),
            (1, 9, 13, true),
            (1, 9, 14, false),
        ] {
            let trade = of_stream(stream, id, 1, second);
            assert_eq!(dedup.is_first(&trade, 10), expected, "{id} of {stream} at {second}");
        }
    }

    /// Remembers everything and looks through all of it.
    fn naive(seen: &mut Vec<(Key, Ts)>, trade: &Trade, span: i64) -> bool {
        let key = (trade.stream, trade.id_kind == 2, trade.id);
        let is_first = !seen.iter().any(|(have, ts)| *have == key && trade.ts_recv <= ts + span);
        if is_first {
            seen.push((key, trade.ts_recv));
        }
        is_first
    }

    proptest::proptest! {
        #[test]
        fn equals_a_plain_list(
            trades in proptest::collection::vec((0u32..2, 0u64..12, 1u8..3, 0i64..9), 0..200),
        ) {
            let (mut dedup, mut seen, mut now) = (Dedup::default(), Vec::new(), 0);
            for (stream, id, kind, pause) in trades {
                now += pause / 6 * pause;
                let trade = of_stream(stream, id, kind, now);
                proptest::prop_assert_eq!(dedup.is_first(&trade, 10), naive(&mut seen, &trade, 10), "{:?}", trade);
            }
        }
    }
}

//! Remembers trade identities for a while, so that the first of equal trades wins.

use std::collections::{HashSet, VecDeque};

use prism_schemas::Ts;

use crate::{bar::EventId, event::Trade};

/// Identities of one instrument's recent trades. Numbers mostly rise, so appending is the fast path.
///
/// Keeps 16 bytes a numbered trade and about 60 a text one, for the span it is asked to remember and until there is no room.
#[derive(Debug, Default)]
pub(super) struct Dedup {
    rising: VecDeque<(u64, Ts)>,
    /// The last of them, kept at hand: the ring's end is rarely in the cache.
    last: Option<u64>,
    others: HashSet<(bool, u64), foldhash::fast::RandomState>,
    order: VecDeque<(Ts, bool, u64)>,
    /// The newest receive time that what is too old was not yet forgotten by.
    now: Ts,
}

impl Dedup {
    /// Whether this is the first trade of its identity within `span` of receive time.
    #[inline]
    pub(super) fn is_first(&mut self, trade: &Trade, span: i64) -> bool {
        // Receive times and numbers rise: nothing older can matter, and forgetting waits until there is no room.
        if trade.id_kind == 1
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
        let (text, id) = match trade.event_id() {
            EventId::None => return true,
            EventId::Number(id) => (false, id),
            EventId::Text(id) => (true, id),
        };
        if !text {
            if self.last.is_none_or(|last| last < id) {
                self.last = Some(id);
                self.rising.push_back((id, now));
                return true;
            }
            if self.rising.binary_search_by_key(&id, |(have, _)| *have).is_ok() {
                return false;
            }
        }
        let is_new = self.others.insert((text, id));
        if is_new {
            self.order.push_back((now, text, id));
        }
        is_new
    }

    /// Forgets what is older than `span` before `now`.
    fn forget(&mut self, now: Ts, span: i64) {
        let is_old = |ts: Ts| ts.saturating_add(span) < now;
        while self.rising.front().is_some_and(|(_, ts)| is_old(*ts)) {
            self.rising.pop_front();
        }
        self.last = self.rising.back().map(|(id, _)| *id);
        while let Some(&(ts, text, id)) = self.order.front()
            && is_old(ts)
        {
            self.order.pop_front();
            self.others.remove(&(text, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade(id: u64, kind: u8, second: i64) -> Trade {
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
            stream: 0,
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
}

//! Which trades came, over all connections of a venue, and which numbers between them did not.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prism_schemas::event::event::Body;
use prism_schemas::event::{Trade, trade};
use prism_schemas::instrument::fnv1a;
use prism_schemas::time::SECOND;
use prism_schemas::{Decimal, Event, InstrumentId, Ts};

/// Trades of an instrument whose ids are remembered: some answers' worth.
const REMEMBERED: usize = 4_096;
/// A trade this young may still be on its way.
pub(super) const SETTLED: i64 = 2 * SECOND;
/// Trades before the first one that came: some may have been lost since the feed began.
const BEFORE: u64 = 20;
/// Numbers that a trade may be beyond or behind the last one: more than any venue has within an outage of a day.
const JUMP_MAX: u64 = 10_000_000;
/// Strange numbers that follow each other, after which they are the venue's numbers from now on.
const AGREED: u32 = 3;
/// Holes of an instrument that wait to be looked at; then the last one grows.
const HOLES_MAX: usize = 256;
/// Instruments whose trades are remembered.
const INSTRUMENTS_MAX: usize = 20_000;

/// What a trade is to those that came before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was not seen before; it is from now on.
    New,
    /// It was, or it is no trade with an id.
    Known,
    /// Its number cannot be: why.
    Strange(String),
}

/// Ids of the newest trades, over all connections of a venue.
#[derive(Default)]
pub(super) struct Seen {
    all: Mutex<HashMap<InstrumentId, Ids>>,
    /// When a stream last lost something: a message, or the connection.
    trouble: AtomicI64,
}

#[derive(Default)]
struct Ids {
    known: HashSet<u64>,
    /// How many of those known there are of a time, price, size and side.
    alike: HashMap<u64, u32>,
    /// Identity, if it was told by the stream, and likeness.
    order: VecDeque<(Option<u64>, u64)>,
    /// The greatest number so far, and when it was traded.
    last: Option<(u64, Ts)>,
    /// Numbers far from it: the first, when that was traded, the last, and how many followed each other.
    strange: Option<(u64, Ts, u64, u32)>,
    holes: Vec<Hole>,
    /// Connected again at this time, and no trade came since: what was missed shows only with the next one.
    quiet: Option<Ts>,
    /// Connected for the first time at this time.
    since: Option<Ts>,
    /// Trades so far.
    n: u64,
    /// When its last message came, on whichever connection.
    heard: Ts,
}

/// Numbers that did not come; an open end is `u64::MAX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) first: u64,
    pub(super) last: u64,
    /// When the trade before them was; absent before the first trade, where nobody knows how many were lost.
    pub(super) since: Option<Ts>,
    /// When the one after them was.
    pub(super) ts: Ts,
}

impl Ids {
    /// Takes note of a number and of what is missing before it; `Some` if it cannot be: why.
    fn number(&mut self, number: u64, ts: Ts) -> Option<String> {
        let last = self.last.map_or(number.saturating_sub(BEFORE + 1), |(last, _)| last);
        let since = self.last.map(|(_, since)| since);
        if number == u64::MAX || JUMP_MAX < number.abs_diff(last) {
            return self.jump(number, ts, last);
        }
        self.strange = None;
        if last.checked_add(1).is_some_and(|next| next < number) {
            self.hole(Hole { first: last + 1, last: number - 1, since, ts });
        }
        self.last = self.last.max(Some((number, ts)));
        self.quiet = None;
        None
    }

    /// A number that is far from the last one: some in a row are a venue that numbers anew, one is a mistake.
    fn jump(&mut self, number: u64, ts: Ts, last: u64) -> Option<String> {
        let follows = |before: u64| before < number && number - before <= JUMP_MAX && number != u64::MAX;
        let (first, first_ts, n) = match self.strange {
            Some((first, first_ts, before, n)) if follows(before) => (first, first_ts, n + 1),
            _ => (number, ts, 1),
        };
        self.strange = Some((first, first_ts, number, n));
        if n < AGREED {
            return Some(format!("trade {number} is {} numbers from the last one, {last}", number.abs_diff(last)));
        }
        let since = self.last.map(|(_, since)| since);
        if last < first {
            self.hole(Hole { first: last + 1, last: first - 1, since, ts: first_ts });
        }
        // Those that were not believed are asked for again.
        self.hole(Hole { first, last: number - 1, since: Some(first_ts), ts });
        (self.last, self.strange, self.quiet) = (Some((number, ts)), None, None);
        None
    }

    fn remember(&mut self, id: Option<u64>, likeness: u64) {
        self.order.push_back((id, likeness));
        *self.alike.entry(likeness).or_default() += 1;
        if REMEMBERED < self.order.len()
            && let Some((oldest, likeness)) = self.order.pop_front()
        {
            oldest.map(|oldest| self.known.remove(&oldest));
            if let Entry::Occupied(mut alike) = self.alike.entry(likeness) {
                *alike.get_mut() -= 1;
                if *alike.get() == 0 {
                    alike.remove();
                }
            }
        }
    }

    fn hole(&mut self, hole: Hole) {
        if self.holes.len() < HOLES_MAX {
            self.holes.push(hole);
        } else if let Some(last) = self.holes.last_mut().filter(|last| last.last < hole.first) {
            (last.last, last.ts) = (hole.last, hole.ts);
        }
    }

    /// Whether one of a hole's numbers did not come.
    fn lacks(&self, hole: &Hole) -> bool {
        let is_longer = self.known.len() as u64 <= hole.last - hole.first;
        is_longer || (hole.first..=hole.last).any(|number| !self.known.contains(&number))
    }
}

impl Seen {
    /// Takes note of an event, if it is a trade.
    pub(super) fn take(&self, instrument: &InstrumentId, event: &Event) -> Verdict {
        let (Some(Body::Trade(trade)), Some(id)) = (&event.body, identity(event)) else { return Verdict::Known };
        let mut all = self.all();
        if !all.contains_key(instrument) {
            if INSTRUMENTS_MAX <= all.len() {
                return Verdict::New;
            }
            all.insert(instrument.clone(), Ids::default());
        }
        let Some(ids) = all.get_mut(instrument) else { return Verdict::Known };
        if let Some(trade::Id::Number(number)) = trade.id
            && let Some(detail) = ids.number(number, event.ts_event)
        {
            return Verdict::Strange(detail);
        }
        if !ids.known.insert(id) {
            return Verdict::Known;
        }
        ids.n += 1;
        ids.remember(Some(id), likeness(event, trade));
        Verdict::New
    }

    /// Whether a trade was not seen before; it is from now on.
    pub(super) fn is_new(&self, instrument: &InstrumentId, event: &Event) -> bool {
        self.take(instrument, event) == Verdict::New
    }

    /// Whether a trade was seen before.
    pub(super) fn has(&self, instrument: &InstrumentId, event: &Event) -> bool {
        let Some(id) = identity(event) else { return false };
        self.all().get(instrument).is_some_and(|ids| ids.known.contains(&id))
    }

    /// Whether a trade of the same time, price, size and side was seen before.
    pub(super) fn has_alike(&self, instrument: &InstrumentId, event: &Event) -> bool {
        let Some(Body::Trade(trade)) = &event.body else { return false };
        self.all().get(instrument).is_some_and(|ids| ids.alike.contains_key(&likeness(event, trade)))
    }

    /// As `is_new` of a trade that an answer named, where names of answers and of the stream may differ: it is new if none
    /// of its time, price, size and side was seen, and its name is no name of the stream's.
    pub(super) fn is_new_by_likeness(&self, instrument: &InstrumentId, event: &Event) -> bool {
        let Some(Body::Trade(trade)) = &event.body else { return false };
        let (likeness, mut all) = (likeness(event, trade), self.all());
        let Some(ids) = all.get_mut(instrument) else { return true };
        let is_new = !ids.alike.contains_key(&likeness);
        if is_new {
            ids.remember(None, likeness);
        }
        is_new
    }

    /// A hole is looked at again the next time; false if there are too many.
    pub(super) fn put_back(&self, instrument: &InstrumentId, hole: &Hole) -> bool {
        let mut all = self.all();
        let waiting = all.get_mut(instrument).filter(|ids| ids.holes.len() < HOLES_MAX);
        waiting.map(|ids| ids.holes.push(hole.clone())).is_some()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<InstrumentId, Ids>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream lost something.
    pub(super) fn trouble(&self, now: Ts) {
        self.trouble.fetch_max(now, Relaxed);
    }

    /// When a stream last did.
    pub(super) fn troubled(&self) -> Ts {
        self.trouble.load(Relaxed)
    }

    /// An instrument is connected again.
    pub(super) fn again(&self, instrument: &InstrumentId, now: Ts) {
        let mut all = self.all();
        let ids = all.entry(instrument.clone()).or_default();
        ids.quiet = Some(now);
        ids.since.get_or_insert(now);
    }

    /// A message of an instrument came.
    pub(super) fn hear(&self, instrument: &InstrumentId, now: Ts) {
        let mut all = self.all();
        match all.get_mut(instrument) {
            Some(ids) => ids.heard = now,
            None => all.entry(instrument.clone()).or_default().heard = now,
        }
    }

    /// When an instrument's last message came, on whichever connection.
    pub(super) fn heard(&self, instrument: &InstrumentId) -> Ts {
        self.all().get(instrument).map_or(0, |ids| ids.heard)
    }

    /// An instrument is not followed any more.
    pub(super) fn forget(&self, instrument: &InstrumentId) {
        self.all().remove(instrument);
    }

    /// Since when trades of an instrument are owed.
    pub(super) fn since(&self, instrument: &InstrumentId) -> Ts {
        self.all().get(instrument).and_then(|ids| ids.since).unwrap_or(Ts::MAX)
    }

    /// Trades of an instrument so far.
    pub(super) fn n(&self, instrument: &InstrumentId) -> u64 {
        self.all().get(instrument).map_or(0, |ids| ids.n)
    }

    /// Holes whose trades are not under way any more, and did not come in another order.
    pub(super) fn holes(&self, instrument: &InstrumentId, now: Ts) -> Vec<Hole> {
        let mut all = self.all();
        let Some(ids) = all.get_mut(instrument) else { return Vec::new() };
        let mut settled: Vec<Hole> = ids.holes.extract_if(.., |hole| hole.ts + SETTLED <= now).collect();
        if let Some(ts) = ids.quiet.take_if(|since| *since + SETTLED <= now)
            && let Some((last, since)) = ids.last
            && let Some(first) = last.checked_add(1)
        {
            settled.push(Hole { first, last: u64::MAX, since: Some(since), ts });
        }
        drop(all);
        // Each look is short: others wait for the lock.
        settled.retain(|hole| self.all().get(instrument).is_some_and(|ids| ids.lacks(hole)));
        settled
    }
}

/// The identity of a trade.
pub(super) fn identity(event: &Event) -> Option<u64> {
    let Some(Body::Trade(trade)) = &event.body else { return None };
    match trade.id.as_ref()? {
        trade::Id::Text(text) => Some(fnv1a(text.as_bytes())),
        trade::Id::Number(number) => Some(*number),
    }
}

/// What two tellings of one trade have in common whatever they call it.
fn likeness(event: &Event, trade: &Trade) -> u64 {
    let number = |value: Option<Decimal>| value.map_or([0; 2], |value| [value.mantissa, value.decimals.into()]);
    let [price, size] = [trade.price, trade.size].map(number);
    let words = [event.ts_event, i64::from(trade.side), price[0], price[1], size[0], size[1]];
    fnv1a(words.map(i64::to_le_bytes).as_flattened())
}

#[cfg(test)]
mod tests {
    use prism_schemas::Market;

    use super::*;

    fn trade(id: trade::Id, ts_event: Ts) -> Event {
        Event { ts_event, body: Some(Body::Trade(Trade { id: Some(id), ..Trade::default() })), ..Event::default() }
    }

    #[test]
    fn a_trade_is_new_once_and_old_ones_are_forgotten() {
        let seen = Seen::default();
        let of = |symbol: &str| InstrumentId::new("bybit", Market::Linear, symbol);
        let trade = |n: u64| trade(trade::Id::Text(format!("trade {n}")), 0);
        assert!(seen.is_new(&of("A"), &trade(0)) && !seen.is_new(&of("A"), &trade(0)));
        assert!(seen.is_new(&of("B"), &trade(0)));
        assert!((1..=REMEMBERED as u64).all(|n| seen.is_new(&of("A"), &trade(n))));
        assert!(seen.is_new(&of("A"), &trade(0)) && !seen.is_new(&of("A"), &trade(REMEMBERED as u64)));
    }

    #[test]
    fn holes_between_numbers_are_told_once_and_swapped_trades_are_none() {
        let (seen, id) = (Seen::default(), InstrumentId::new("binance", Market::Linear, "A"));
        for number in [45, 46, 49, 48, 52, 51, 50, 60] {
            assert!(seen.is_new(&id, &trade(trade::Id::Number(number), number as Ts * SECOND)));
        }
        assert_eq!(
            seen.holes(&id, 53 * SECOND),
            [
                Hole { first: 25, last: 44, since: None, ts: 45 * SECOND },
                Hole { first: 47, last: 48, since: Some(46 * SECOND), ts: 49 * SECOND }
            ]
        );
        assert_eq!(seen.holes(&id, 61 * SECOND), []);
        assert_eq!(
            seen.holes(&id, 62 * SECOND),
            [Hole { first: 53, last: 59, since: Some(52 * SECOND), ts: 60 * SECOND }]
        );
        // Connected again, and nothing comes: there may be more.
        seen.again(&id, 70 * SECOND);
        let open = Hole { first: 61, last: u64::MAX, since: Some(60 * SECOND), ts: 70 * SECOND };
        assert_eq!((seen.holes(&id, 71 * SECOND), seen.holes(&id, 72 * SECOND)), (vec![], vec![open]));
        assert_eq!(seen.holes(&id, 80 * SECOND), []);
    }

    #[test]
    fn an_id_that_cannot_be_is_strange_and_holes_are_seen_afterwards() {
        for strange in [u64::MAX, u64::MAX - 1, 20_000_000] {
            let (seen, id) = (Seen::default(), InstrumentId::new("binance", Market::Linear, "A"));
            let take = |number: u64, ts: Ts| seen.take(&id, &trade(trade::Id::Number(number), ts * SECOND));
            assert_eq!(take(100, 1), Verdict::New);
            assert!(matches!(take(strange, 2), Verdict::Strange(detail) if detail.contains("the last one, 100")));
            // Twice the same does not confirm itself.
            assert!(matches!(take(strange, 2), Verdict::Strange(_)));
            assert!(matches!(take(strange, 2), Verdict::Strange(_)));
            assert_eq!((take(101, 3), take(104, 4)), (Verdict::New, Verdict::New));
            let holes = seen.holes(&id, 10 * SECOND);
            assert_eq!(holes.last(), Some(&Hole { first: 102, last: 103, since: Some(3 * SECOND), ts: 4 * SECOND }));
            assert!(holes.iter().all(|hole| hole.last <= 104), "{holes:?}");
        }
    }

    #[test]
    fn the_greatest_number_as_the_first_one_panics_nowhere() {
        let (seen, id) = (Seen::default(), InstrumentId::new("binance", Market::Linear, "A"));
        let take = |number: u64, ts: Ts| seen.take(&id, &trade(trade::Id::Number(number), ts * SECOND));
        assert!(matches!(take(u64::MAX, 1), Verdict::Strange(_)));
        assert_eq!((take(7, 2), take(9, 3)), (Verdict::New, Verdict::New));
        let holes = seen.holes(&id, 10 * SECOND);
        assert_eq!(holes.last(), Some(&Hole { first: 8, last: 8, since: Some(2 * SECOND), ts: 3 * SECOND }));
    }

    #[test]
    fn a_venue_that_numbers_anew_is_followed_after_three_trades_and_those_are_asked_for() {
        let (seen, id) = (Seen::default(), InstrumentId::new("binance", Market::Linear, "A"));
        let take = |number: u64, ts: Ts| seen.take(&id, &trade(trade::Id::Number(number), ts * SECOND));
        assert_eq!(take(50_000_000, 1), Verdict::New);
        assert!(matches!((take(11, 2), take(12, 3)), (Verdict::Strange(_), Verdict::Strange(_))));
        assert_eq!((take(13, 4), take(14, 5)), (Verdict::New, Verdict::New));
        let again = Hole { first: 11, last: 12, since: Some(2 * SECOND), ts: 4 * SECOND };
        assert_eq!(seen.holes(&id, 10 * SECOND).last(), Some(&again));
        // The other way, what lies between is a hole as well.
        assert!(matches!((take(90_000_001, 6), take(90_000_002, 7)), (Verdict::Strange(_), Verdict::Strange(_))));
        assert_eq!(take(90_000_003, 8), Verdict::New);
        let between = Hole { first: 15, last: 90_000_000, since: Some(5 * SECOND), ts: 6 * SECOND };
        let again = Hole { first: 90_000_001, last: 90_000_002, since: Some(6 * SECOND), ts: 8 * SECOND };
        assert_eq!(seen.holes(&id, 20 * SECOND), [between, again]);
    }

    #[test]
    fn holes_are_bounded_and_none_is_forgotten() {
        let (seen, id) = (Seen::default(), InstrumentId::new("binance", Market::Linear, "A"));
        let n = 4 * HOLES_MAX as u64;
        for number in (1_000..).step_by(2).take(n as usize) {
            assert!(seen.is_new(&id, &trade(trade::Id::Number(number), 0)));
        }
        let holes = seen.holes(&id, 10 * SECOND);
        assert_eq!(holes.len(), HOLES_MAX);
        assert_eq!(holes.last().map(|hole| hole.last), Some(1_000 + 2 * (n - 1) - 1));
    }
}

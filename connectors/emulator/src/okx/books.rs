//! OKX's books: 400 levels whose updates are chained by `prevSeqId` and `seqId`, and the best level alone.
//!
//! Documented at <https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel>.

use std::collections::{BTreeMap, BTreeSet};

use prism_schemas::Ts;
use prism_schemas::time::{MILLISECOND, MINUTE};
use serde_json::{Value, json};

use super::spelling::Spelled;
use crate::millis;
use crate::venue::{Known, Level, Venue};
use crate::view::View;

/// How often books are told.
const EVERY: i64 = 100 * MILLISECOND;
/// A book that does not change is told to be alive.
const ALIVE: i64 = MINUTE;
/// Levels of a side.
const DEPTH: usize = 400;

/// A book as it was told.
struct Told {
    spelled: Spelled,
    view: View,
    /// The number of its last message, and when; -1 before the first.
    seq: i64,
    at: Ts,
}

/// The books of one connection, by symbol.
#[derive(Default)]
pub(super) struct Books {
    whole: BTreeMap<String, Told>,
    best: BTreeMap<String, Told>,
    /// Which changed since they were told, and when.
    moved: BTreeMap<String, Ts>,
    moved_best: BTreeMap<String, Ts>,
    next: Ts,
}

fn number(known: &Known) -> i64 {
    (known.number - known.origin) as i64
}

impl Told {
    fn new(spelled: &Spelled, depth: usize) -> Told {
        Told { spelled: spelled.clone(), view: View::new(depth, true), seq: -1, at: 0 }
    }

    fn message(&self, action: &str, [bids, asks]: &[Vec<Level>; 2], ts: Ts, before: i64) -> String {
        let data = json!({
            "asks": self.spelled.levels(asks), "bids": self.spelled.levels(bids), "ts": millis(ts).to_string(), "checksum": 0,
            "prevSeqId": before, "seqId": self.seq,
        });
        self.framed("books", Some(action), &data)
    }

    fn framed(&self, channel: &str, action: Option<&str>, data: &Value) -> String {
        let mut message = json!({"arg": {"channel": channel, "instId": self.spelled.inst}, "data": [data]});
        if let Some(action) = action {
            message["action"] = action.into();
        }
        message.to_string()
    }

    /// All levels at first, then what changed. A number that is less than the one before says that numbers began anew.
    fn told(&mut self, known: &Known, ts: Ts, now: Ts) -> Option<String> {
        let (seq, before) = (number(known), self.seq);
        if seq == before {
            return None;
        }
        let changes = self.view.changes(known);
        if before != -1 && changes.iter().all(Vec::is_empty) {
            return None;
        }
        (self.seq, self.at) = (seq, now);
        let action = if before == -1 { "snapshot" } else { "update" };
        Some(self.message(action, &changes, ts, before))
    }

    /// The best levels, if they are others or have to be said again.
    fn told_best(&mut self, known: &Known, ts: Ts, now: Ts) -> Option<String> {
        let is_same = self.view.changes(known).iter().all(Vec::is_empty);
        if is_same && now < self.at + ALIVE {
            return None;
        }
        (self.seq, self.at) = (number(known), now);
        let [bids, asks] = self.view.sides();
        let data = json!({
            "asks": self.spelled.levels(asks), "bids": self.spelled.levels(bids), "ts": millis(ts).to_string(),
            "seqId": self.seq,
        });
        Some(self.framed("bbo-tbt", None, &data))
    }
}

impl Books {
    /// Follows a book from now on, and tells all of it.
    pub(super) fn begin(
        &mut self,
        channel: &str,
        symbol: &str,
        spelled: &Spelled,
        venue: &Venue,
        now: Ts,
    ) -> Option<String> {
        let known = venue.books.get(symbol);
        match channel {
            "books" => {
                let mut told = Told::new(spelled, DEPTH);
                let message = known.and_then(|known| told.told(known, now, now));
                self.whole.insert(symbol.into(), told);
                message
            }
            "bbo-tbt" => {
                let mut told = Told::new(spelled, 1);
                let message = known.and_then(|known| told.told_best(known, now, now));
                self.best.insert(symbol.into(), told);
                message
            }
            _ => None,
        }
    }

    pub(super) fn forget(&mut self, channel: &str, inst: &str) {
        match channel {
            "books" => self.whole.retain(|_, told| told.spelled.inst != inst),
            "bbo-tbt" => self.best.retain(|_, told| told.spelled.inst != inst),
            _ => {}
        }
    }

    /// A book changed.
    pub(super) fn moved(&mut self, symbol: &str, ts: Ts) {
        if self.whole.contains_key(symbol) {
            self.moved.insert(symbol.into(), ts);
        }
        if self.best.contains_key(symbol) {
            self.moved_best.insert(symbol.into(), ts);
        }
    }

    /// The best levels whenever they change, then the books.
    pub(super) fn due(&mut self, venue: &Venue, stalled: &BTreeSet<String>, now: Ts) -> Vec<String> {
        let mut messages = Vec::new();
        for (symbol, ts) in std::mem::take(&mut self.moved_best) {
            let known = venue.books.get(&symbol).filter(|_| !stalled.contains(&symbol));
            let told = self.best.get_mut(&symbol).zip(known);
            messages.extend(told.and_then(|(told, known)| told.told_best(known, ts, now)));
        }
        if now < self.next {
            return messages;
        }
        self.next = now + EVERY;
        for (symbol, ts) in std::mem::take(&mut self.moved) {
            let known = venue.books.get(&symbol).filter(|_| !stalled.contains(&symbol));
            let told = self.whole.get_mut(&symbol).zip(known);
            messages.extend(told.and_then(|(told, known)| told.told(known, ts, now)));
        }
        if venue.frozen {
            return messages;
        }
        let is_quiet = |told: &Told| told.at + ALIVE <= now && told.seq != -1;
        for (symbol, told) in self.whole.iter_mut().filter(|(symbol, _)| !stalled.contains(*symbol)) {
            if is_quiet(told) && venue.books.contains_key(symbol) {
                told.at = now;
                messages.push(told.message("update", &[Vec::new(), Vec::new()], now, told.seq));
            }
        }
        for (symbol, told) in self.best.iter_mut().filter(|(symbol, told)| is_quiet(told) && !stalled.contains(*symbol))
        {
            messages.extend(venue.books.get(symbol).and_then(|known| told.told_best(known, now, now)));
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use prism_schemas::Market;
    use prism_schemas::event::Instrument;
    use prism_schemas::time::SECOND;
    use prism_sources::synthetic::SYMBOLS;

    use super::*;

    /// As the page's example: an update without levels whose numbers are both the last one.
    #[test]
    fn a_book_that_does_not_change_is_told_to_be_alive() {
        let (now, none) = (1_800_000_000 * SECOND, BTreeSet::new());
        let venue = Venue::market(1, 5, SYMBOLS, now);
        let spelled = Spelled::of(Market::Linear, "BTCUSDT", &Instrument::default());
        let mut books = Books::default();
        let read = |text: &String| serde_json::from_str::<Value>(text).unwrap();
        let first = read(&books.begin("books", "BTCUSDT", &spelled, &venue, now).unwrap());
        let seq = &first["data"][0]["seqId"];
        assert_eq!((&first["action"], &first["data"][0]["prevSeqId"]), (&json!("snapshot"), &json!(-1)));
        assert_eq!(books.due(&venue, &none, now + ALIVE - SECOND), Vec::<String>::new());
        let alive: Vec<Value> = books.due(&venue, &none, now + ALIVE).iter().map(read).collect();
        let data = &alive[0]["data"][0];
        assert_eq!(
            (alive.len(), &alive[0]["action"], &data["asks"], &data["bids"]),
            (1, &json!("update"), &json!([]), &json!([]))
        );
        assert_eq!((&data["prevSeqId"], &data["seqId"]), (seq, seq));
        assert_eq!(books.due(&venue, &none, now + ALIVE + SECOND), Vec::<String>::new());
    }
}

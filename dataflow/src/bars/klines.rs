//! From when to when there are a venue's bars of a timeframe.

use prism_schemas::Ts;

use super::switch::Switch;
use crate::event::Teller;

/// Histories that are kept; the oldest makes room.
const HISTORIES_MAX: usize = 64;

/// What is known of the venue's bars of a timeframe.
#[derive(Debug)]
pub(super) struct Klines {
    /// Start of the earliest.
    pub(super) first: Option<Ts>,
    /// End of the newest.
    to: Option<Ts>,
    /// Where histories of them go on, as each teller says.
    histories: Vec<(Teller, Switch)>,
}

impl Klines {
    /// Of which nothing is known.
    pub(super) fn new() -> Klines {
        Klines { first: None, to: None, histories: Vec::new() }
    }

    /// There is one of `[start, end)`.
    pub(super) fn note(&mut self, start: Ts, end: Ts) {
        self.first = Some(self.first.map_or(start, |first| first.min(start)));
        self.to = self.to.max(Some(end));
    }

    /// A history goes on from `ts` on, or ended then.
    pub(super) fn history(&mut self, teller: Teller, ts: Ts, goes_on: bool) {
        let at = self.histories.iter().position(|(have, _)| *have == teller).unwrap_or_else(|| {
            if self.histories.len() == HISTORIES_MAX {
                self.histories.remove(0);
            }
            self.histories.push((teller, Switch::new(false)));
            self.histories.len() - 1
        });
        self.histories[at].1.turn(ts, goes_on);
    }

    /// The last instant up to `ts` at which a history went on, or the end of the newest.
    pub(super) fn last(&self, ts: Ts) -> Option<Ts> {
        self.histories.iter().filter_map(|(_, history)| history.last_on(ts)).max().max(self.to)
    }

    /// No bar that starts before `limit` will be made again.
    pub(super) fn forget(&mut self, limit: Ts) {
        for (_, history) in &mut self.histories {
            history.forget(limit);
        }
        // What it ended with counts as the end of a kline.
        for (_, history) in self.histories.extract_if(.., |(_, history)| history.is_off_from(limit)) {
            self.to = self.to.max(history.last_on(limit));
        }
    }
}

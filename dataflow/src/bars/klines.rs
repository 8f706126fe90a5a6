//! From when to when there are a venue's bars of a timeframe.

use prism_schemas::Ts;

use super::switch::Switch;

/// What is known of the venue's bars of a timeframe.
#[derive(Debug)]
pub(super) struct Klines {
    /// Start of the earliest.
    pub(super) first: Option<Ts>,
    /// End of the newest.
    to: Option<Ts>,
    /// Where a history of them goes on.
    history: Switch,
}

impl Klines {
    /// Of which nothing is known.
    pub(super) fn new() -> Klines {
        Klines { first: None, to: None, history: Switch::new(false) }
    }

    /// There is one of `[start, end)`.
    pub(super) fn note(&mut self, start: Ts, end: Ts) {
        self.first = Some(self.first.map_or(start, |first| first.min(start)));
        self.to = self.to.max(Some(end));
    }

    /// A history goes on from `ts` on, or ended then.
    pub(super) fn history(&mut self, ts: Ts, goes_on: bool) {
        self.history.turn(ts, goes_on);
    }

    /// The last instant up to `ts` at which a history went on, or the end of the newest.
    pub(super) fn last(&self, ts: Ts) -> Option<Ts> {
        self.history.last_on(ts).max(self.to)
    }

    /// No bar that starts before `limit` will be made again.
    pub(super) fn forget(&mut self, limit: Ts) {
        self.history.forget(limit);
    }
}

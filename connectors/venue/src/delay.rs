//! Whether a feed's messages come when they should: a clock may be wrong, or everything is late.

use std::time::Duration;

use prism_schemas::event::event::Body;
use prism_schemas::time::SECOND;
use prism_schemas::{Event, Ts};

/// How long delays are looked at before they are judged.
const JUDGED: i64 = SECOND;
/// What comes first after a subscription may be of before it: three seconds at Bybit.
const EARLY: i64 = 4 * SECOND;

/// How far receive times are behind event times, at least, within a second.
#[derive(Default)]
pub(super) struct Delay {
    since: Ts,
    /// Messages received before say nothing.
    early: Ts,
    least: Option<i64>,
    /// Whether the feed is said to be skewed.
    pub(super) is_told: bool,
}

impl Delay {
    /// Nothing is known of messages before `ts`.
    pub(super) fn since(ts: Ts) -> Delay {
        Delay { since: ts, early: ts.saturating_add(EARLY), ..Delay::default() }
    }

    /// Takes note of a message.
    pub(super) fn note(&mut self, event: &Event) {
        let has_time = match &event.body {
            Some(Body::Trade(_) | Body::Ticker(_) | Body::Liquidation(_)) => true,
            Some(Body::Book(book)) => !book.snapshot,
            _ => false,
        };
        // Where a message has no time of its own, it has that of its receipt.
        if has_time && self.early <= event.ts_recv && event.ts_event != event.ts_recv {
            let delay = event.ts_recv - event.ts_event;
            self.least = Some(self.least.map_or(delay, |least| least.min(delay)));
        }
    }

    /// Whether the feed is skewed, and why, if that changed.
    pub(super) fn judge(&mut self, now: Ts, max: Duration) -> Option<Option<String>> {
        if now < self.since + JUDGED {
            return None;
        }
        self.since = now;
        let least = self.least.take()?;
        let is_skewed = (max.as_nanos() as i64) < least.abs();
        if is_skewed == std::mem::replace(&mut self.is_told, is_skewed) {
            return None;
        }
        let seconds = least.abs() as f64 / 1e9;
        Some(is_skewed.then(|| match least < 0 {
            true => format!("messages come {seconds:.1} s before they happened: a clock is wrong"),
            false => format!("messages come {seconds:.1} s late, or a clock is wrong"),
        }))
    }
}

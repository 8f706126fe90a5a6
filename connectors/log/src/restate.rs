//! What a live writer says again now and then: which instruments are watched, how their feeds are and what a contract is.
//!
//! It changes nothing for who has read it before. Who reads a log whose beginning retention has removed knows it after
//! one such time, so that its bars can be proven to be whole.

use std::collections::BTreeMap;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, FeedStatus};
use prism_schemas::time::MINUTE;
use prism_schemas::{Event, InstrumentId, Market, Ts};

/// Between two such times, in nanoseconds of the writer's clock.
pub const EVERY: i64 = 10 * MINUTE;

/// What was said last of each instrument.
#[derive(Default)]
pub(crate) struct Said {
    instruments: BTreeMap<InstrumentId, One>,
    /// When all was said again last; 0: never.
    at: Ts,
}

#[derive(Default)]
struct One {
    /// Its declaration, if its sizes are in contracts.
    declared: Option<Event>,
    /// That it is connected, and what has been said since that still holds.
    states: Vec<FeedStatus>,
}

impl Said {
    /// Takes in an event; gives one more to write after it where it ends something before the time at which that was said
    /// again: the two of one time leave what was before.
    pub(crate) fn hear(&mut self, instrument: &InstrumentId, event: &Event) -> Option<Event> {
        let status = match &event.body {
            Some(Body::Instrument(_)) if instrument.market == Market::Inverse => {
                self.instruments.entry(instrument.clone()).or_default().declared = Some(event.clone());
                return None;
            }
            Some(Body::FeedStatus(status)) if status.channel.is_empty() => status,
            _ => return None,
        };
        let states = &mut self.instruments.entry(instrument.clone()).or_default().states;
        match status.status() {
            Feed::Connected => {
                // A hole within stays one until its end is told.
                states.retain(|state| is_hole(state.status()));
                states.insert(0, status.clone());
            }
            Feed::Disconnected => states.clear(),
            Feed::ResyncFinished => states.retain(|state| !is_hole(state.status())),
            feed => {
                states.retain(|state| state.status() == Feed::Connected || is_hole(state.status()) != is_hole(feed));
                states.push(status.clone());
            }
        }
        let is_end = matches!(status.status(), Feed::Disconnected | Feed::ResyncFinished);
        (is_end && event.ts_event < self.at).then(|| Event { ts_event: self.at, ..event.clone() })
    }

    /// What is to be said again now: nothing, mostly.
    pub(crate) fn again(&mut self, now: Ts) -> Vec<(InstrumentId, Event)> {
        if self.at == 0 {
            self.at = now;
        }
        if now < self.at.saturating_add(EVERY) {
            return Vec::new();
        }
        self.at = now;
        let mut events = Vec::new();
        for (instrument, one) in &self.instruments {
            if !one.states.iter().any(|state| state.status() == Feed::Connected) {
                continue;
            }
            let declared = one.declared.iter().map(|event| Event { ts_event: now, ts_recv: now, ..event.clone() });
            let states = one.states.iter().map(|state| Event {
                ts_event: now,
                ts_recv: now,
                seq: None,
                index: 0,
                body: Some(Body::FeedStatus(state.clone())),
            });
            events.extend(declared.chain(states).map(|event| (instrument.clone(), event)));
        }
        events
    }
}

fn is_hole(feed: Feed) -> bool {
    matches!(feed, Feed::Gap | Feed::ResyncStarted)
}

#[cfg(test)]
mod tests {
    use prism_schemas::time::SECOND;

    use super::*;

    fn state(ts: Ts, feed: Feed) -> Event {
        let body = Some(Body::FeedStatus(FeedStatus { status: feed.into(), ..FeedStatus::default() }));
        Event { ts_event: ts, ts_recv: ts, seq: None, index: 0, body }
    }

    fn id(symbol: &str) -> InstrumentId {
        InstrumentId::new("bybit", Market::Linear, symbol)
    }

    fn states(events: &[(InstrumentId, Event)]) -> Vec<(String, Feed)> {
        let of = |(id, event): &(InstrumentId, Event)| match &event.body {
            Some(Body::FeedStatus(status)) => Some((id.symbol.to_string(), status.status())),
            _ => None,
        };
        events.iter().filter_map(of).collect()
    }

    #[test]
    fn what_still_holds_is_said_again_and_nothing_else() {
        let mut said = Said::default();
        let now = 1_000 * SECOND;
        assert_eq!(said.again(now), []);
        for (symbol, feed) in [
            ("A", Feed::Connected),
            ("A", Feed::Stale),
            ("A", Feed::Gap),
            ("A", Feed::Skewed),
            ("B", Feed::Connected),
            ("B", Feed::Disconnected),
            ("C", Feed::Gap),
            ("C", Feed::Connected),
            ("C", Feed::ResyncFinished),
        ] {
            assert_eq!(said.hear(&id(symbol), &state(now, feed)), None);
        }
        assert_eq!(said.again(now + EVERY - 1), []);
        let again = said.again(now + EVERY);
        let expected = [("A", Feed::Connected), ("A", Feed::Gap), ("A", Feed::Skewed), ("C", Feed::Connected)];
        assert_eq!(states(&again), expected.map(|(symbol, feed)| (symbol.to_string(), feed)));
        assert!(again.iter().all(|(_, event)| (event.ts_event, event.ts_recv) == (now + EVERY, now + EVERY)));
        assert_eq!(said.again(now + EVERY + 1), []);
    }

    #[test]
    fn an_end_before_it_was_said_again_takes_that_back() {
        let mut said = Said::default();
        let now = 1_000 * SECOND;
        said.again(now);
        said.hear(&id("A"), &state(now, Feed::Connected));
        let again = now + EVERY;
        assert_eq!(said.again(again).len(), 1);
        let end = state(again - SECOND, Feed::Disconnected);
        let more = said.hear(&id("A"), &end).unwrap();
        assert_eq!((more.ts_event, more.ts_recv), (again, end.ts_recv));
        assert_eq!(said.hear(&id("A"), &state(again + SECOND, Feed::Disconnected)), None);
    }
}

//! What a live writer says again now and then: which instruments are watched, how their feeds are, what a contract is, what
//! tickers said that did not change since, and ratios and margins.
//!
//! It changes nothing for who has read it before. Who reads a log whose beginning retention has removed knows it after
//! one such time, so that its bars can be proven to be whole.

use std::collections::BTreeMap;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, FeedStatus, Ticker};
use prism_schemas::time::MINUTE;
use prism_schemas::{Event, InstrumentId, Market, Ts};

/// Between two such times, in nanoseconds of the writer's clock.
pub const EVERY: i64 = 10 * MINUTE;
/// What a ticker said of positions holds while tickers come that do not say otherwise, and is said again after so long: some
/// venues tell only what changed, and who reads takes what is old for gone.
const TICKERS_EVERY: i64 = 5 * MINUTE;
/// What is asked for holds so long, and is said again with the time of which it is.
const SLOW: i64 = 30 * MINUTE;
/// Between two looks for such.
const LOOK: i64 = MINUTE / 2;

/// What was said last of each instrument.
#[derive(Default)]
pub(crate) struct Said {
    instruments: BTreeMap<InstrumentId, One>,
    /// When all was said again last; 0: never.
    at: Ts,
    /// When tickers were looked at last.
    looked: Ts,
}

#[derive(Default)]
struct One {
    /// Its declaration, if its sizes are in contracts.
    declared: Option<Event>,
    /// That it is connected, and what has been said since that still holds.
    states: Vec<FeedStatus>,
    /// What tickers said last of open interest, funding and its interval, and when.
    open_interest: Option<(Ticker, Ts)>,
    funding: Option<(Ticker, Ts)>,
    interval: Option<(Ticker, Ts)>,
    /// What holds for longer, as it was told last: ratios by kind, and margins.
    slow: BTreeMap<String, Event>,
    /// When the newest ticker came, whatever it said: without one nobody knows that nothing changed.
    heard: Ts,
}

impl One {
    fn is_connected(&self) -> bool {
        self.states.iter().any(|state| state.status() == Feed::Connected)
    }

    fn slow(&mut self, event: &Event) {
        let kind = match &event.body {
            Some(Body::LongShortRatio(ratio)) if ["account", "top_position"].contains(&&*ratio.kind) => {
                ratio.kind.clone()
            }
            Some(Body::RiskLimit(_)) => "margins".to_string(),
            // Of these nobody makes anything.
            _ => return,
        };
        if self.slow.get(&kind).is_none_or(|before| before.ts_event <= event.ts_event) {
            self.slow.insert(kind, event.clone());
        }
    }

    fn ticker(&mut self, ticker: &Ticker, ts: Ts) {
        self.heard = ts;
        let Ticker { open_interest, open_interest_value, funding_rate, funding_interval, .. } = *ticker;
        if open_interest.is_some() {
            self.open_interest = Some((Ticker { open_interest, open_interest_value, ..Ticker::default() }, ts));
        }
        if funding_rate.is_some() {
            self.funding = Some((Ticker { funding_rate, ..Ticker::default() }, ts));
        }
        if funding_interval.is_some() {
            self.interval = Some((Ticker { funding_interval, ..Ticker::default() }, ts));
        }
    }

    /// What tickers said so long ago that it is to be said again.
    fn old(&mut self, now: Ts) -> impl Iterator<Item = Ticker> {
        let is_heard = now - self.heard < TICKERS_EVERY;
        let all = [&mut self.open_interest, &mut self.funding, &mut self.interval];
        let own = all.into_iter().flatten().filter(move |_| is_heard);
        own.filter(move |(_, ts)| TICKERS_EVERY <= now - *ts).map(move |(ticker, ts)| {
            *ts = now;
            *ticker
        })
    }
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
            Some(Body::Ticker(ticker)) if instrument.market != Market::Spot => {
                if !self.instruments.contains_key(instrument) {
                    self.instruments.insert(instrument.clone(), One::default());
                }
                self.instruments.get_mut(instrument)?.ticker(ticker, event.ts_recv);
                return None;
            }
            Some(Body::LongShortRatio(_) | Body::RiskLimit(_)) => {
                self.instruments.entry(instrument.clone()).or_default().slow(event);
                return None;
            }
            Some(Body::FeedStatus(status)) if status.channel.is_empty() => status,
            _ => return None,
        };
        let one = self.instruments.entry(instrument.clone()).or_default();
        if status.status() == Feed::Disconnected {
            // Nobody watches it any more.
            (one.open_interest, one.funding, one.interval) = (None, None, None);
        }
        let states = &mut one.states;
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
        let mut events = self.tickers(now);
        if now < self.at.saturating_add(EVERY) {
            return events;
        }
        self.at = now;
        for (instrument, one) in self.instruments.iter().filter(|(_, one)| one.is_connected()) {
            let declared = one.declared.iter().map(|event| Event { ts_event: now, ts_recv: now, ..event.clone() });
            let states = one.states.iter().map(|state| Event {
                ts_event: now,
                ts_recv: now,
                seq: None,
                index: 0,
                body: Some(Body::FeedStatus(state.clone())),
            });
            let slow = one.slow.values().filter(|event| now - event.ts_event < SLOW);
            let slow = slow.map(|event| Event { ts_recv: now, ..event.clone() });
            events.extend(declared.chain(states).chain(slow).map(|event| (instrument.clone(), event)));
        }
        events
    }
}

impl Said {
    /// What tickers said is to be said again.
    fn tickers(&mut self, now: Ts) -> Vec<(InstrumentId, Event)> {
        if now < self.looked.saturating_add(LOOK) {
            return Vec::new();
        }
        self.looked = now;
        let connected = self.instruments.iter_mut().filter(|(_, one)| one.is_connected());
        let event = |ticker: Ticker| {
            let body = Some(Body::Ticker(ticker.into()));
            Event { ts_event: now, ts_recv: now, seq: None, index: 0, body }
        };
        connected.flat_map(|(id, one)| one.old(now).map(move |ticker| (id.clone(), event(ticker)))).collect()
    }
}

fn is_hole(feed: Feed) -> bool {
    matches!(feed, Feed::Gap | Feed::ResyncStarted)
}

#[cfg(test)]
mod tests {
    use prism_schemas::event::{LongShortRatio, RiskLimit};
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
    fn what_tickers_said_is_said_again_while_somebody_watches() {
        let number = |n| Some(prism_schemas::Decimal::new(n, 0));
        let ticker = |ts: Ts, open: Option<i64>, rate: Option<i64>| {
            let (open_interest, funding_rate) = (open.and_then(number), rate.and_then(number));
            let last = number(9);
            let ticker = Ticker { last, open_interest, funding_rate, ..Ticker::default() };
            Event { ts_event: ts - 5, ts_recv: ts, seq: None, index: 0, body: Some(Body::Ticker(ticker.into())) }
        };
        let mut said = Said::default();
        let mut next = |at: i64, heard: &[Event]| {
            heard.iter().for_each(|event| assert_eq!(said.hear(&id("A"), event), None));
            let told = said.again(at * MINUTE).into_iter().filter_map(|(_, event)| match event.body {
                Some(Body::Ticker(ticker)) => {
                    assert_eq!((event.ts_event, event.ts_recv, ticker.last), (at * MINUTE, at * MINUTE, None));
                    Some([ticker.open_interest, ticker.funding_rate].map(|of| of.map(|of| of.mantissa)))
                }
                _ => None,
            });
            told.collect::<Vec<_>>()
        };
        // Nobody says that it is connected.
        let price = |minute: i64| ticker(minute * MINUTE, None, None);
        assert!(next(1, &[ticker(MINUTE, Some(7), Some(3))]).is_empty() && next(7, &[price(7)]).is_empty());
        assert_eq!(next(8, &[state(8 * MINUTE, Feed::Connected)]), [[Some(7), None], [None, Some(3)]]);
        assert_eq!(next(11, &[ticker(11 * MINUTE, Some(8), None)]), [[None; 2]; 0]);
        assert_eq!(next(13, &[]), [[None, Some(3)]]);
        // Tickers themselves are silent, then speak again of something else.
        assert!(next(16, &[]).is_empty());
        assert_eq!(next(17, &[price(17)]), [[Some(8), None]]);
        assert!(next(18, &[state(18 * MINUTE, Feed::Disconnected)]).is_empty());
        assert!(next(30, &[state(29 * MINUTE, Feed::Connected)]).is_empty());
    }

    #[test]
    fn ratios_and_margins_are_said_again_as_they_were_told_while_they_hold() {
        let event = |ts: Ts, kind: Option<&str>| {
            let ratio =
                |kind: &str| Body::LongShortRatio(LongShortRatio { kind: kind.into(), ..LongShortRatio::default() });
            let body = Some(kind.map_or(Body::RiskLimit(RiskLimit::default()), ratio));
            Event { ts_event: ts, ts_recv: ts + SECOND, seq: None, index: 0, body }
        };
        let mut said = Said::default();
        said.again(MINUTE);
        said.hear(&id("A"), &state(MINUTE, Feed::Connected));
        // An older one that comes later is not the newest.
        for (minute, kind) in
            [(1, Some("account")), (6, Some("account")), (2, Some("account")), (3, Some("taker")), (4, None)]
        {
            said.hear(&id("A"), &event(minute * MINUTE, kind));
        }
        let mut next = |minute: i64| -> Vec<(Ts, Ts)> {
            let told = said.again(minute * MINUTE).into_iter().map(|(_, event)| event);
            let slow = told.filter(|event| !matches!(event.body, Some(Body::FeedStatus(_))));
            slow.map(|event| (event.ts_event / MINUTE, event.ts_recv / MINUTE)).collect()
        };
        assert_eq!(next(11), [(6, 11), (4, 11)]);
        assert_eq!(next(22), [(6, 22), (4, 22)]);
        assert_eq!(next(35), [(6, 35)]);
        assert_eq!(next(46), []);
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

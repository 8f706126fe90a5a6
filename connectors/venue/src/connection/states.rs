//! What is told of a connection's feeds: connected, disconnected, stale, skewed, refused.

use prism_exchange::{Answer, Channels};
use prism_schemas::event::Feed;
use prism_schemas::event::event::Body;
use prism_schemas::feed::BOOK;
use prism_schemas::{Event, InstrumentId, Ts};

use super::books::Followable;
use super::machine::Machine;
use super::ports::{Now, Slot};
use crate::delay::Delay;
use crate::subscriptions::Answered;
use crate::{Events, status};

/// So many times as long as any instrument may be quiet, trades may be while books change.
const QUIET: i64 = 30;

impl Machine {
    pub(super) fn stands(&self) -> bool {
        self.said == Some(true)
    }

    /// The name under which its feeds' states are told: empty is all of the feed.
    pub(super) fn channel(&self) -> &'static str {
        if self.lane == 0 { "" } else { BOOK }
    }

    /// With the first event after all was asked for and answered, all instruments are connected.
    pub(super) fn stand(&mut self, events: &mut Events, now: Now) {
        let is_news = |event: &Event| !matches!(event.body, Some(Body::Quarantined(_)));
        let Some(main) = self.main.as_ref().filter(|_| !self.stands()) else { return };
        // What was asked for last may be sent last.
        if !main.is_subscribed(&self.options, now.at) || !events.iter().any(|(_, event)| is_news(event)) {
            return;
        }
        let refused: Vec<String> = main.subscriptions.refused().cloned().collect();
        self.said = Some(true);
        for (id, one) in &mut self.instruments {
            (one.heard, one.is_stale, one.is_refused) = (now.ts, false, false);
            if self.lane == 0 {
                self.seen.again(id, now.ts);
            }
        }
        self.delay = Delay::since(now.ts);
        let mut before = self.tell_all(Feed::Connected, now.ts, now.ts, "subscribed");
        for topic in &refused {
            before.extend(self.tell_topic(topic, false, now));
        }
        before.append(events);
        *events = before;
    }

    /// Takes the answer to a request, if a frame is one. What differs on a replacement is told when it is followed.
    pub(super) fn answered(&mut self, slot: Slot, frame: &str, events: &mut Events, now: Now) {
        let Some((number, answer)) = self.wire.answered(frame) else { return };
        let is_main = self.main.as_ref().is_some_and(|main| main.slot == slot);
        let session = if is_main { &mut self.main } else { &mut self.spare };
        let Some(session) = session else { return };
        let is_later = answer == Answer::Later;
        match session.subscriptions.answer(number, answer, now.at) {
            _ if !is_main && !is_later => {}
            Answered::Known => {}
            Answered::Later => session.hold(now.at, &self.options),
            Answered::Refused(topic) => {
                tracing::warn!(venue = self.wire.id(), topic, "refused by the venue, asked for again every minute");
                events.extend(self.tell_topic(&topic, false, now));
            }
            Answered::Accepted(topics) => {
                for topic in topics {
                    events.extend(self.tell_topic(&topic, true, now));
                }
            }
        }
    }

    /// Whether a topic is sent, as the states of its instruments. Before the connection stands only good news is told: the rest is
    /// told with it.
    pub(super) fn tell_topic(&mut self, topic: &str, is_sent: bool, now: Now) -> Events {
        let is_of = |one: &Followable| {
            self.wire.topics(self.lane, &one.native, self.options.channels).iter().any(|one| one == topic)
        };
        let of: Vec<InstrumentId> =
            self.instruments.iter().filter(|(_, one)| is_of(one)).map(|(id, _)| id.clone()).collect();
        of.iter().filter_map(|id| self.tell_topic_of(id, topic, is_sent, now)).collect()
    }

    fn tell_topic_of(
        &mut self,
        id: &InstrumentId,
        topic: &str,
        is_sent: bool,
        now: Now,
    ) -> Option<(InstrumentId, Event)> {
        let stands = self.stands();
        let one = self.instruments.get_mut(id)?;
        let (none, depth) = (Channels::default(), self.options.channels.depth);
        let of = |channels| self.wire.topics(self.lane, &one.native, channels).iter().any(|one| one == topic);
        // Without its trades the feed has nothing to go on.
        let channel = if of(Channels { trades: true, ..none }) {
            ""
        } else if of(Channels { depth, ..none }) {
            BOOK
        } else if of(Channels { tickers: true, ..none }) {
            "ticker"
        } else if of(Channels { liquidations: true, ..none }) {
            "liquidation"
        } else {
            "kline"
        };
        if !stands && (channel.is_empty() || !is_sent) {
            return None;
        }
        if channel.is_empty() {
            (one.is_refused, one.is_stale) = (!is_sent, !is_sent);
        }
        if channel == BOOK {
            // Nobody waits for a snapshot that is refused, or that must be asked for.
            (one.asked, one.n_asked) = ((self.sends_books && is_sent).then_some(now.at), 0);
        }
        let (feed, cause) = match is_sent {
            true if channel.is_empty() && self.delay.is_told => (Feed::Skewed, format!("the venue sends {topic} now")),
            true => (Feed::Connected, format!("the venue sends {topic} now")),
            false => (Feed::Stale, format!("the venue refuses {topic}")),
        };
        Some(status(id, now.ts, now.ts, feed, channel, &cause))
    }

    /// A state of all instruments.
    pub(super) fn tell_all(&self, feed: Feed, ts: Ts, now: Ts, cause: &str) -> Events {
        self.instruments.keys().map(|id| status(id, ts, now, feed, self.channel(), cause)).collect()
    }

    /// Notes whose messages came, and tells whose do not, or do again, or come at the wrong time.
    pub(super) fn hear(&mut self, events: &mut Events, ts_recv: Ts) {
        if !self.stands() {
            return;
        }
        let mut told = Events::new();
        let channel = self.channel();
        for (id, event) in events.iter() {
            let Some(one) = self.instruments.get_mut(id) else { continue };
            if matches!(event.body, Some(Body::FeedStatus(_))) {
                // Our own words.
                continue;
            }
            one.heard = ts_recv;
            if self.is_one_of_many {
                self.seen.hear(id, ts_recv);
            }
            if !one.is_refused && std::mem::take(&mut one.is_stale) {
                let feed = if self.delay.is_told { Feed::Skewed } else { Feed::Connected };
                told.push(status(id, ts_recv, ts_recv, feed, channel, "messages come again"));
            }
        }
        let idle = self.options.idle.as_nanos() as i64;
        for (id, one) in &mut self.instruments {
            // Trades may be quiet for long: where books and states have connections of their own, those say so for a while.
            let since = ts_recv.saturating_sub(one.heard);
            let is_borrowing = self.lane == 0 && self.is_one_of_many && (idle..idle * QUIET).contains(&since);
            let heard = if is_borrowing { one.heard.max(self.seen.heard(id)) } else { one.heard };
            let is_quiet = heard + idle <= ts_recv;
            if one.is_stale && !is_quiet && !one.is_refused {
                one.is_stale = false;
                let feed = if self.delay.is_told { Feed::Skewed } else { Feed::Connected };
                told.push(status(id, ts_recv, ts_recv, feed, channel, "messages come again"));
            }
            if one.is_stale || !is_quiet {
                continue;
            }
            one.is_stale = true;
            let cause = format!("no message for {:?}", self.options.idle);
            told.push(status(id, heard, ts_recv, Feed::Stale, channel, &cause));
        }
        match self.delay.judge(ts_recv, self.options.skew) {
            Some(Some(cause)) => {
                let heard = self.instruments.iter().filter(|(_, one)| !one.is_stale);
                told.extend(heard.map(|(id, _)| status(id, ts_recv, ts_recv, Feed::Skewed, channel, &cause)));
            }
            Some(None) => {
                for (id, one) in &self.instruments {
                    let feed = if one.is_stale { Feed::Stale } else { Feed::Connected };
                    told.push(status(id, ts_recv, ts_recv, feed, channel, "times agree again"));
                }
            }
            None => {}
        }
        events.append(&mut told);
    }

    /// Says that nothing comes any more, from the last message on.
    pub(super) fn lost(&mut self, why: &str, now: Now) {
        let since = self.heard.unwrap_or(now.ts);
        self.seen.trouble(now.ts);
        for one in self.instruments.values_mut() {
            one.book.reset();
            (one.asked, one.has_gap, one.next) = (None, false, None);
        }
        // Who never was connected is told too.
        if self.said.replace(false) != Some(false) {
            let mut told = self.tell_all(Feed::Disconnected, since, now.ts, why);
            self.events.append(&mut told);
        }
    }
}

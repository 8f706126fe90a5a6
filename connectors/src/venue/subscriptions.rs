//! What a connection asked its venue to send: requests without an answer yet, and topics that are refused.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::rest::now;

/// Requests whose answers are awaited; venues answer at once or never.
const OPEN_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// The topics of requests that were not answered, by number.
    open: BTreeMap<u64, Vec<String>>,
    /// Topics that are refused, and when they were last asked for.
    refused: BTreeMap<String, Instant>,
}

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// Nothing is new.
    Known,
    /// One or more of them are refused: ask for so many at a time, to find which.
    Divide(Vec<String>, usize),
    /// The venue does not send this topic.
    Refused(String),
    /// Topics that had been refused are sent now.
    Accepted(Vec<String>),
}

impl Subscriptions {
    /// Topics were asked for under a number.
    pub(super) fn ask(&mut self, number: u64, topics: &[String]) {
        self.open.insert(number, topics.to_vec());
        if OPEN_MAX < self.open.len() {
            self.open.pop_first();
        }
    }

    /// A request was answered.
    pub(super) fn answer(&mut self, number: u64, is_accepted: bool) -> Answered {
        let Some(mut topics) = self.open.remove(&number) else { return Answered::Known };
        if is_accepted {
            topics.retain(|topic| self.refused.remove(topic).is_some());
            return if topics.is_empty() { Answered::Known } else { Answered::Accepted(topics) };
        }
        match topics.len() {
            0 => Answered::Known,
            1 => {
                let topic = topics.remove(0);
                let is_known = self.refused.insert(topic.clone(), now()).is_some();
                if is_known { Answered::Known } else { Answered::Refused(topic) }
            }
            n => Answered::Divide(topics, n.div_ceil(2)),
        }
    }

    /// Topics that are refused.
    pub(super) fn refused(&self) -> impl Iterator<Item = &String> {
        self.refused.keys()
    }

    /// Those of them that were last asked for so long ago; they count as asked for now.
    pub(super) fn due(&mut self, wait: Duration) -> Vec<String> {
        let due = self.refused.iter_mut().filter(|(_, asked)| wait <= asked.elapsed());
        due.map(|(topic, asked)| {
            *asked = now();
            topic.clone()
        })
        .collect()
    }

    /// No answer comes any more; what is refused is known until it is accepted.
    pub(super) fn lost(&mut self) {
        self.open.clear();
    }

    /// Topics that are not wanted any more.
    pub(super) fn leave(&mut self, topics: &[String]) {
        self.refused.retain(|topic, _| !topics.contains(topic));
        self.open.values_mut().for_each(|open| open.retain(|topic| !topics.contains(topic)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_that_is_refused_is_found_and_the_others_are_not_blamed() {
        let mut subscriptions = Subscriptions::default();
        let topics: Vec<String> = (0..100).map(|n| format!("trades.{n}")).collect();
        let (mut number, mut found, mut waiting) = (0, Vec::new(), vec![(topics, 100)]);
        while let Some((topics, each)) = waiting.pop() {
            for some in topics.chunks(each) {
                number += 1;
                subscriptions.ask(number, some);
                let is_accepted = !some.iter().any(|topic| topic.ends_with("37"));
                match subscriptions.answer(number, is_accepted) {
                    Answered::Divide(some, each) => waiting.push((some, each)),
                    Answered::Refused(topic) => found.push(topic),
                    other => assert_eq!(other, Answered::Known),
                }
            }
        }
        assert_eq!(found, ["trades.37"]);
        assert!(number < 20, "{number} requests");
        assert_eq!(subscriptions.answer(number, false), Answered::Known, "an answer counts once");
        assert_eq!(subscriptions.due(Duration::from_secs(60)), [""; 0]);
        let again = subscriptions.due(Duration::ZERO);
        assert_eq!(again, ["trades.37"]);
        subscriptions.ask(1_000, &again);
        assert_eq!(subscriptions.answer(1_000, true), Answered::Accepted(again));
        assert_eq!(subscriptions.refused().count(), 0);
    }
}

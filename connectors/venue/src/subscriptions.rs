//! What a connection asked its venue to send: requests without an answer yet, and topics that are refused.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use prism_exchange::Answer;

/// Requests whose answers are awaited; venues answer at once or never.
const OPEN_MAX: usize = 1_000;
/// The wait before a refused topic is asked for again doubles so often.
const REFUSED_MAX: u32 = 4;
/// Between two refused topics that are asked for again.
const APART: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Default)]
pub(super) struct Subscriptions {
    /// The topics of requests that were not answered, by number, and how many they were.
    open: BTreeMap<u64, (usize, Vec<String>)>,
    /// Topics that are refused, when they were last asked for, and how often they were refused.
    refused: BTreeMap<String, (Instant, u32)>,
    /// When one of them was asked for.
    repeated: Option<Instant>,
    /// Requests that wait to be sent.
    waiting: VecDeque<Request>,
}

/// A request for topics, or to end them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Subscribe(Vec<String>),
    Unsubscribe(Vec<String>),
}

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// Nothing is new.
    Known,
    /// The venue wants no request for a while.
    Later,
    /// The venue does not send this topic.
    Refused(String),
    /// Topics that had been refused are sent now.
    Accepted(Vec<String>),
}

impl Subscriptions {
    /// Topics are wanted, so many in a request.
    pub(super) fn subscribe(&mut self, topics: &[String], each: usize) {
        self.waiting.extend(topics.chunks(each).map(|some| Request::Subscribe(some.to_vec())));
    }

    /// Topics are wanted anew, so that their snapshots are sent.
    pub(super) fn renew(&mut self, topics: &[String], each: usize) {
        self.waiting.extend(topics.chunks(each).map(|some| Request::Unsubscribe(some.to_vec())));
        self.subscribe(topics, each);
    }

    /// Whether there is something to send.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether all was sent and answered.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.open.is_empty()
    }

    /// The request to send next, under a number.
    pub(super) fn next(&mut self, number: u64) -> Option<Request> {
        let request = self.waiting.pop_front()?;
        if let Request::Subscribe(topics) = &request {
            self.open.insert(number, (topics.len(), topics.clone()));
            if OPEN_MAX < self.open.len() {
                self.open.pop_first();
            }
        }
        Some(request)
    }

    /// A request was answered. Where one of several topics is refused, halves are asked for, to find which.
    pub(super) fn answer(&mut self, number: u64, answer: Answer, at: Instant) -> Answered {
        if let Answer::One(topic, is_sent) = answer {
            return self.answer_one(number, topic, is_sent, at);
        }
        let open = self.open.remove(&number);
        if answer == Answer::Later {
            self.waiting.extend(open.map(|(_, topics)| Request::Subscribe(topics)));
            return Answered::Later;
        }
        let Some((n, mut topics)) = open else { return Answered::Known };
        // A single topic that is sent already is what was wanted; with others, those are not sent.
        if answer == Answer::Accepted || (answer == Answer::Known && n == 1) {
            topics.retain(|topic| self.refused.remove(topic).is_some());
            return if topics.is_empty() { Answered::Known } else { Answered::Accepted(topics) };
        }
        match topics.pop() {
            None => Answered::Known,
            Some(topic) if n == 1 => self.refuse(topic, at),
            // Who has left since may have been to blame.
            Some(topic) => {
                topics.push(topic);
                self.subscribe(&topics, topics.len().div_ceil(2));
                Answered::Known
            }
        }
    }

    /// One topic of a request was answered alone.
    fn answer_one(&mut self, number: u64, topic: String, is_sent: bool, at: Instant) -> Answered {
        let Some((_, topics)) = self.open.get_mut(&number) else { return Answered::Known };
        let Some(place) = topics.iter().position(|one| *one == topic) else { return Answered::Known };
        topics.swap_remove(place);
        if is_sent {
            if topics.is_empty() {
                self.open.remove(&number);
            }
            let was_refused = self.refused.remove(&topic).is_some();
            return if was_refused { Answered::Accepted(vec![topic]) } else { Answered::Known };
        }
        // Whether the others are taken after a refusal is documented nowhere: those without an answer are asked for again.
        if let Some((_, rest)) = self.open.remove(&number).filter(|(_, rest)| !rest.is_empty()) {
            self.waiting.push_back(Request::Subscribe(rest));
        }
        self.refuse(topic, at)
    }

    fn refuse(&mut self, topic: String, at: Instant) -> Answered {
        let before = self.refused.get(&topic).map(|(_, n)| *n);
        self.refused.insert(topic.clone(), (at, before.map_or(0, |n| (n + 1).min(REFUSED_MAX))));
        if before.is_some() { Answered::Known } else { Answered::Refused(topic) }
    }

    /// Topics that are refused.
    pub(super) fn refused(&self) -> impl Iterator<Item = &String> {
        self.refused.keys()
    }

    /// Asks again for one of them that was last asked for so long ago, each time twice as long.
    pub(super) fn repeat(&mut self, wait: Duration, at: Instant) {
        if self.repeated.is_some_and(|repeated| at.saturating_duration_since(repeated) < wait.min(APART)) {
            return;
        }
        let is_due = |(asked, n): &(Instant, u32)| wait * 2_u32.pow(*n) <= at.saturating_duration_since(*asked);
        if let Some((topic, asked)) = self.refused.iter_mut().find(|(_, asked)| is_due(asked)) {
            asked.0 = at;
            self.repeated = Some(at);
            self.waiting.push_back(Request::Subscribe(vec![topic.clone()]));
        }
    }

    /// Those of the connection that comes after: what is refused is known until it is accepted.
    pub(super) fn heir(&self) -> Subscriptions {
        Subscriptions { refused: self.refused.clone(), ..Subscriptions::default() }
    }

    /// Topics are not wanted any more, where nothing was asked for yet.
    pub(super) fn forget(&mut self, topics: &[String]) {
        self.refused.retain(|topic, _| !topics.contains(topic));
    }

    /// Topics are not wanted any more.
    pub(super) fn leave(&mut self, topics: &[String], each: usize) {
        self.waiting.extend(topics.chunks(each).map(|some| Request::Unsubscribe(some.to_vec())));
        self.forget(topics);
        self.open.retain(|_, (_, open)| {
            open.retain(|topic| !topics.contains(topic));
            !open.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::now;

    /// Sends what waits, and answers it; gives what follows, and how many were sent.
    fn answer_all(subscriptions: &mut Subscriptions, is_refused: fn(&String) -> bool) -> (Vec<Answered>, u64) {
        let (mut followed, mut n) = (Vec::new(), 0);
        while let Some(request) = subscriptions.next(n) {
            let Request::Subscribe(topics) = request else { continue };
            let answer = if topics.iter().any(is_refused) { Answer::Refused } else { Answer::Accepted };
            followed.push(subscriptions.answer(n, answer, now()));
            n += 1;
        }
        followed.retain(|answered| *answered != Answered::Known);
        (followed, n)
    }

    #[test]
    fn the_topic_that_is_refused_is_found_and_the_others_are_not_blamed() {
        let mut subscriptions = Subscriptions::default();
        let topics: Vec<String> = (0..100).map(|n| format!("trades.{n}")).collect();
        subscriptions.subscribe(&topics, 100);
        let (followed, n) = answer_all(&mut subscriptions, |topic| topic.ends_with("37"));
        assert_eq!(followed, [Answered::Refused("trades.37".into())]);
        assert!(n < 20, "{n} requests");
        assert_eq!(subscriptions.answer(n - 1, Answer::Refused, now()), Answered::Known, "an answer counts once");
        subscriptions.repeat(Duration::from_secs(60), now());
        assert!(!subscriptions.is_waiting());
        subscriptions.repeat(Duration::ZERO, now());
        let (followed, n) = answer_all(&mut subscriptions, |_| false);
        assert_eq!((followed, n), (vec![Answered::Accepted(vec!["trades.37".into()])], 1));
        assert_eq!(subscriptions.refused().count(), 0);
    }

    #[test]
    fn a_topic_that_is_sent_already_costs_no_other() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.subscribe(&["known".into(), "new".into()], 2);
        subscriptions.next(1);
        assert_eq!(subscriptions.answer(1, Answer::Known, now()), Answered::Known);
        for (number, topic, answer) in [(2, "known", Answer::Known), (3, "new", Answer::Accepted)] {
            assert_eq!(subscriptions.next(number), Some(Request::Subscribe(vec![topic.into()])));
            assert_eq!(subscriptions.answer(number, answer, now()), Answered::Known);
        }
        assert!(!subscriptions.is_waiting() && subscriptions.refused().count() == 0);
    }

    #[test]
    fn topics_that_are_answered_one_by_one_are_known_one_by_one() {
        let topics = ["books:A", "books:B", "books:C", "books:D"].map(String::from);
        let one = |topic: &str, is_sent| Answer::One(topic.into(), is_sent);
        let mut subscriptions = Subscriptions::default();
        subscriptions.subscribe(&topics, 4);
        subscriptions.next(1);
        assert_eq!(subscriptions.answer(1, one("books:B", true), now()), Answered::Known);
        assert!(!subscriptions.is_settled());
        let refused = Answered::Refused("books:A".into());
        assert_eq!(subscriptions.answer(1, one("books:A", false), now()), refused);
        // Those without an answer are asked for again; answers to the first request come too late.
        assert_eq!(subscriptions.answer(1, one("books:C", true), now()), Answered::Known);
        let Some(Request::Subscribe(rest)) = subscriptions.next(2) else { panic!("nothing is asked for") };
        assert_eq!(rest.iter().collect::<std::collections::BTreeSet<_>>().len(), 2, "{rest:?}");
        // Who leaves needs no answer.
        subscriptions.leave(&["books:D".into()], 4);
        assert_eq!(subscriptions.answer(2, one("books:C", true), now()), Answered::Known);
        assert!(matches!(subscriptions.next(3), Some(Request::Unsubscribe(_))) && subscriptions.is_settled());
        subscriptions.repeat(Duration::ZERO, now());
        assert_eq!(subscriptions.next(4), Some(Request::Subscribe(vec!["books:A".into()])));
        let accepted = Answered::Accepted(vec!["books:A".into()]);
        assert_eq!(subscriptions.answer(4, one("books:A", true), now()), accepted);
    }

    #[test]
    fn who_stays_is_not_blamed_for_who_left() {
        let mut subscriptions = Subscriptions::default();
        let (bad, good) = ("trades.1".to_string(), "trades.2".to_string());
        subscriptions.subscribe(&[bad.clone(), good.clone()], 2);
        subscriptions.next(1);
        subscriptions.leave(&[bad], 1);
        assert_eq!(subscriptions.answer(1, Answer::Refused, now()), Answered::Known);
        let (followed, n) = answer_all(&mut subscriptions, |topic| topic == "trades.1");
        assert_eq!((followed, n), (Vec::new(), 1), "{good} is asked for alone");
    }
}

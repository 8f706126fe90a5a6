//! What goes wrong on a connection, by seed.

use std::collections::VecDeque;

use serde::Deserialize;

use super::script::span;
use prism_schemas::random::Random;

/// Messages that are lost in a row.
const GAP: u32 = 4;

/// How often, for each message of a topic, each thing goes wrong: a probability each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Repeats the same faults for the same messages.
    #[serde(skip)]
    pub seed: u64,
    /// It is not sent.
    pub drop: f64,
    /// It and the next ones, four in all, are not sent.
    pub gap: f64,
    /// It is sent twice.
    pub duplicate: f64,
    /// It is sent after the next one.
    pub reorder: f64,
    /// Garbage is sent in its place.
    pub garbage: f64,
    /// The connection is cut.
    pub disconnect: f64,
    /// A book begins to number its updates from 1 again, with a snapshot where the venue sends such.
    pub reset: f64,
    /// Everything is sent this much later, in nanoseconds: messages, and answers to whatever was asked.
    #[serde(deserialize_with = "span")]
    pub slow: i64,
    /// A connection is cut at this age, in nanoseconds of the venue's time; 0: never. Binance cuts at 24 h;
    /// OKX says so before, as long as a quarter of it and a minute at most.
    #[serde(deserialize_with = "span")]
    pub age: i64,
    /// A request is answered 429, with the time to wait.
    pub refuse: f64,
    /// A request is answered that the address is banned for a while: 418 or 403.
    pub ban: f64,
    /// A request is answered 502.
    pub fail: f64,
    /// A request is answered that this country is not served: 403 with a page, or 451. 1: streams are refused, too.
    pub block: f64,
    /// 1: answers name trades otherwise than the stream does (Bybit).
    pub rename: f64,
}

impl Faults {
    /// Both at once; the seed stays.
    pub(super) fn plus(mut self, other: &Faults) -> Faults {
        macro_rules! add {
            ($($field:ident)*) => { $(self.$field += other.$field;)* };
        }
        add!(drop gap duplicate reorder garbage disconnect reset slow refuse ban fail block rename);
        self.age = [self.age, other.age].into_iter().filter(|age| 0 < *age).min().unwrap_or(0);
        self
    }
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// These are sent now.
    Send(Vec<String>),
    /// The connection is cut.
    Cut,
}

/// The faults of one connection.
pub(super) struct Saboteur {
    random: Random,
    /// Messages that wait for the next one.
    held: VecDeque<String>,
    /// So many more are lost.
    losing: u32,
}

impl Saboteur {
    /// Of the `number`th connection.
    pub(super) fn new(seed: u64, number: u64) -> Saboteur {
        let random = Random::new(seed, &format!("connection {number}"));
        Saboteur { random, held: VecDeque::new(), losing: 0 }
    }

    /// What becomes of the next message.
    pub(super) fn fate(&mut self, text: String, faults: Faults) -> Fate {
        if faults.gap == 0.0 {
            self.losing = 0;
        }
        if 0 < self.losing {
            self.losing -= 1;
            return Fate::Send(self.held.drain(..).collect());
        }
        let Faults { drop, gap, duplicate, reorder, garbage, disconnect, .. } = faults;
        let chance = self.random.uniform();
        let mut below = 0.0;
        let mut is = |share: f64| {
            let within = (below..below + share).contains(&chance);
            below += share;
            within
        };
        let mut sent = match () {
            () if is(disconnect) => return Fate::Cut,
            () if is(drop) => Vec::new(),
            () if is(gap) => {
                self.losing = GAP - 1;
                Vec::new()
            }
            () if is(duplicate) => vec![text.clone(), text],
            () if is(garbage) => vec![text.chars().take(text.len() / 2).collect()],
            () if is(reorder) => {
                self.held.push_back(text);
                return Fate::Send(Vec::new());
            }
            () => vec![text],
        };
        sent.extend(self.held.drain(..));
        Fate::Send(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(faults: Faults) -> (Vec<String>, usize) {
        let mut saboteur = Saboteur::new(faults.seed, 1);
        let (mut sent, mut cuts) = (Vec::new(), 0);
        for n in 0..10_000 {
            match saboteur.fate(format!("{n:06}"), faults) {
                Fate::Send(texts) => sent.extend(texts),
                Fate::Cut => cuts += 1,
            }
        }
        (sent, cuts)
    }

    #[test]
    fn each_fault_comes_as_often_as_asked_and_equal_seeds_repeat_it() {
        let quiet = run(Faults::default());
        assert_eq!((quiet.0.len(), quiet.1), (10_000, 0));
        assert!(quiet.0.is_sorted());
        let one = |set: fn(&mut Faults)| {
            let mut faults = Faults { seed: 7, ..Faults::default() };
            set(&mut faults);
            assert_eq!(run(faults), run(faults));
            run(faults)
        };
        assert!((50..150).contains(&(10_000 - one(|faults| faults.drop = 0.01).0.len())));
        assert!((200..600).contains(&(10_000 - one(|faults| faults.gap = 0.01).0.len())));
        assert!((50..150).contains(&(one(|faults| faults.duplicate = 0.01).0.len() - 10_000)));
        assert!((50..150).contains(&one(|faults| faults.disconnect = 0.01).1));
        let reordered = one(|faults| faults.reorder = 0.01).0;
        assert!(!reordered.is_sorted() && 9_999 <= reordered.len());
        let garbage = one(|faults| faults.garbage = 0.01).0;
        assert!((50..150).contains(&garbage.iter().filter(|text| text.len() == 3).count()));
    }
}

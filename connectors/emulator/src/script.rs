//! Faults at set times, as a script says.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use prism_schemas::canonical_symbol;
use prism_schemas::time::parse_duration;
use serde::{Deserialize, Deserializer};

use super::{Emulator, Faults};

/// What goes wrong, and when: entries in any order, which may overlap.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Each of them.
    #[serde(rename = "fault")]
    pub faults: Vec<Entry>,
}

/// What goes wrong from a time on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Entry {
    /// So many nanoseconds after the start; as text, `"10s"`.
    #[serde(deserialize_with = "span")]
    pub at: i64,
    /// For so many nanoseconds; 0 until the end.
    #[serde(rename = "for", deserialize_with = "span")]
    pub length: i64,
    /// Nothing is sent of these symbols, without a word.
    pub stall: Vec<String>,
    /// These symbols are not listed.
    pub delist: Vec<String>,
    /// Requests with these topics are refused.
    pub refuse_topics: Vec<String>,
    /// Books of these symbols begin to number from 1 again, once.
    pub reset_books: Vec<String>,
    /// All connections are cut, once.
    pub disconnect_all: bool,
    /// The venue's clock is ahead by so many nanoseconds.
    #[serde(deserialize_with = "span")]
    pub skew: i64,
    /// Beside all others.
    pub shares: Faults,
}

/// A length of time as text.
pub(super) fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).ok_or_else(|| serde::de::Error::custom(format!("\"{text}\" is no duration such as 10s")))
}

impl Script {
    /// Entries that hold at a time after the start.
    fn holding(&self, after: i64) -> impl Iterator<Item = &Entry> {
        let holds = move |one: &&Entry| one.at <= after && (one.length == 0 || after < one.at + one.length);
        self.faults.iter().filter(holds)
    }

    /// When something begins or ends.
    fn times(&self) -> BTreeSet<i64> {
        let ends = self.faults.iter().filter(|one| 0 < one.length).map(|one| one.at + one.length);
        self.faults.iter().map(|one| one.at).chain(ends).collect()
    }

    /// Does all of it from now on; whatever was set on the emulator beside its shares becomes as the script says.
    pub async fn run(&self, emulator: &Emulator) {
        let (base, mut before) = (emulator.shared.faults(), 0);
        for at in self.times() {
            tokio::time::sleep(Duration::from_nanos((at - before).unsigned_abs())).await;
            before = at;
            self.apply(emulator, base, at);
        }
    }

    fn apply(&self, emulator: &Emulator, base: Faults, at: i64) {
        let all =
            |of: fn(&Entry) -> &Vec<String>| -> BTreeSet<String> { self.holding(at).flat_map(of).cloned().collect() };
        let symbols = |of| all(of).iter().map(|symbol| canonical_symbol(symbol)).collect::<BTreeSet<_>>();
        *emulator.shared.stalled() = symbols(|one| &one.stall);
        *emulator.shared.refused.lock().unwrap_or_else(PoisonError::into_inner) = all(|one| &one.refuse_topics);
        let delisted = symbols(|one| &one.delist);
        for symbol in self.faults.iter().flat_map(|one| &one.delist).map(|symbol| canonical_symbol(symbol)) {
            emulator.list(&symbol, !delisted.contains(&symbol));
        }
        emulator.skew(self.holding(at).map(|one| one.skew).sum());
        emulator.set(self.holding(at).fold(base, |sum, one| sum.plus(&one.shares)));
        for one in self.faults.iter().filter(|one| one.at == at) {
            one.reset_books.iter().for_each(|symbol| emulator.reset(&canonical_symbol(symbol)));
            if one.disconnect_all {
                emulator.cut();
            }
        }
        tracing::info!(after = %format!("{}s", at / 1_000_000_000), holding = self.holding(at).count(), "the script goes on");
    }
}

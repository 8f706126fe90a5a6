//! What waits to be sent to one client: bounded, the newest message of a key replaces the one that waits.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::shape::Row;

/// Most changes that wait for a client.
pub(crate) const CHANGES_MAX: usize = 1_024;
/// Most answers (snapshots, pongs, errors) that wait for a client; one that asks faster than it reads loses them.
const ANSWERS_MAX: usize = 64;

/// Messages of one client, in the order of their keys' first change.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    answers: VecDeque<Row>,
    changes: BTreeMap<u64, (String, Row)>,
    places: HashMap<String, u64>,
    dropped: u64,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message that no other replaces; they go first.
    pub(crate) fn answer(&self, message: Row) {
        let mut inner = self.lock();
        inner.answers.push_back(message);
        if ANSWERS_MAX < inner.answers.len() {
            inner.answers.pop_front();
            inner.dropped += 1;
        }
        drop(inner);
        self.news.notify_one();
    }

    /// A change of what `key` names; of two that wait the one of the later bar stays, of one bar the later version.
    pub(crate) fn change(&self, key: String, message: Row) {
        let mut inner = self.lock();
        if let Some(place) = inner.places.get(&key).copied() {
            let bar = |message: &Row| message.get("timestamp").and_then(serde_json::Value::as_i64);
            if let Some((_, waiting)) = inner.changes.get_mut(&place)
                && bar(waiting) <= bar(&message)
            {
                *waiting = message;
            }
            inner.dropped += 1;
        } else {
            if CHANGES_MAX <= inner.changes.len()
                && let Some((_, (oldest, _))) = inner.changes.pop_first()
            {
                inner.places.remove(&oldest);
                inner.dropped += 1;
            }
            let place = inner.next;
            inner.next += 1;
            inner.places.insert(key.clone(), place);
            inner.changes.insert(place, (key, message));
        }
        drop(inner);
        self.news.notify_one();
    }

    /// Messages that were lost before they came here.
    pub(crate) fn lost(&self, n: u64) {
        self.lock().dropped += n;
        self.news.notify_one();
    }

    /// Forgets what a snapshot is about to replace.
    pub(crate) fn clear_changes(&self) {
        let mut inner = self.lock();
        inner.changes.clear();
        inner.places.clear();
    }

    /// The next message, and how many were dropped since the last one taken.
    pub(crate) async fn take(&self) -> (u64, Row) {
        loop {
            {
                let mut inner = self.lock();
                let next = inner.answers.pop_front().or_else(|| {
                    let (_, (key, message)) = inner.changes.pop_first()?;
                    inner.places.remove(&key);
                    Some(message)
                });
                if let Some(message) = next {
                    return (std::mem::take(&mut inner.dropped), message);
                }
            }
            self.news.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(n: usize) -> Row {
        json!({"n": n}).as_object().cloned().unwrap()
    }

    #[tokio::test]
    async fn newest_of_a_key_waits_and_the_rest_is_counted() {
        let outbox = Outbox::default();
        for n in 0..5 {
            outbox.change("a".into(), message(n));
        }
        outbox.change("b".into(), message(9));
        outbox.answer(message(7));
        assert_eq!(outbox.take().await, (4, message(7)));
        assert_eq!(outbox.take().await, (0, message(4)));
        assert_eq!(outbox.take().await, (0, message(9)));
    }

    #[tokio::test]
    async fn it_is_bounded() {
        let outbox = Outbox::default();
        for n in 0..CHANGES_MAX + 10 {
            outbox.change(n.to_string(), message(n));
        }
        assert_eq!(outbox.take().await, (10, message(10)));
    }
}

//! What waits to be sent to one client: numbers of changes, of which the newest of a key replaces the one that waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use prism_schemas::Ts;

use crate::change::{Change, Channel};

/// Most keys that wait for a client.
pub(crate) const KEYS_MAX: usize = 1_024;

/// Changes of one client, in the order of their keys' first change. Rows themselves are in the ring only, so that a client
/// that reads nothing holds no memory of theirs.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    places: HashMap<(Channel, Arc<str>), u64>,
    dropped: u64,
}

#[derive(Debug)]
struct Waiting {
    channel: Channel,
    key: Arc<str>,
    ts: Ts,
    number: u64,
}

impl Outbox {
    /// How many more keys it takes.
    pub(crate) fn room(&self) -> usize {
        KEYS_MAX - self.waiting.len()
    }

    /// A change; of two that wait the one of the later bar stays, of one bar the later version.
    pub(crate) fn change(&mut self, number: u64, change: &Change) {
        self.dropped += change.n_passed;
        let id = (change.channel, change.key.clone());
        if let Some(place) = self.places.get(&id).copied() {
            if let Some(waiting) = self.waiting.get_mut(&place)
                && waiting.ts <= change.ts
            {
                (waiting.number, waiting.ts) = (number, change.ts);
            }
            self.dropped += 1;
            return;
        }
        let place = self.next;
        self.next += 1;
        let (channel, key) = id.clone();
        self.places.insert(id, place);
        self.waiting.insert(place, Waiting { channel, key, ts: change.ts, number });
    }

    /// Changes that were lost before they came here.
    pub(crate) fn lost(&mut self, n: u64) {
        self.dropped += n;
    }

    /// Forgets what a snapshot of the channel replaces.
    pub(crate) fn clear(&mut self, channel: Channel) {
        self.waiting.retain(|_, waiting| waiting.channel != channel);
        self.places.retain(|(of, _), _| *of != channel);
    }

    /// The number of the next change.
    pub(crate) fn take(&mut self) -> Option<u64> {
        let (_, waiting) = self.waiting.pop_first()?;
        self.places.remove(&(waiting.channel, waiting.key));
        Some(waiting.number)
    }

    /// How many were dropped since this was asked last.
    pub(crate) fn dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

//! Rows on their way to subscribers: a ring of the newest changes, bounded by rows, and snapshots that fit to it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use prism_queries::LiveRows;
use prism_schemas::table::BARS;
use prism_schemas::{Table, Ts, Versions};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::board::Board;
use crate::change::{Change, Channel};

/// Most changes that wait for slow subscribers, all together; one that is further behind gets a snapshot.
pub(crate) const CHANGES_MAX: usize = 8_192;
/// Rows that came to memory and are no news are in snapshots after this time at the latest.
const SNAPSHOT_AGE: Duration = Duration::from_secs(1);

/// Where subscribers hear of rows: first a snapshot from memory, then what becomes known.
#[derive(Debug)]
pub struct Updates {
    live: Arc<LiveRows>,
    /// Held while rows go into the ring, so that a snapshot is of before or after.
    gate: RwLock<()>,
    ring: Mutex<Ring>,
    /// The number of the next change.
    head: watch::Sender<u64>,
    /// The newest snapshot of each channel.
    snapshots: Mutex<[Option<Snapshot>; Channel::ALL.len()]>,
    /// What forms.
    pub(crate) board: Arc<Board>,
}

#[derive(Debug, Default)]
struct Ring {
    /// The number of the first change here.
    first: u64,
    changes: VecDeque<Arc<Change>>,
}

impl Ring {
    fn end(&self) -> u64 {
        self.first + self.changes.len() as u64
    }
}

/// The newest row of each key of a channel at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// The number of the first change that is not in it.
    pub(crate) next: u64,
    /// Signals are newest first.
    pub(crate) rows: Arc<Vec<Change>>,
    taken: Instant,
}

impl Updates {
    /// Over the rows in memory.
    pub fn new(live: Arc<LiveRows>) -> Updates {
        Updates {
            live,
            gate: RwLock::new(()),
            ring: Mutex::default(),
            head: watch::Sender::new(0),
            snapshots: Mutex::default(),
            board: Arc::new(Board::new()),
        }
    }

    /// The rows in memory.
    pub fn live(&self) -> &Arc<LiveRows> {
        &self.live
    }

    /// Tells subscribers of rows that became known. They are in memory already; of several versions of what has one key only
    /// the last is told, so that nothing is told that is older than what a snapshot of this moment has.
    pub fn tell(&self, rows: &[Versions]) {
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        for (channel, snapshot) in Channel::ALL.iter().zip(&mut *self.snapshots()) {
            if rows.iter().any(|rows| rows.table() == channel.table()) {
                *snapshot = None;
            }
        }
        if self.head.receiver_count() == 0 {
            return;
        }
        let is_wanted = |channel: Channel| channel.is_told_whole() || self.board.is_followed(channel);
        let changes: Vec<Arc<Change>> = last_of_keys(rows, is_wanted).into_iter().map(Arc::new).collect();
        let ends = rows.iter().filter(|rows| *rows.table() == BARS).filter_map(|rows| rows.times("ts_close"));
        let closed = ends.flatten().max().map_or(Ts::MIN, |micros| micros.saturating_mul(1_000));
        self.board.close(&changes, closed);
        let mut ring = self.ring();
        for change in changes.into_iter().filter(|change| change.channel.is_told_whole()) {
            ring.changes.push_back(change);
            if CHANGES_MAX < ring.changes.len() {
                ring.changes.pop_front();
                ring.first += 1;
            }
        }
        let end = ring.end();
        drop(ring);
        self.head.send_if_modified(|head| std::mem::replace(head, end) != end);
    }

    /// Whether anybody follows what forms of a table, or of any where none is named.
    pub fn wants(&self, table: Option<&Table>) -> bool {
        let of = |channel: &Channel| table.is_none_or(|table| channel.table() == table);
        Channel::ALL.iter().filter(|channel| of(channel)).any(|channel| self.board.forms(*channel))
    }

    /// Whether anybody follows what forms of this symbol.
    pub fn wants_symbol(&self, symbol: &str) -> bool {
        self.board.forms_of(symbol)
    }

    /// Tells subscribers of rows that form, where somebody follows their table and symbol: of each key the newest stands, and
    /// nothing else is kept of them.
    pub fn form(&self, rows: &Versions) {
        if self.wants(Some(rows.table())) {
            let changes = rows.to_vec().into_iter().filter_map(Change::forming);
            let wanted: Vec<Change> = changes.filter(|change| self.wants_symbol(&change.symbol)).collect();
            self.board.form(wanted.into_iter());
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshots(&self) -> MutexGuard<'_, [Option<Snapshot>; Channel::ALL.len()]> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest row of each key of a channel, shared by everybody who asks before there is a newer one.
    pub(crate) fn snapshot(&self, channel: Channel) -> Snapshot {
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let next = self.ring().end();
        let place = Channel::ALL.iter().position(|one| *one == channel).unwrap_or(0);
        let mut snapshots = self.snapshots();
        if let Some(one) = &mut snapshots[place]
            && one.taken.elapsed() < SNAPSHOT_AGE
        {
            one.next = next;
            return one.clone();
        }
        let latest = self.live.latest(channel.table()).unwrap_or_else(|error| {
            tracing::error!(%error, table = channel.table().name, "rows in memory cannot be read");
            Vec::new()
        });
        let mut rows: Vec<Change> = latest.into_iter().map(Arc::new).filter_map(Change::new).collect();
        if channel == Channel::Signal {
            rows.sort_by_key(|change| std::cmp::Reverse(change.ts));
        }
        let snapshot = Snapshot { next, rows: Arc::new(rows), taken: Instant::now() };
        snapshots[place] = Some(snapshot.clone());
        snapshot
    }

    /// From the next change on.
    pub(crate) fn subscribe(self: &Arc<Updates>) -> Reader {
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let head = self.head.subscribe();
        Reader { next: self.ring().end(), updates: self.clone(), head }
    }
}

/// The changes of rows: of each key that of the latest bar, and of this bar the last version.
fn last_of_keys(rows: &[Versions], is_wanted: impl Fn(Channel) -> bool) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let mut places: HashMap<(Channel, Arc<str>), usize> = HashMap::new();
    let of_channels =
        rows.iter().filter(|rows| Channel::of(rows.table()).is_some_and(&is_wanted)).flat_map(Versions::to_vec);
    for mut change in of_channels.filter_map(|row| Change::new(Arc::new(row))) {
        match places.entry((change.channel, change.key.clone())) {
            Entry::Vacant(place) => {
                place.insert(changes.len());
                changes.push(change);
            }
            Entry::Occupied(place) => {
                let waiting = &mut changes[*place.get()];
                // A bar that is passed over is counted; versions of one bar at one time are one change.
                let n_passed = waiting.n_passed + u64::from(waiting.ts != change.ts);
                if waiting.ts <= change.ts {
                    std::mem::swap(waiting, &mut change);
                }
                waiting.n_passed = n_passed;
            }
        }
    }
    changes
}

/// One subscriber's place in the ring.
#[derive(Debug)]
pub(crate) struct Reader {
    updates: Arc<Updates>,
    head: watch::Receiver<u64>,
    /// The number of the next change to read.
    pub(crate) next: u64,
}

impl Reader {
    /// Waits until there is something to read.
    pub(crate) async fn changed(&mut self) {
        let next = self.next;
        // The sender is among what this reader holds.
        let _ = self.head.wait_for(|head| next < *head).await;
    }

    /// How many changes left the ring before they were read; reading goes on with the oldest that is there.
    pub(crate) fn lost(&mut self) -> u64 {
        let first = self.updates.ring().first;
        let lost = first.saturating_sub(self.next);
        self.next = self.next.max(first);
        lost
    }

    /// Up to `most` changes with their numbers; call [`Reader::lost`] before.
    pub(crate) fn read(&mut self, most: usize) -> Vec<(u64, Arc<Change>)> {
        let ring = self.updates.ring();
        let from = self.next.max(ring.first);
        let these = ring.changes.iter().skip((from - ring.first) as usize).take(most);
        let read: Vec<_> = (from..).zip(these.cloned()).collect();
        self.next = from + read.len() as u64;
        read
    }

    /// The change of a number, if it is still in the ring.
    pub(crate) fn get(&self, number: u64) -> Option<Arc<Change>> {
        let ring = self.updates.ring();
        ring.changes.get(usize::try_from(number.checked_sub(ring.first)?).ok()?).cloned()
    }
}

//! What forms: of each key the newest row, however many came; each reader takes what is newer than what it has.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use prism_schemas::Ts;
use tokio::sync::Notify;

use crate::change::{Change, Channel};

/// Most keys; beyond, the one that changed longest ago goes.
const KEYS_MAX: usize = 65_536;

/// Whose row it is, and whether it forms.
type Key = (Channel, Arc<str>, bool);

/// The rows that form, and those that closed last where nobody else tells them.
#[derive(Debug)]
pub(crate) struct Board {
    rows: Mutex<Rows>,
    /// How many follow each channel, and how many of them what forms.
    followers: [[AtomicUsize; 2]; Channel::ALL.len()],
    /// And whom.
    followed: RwLock<Followed>,
}

/// Some symbols, or all.
pub(crate) type Symbols = Option<Arc<BTreeSet<String>>>;

/// Who follows, by symbol.
#[derive(Debug, Default)]
struct Followed {
    all: Interest,
    named: HashMap<String, Interest>,
}

/// Whom something new wakes, and how many of them follow what forms.
#[derive(Debug, Default)]
struct Interest {
    wakes: Vec<Arc<Notify>>,
    n_forming: usize,
}

impl Interest {
    fn add(&mut self, follower: &Follower) {
        self.wakes.push(follower.wake.clone());
        self.n_forming += usize::from(follower.forming);
    }

    /// Whether somebody is left.
    fn remove(&mut self, follower: &Follower) -> bool {
        if let Some(at) = self.wakes.iter().position(|wake| Arc::ptr_eq(wake, &follower.wake)) {
            self.wakes.swap_remove(at);
            self.n_forming -= usize::from(follower.forming);
        }
        !self.wakes.is_empty()
    }
}

impl Followed {
    fn add(&mut self, follower: &Follower) {
        match &follower.symbols {
            None => self.all.add(follower),
            Some(symbols) => {
                symbols.iter().for_each(|symbol| self.named.entry(symbol.clone()).or_default().add(follower));
            }
        }
    }

    fn remove(&mut self, follower: &Follower) {
        match &follower.symbols {
            None => _ = self.all.remove(follower),
            Some(symbols) => {
                let gone = |symbol: &&String| self.named.get_mut(*symbol).is_some_and(|of| !of.remove(follower));
                let gone: Vec<&String> = symbols.iter().filter(gone).collect();
                gone.into_iter().for_each(|symbol| _ = self.named.remove(symbol));
            }
        }
    }

    fn wake(&self, symbols: &BTreeSet<Arc<str>>) {
        let named = symbols.iter().filter_map(|symbol| self.named.get(&**symbol));
        let all = [&self.all].into_iter().filter(|_| !symbols.is_empty());
        all.chain(named).flat_map(|of| &of.wakes).for_each(|wake| wake.notify_one());
    }
}

#[derive(Debug, Default)]
struct Rows {
    /// The number of the newest row.
    newest: u64,
    by_number: BTreeMap<u64, Arc<Change>>,
    numbers: HashMap<Key, u64>,
    /// Bars that end by then are closed: nothing forms in them any more.
    closed: Ts,
}

impl Rows {
    /// When the row of a key is of.
    fn ts(&self, key: &Key) -> Option<Ts> {
        self.by_number.get(self.numbers.get(key)?).map(|row| row.ts)
    }

    fn retain(&mut self, stays: impl Fn(&Change) -> bool) {
        let Rows { by_number, numbers, .. } = self;
        by_number.retain(|_, row| stays(row));
        numbers.retain(|_, number| by_number.contains_key(number));
    }

    /// Puts a row in the place of the one of its key, unless that is of a later bar.
    fn put(&mut self, row: Arc<Change>) {
        let key = (row.channel, row.key.clone(), row.forming);
        if row.forming && row.end <= self.closed || self.ts(&key).is_some_and(|ts| row.ts < ts) {
            return;
        }
        if let Some(number) = self.numbers.remove(&key) {
            self.by_number.remove(&number);
        }
        self.newest += 1;
        self.numbers.insert(key, self.newest);
        self.by_number.insert(self.newest, row);
        if KEYS_MAX < self.by_number.len()
            && let Some((_, oldest)) = self.by_number.pop_first()
        {
            self.numbers.remove(&(oldest.channel, oldest.key.clone(), oldest.forming));
        }
    }
}

impl Board {
    pub(crate) fn new() -> Board {
        Board { rows: Mutex::default(), followers: Default::default(), followed: RwLock::default() }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody follows a channel.
    pub(crate) fn is_followed(&self, channel: Channel) -> bool {
        0 < self.followers[channel as usize][0].load(Relaxed)
    }

    /// Whether anybody follows what forms of a channel.
    pub(crate) fn forms(&self, channel: Channel) -> bool {
        0 < self.followers[channel as usize][1].load(Relaxed)
    }

    /// Whether anybody follows what forms of a symbol.
    pub(crate) fn forms_of(&self, symbol: &str) -> bool {
        let followed = self.followed.read().unwrap_or_else(PoisonError::into_inner);
        [Some(&followed.all), followed.named.get(symbol)].into_iter().flatten().any(|of| 0 < of.n_forming)
    }

    fn followed(&self) -> RwLockWriteGuard<'_, Followed> {
        self.followed.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes rows that form.
    pub(crate) fn form(&self, rows: impl Iterator<Item = Change>) {
        let mut symbols = BTreeSet::new();
        let mut board = self.rows();
        for row in rows {
            symbols.insert(row.symbol.clone());
            board.put(Arc::new(row));
        }
        drop(board);
        self.wake(&symbols);
    }

    /// Takes rows that closed, kept where nobody else tells them: what formed in bars that end by `closed` is over, whether or
    /// not it comes again as a row that closed.
    pub(crate) fn close(&self, rows: &[Arc<Change>], closed: Ts) {
        let mut symbols = BTreeSet::new();
        let mut board = self.rows();
        if board.closed < closed {
            board.closed = closed;
            board.retain(|row| !row.forming || closed < row.end);
        }
        for row in rows.iter().filter(|row| !row.channel.is_told_whole()) {
            symbols.insert(row.symbol.clone());
            board.put(row.clone());
        }
        drop(board);
        self.wake(&symbols);
    }

    fn wake(&self, symbols: &BTreeSet<Arc<str>>) {
        self.followed.read().unwrap_or_else(PoisonError::into_inner).wake(symbols);
    }

    /// Follows these symbols of a channel, all if none are named, until it is dropped; what is new of them wakes the reader.
    pub(crate) fn follow(
        self: &Arc<Board>,
        channel: Channel,
        symbols: Symbols,
        forming: bool,
        wake: &Arc<Notify>,
    ) -> Follower {
        let [all, of_forming] = &self.followers[channel as usize];
        all.fetch_add(1, Relaxed);
        of_forming.fetch_add(forming.into(), Relaxed);
        let follower = Follower { board: self.clone(), channel, symbols, wake: wake.clone(), forming };
        self.followed().add(&follower);
        follower
    }

    /// The next rows behind a number, with theirs, oldest first.
    pub(crate) fn behind(&self, number: u64, most: usize) -> Vec<(u64, Arc<Change>)> {
        let board = self.rows();
        board.by_number.range(number + 1..).take(most).map(|(number, row)| (*number, row.clone())).collect()
    }
}

/// Somebody follows a channel.
#[derive(Debug)]
pub(crate) struct Follower {
    board: Arc<Board>,
    channel: Channel,
    symbols: Symbols,
    wake: Arc<Notify>,
    /// Whether rows that form are wanted, too.
    pub(crate) forming: bool,
}

impl Drop for Follower {
    fn drop(&mut self) {
        let [all, of_forming] = &self.board.followers[self.channel as usize];
        self.board.followed().remove(self);
        let is_last = all.fetch_sub(1, Relaxed) == 1;
        let is_last_of_forming = self.forming && of_forming.fetch_sub(1, Relaxed) == 1;
        // Nobody keeps these new from now on.
        if is_last || is_last_of_forming {
            let goes = |row: &Change| row.channel == self.channel && (is_last || row.forming);
            self.board.rows().retain(|row| !goes(row));
        }
    }
}

//! What forms: of each key the newest row, however many came; each reader takes what is newer than what it has.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use prism_schemas::Ts;
use tokio::sync::watch;

use crate::change::{Change, Channel};

/// Most keys; beyond, the one that changed longest ago goes.
const KEYS_MAX: usize = 65_536;

/// Whose row it is, and whether it forms.
type Key = (Channel, Arc<str>, bool);

/// The rows that form, and those that closed last where nobody else tells them.
#[derive(Debug)]
pub(crate) struct Board {
    rows: Mutex<Rows>,
    /// The number of the newest row.
    head: watch::Sender<u64>,
    /// How many follow each channel, and how many of them what forms.
    followers: [[AtomicUsize; 2]; Channel::ALL.len()],
    /// Whose forming rows they follow.
    followed: RwLock<Followed>,
}

/// Symbols, and how many follow each.
pub(crate) type Symbols = Option<Arc<BTreeSet<String>>>;

#[derive(Debug, Default)]
struct Followed {
    all: usize,
    named: HashMap<String, usize>,
}

impl Followed {
    fn add(&mut self, symbols: &Symbols) {
        let Some(symbols) = symbols else { return self.all += 1 };
        symbols.iter().for_each(|symbol| *self.named.entry(symbol.clone()).or_default() += 1);
    }

    fn remove(&mut self, symbols: &Symbols) {
        let Some(symbols) = symbols else { return self.all -= 1 };
        for symbol in symbols.iter() {
            if let Some(n) = self.named.get_mut(symbol) {
                *n -= 1;
                if *n == 0 {
                    self.named.remove(symbol);
                }
            }
        }
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
        Board {
            rows: Mutex::default(),
            head: watch::Sender::new(0),
            followers: Default::default(),
            followed: RwLock::default(),
        }
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
        0 < followed.all || followed.named.contains_key(symbol)
    }

    fn followed(&self) -> RwLockWriteGuard<'_, Followed> {
        self.followed.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes rows that form.
    pub(crate) fn form(&self, rows: impl Iterator<Item = Change>) {
        let mut board = self.rows();
        rows.for_each(|row| board.put(Arc::new(row)));
        self.tell(board);
    }

    /// Takes rows that closed, kept where nobody else tells them: what formed in bars that end by `closed` is over, whether or
    /// not it comes again as a row that closed.
    pub(crate) fn close(&self, rows: &[Arc<Change>], closed: Ts) {
        let mut board = self.rows();
        if board.closed < closed {
            board.closed = closed;
            board.retain(|row| !row.forming || closed < row.end);
        }
        rows.iter().filter(|row| !row.channel.is_told_whole()).for_each(|row| board.put(row.clone()));
        self.tell(board);
    }

    fn tell(&self, board: MutexGuard<'_, Rows>) {
        let newest = board.newest;
        drop(board);
        self.head.send_if_modified(|head| std::mem::replace(head, newest) != newest);
    }

    /// Follows these symbols of a channel, all if none are named, until it is dropped.
    pub(crate) fn follow(self: &Arc<Board>, channel: Channel, symbols: &Symbols, forming: bool) -> Follower {
        let [all, of_forming] = &self.followers[channel as usize];
        if forming {
            self.followed().add(symbols);
        }
        all.fetch_add(1, Relaxed);
        of_forming.fetch_add(forming.into(), Relaxed);
        Follower { board: self.clone(), channel, symbols: symbols.clone(), forming }
    }

    /// Hears of new rows.
    pub(crate) fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
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
    /// Whether rows that form are wanted, too.
    pub(crate) forming: bool,
}

impl Drop for Follower {
    fn drop(&mut self) {
        let [all, of_forming] = &self.board.followers[self.channel as usize];
        if self.forming {
            self.board.followed().remove(&self.symbols);
        }
        let is_last = all.fetch_sub(1, Relaxed) == 1;
        let is_last_of_forming = self.forming && of_forming.fetch_sub(1, Relaxed) == 1;
        // Nobody keeps these new from now on.
        if is_last || is_last_of_forming {
            let goes = |row: &Change| row.channel == self.channel && (is_last || row.forming);
            self.board.rows().retain(|row| !goes(row));
        }
    }
}

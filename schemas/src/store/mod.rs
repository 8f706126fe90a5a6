//! The place where the rows of one run are kept, as one trait.
//!
//! A pipeline knows no more of a store than this. The order of a run's life: `write` rows as they become known and
//! `flush` now and then; once a flush says that all is kept, write the run's row of `runs`, flush again and `mark` how
//! far it is; ask `readable` which mark has reached those who query; at the end call `finish` until it is done.

mod memory;

pub use memory::MemoryStore;

use crate::table::RUNS;
use crate::{Cell, Table, Ts, Version, Versions};

/// What went wrong, in words for a person: what to do is part of them.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// What a store answers.
pub type StoreResult<T> = Result<T, StoreError>;

/// How a store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why it does not answer or take rows, while it does not. Rows wait on disk; nothing is lost.
    pub away: Option<String>,
    /// Tables of prism that take rows but do not show them: a person must look.
    pub suspended: Vec<String>,
    /// Bytes that wait on disk.
    pub spooled_bytes: u64,
    /// Rows that wait on disk.
    pub spooled_rows: u64,
    /// Transactions that are acknowledged but cannot be read yet, by table of prism.
    pub wal_lag: Vec<(String, u64)>,
}

/// Keeps the rows of one run. There is one writer of a run at a time; a second one is refused when it opens the store.
///
/// The last version written of a key replaces those before it. A null and an empty text are the same: null.
pub trait RowStore: Send {
    /// Where it is, for messages; never with a password.
    fn address(&self) -> String;

    /// The run whose rows these are.
    fn run_id(&self) -> &str;

    /// Takes rows, those of a table in the order they became known. Memory is bounded: it may write on its own account,
    /// and it waits only while the disk under it is full of rows that a server does not take.
    ///
    /// Fails if a row does not fit its table or the disk refuses; what was taken before stays taken.
    fn write(&mut self, rows: Vec<Versions>) -> StoreResult<()>;

    /// Makes all rows taken so far durable. False while the server is away, which is no error: they are safe on disk
    /// or in memory, and are sent by a later call. Never waits longer than a few seconds for an absent server.
    fn flush(&mut self) -> StoreResult<bool>;

    /// Says that all rows known before `frontier` are taken and that the last flush kept them.
    fn mark(&mut self, frontier: Ts);

    /// The newest mark whose rows can be read by whoever queries the store; none before the first. Cheap enough to be
    /// asked after each flush.
    fn readable(&mut self) -> StoreResult<Option<Ts>>;

    /// One step towards the end: writes what waits and puts the store in order. True once all rows taken can be read;
    /// false while the server is away or behind: call it again after a while, or give up. Rows may follow.
    ///
    /// Fails if a table of prism is suspended, since then it would never be done.
    fn finish(&mut self) -> StoreResult<bool>;

    /// Reads the kept rows of a table, retracted ones too, in the order of their designated timestamp.
    fn scan(&self, table: &'static Table, see: &mut dyn FnMut(Version)) -> StoreResult<()>;

    /// The row of `runs` that tells how far a run is kept.
    fn run(&self, run_id: &str) -> StoreResult<Option<Version>> {
        let mut found = None;
        self.scan(&RUNS, &mut |row| {
            if row.get("run_id") == Some(&Cell::text(run_id)) {
                found = Some(row);
            }
        })?;
        Ok(found)
    }

    /// Withdraws what other settings left behind: each row of a derived table that begins at or after `since`, is known
    /// before `frontier` and carries another `config_hash` is written once more as retracted, known at `frontier`; `see` is given these rows.
    /// To be called once everything known before `frontier` was computed and written with the new settings.
    ///
    /// The number of rows withdrawn, or none if it cannot be told yet (the server is away, or rows just written cannot
    /// be read): call it again after a while. A second call finds nothing.
    fn withdraw(
        &mut self,
        config_hash: &str,
        since: Ts,
        frontier: Ts,
        see: &mut dyn FnMut(&[Versions]),
    ) -> StoreResult<Option<u64>>;

    /// How it is now; asks the server if there is one.
    fn health(&mut self) -> Health;
}

/// Follows the live run of a store that another process writes.
pub trait RowReader: Send {
    /// Where it is, for messages; never with a password.
    fn address(&self) -> String;

    /// Rows of these tables that could not be read at the last call, in the order they became known. The first call gives
    /// none: what is there then is no news.
    ///
    /// A version is given once or, around a restart of the server, twice; none is left out, however late its table can be
    /// read.
    fn news(&mut self, tables: &[&'static Table]) -> StoreResult<Vec<Version>>;

    /// Everything known before this is kept and can be read; none before the first row of `runs`.
    fn frontier(&mut self) -> StoreResult<Option<Ts>>;
}

/// The retraction of a row that begins at or after `since` and that other settings left behind; none if it is not one.
/// Tables that are not derived have no settings: what was received stays.
pub fn withdrawal(row: &Version, config_hash: &str, since: Ts, frontier: Ts) -> Option<Version> {
    let at = |column| row.table.position(column);
    let (hash, known, retracted) = (at("config_hash")?, at("known_at")?, at("retracted")?);
    let is_left = row.table.derived
        && row.cells[hash] != Cell::text(config_hash)
        && row.cells[retracted] != Cell::Bool(true)
        && !matches!(row.get(row.table.designated), Some(Cell::Ts(ts)) if *ts < since)
        && !matches!(row.cells[known], Cell::Ts(known) if frontier <= known);
    if !is_left {
        return None;
    }
    let mut withdrawn = row.clone();
    withdrawn.cells[retracted] = Cell::Bool(true);
    withdrawn.cells[known] = Cell::Ts(frontier);
    withdrawn.cells[hash] = Cell::text(config_hash);
    if let Some(at) = at("revision") {
        withdrawn.cells[at] = match row.cells[at] {
            Cell::Int(revision) => Cell::Int(revision.saturating_add(1)),
            _ => Cell::Int(1),
        };
    }
    Some(withdrawn)
}

/// Checks the name of a run that is computed from history; says why it is none. Rows of `live` are written by those
/// alone who follow the log, unless `is_locked` says that the store itself keeps a second writer away.
pub fn replay_name(name: &str, is_locked: bool) -> Result<(), String> {
    if !is_run_name(name) {
        return Err(format!("\"{name}\" is no name of a run: use 1 to 32 of a-z, 0-9 and -"));
    }
    if name == crate::layout::LIVE && !is_locked {
        return Err(format!("\"{name}\" is the run that follows the log, which may be running: choose another name"));
    }
    Ok(())
}

/// Whether a name can be that of a run: 1 to 32 of `a-z`, `0-9` and `-`, so that it fits paths, tables and URLs.
pub fn is_run_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=32).contains(&name.len()) && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runs_fit_paths_and_tables() {
        for good in ["live", "replay", "what-if", "2024-05", &"a".repeat(32)] {
            assert!(is_run_name(good), "{good}");
            assert_eq!(replay_name(good, false).is_ok(), good != "live");
            assert!(replay_name(good, true).is_ok());
        }
        for bad in ["", "a/b", "..", "../x", "A", "a b", "a'b", "ä", "a_b", "a\n", &"a".repeat(33)] {
            assert!(!is_run_name(bad) && replay_name(bad, true).is_err(), "{bad}");
        }
    }
}

//! A store in memory that can be told to be away, behind or broken: for those who test what they do with one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Health, RowStore, StoreResult, withdrawal};
use crate::{Cell, Table, Ts, Version, Versions};

/// Rows in memory, the newest of each key. Clones are handles of the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    run_id: Arc<str>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Taken but not flushed, in order.
    taken: Vec<Version>,
    /// By table and key.
    kept: BTreeMap<(&'static str, String), Version>,
    marks: Vec<Ts>,
    readable: Option<Ts>,
    n_written: u64,
    away: Option<String>,
    broken: Option<String>,
    is_behind: bool,
}

impl MemoryStore {
    /// Of one run.
    pub fn new(run_id: &str) -> MemoryStore {
        MemoryStore { run_id: run_id.into(), inner: Arc::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it is away for this reason, or back.
    pub fn set_away(&self, why: Option<&str>) {
        self.inner().away = why.map(str::to_string);
    }

    /// From now on each call that may fail fails with this, or no longer.
    pub fn set_broken(&self, why: Option<&str>) {
        self.inner().broken = why.map(str::to_string);
    }

    /// From now on rows are kept but cannot be read, as by a server that applies them later, or can.
    pub fn set_behind(&self, is_behind: bool) {
        self.inner().is_behind = is_behind;
    }

    /// The kept rows of a table, by designated timestamp and key.
    pub fn rows(&self, table: &'static Table) -> Vec<Version> {
        let of_table = |(key, row): (&(&'static str, String), &Version)| (key.0 == table.name).then(|| row.clone());
        let mut rows: Vec<Version> = self.inner().kept.iter().filter_map(of_table).collect();
        rows.sort_by_key(|row| match row.get(table.designated) {
            Some(Cell::Ts(ts)) => *ts,
            _ => Ts::MIN,
        });
        rows
    }

    /// Versions taken since the beginning.
    pub fn n_written(&self) -> u64 {
        self.inner().n_written
    }

    /// Every mark, in order.
    pub fn marks(&self) -> Vec<Ts> {
        self.inner().marks.clone()
    }
}

impl Inner {
    fn check(&self) -> StoreResult<()> {
        match &self.broken {
            Some(why) => Err(why.clone().into()),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> StoreResult<bool> {
        self.check()?;
        if self.away.is_some() {
            return Ok(false);
        }
        for row in std::mem::take(&mut self.taken) {
            self.kept.insert((row.table.name, row.key()), row);
        }
        Ok(true)
    }
}

impl RowStore for MemoryStore {
    fn address(&self) -> String {
        "memory".into()
    }

    fn run_id(&self) -> &str {
        &self.run_id
    }

    fn write(&mut self, rows: Vec<Versions>) -> StoreResult<()> {
        let mut inner = self.inner();
        inner.check()?;
        for rows in rows {
            inner.n_written += rows.len() as u64;
            rows.each(|row| inner.taken.push(row));
        }
        Ok(())
    }

    fn flush(&mut self) -> StoreResult<bool> {
        self.inner().flush()
    }

    fn mark(&mut self, frontier: Ts) {
        self.inner().marks.push(frontier);
    }

    fn readable(&mut self) -> StoreResult<Option<Ts>> {
        let mut inner = self.inner();
        inner.check()?;
        if !inner.is_behind && inner.away.is_none() {
            inner.readable = inner.marks.last().copied();
        }
        Ok(inner.readable)
    }

    fn finish(&mut self) -> StoreResult<bool> {
        let mut inner = self.inner();
        Ok(inner.flush()? && !inner.is_behind)
    }

    fn scan(&self, table: &'static Table, see: &mut dyn FnMut(Version)) -> StoreResult<()> {
        self.inner().check()?;
        self.rows(table).into_iter().for_each(see);
        Ok(())
    }

    fn withdraw(
        &mut self,
        config_hash: &str,
        since: Ts,
        frontier: Ts,
        see: &mut dyn FnMut(&[Versions]),
    ) -> StoreResult<Option<u64>> {
        if !self.finish()? {
            return Ok(None);
        }
        let withdrawn: Vec<Version> =
            self.inner().kept.values().filter_map(|row| withdrawal(row, config_hash, since, frontier)).collect();
        let n_rows = withdrawn.len() as u64;
        if 0 < n_rows {
            let withdrawn = Versions::of(&withdrawn)?;
            self.write(withdrawn.clone())?;
            self.flush()?;
            see(&withdrawn);
        }
        Ok(Some(n_rows))
    }

    fn health(&mut self) -> Health {
        let inner = self.inner();
        let spooled_rows = if inner.away.is_some() { inner.taken.len() as u64 } else { 0 };
        Health { away: inner.away.clone(), spooled_rows, ..Health::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{BARS, FEED_STATUS, RUNS};

    fn row(table: &'static Table, values: &[(&str, Cell)]) -> Version {
        let value = |name: &str| values.iter().find(|(column, _)| *column == name).map(|(_, cell)| cell.clone());
        Version { table, cells: table.columns.iter().map(|column| value(column.name).unwrap_or(Cell::Null)).collect() }
    }

    fn of(rows: &[Version]) -> Vec<Versions> {
        Versions::of(rows).unwrap()
    }

    /// Times in microseconds, as rows travel.
    fn bar(ts: Ts, close: f64, known_at: Ts, hash: &str) -> Version {
        row(
            &BARS,
            &[
                ("ts", Cell::Ts(1_000 * ts)),
                ("symbol", "A".into()),
                ("close", close.into()),
                ("known_at", Cell::Ts(1_000 * known_at)),
                ("revision", Cell::Int(0)),
                ("retracted", Cell::Bool(false)),
                ("config_hash", hash.into()),
            ],
        )
    }

    #[test]
    fn the_last_version_of_a_key_stays_and_an_absence_delays_it() {
        let store = MemoryStore::new("live");
        let mut boxed: Box<dyn RowStore> = Box::new(store.clone());
        boxed.write(of(&[bar(2, 1.0, 10, "a"), bar(1, 2.0, 11, "a"), bar(2, 3.0, 12, "a")])).unwrap();
        store.set_away(Some("gone"));
        assert!(!boxed.flush().unwrap() && !boxed.finish().unwrap());
        assert_eq!(boxed.health(), Health { away: Some("gone".into()), spooled_rows: 3, ..Health::default() });
        assert_eq!(store.rows(&BARS), []);
        store.set_away(None);
        assert!(boxed.flush().unwrap());
        assert_eq!(store.rows(&BARS), [bar(1, 2.0, 11, "a"), bar(2, 3.0, 12, "a")]);
        assert_eq!((boxed.health(), store.n_written()), (Health::default(), 3));
        store.set_broken(Some("no space"));
        assert_eq!(boxed.flush().unwrap_err().to_string(), "no space");
    }

    #[test]
    fn marks_become_readable_once_the_store_is_not_behind() {
        let mut store = MemoryStore::new("live");
        assert_eq!(store.readable().unwrap(), None);
        store.set_behind(true);
        store.mark(5);
        assert_eq!(store.readable().unwrap(), None);
        assert!(!store.finish().unwrap());
        store.set_behind(false);
        assert_eq!(store.readable().unwrap(), Some(5));
        store.write(of(&[row(&RUNS, &[("ts", Cell::Ts(0)), ("run_id", "live".into())])])).unwrap();
        assert!(store.finish().unwrap());
        assert!(store.run("live").unwrap().is_some() && store.run("other").unwrap().is_none());
    }

    #[test]
    fn rows_of_other_settings_are_withdrawn_once_and_what_was_received_stays() {
        let mut store = MemoryStore::new("live");
        let told = row(&FEED_STATUS, &[("ts", Cell::Ts(1_000)), ("symbol", "".into()), ("known_at", Cell::Ts(1_000))]);
        store.write(of(&[bar(1, 1.0, 10, "old"), bar(2, 2.0, 11, "old"), bar(3, 3.0, 50, "old"), told])).unwrap();
        store.write(of(&[bar(1, 1.5, 10, "new")])).unwrap();
        store.set_behind(true);
        assert_eq!(store.withdraw("new", Ts::MIN, 40_000, &mut |_| panic!()).unwrap(), None);
        store.set_behind(false);
        assert_eq!(
            store.withdraw("new", 3_000, 40_000, &mut |_| panic!()).unwrap(),
            Some(0),
            "what begins before stays"
        );
        let mut seen = Vec::new();
        assert_eq!(
            store
                .withdraw("new", Ts::MIN, 40_000, &mut |rows| seen.extend(rows.iter().flat_map(Versions::to_vec)))
                .unwrap(),
            Some(1)
        );
        let is = |row: &Version, column, cell: Cell| row.get(column) == Some(&cell);
        assert!(is(&seen[0], "retracted", true.into()) && is(&seen[0], "known_at", Cell::Ts(40_000)));
        assert!(is(&seen[0], "revision", Cell::Int(1)) && is(&seen[0], "ts", Cell::Ts(2_000)));
        assert_eq!(store.rows(&BARS), [bar(1, 1.5, 10, "new"), seen[0].clone(), bar(3, 3.0, 50, "old")]);
        assert_eq!(store.rows(&FEED_STATUS)[0].get("symbol"), Some(&Cell::Null));
        assert_eq!(store.withdraw("new", Ts::MIN, 40_000, &mut |_| panic!()).unwrap(), Some(0));
    }
}

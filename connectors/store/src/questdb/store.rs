//! The sink as a store: what can be read of its rows, how the server is, what other settings left behind.

use std::collections::BTreeMap;

use prism_schemas::store::{StoreResult, withdrawal};
use prism_schemas::table::TABLES;
use prism_schemas::{Health, RowStore, Table, Ts, Version, Versions};

use super::{QuestDbError, Sink};

impl Sink {
    fn read_marks(&mut self) -> Result<Option<Ts>, QuestDbError> {
        if self.marks.waiting.is_none() && self.marks.readable == self.marks.marked {
            return Ok(self.marks.readable);
        }
        let tables = match self.wal_tables() {
            Ok(tables) => tables,
            Err(error) if error.is_away() => return Ok(self.marks.readable),
            Err(error) => return Err(error.into()),
        };
        if self.marks.waiting.is_none() {
            let written: BTreeMap<String, i64> =
                tables.iter().map(|table| (table.name.clone(), table.sequencer)).collect();
            self.marks.waiting = self.marks.marked.map(|mark| (mark, written));
        }
        let is_applied = |(_, written): &mut (Ts, BTreeMap<String, i64>)| {
            tables.iter().all(|table| written.get(&table.name).is_none_or(|at| *at <= table.writer))
        };
        if let Some((mark, _)) = self.marks.waiting.take_if(is_applied) {
            self.marks.readable = Some(mark);
        }
        Ok(self.marks.readable)
    }

    fn is_all_readable(&mut self) -> Result<bool, QuestDbError> {
        if !self.flush()? {
            return Ok(false);
        }
        let tables = match self.wal_tables() {
            Ok(tables) => tables,
            Err(error) if error.is_away() => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if let Some(table) = tables.iter().find(|table| table.suspended) {
            return Err(QuestDbError::suspended(self.client().address(), table));
        }
        Ok(tables.iter().all(|table| table.lag() <= 0))
    }

    fn withdraw_rows(
        &mut self,
        config_hash: &str,
        since: Ts,
        frontier: Ts,
        see: &mut dyn FnMut(&[Versions]),
    ) -> Result<Option<u64>, QuestDbError> {
        if !self.is_all_readable()? {
            return Ok(None);
        }
        let mut n_rows = 0;
        for table in TABLES.iter().copied().filter(|table| table.derived) {
            let target = self.target(table);
            let others = format!(
                "(config_hash != '{}' OR config_hash IS NULL) AND retracted = false",
                config_hash.replace('\'', "''")
            );
            for stretch in target.stretches(self.client())? {
                let mut left = Vec::new();
                target.scan_stretch(self.client(), &stretch, Some(&others), &mut |row| {
                    left.extend(withdrawal(&row, config_hash, since, frontier));
                })?;
                if !left.is_empty() {
                    n_rows += left.len() as u64;
                    let left = Versions::of(&left)?;
                    self.write(&left)?;
                    see(&left);
                }
            }
        }
        self.flush()?;
        Ok(Some(n_rows))
    }
}

impl RowStore for Sink {
    fn address(&self) -> String {
        self.client().address().to_string()
    }

    fn run_id(&self) -> &str {
        &self.run_id
    }

    fn write(&mut self, rows: Vec<Versions>) -> StoreResult<()> {
        Ok(Sink::write(self, &rows)?)
    }

    fn flush(&mut self) -> StoreResult<bool> {
        Ok(Sink::flush(self)?)
    }

    fn mark(&mut self, frontier: Ts) {
        self.marks.marked = Some(frontier);
    }

    fn readable(&mut self) -> StoreResult<Option<Ts>> {
        Ok(self.read_marks()?)
    }

    fn finish(&mut self) -> StoreResult<bool> {
        Ok(self.is_all_readable()?)
    }

    fn scan(&self, table: &'static Table, see: &mut dyn FnMut(Version)) -> StoreResult<()> {
        Ok(self.target(table).scan(self.client(), see)?)
    }

    fn withdraw(
        &mut self,
        config_hash: &str,
        since: Ts,
        frontier: Ts,
        see: &mut dyn FnMut(&[Versions]),
    ) -> StoreResult<Option<u64>> {
        Ok(self.withdraw_rows(config_hash, since, frontier, see)?)
    }

    fn health(&mut self) -> Health {
        let mut health = Health {
            away: self.away().map(str::to_string),
            spooled_bytes: self.spooled(),
            spooled_rows: self.spooled_rows(),
            ..Health::default()
        };
        if health.away.is_some() {
            return health;
        }
        match self.wal_tables() {
            Ok(tables) => {
                let lag = |lag: i64| u64::try_from(lag).unwrap_or(0);
                health.suspended = tables.iter().filter(|table| table.suspended).map(|t| t.name.clone()).collect();
                health.wal_lag = tables.iter().map(|table| (table.name.clone(), lag(table.lag()))).collect();
            }
            Err(error) => health.away = Some(error.detail()),
        }
        health
    }
}

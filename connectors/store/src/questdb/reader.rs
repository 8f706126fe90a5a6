//! Follows the live run on a server that another process fills, table by table.

use std::collections::BTreeMap;

use prism_questdb::blocking::Client;
use prism_schemas::store::{RowReader, StoreResult};
use prism_schemas::table::RUNS;
use prism_schemas::time::DAY;
use prism_schemas::{QuestDbAddress, Table, Ts, Version};

use super::{LOOK, QuestDbError, STATEMENT, Target};
use crate::news::{Given, known_at};

/// Most rows that become known now are of these days.
const NEAR: i64 = 3 * DAY;
/// The longest bars began a month ago.
const FAR: i64 = 40 * DAY;
/// Looks after which older days are looked at too.
const SELDOM: u32 = 60;

/// What was read of a table.
struct Seen {
    /// The last transaction that could be read.
    writer: i64,
    near: Given,
    far: Given,
    /// Looks since the last one at older days.
    looks: u32,
}

/// The live run on a server.
pub struct Reader {
    client: Client,
    seen: BTreeMap<&'static str, Seen>,
    /// What was read and is not given yet.
    news: Vec<Version>,
}

impl Reader {
    /// Does not connect yet.
    pub fn new(address: QuestDbAddress) -> Reader {
        Reader { client: Client::new(address), seen: BTreeMap::new(), news: Vec::new() }
    }
}

impl RowReader for Reader {
    fn address(&self) -> String {
        self.client.address().to_string()
    }

    fn news(&mut self, tables: &[&'static Table]) -> StoreResult<Vec<Version>> {
        // A table's rows are committed in the order they became known, each table on its own.
        let found = self.client.wal_tables(LOOK).map_err(QuestDbError::from)?;
        let writers: BTreeMap<String, i64> = found.into_iter().map(|table| (table.name, table.writer)).collect();
        // What was read of one table stays if the server goes away before the next.
        for table in tables {
            let writer = writers.get(table.name).copied().unwrap_or(0);
            let Some(seen) = self.seen.get_mut(table.name) else {
                let seen = self.begin(table, writer)?;
                self.seen.insert(table.name, seen);
                continue;
            };
            if writer == seen.writer {
                continue;
            }
            let target = Target::new(table, "live");
            let (mut rows, mut older) = (Vec::new(), Vec::new());
            let near = (seen.near.known - NEAR).max(0);
            target.scan_since(&self.client, &(near..=Ts::MAX), seen.near.known, &mut |row| rows.push(row))?;
            seen.looks += 1;
            if seen.looks == SELDOM {
                seen.looks = 0;
                let far = (near - FAR).max(0)..=near - 1;
                target.scan_since(&self.client, &far, seen.far.known, &mut |row| older.push(row))?;
            }
            seen.near.news(&mut rows);
            seen.far.news(&mut older);
            seen.writer = writer;
            self.news.extend(rows);
            self.news.extend(older);
        }
        let mut news = std::mem::take(&mut self.news);
        news.sort_by_key(known_at);
        Ok(news)
    }

    fn frontier(&mut self) -> StoreResult<Option<Ts>> {
        let sql = format!("SELECT cast(max(frontier) AS long) FROM {} WHERE run_id = 'live'", RUNS.name);
        Ok(self.time(&sql)?)
    }
}

impl Reader {
    /// A table as it is at the first look. What is known as late as anything is remembered: more may follow it, and then
    /// it is read once more.
    fn begin(&self, table: &'static Table, writer: i64) -> StoreResult<Seen> {
        let known = self.newest(table)?;
        let [mut near, mut far] = [known; 2].map(Given::up_to);
        if 0 < known {
            let (target, mut rows) = (Target::new(table, "live"), Vec::new());
            let since = (known - NEAR - FAR).max(0)..=Ts::MAX;
            target.scan_since(&self.client, &since, known, &mut |row| rows.push(row))?;
            near.news(&mut rows.clone());
            far.news(&mut rows);
        }
        Ok(Seen { writer, near, far, looks: 0 })
    }

    /// The newest knowledge time of a table.
    fn newest(&self, table: &Table) -> Result<Ts, QuestDbError> {
        Ok(self.time(&format!("SELECT cast(max(known_at) AS long) FROM {}", table.name))?.unwrap_or(0))
    }

    /// The time that a statement gives in microseconds.
    fn time(&self, sql: &str) -> Result<Option<Ts>, QuestDbError> {
        let rows = self.client.exec(sql, STATEMENT)?;
        let micros = rows.first().and_then(|row| row.first()?.as_i64());
        Ok(micros.map(|micros| micros.saturating_mul(1_000)))
    }
}

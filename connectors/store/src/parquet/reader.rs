//! Follows the live run of a directory that another process writes, file by file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use prism_schemas::each_row;
use prism_schemas::layout::{day_name, day_of_file, day_of_folder};
use prism_schemas::store::{RowReader, StoreResult};
use prism_schemas::table::RUNS;
use prism_schemas::{Cell, Table, Ts, Version};

use super::days::{names, parts};
use super::file::Open;

use super::{Store, StoreError};
use crate::news::{Given, known_at};

/// Rows that become known now are of these days at most: the longest bars began a month ago.
const DAYS: i64 = 40;

/// What was read of a table.
#[derive(Default)]
struct Seen {
    /// By day, the number of the last part read, alone or within the day's file.
    parts: BTreeMap<i64, u64>,
    given: Given,
}

/// The live run below a directory.
pub struct Reader {
    dir: PathBuf,
    seen: BTreeMap<&'static str, Seen>,
}

impl Reader {
    /// Of a directory that need not hold anything yet.
    pub fn new(dir: &Path) -> Reader {
        Reader { dir: dir.into(), seen: BTreeMap::new() }
    }
}

impl RowReader for Reader {
    fn address(&self) -> String {
        self.dir.display().to_string()
    }

    fn news(&mut self, tables: &[&'static Table]) -> StoreResult<Vec<Version>> {
        let mut news = Vec::new();
        for table in tables {
            let is_first = !self.seen.contains_key(table.name);
            let seen = self.seen.entry(table.name).or_default();
            let rows = seen.look(table, &self.dir.join(table.name))?;
            if !is_first {
                news.extend(rows);
            }
        }
        news.sort_by_key(known_at);
        Ok(news)
    }

    fn frontier(&mut self) -> StoreResult<Option<Ts>> {
        let mut frontier = None;
        Store::open_read(&self.dir, "live")?.scan(&RUNS, |row| {
            if let (Some(Cell::Text(run)), Some(Cell::Ts(ts))) = (row.get("run_id"), row.get("frontier"))
                && &**run == "live"
            {
                frontier = frontier.max(Some(*ts));
            }
        })?;
        Ok(frontier)
    }
}

impl Seen {
    /// Rows of a table's folder that were not given yet.
    fn look(&mut self, table: &'static Table, folder: &Path) -> Result<Vec<Version>, StoreError> {
        let mut rows = Vec::new();
        let found: BTreeSet<i64> =
            names(folder)?.iter().filter_map(|name| day_of_file(name).or_else(|| day_of_folder(name))).collect();
        let newest = found.last().copied().unwrap_or(0);
        for day in found.range(newest - DAYS..) {
            let last = self.parts.get(day).copied();
            let mut reached = last;
            let day_folder = folder.join(day_name(*day));
            for (number, path) in parts(&day_folder)?.into_iter().filter(|(number, _)| last < Some(*number)) {
                // One that is gone was merged into the day's file, which is looked at afterwards.
                let Some(part) = Open::new(&path)? else { break };
                for batch in part.rows(table)? {
                    each_row(table, &batch?, |row| rows.push(row));
                }
                reached = Some(number);
            }
            let Some(whole) = Open::new(&day_folder.with_extension("parquet"))? else { continue };
            let merged = whole.merged_up_to();
            if last.is_none_or(|last| last < merged) {
                for batch in whole.rows(table)? {
                    each_row(table, &batch?, |row| rows.push(row));
                }
            }
            self.parts.insert(*day, merged.max(reached.unwrap_or(0)));
        }
        self.given.news(&mut rows);
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use prism_schemas::Versions;
    use prism_schemas::table::BARS;
    use prism_schemas::time::{DAY, SECOND};

    use super::*;

    fn bar(symbol: &str, ts: Ts, known: Ts) -> Version {
        let cell = |name: &str| match name {
            "ts" => Cell::Ts(ts),
            "exchange" | "market" | "timeframe" => Cell::text("x"),
            "symbol" => Cell::text(symbol),
            "known_at" => Cell::Ts(known),
            "revision" => Cell::Int(0),
            "retracted" => Cell::Bool(false),
            _ => Cell::Null,
        };
        Version { table: &BARS, cells: BARS.columns.iter().map(|column| cell(column.name)).collect() }
    }

    #[test]
    fn each_version_is_given_once_whether_its_part_was_merged_meanwhile_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), "live").unwrap();
        store.write(Versions::of(&[bar("A", 0, SECOND)]).unwrap()).unwrap();
        store.flush().unwrap();
        let mut reader = Reader::new(dir.path());
        assert_eq!(reader.news(&[&BARS]).unwrap(), [], "what was there is no news");
        assert_eq!(reader.frontier().unwrap(), None);
        let (mut expected, mut given) = (Vec::new(), Vec::new());
        for n in 2..40 {
            // Days alternate, some looks see a part, some what it was merged into, and two rows share a time.
            let ts = n % 3 * DAY;
            let rows = vec![bar("A", ts + n * SECOND, n * SECOND), bar("B", ts, n * SECOND)];
            expected.extend(rows.clone());
            store.write(Versions::of(&rows).unwrap()).unwrap();
            store.flush().unwrap();
            if n % 7 == 0 {
                store.finish().unwrap();
            }
            if n % 2 == 0 || n % 5 == 0 {
                given.extend(reader.news(&[&BARS]).unwrap());
            }
        }
        given.extend(reader.news(&[&BARS]).unwrap());
        assert_eq!(reader.news(&[&BARS]).unwrap(), []);
        let times: Vec<_> = given.iter().map(known_at).collect();
        assert!(times.is_sorted());
        // Of a key that was replaced between two looks only the newest may be seen.
        let newest = |symbol: &str, rows: &[Version]| {
            let of = rows.iter().filter(|row| row.get("symbol") == Some(&Cell::text(symbol)));
            of.map(|row| (row.key(), known_at(row))).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(newest("A", &given), newest("A", &expected));
        assert_eq!(newest("B", &given), newest("B", &expected));
    }
}

//! Tests over a catalogue of hand-made rows.

mod equality;
mod forming;
mod guard;
mod hostile;
mod named;
mod parts;
mod pushdown;
mod rows;
mod runs;
mod server;
mod statements;

use std::path::Path;
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use prism_schemas::time::parse_ts;
use prism_schemas::{Cell, Table, Version};

use crate::Place;
use crate::{Engine, Error, LiveRows, Options, Parameters, QueryResult};

/// A row with these cells and null elsewhere.
fn row(table: &'static Table, cells: &[(&str, Cell)]) -> Version {
    let mut version = Version { table, cells: vec![Cell::Null; table.columns.len()] };
    for (name, cell) in cells {
        version.cells[table.position(name).unwrap()] = cell.clone();
    }
    version
}

fn at(text: &str) -> Cell {
    Cell::Ts(parse_ts(text).unwrap())
}

/// A one-minute bar of BTCUSDT.
fn bar(ts: &str, close: f64, known_at: &str, revision: i64) -> Version {
    let ts = at(ts);
    let Cell::Ts(start) = ts else { unreachable!() };
    row(
        &prism_schemas::table::BARS,
        &[
            ("ts", ts),
            ("ts_close", Cell::Ts(start + 60_000_000_000)),
            ("exchange", "bybit".into()),
            ("market", "linear".into()),
            ("symbol", "BTCUSDT".into()),
            ("timeframe", "1m".into()),
            ("close", close.into()),
            ("n_trades", 1.into()),
            ("known_at", at(known_at)),
            ("revision", revision.into()),
            ("retracted", false.into()),
        ],
    )
}

fn retracted(mut version: Version) -> Version {
    let position = version.table.position("retracted").unwrap();
    version.cells[position] = true.into();
    version
}

/// Writes a day's file as the store does: beside it, then renamed.
fn store(directory: &Path, day: &str, versions: &[Version]) {
    let table = versions[0].table;
    let batch = table.batch(&versions.iter().map(|version| version.cells.as_slice())).unwrap();
    let folder = directory.join(table.name);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{day}.parquet"));
    let beside = folder.join(format!(".{day}.tmp"));
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&beside).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    std::fs::rename(beside, path).unwrap();
}

struct Fixture {
    live: Arc<LiveRows>,
    engine: Arc<Engine>,
    directory: tempfile::TempDir,
}

fn fixture() -> Fixture {
    fixture_with(Options::default())
}

fn fixture_with(mut options: Options) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let live = Arc::new(LiveRows::new(6 * prism_schemas::time::HOUR));
    options.store = Some(Place::Directory(directory.path().into()));
    let engine = Arc::new(Engine::new(options, live.clone()).unwrap());
    Fixture { live, engine, directory }
}

impl Fixture {
    async fn sql(&self, sql: &str) -> Result<QueryResult, Error> {
        self.engine.query(sql, &Parameters::new()).await
    }

    async fn csv(&self, sql: &str) -> String {
        self.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")).csv().unwrap()
    }
}

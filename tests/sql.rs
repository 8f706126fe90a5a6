//! One suite of SQL, `tests/sql/*.slt`, over every kind of store.

use std::path::{Path, PathBuf};

use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};

use crate::{
    determinism::CONFIG,
    support::{Arrival, Synthetic, prism, root, write_log},
};

/// The market whose rows the suite asks for.
pub(crate) fn market() -> Vec<Arrival> {
    Synthetic { seed: 15, hours: 7, trades: 30_000, late: 300, copies: 50 }.arrivals()
}

/// Computes them, up to a time that every log of this market reaches.
pub(crate) fn replay(log: &str, store: &str, config: &Path) {
    let config = config.to_str().unwrap();
    let until = ["--to", "2024-03-05T12:59:00Z"];
    let places = ["replay", "--run", "live", "--log", log, "--store", store, "--config", config];
    prism(places.into_iter().chain(until)).fine();
}

#[test]
fn the_suite_holds_over_the_embedded_store() {
    let dir = tempfile::tempdir().unwrap();
    let [log, store, config] = ["log", "store", "prism.toml"].map(|name| dir.path().join(name));
    write_log(&log, &market());
    std::fs::write(&config, CONFIG).unwrap();
    replay(log.to_str().unwrap(), store.to_str().unwrap(), &config);
    suite(store.to_str().unwrap());
}

/// `prism sql` over a store.
struct Session {
    store: String,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl DB for Session {
    type Error = Refused;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Refused> {
        let said = prism(["sql", "--store", &self.store, sql, "--format", "csv"]);
        if said.code != 0 {
            return Err(Refused(said.err));
        }
        let mut lines = csv::Reader::from_reader(said.out.as_bytes());
        let types = vec![DefaultColumnType::Text; lines.headers().unwrap().len()];
        let row = |record: csv::StringRecord| record.iter().map(String::from).collect();
        Ok(DBOutput::Rows { types, rows: lines.records().map(|record| row(record.unwrap())).collect() })
    }
}

/// Runs the suite over a store that holds the rows of `log`.
pub(crate) fn suite(store: &str) {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root().join("tests/sql")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let mut runner = Runner::new(|| async { Ok(Session { store: store.into() }) });
        if std::env::var_os("UPDATE_EXPECT").is_some() && file.ends_with("queries.slt") {
            let written = runner.update_test_file(
                &file,
                " ",
                sqllogictest::default_validator,
                sqllogictest::default_normalizer,
                sqllogictest::default_column_validator,
            );
            futures::executor::block_on(written).unwrap();
        }
        if let Err(error) = runner.run_file(&file) {
            panic!("{store}: {}", error.display(false));
        }
    }
}

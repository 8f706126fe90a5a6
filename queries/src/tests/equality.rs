//! The same statements over memory, files and QuestDB, and over stored rows with newer ones in memory.

use super::server::Server;
use super::statements::{rows, statements};
use super::*;
use prism_schemas::Versions;
use prism_schemas::time::{DAY, HOUR, format_ts};

const N_STATEMENTS: usize = 200;

/// A place where the rows are.
struct Case {
    name: &'static str,
    engine: Engine,
    _server: Option<Server>,
    _directory: Option<tempfile::TempDir>,
}

fn case(name: &'static str, place: Option<Place>, live: &[Version]) -> Case {
    let rows = LiveRows::new(48 * HOUR);
    rows.apply(&Versions::of(live).unwrap());
    let options = Options { store: place, threads: 2, ..Options::default() };
    Case { name, engine: Engine::new(options, Arc::new(rows)).unwrap(), _server: None, _directory: None }
}

fn on_server(name: &'static str, stored: &[Version], live: &[Version]) -> Case {
    let server = Server::start(stored);
    let case = case(name, Some(Place::QuestDb(server.address.clone())), live);
    Case { _server: Some(server), ..case }
}

/// As an older release wrote them: with empty texts.
fn in_files(name: &'static str, stored: &[Version], live: &[Version]) -> Case {
    let directory = tempfile::tempdir().unwrap();
    let mut newest: std::collections::BTreeMap<String, Version> = std::collections::BTreeMap::new();
    for version in stored {
        newest.insert(version.key(), version.clone());
    }
    let mut days: std::collections::BTreeMap<i64, Vec<Version>> = std::collections::BTreeMap::new();
    for mut version in newest.into_values() {
        for name in ["market", "quality", "first_trade_id"] {
            let cell = &mut version.cells[version.table.position(name).unwrap()];
            if *cell == Cell::Null {
                *cell = "".into();
            }
        }
        let Some(Cell::Ts(ts)) = version.get("ts") else { unreachable!() };
        days.entry(ts.div_euclid(DAY)).or_default().push(version);
    }
    for (day, mut rows) in days {
        rows.sort_by_key(|row| if let Some(Cell::Ts(ts)) = row.get("ts") { *ts } else { 0 });
        store(directory.path(), &format_ts(day * DAY)[..10], &rows);
    }
    let case = case(name, Some(Place::Directory(directory.path().into())), live);
    Case { _directory: Some(directory), ..case }
}

#[tokio::test]
async fn every_store_gives_the_same_answers() {
    let (first, corrected) = rows();
    let all: Vec<Version> = first.iter().chain(&corrected).cloned().collect();
    let cases = [
        case("memory", None, &all),
        in_files("files", &all, &[]),
        on_server("server", &all, &[]),
        in_files("files and memory", &first, &corrected),
        on_server("server and memory", &first, &corrected),
    ];
    let mut n_rows = 0;
    for sql in statements(N_STATEMENTS) {
        let mut expected = None;
        for case in &cases {
            let answer = case.engine.query(&sql, &Parameters::new()).await;
            let answer = answer.unwrap_or_else(|error| panic!("{}: {sql}: {error}", case.name)).rows().unwrap();
            n_rows += answer.len();
            match &expected {
                None => expected = Some(answer),
                Some(expected) => assert_eq!(&answer, expected, "{}: {sql}", case.name),
            }
        }
    }
    assert!(10_000 < n_rows, "most statements find something: {n_rows} rows");
}

//! Seeded statements over a real QuestDB: the answers are those that the same rows give in memory.

use std::{path::PathBuf, sync::Arc};

use prism_queries::{Engine, LiveRows, Options, Parameters, Place};
use prism_schemas::{QuestDbAddress, Version, Versions, time::HOUR};

use crate::services::{Services, until};

#[path = "../queries/src/tests/statements.rs"]
mod generated;

const N_STATEMENTS: usize = 200;

fn engine(store: Option<Place>, in_memory: &[Version]) -> Engine {
    let rows = LiveRows::new(48 * HOUR);
    rows.apply(&Versions::of(in_memory).unwrap());
    Engine::new(Options { store, threads: 2, ..Options::default() }, Arc::new(rows)).unwrap()
}

#[test]
fn statements_have_the_same_answers_over_memory_files_and_questdb() {
    let Some(services) = Services::start("statements") else { return };
    let (first, corrected) = generated::rows();
    let all: Vec<Version> = first.iter().chain(&corrected).cloned().collect();
    let files = PathBuf::from(services.embedded("statements"));
    let mut embedded = prism_store::Store::open(&files, "live").unwrap();
    embedded.write(Versions::of(&all).unwrap()).unwrap();
    embedded.flush().unwrap();
    drop(embedded);
    let mut stored = services.keeper("live");
    for rows in [&first, &corrected] {
        stored.write(Versions::of(rows).unwrap()).unwrap();
        until(60, || "rows cannot be read".into(), || stored.finish().unwrap());
    }
    let server = || Some(Place::QuestDb(QuestDbAddress::parse(&services.store()).unwrap()));
    let memory = engine(None, &all);
    let others = [
        ("files", engine(Some(Place::Directory(files)), &[])),
        ("QuestDB", engine(server(), &[])),
        ("QuestDB and memory", engine(server(), &corrected)),
    ];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answer = |name: &str, engine: &Engine, sql: &str| {
        let answer = runtime.block_on(engine.query(sql, &Parameters::new()));
        answer.unwrap_or_else(|error| panic!("{name}: {sql}: {error}")).rows().unwrap()
    };
    let mut n_rows = 0;
    for sql in generated::statements(N_STATEMENTS) {
        let expected = answer("memory", &memory, &sql);
        n_rows += expected.len();
        for (name, engine) in &others {
            assert_eq!(answer(name, engine, &sql), expected, "{name}: {sql}");
        }
    }
    assert!(2_000 < n_rows, "most statements find something: {n_rows} rows");
}

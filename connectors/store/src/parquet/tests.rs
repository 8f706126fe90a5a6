//! What the Parquet store promises.

use std::collections::BTreeMap;

use prism_schemas::table::{BARS, FEED_STATUS, LATE_EVENTS, RUNS};
use prism_schemas::time::{DAY, MINUTE};
use prism_schemas::{Cell, RowStore, Versions};

use super::*;
use crate::digest::{Mode, digest};

fn columns(rows: impl AsRef<[Version]>) -> Vec<Versions> {
    Versions::of(rows.as_ref()).unwrap()
}

fn row(table: &'static Table, values: &[(&str, Cell)]) -> Version {
    let value = |name: &str| values.iter().find(|(column, _)| *column == name).map(|(_, cell)| cell.clone());
    Version { table, cells: table.columns.iter().map(|column| value(column.name).unwrap_or(Cell::Null)).collect() }
}

/// Known at so many microseconds.
fn bar(ts: i64, symbol: &str, close: f64, known_at: i64, revision: i64) -> Version {
    row(
        &BARS,
        &[
            ("ts", Cell::Ts(ts)),
            ("symbol", symbol.into()),
            ("close", close.into()),
            ("known_at", Cell::Ts(known_at * 1_000)),
            ("revision", Cell::Int(revision)),
            ("retracted", Cell::Bool(close < 0.0)),
            ("timeframe", "1m".into()),
            ("config_hash", "new".into()),
        ],
    )
}

fn live(dir: &tempfile::TempDir) -> Store {
    Store::open(dir.path(), "live").unwrap()
}

/// Every file below a directory, as paths relative to it.
fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_newest_version_of_a_key_wins_however_often_it_is_flushed() {
    let rows: Vec<Version> = (0..5_000)
        .map(|i| bar((i * 7919 % 3_000) * MINUTE, if i % 2 == 0 { "A" } else { "B" }, i as f64, i, i))
        .collect();
    let mut expected = BTreeMap::new();
    for row in &rows {
        let (Some(Cell::Ts(ts)), Some(Cell::Text(symbol))) = (row.get("ts"), row.get("symbol")) else { panic!() };
        expected.insert((*ts, symbol.clone()), row.clone());
    }
    let expected: Vec<Version> = expected.into_values().collect();
    let mut digests = Vec::new();
    for every in [5_000, 777, 2_500] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = live(&dir);
        for rows in rows.chunks(every) {
            store.write(columns(rows)).unwrap();
            store.flush().unwrap();
        }
        assert_eq!(store.read(&BARS).unwrap(), expected);
        assert_eq!(store.files(&LATE_EVENTS).unwrap(), Vec::<PathBuf>::new());
        digests.push(digest(&store, Mode::Full).unwrap());
        store.finish().unwrap();
        assert_eq!(store.read(&BARS).unwrap(), expected);
        let days = ["1970-01-01", "1970-01-02", "1970-01-03"].map(|day| format!("bars/{day}.parquet"));
        assert_eq!(tree(dir.path())[..3], days, "at rest each day is one file");
        assert_eq!(tree(dir.path()).len(), 4);
        digests.push(digest(&store, Mode::Full).unwrap());
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn digests_see_values_and_not_retracted_rows() {
    let of = |rows: Vec<Version>, mode| {
        let dir = tempfile::tempdir().unwrap();
        let mut store = live(&dir);
        store.write(columns(rows)).unwrap();
        store.flush().unwrap();
        digest(&store, mode).unwrap()
    };
    let (a, b) = (bar(0, "A", 1.0, 5_000, 0), bar(MINUTE, "A", 2.0, 6_000, 0));
    let both = of(vec![a.clone(), b.clone()], Mode::Full);
    assert_eq!(of(vec![b.clone(), a.clone()], Mode::Full), both);
    assert_ne!(of(vec![a.clone(), bar(MINUTE, "A", 2.5, 6_000, 0)], Mode::Full), both);
    let corrected = vec![a.clone(), bar(MINUTE, "A", 3.0, 6_000, 0), bar(MINUTE, "A", 2.0, 7_000, 1)];
    assert_ne!(of(corrected.clone(), Mode::Full), both);
    assert_eq!(of(corrected, Mode::Values), of(vec![a.clone(), b.clone()], Mode::Values));
    let withdrawn = vec![a.clone(), b, bar(MINUTE, "A", -1.0, 7_000, 1)];
    assert_eq!(of(withdrawn, Mode::Values), of(vec![a], Mode::Values));
    assert!(both.contains("bars 2 "), "{both}");
}

#[test]
fn a_row_that_does_not_fit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut row = bar(0, "A", 1.0, 0, 0);
    row.cells[0] = Cell::Null;
    assert!(matches!(live(&dir).write(columns(vec![row])), Err(StoreError::Row(_))));
}

#[test]
fn the_buffer_is_bounded_by_the_bytes_of_all_rows_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = live(&dir);
    store.buffer_max = 1 << 20;
    let mut most = 0;
    for day in 0..40 {
        // Never enough rows of one day to be turned into columns.
        store
            .write(columns((0..100).map(|i| bar(day * DAY + i * MINUTE, "A", i as f64, 0, 0)).collect::<Vec<_>>()))
            .unwrap();
        most = most.max(store.buffer.bytes());
    }
    assert!(most < (1 << 20) && (1 << 18) < most, "{most}");
    assert!(store.read(&BARS).unwrap().is_empty(), "readers see nothing before it is durable");
    store.flush().unwrap();
    assert_eq!((store.buffer.bytes(), store.read(&BARS).unwrap().len()), (0, 4_000));
}

#[test]
fn a_second_writer_is_refused_before_it_touches_anything_and_readers_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = live(&dir);
    first.write(columns(vec![bar(0, "A", 1.0, 0, 0)])).unwrap();
    first.stage().unwrap();
    let before = tree(dir.path());
    let error = Store::open(dir.path(), "live").map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(&format!("another process (pid {})", std::process::id())), "{error}");
    assert_eq!(tree(dir.path()), before);
    first.flush().unwrap();
    assert_eq!(Store::open_read(dir.path(), "live").unwrap().read(&BARS).unwrap().len(), 1);
    // Another run has rows of its own.
    Store::open(dir.path(), "replay").unwrap();
    drop(first);
    live(&dir);
}

#[test]
fn runs_never_touch_each_others_rows() {
    let dir = tempfile::tempdir().unwrap();
    for (at, run) in ["live", "replay", "what-if"].into_iter().enumerate() {
        let mut store = Store::open(dir.path(), run).unwrap();
        store
            .write(columns(vec![
                bar(0, "A", at as f64, 0, 0),
                row(&RUNS, &[("ts", Cell::Ts(0)), ("run_id", run.into())]),
            ]))
            .unwrap();
        store.finish().unwrap();
    }
    for (at, run) in ["live", "replay", "what-if"].into_iter().enumerate() {
        let store = Store::open_read(dir.path(), run).unwrap();
        assert_eq!(store.read(&BARS).unwrap(), [bar(0, "A", at as f64, 0, 0)]);
        assert!(store.run(run).unwrap().is_some());
    }
    assert!(tree(dir.path()).contains(&"run_id=what-if/bars/1970-01-01.parquet".to_string()));
    for bad in ["../x", "", "A", "a/b"] {
        assert!(matches!(Store::open(dir.path(), bad), Err(StoreError::Name(_))), "{bad}");
    }
}

#[test]
fn a_day_has_few_parts_however_often_it_is_flushed_and_one_file_once_it_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = live(&dir);
    let mut most = 0;
    for i in 0..80 {
        store.write(columns(vec![bar(i % 50 * MINUTE, "A", i as f64, i, 0)])).unwrap();
        store.flush().unwrap();
        most = most.max(tree(dir.path()).len());
        if i % 13 == 0 {
            assert_eq!(store.read(&BARS).unwrap().len() as i64, (i + 1).min(50));
        }
    }
    assert!(most <= 2 * 8 + 2, "{most} files");
    for i in 0..66 {
        store.write(columns(vec![bar(DAY + i * MINUTE, "A", i as f64, i, 0)])).unwrap();
        store.flush().unwrap();
    }
    let first: Vec<String> = tree(dir.path()).into_iter().filter(|path| path.contains("1970-01-01")).collect();
    assert_eq!(first, ["bars/1970-01-01.parquet"]);
    let mut expected: Vec<Version> = (30..80).map(|i| bar(i % 50 * MINUTE, "A", i as f64, i, 0)).collect();
    expected.rotate_left(20);
    assert_eq!(store.read(&BARS).unwrap()[..50], expected);
}

#[test]
fn what_a_crash_left_is_removed_or_merged_and_never_wins_over_newer_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = live(&dir);
    let mut parts = Vec::new();
    for i in 0..4 {
        store.write(columns(vec![bar(0, "A", i as f64, i, 0)])).unwrap();
        store.flush().unwrap();
        let part = dir.path().join(format!("bars/1970-01-01/{:06}.parquet", i));
        parts.extend(std::fs::read(&part).ok().map(|bytes| (part, bytes)));
    }
    assert_eq!(parts.len(), 3);
    store.finish().unwrap();
    drop(store);
    // As if the process had died after the merge and before the parts were removed, but for the newest.
    std::fs::create_dir(dir.path().join("bars/1970-01-01")).unwrap();
    parts[..2].iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    std::fs::write(dir.path().join("bars/1970-01-02.7.tmp"), "half").unwrap();
    let reader = Store::open_read(dir.path(), "live").unwrap();
    assert_eq!(reader.read(&BARS).unwrap(), [bar(0, "A", 3.0, 3, 0)]);
    let mut store = live(&dir);
    store.write(columns(vec![bar(0, "A", 4.0, 4, 0)])).unwrap();
    store.flush().unwrap();
    assert_eq!(reader.read(&BARS).unwrap(), [bar(0, "A", 4.0, 4, 0)]);
    store.finish().unwrap();
    assert_eq!(tree(dir.path()), ["bars/1970-01-01.parquet", "store.lock"]);
    assert_eq!(reader.read(&BARS).unwrap(), [bar(0, "A", 4.0, 4, 0)]);
}

#[test]
fn a_reader_sees_each_key_once_while_parts_are_merged_under_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_path_buf();
    let mut store = live(&dir);
    store.write(columns(vec![bar(0, "A", 0.0, 0, 0)])).unwrap();
    store.flush().unwrap();
    let writer = std::thread::spawn(move || {
        for i in 1..50 {
            store.write(columns(vec![bar(0, "A", i as f64, i, 0)])).unwrap();
            if i % 3 == 0 { store.finish().unwrap() } else { store.flush().unwrap() }
        }
    });
    let reader = Store::open_read(&root, "live").unwrap();
    let mut newest = 0.0;
    while !writer.is_finished() {
        let rows = reader.read(&BARS).unwrap();
        let [row] = &rows[..] else { panic!("{rows:?}") };
        let Some(Cell::Float(close)) = row.get("close") else { panic!("{row:?}") };
        assert!(newest <= *close, "{close} after {newest}");
        newest = *close;
    }
    writer.join().unwrap();
}

#[test]
fn an_empty_text_is_a_null_in_rows_keys_and_digests() {
    let told =
        |channel: Cell| row(&FEED_STATUS, &[("ts", Cell::Ts(0)), ("channel", channel), ("status", "stale".into())]);
    let dir = tempfile::tempdir().unwrap();
    let mut store = live(&dir);
    store.write(columns(vec![told("".into())])).unwrap();
    store.flush().unwrap();
    store.write(columns(vec![told(Cell::Null)])).unwrap();
    store.flush().unwrap();
    assert_eq!(store.read(&FEED_STATUS).unwrap(), [told(Cell::Null)]);
    let (mut empty, mut null) = (crate::digest::Digest::default(), crate::digest::Digest::default());
    empty.add(&told("".into()), Mode::Full);
    null.add(&told(Cell::Null), Mode::Full);
    assert_eq!(empty, null);
}

#[test]
fn rows_of_other_settings_are_withdrawn_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = live(&dir);
    let mut old: Vec<Version> = (0..3).map(|i| bar(i * DAY, "A", i as f64, 10 + i, 0)).collect();
    let hash = BARS.position("config_hash").unwrap();
    old.iter_mut().for_each(|row| row.cells[hash] = "old".into());
    store.write(columns(old)).unwrap();
    store.flush().unwrap();
    store.write(columns(vec![bar(0, "A", 7.0, 10, 0)])).unwrap();
    let mut seen = Vec::new();
    let store: &mut dyn RowStore = &mut store;
    assert_eq!(
        store
            .withdraw("new", i64::MIN, 1_000_000, &mut |rows| seen.extend(rows.iter().flat_map(Versions::to_vec)))
            .unwrap(),
        Some(2)
    );
    let mut kept = Vec::new();
    store.scan(&BARS, &mut |row| kept.push(row)).unwrap();
    assert_eq!((kept.len(), &kept[0]), (3, &bar(0, "A", 7.0, 10, 0)));
    assert_eq!(kept[1..], seen);
    assert!(seen.iter().all(|row| row.get("retracted") == Some(&Cell::Bool(true))));
    assert_eq!(store.withdraw("new", i64::MIN, 1_000_000, &mut |_| panic!()).unwrap(), Some(0));
}

#[test]
fn a_torn_or_foreign_file_and_a_column_of_another_type_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = live(&dir);
    store.write(columns(vec![bar(0, "A", 1.0, 0, 0)])).unwrap();
    store.flush().unwrap();
    let path = dir.path().join("bars/1970-01-01.parquet");
    let whole = std::fs::read(&path).unwrap();
    for bad in [&b"not Parquet"[..], &whole[..whole.len() / 2], b""] {
        std::fs::write(&path, bad).unwrap();
        let error = store.read(&BARS).unwrap_err().to_string();
        assert!(error.contains("bars/1970-01-01.parquet cannot be read, move it away"), "{error}");
    }
    // A column that became another type, one that is gone and one that is new.
    use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
    let ts: ArrayRef = std::sync::Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC"));
    let write = |column: &str| {
        let number: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1]));
        let batch = arrow::array::RecordBatch::try_from_iter([("ts", ts.clone()), (column, number)]).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    };
    write("volume");
    let error = store.read(&BARS).unwrap_err().to_string();
    assert!(error.contains("column volume is Int64, this prism has Float64"), "{error}");
    write("of_another_time");
    assert_eq!(store.read(&BARS).unwrap(), [row(&BARS, &[("ts", Cell::Ts(0))])]);
}

#[test]
fn groups_of_rows_tell_their_times_and_only_names_have_dictionaries() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let dir = tempfile::tempdir().unwrap();
    let mut store = live(&dir);
    let rows = |from: i64| (from..from + 50_000).map(|i| bar(i * 1_000_000, "A", i as f64, i, 0)).collect::<Vec<_>>();
    store.write(columns(rows(0))).unwrap();
    store.flush().unwrap();
    store.write(columns(rows(50_000))).unwrap();
    store.finish().unwrap();
    let file = std::fs::File::open(dir.path().join("bars/1970-01-01.parquet")).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let groups = reader.metadata().row_groups();
    assert_eq!(groups.iter().map(|group| group.num_rows()).collect::<Vec<_>>(), [65_536, 34_464]);
    for group in groups {
        let column = |name: &str| group.column(BARS.position(name).unwrap());
        assert!(column("ts").statistics().is_some());
        assert!(column("symbol").dictionary_page_offset().is_some());
        assert!(column("close").dictionary_page_offset().is_none());
    }
}

//! What forms, on its way past what is kept.

use super::*;

/// Follows bars while they form.
#[derive(Default)]
struct Formed(Mutex<Vec<Version>>);

impl Audience for Formed {
    fn wants(&self, table: Option<&Table>) -> bool {
        table.is_none_or(|table| *table == BARS)
    }

    fn wants_symbol(&self, _: &str) -> bool {
        true
    }

    fn form(&self, rows: Versions) {
        self.0.lock().unwrap().extend(rows.to_vec());
    }

    fn asked(&self) -> u64 {
        0
    }

    fn formed(&self, _: usize, _: usize, _: u64) {}
}

#[test]
fn what_forms_is_told_before_it_closes_and_stored_nowhere() {
    let (log, store, formed) = (MemoryLog::default(), MemoryStore::new("live"), Arc::new(Formed::default()));
    let mut writer = Writer::new(&log);
    writer.connected(START);
    writer.seconds(0, 20);
    let running = Start { forming: Some(formed.clone()), ..Start::default() }.over(&log, &store).unwrap();
    running.stored(START + 20 * SECOND);
    assert_eq!(*formed.0.lock().unwrap(), [], "the past of a log forms no more");
    for second in 20..25 {
        writer.seconds(second, 1);
        running.stored(START + (second + 1) * SECOND);
    }
    let formed = formed.0.lock().unwrap();
    let minute = |row: &&Version| row.get("timeframe") == Some(&Cell::text("1m"));
    let n_trades = |row: &Version| match row.get("n_trades") {
        Some(Cell::Int(n)) => *n,
        other => panic!("{other:?}"),
    };
    let trades: Vec<i64> = formed.iter().filter(minute).map(n_trades).collect();
    assert!(5 <= trades.len() && trades.is_sorted(), "it grows: {trades:?}");
    assert!(formed.iter().all(|row| START + 20 * SECOND <= known_at(row)));
    assert_eq!(store.rows(&BARS).iter().filter(minute).count(), 0, "it is not closed");
    running.end().unwrap();
}

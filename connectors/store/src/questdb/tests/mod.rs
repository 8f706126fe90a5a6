//! The sink before a server that is away, slow, or takes rows without saying so.

mod server;

use std::time::{Duration, Instant};

use prism_questdb::Error;
use prism_schemas::store::RowReader;
use prism_schemas::table::{BARS, FEED_STATUS};
use prism_schemas::time::MINUTE;
use prism_schemas::{Cell, RowStore, Table, Ts, Version, Versions};
use server::{Fate, Server};

use super::{QuestDbError, Reader, Sink, SinkOptions};

fn row(table: &'static Table, values: &[(&str, Cell)]) -> Version {
    let value = |name: &str| values.iter().find(|(column, _)| *column == name).map(|(_, cell)| cell.clone());
    Version { table, cells: table.columns.iter().map(|column| value(column.name).unwrap_or(Cell::Null)).collect() }
}

fn bar(minute: i64, trades: i64) -> Version {
    let known = Cell::Ts((100 + trades) * MINUTE);
    row(
        &BARS,
        &[
            ("ts", Cell::Ts(minute * MINUTE)),
            ("symbol", "A".into()),
            ("n_trades", trades.into()),
            ("known_at", known),
            ("retracted", false.into()),
            ("config_hash", "old".into()),
        ],
    )
}

/// What a bar looks like on its way.
fn sent(trades: i64) -> String {
    format!("n_trades={trades}i")
}

struct Fixture {
    server: Server,
    sink: Sink,
    dir: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let mut sink = Sink::open(server.address(), "live", options(&dir)).unwrap();
    sink.pace.back_off = (Duration::from_millis(1), Duration::from_millis(4));
    sink.pace.answer = Duration::from_millis(100);
    sink.pace.settled = Duration::from_millis(40);
    server.state().asked.clear();
    Fixture { server, sink, dir }
}

fn options(dir: &tempfile::TempDir) -> SinkOptions {
    let spool = dir.path().join("spool");
    SinkOptions { flush_bytes: 1_000, spool, spool_bytes: 1 << 30, ttl: Default::default() }
}

impl Fixture {
    fn flush_until_kept(&mut self) {
        for _ in 0..10_000 {
            if self.sink.flush().unwrap() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("away: {:?}", self.sink.away());
    }
}

#[test]
fn a_request_committed_after_its_answer_was_given_up_never_wins_over_newer_rows() {
    let mut f = fixture();
    f.server.state().fates.push_back(Fate::CutThenCommitted(3));
    f.sink.write(&Versions::of(&[bar(0, 1)]).unwrap()).unwrap();
    assert!(!f.sink.flush().unwrap());
    f.sink.write(&Versions::of(&[bar(0, 2)]).unwrap()).unwrap();
    f.flush_until_kept();
    let state = f.server.state();
    // The late one, the same once more, and only then what is newer.
    assert_eq!(state.commits.len(), state.n_requests);
    assert!(state.commits[0].contains(&sent(1)) && !state.commits[0].contains(&sent(2)), "{:?}", state.commits);
    let last = state.commits.last().unwrap();
    assert!(last.rfind(&sent(1)) < last.rfind(&sent(2)), "{:?}", state.commits);
}

#[test]
fn rows_wait_on_disk_and_in_no_memory_while_the_server_is_away_and_go_down_as_they_are_sent() {
    let mut f = fixture();
    let trouble =
        ["{\"code\":\"internal error\",\"message\":\"disk\",\"errorId\":\"1\"}", "<html>Bad Gateway</html>", ""];
    let statuses = [500, 502, 503, 429, 404];
    f.server.state().fates.extend((0..15).map(|at| Fate::Status(statuses[at % 5], trouble[at % 3].into())));
    let mut most = 0;
    for i in 0..60 {
        f.sink.write(&Versions::of(&[bar(i, i)]).unwrap()).unwrap();
        assert!(!f.sink.flush().unwrap() || f.server.state().fates.is_empty());
        let health = f.sink.health();
        most = most.max(health.spooled_rows);
        assert_eq!(health.away.is_some(), 0 < health.spooled_rows, "{health:?}");
    }
    assert!(0 < most);
    f.flush_until_kept();
    let health = f.sink.health();
    assert_eq!((health.spooled_rows, health.spooled_bytes, health.away), (0, 0, None));
    let all = f.server.state().commits.concat();
    let positions: Vec<usize> = (0..60).map(|i| all.find(&sent(i)).unwrap()).collect();
    assert!(positions.is_sorted(), "in order");
    assert_eq!((all.lines().count(), f.sink.rows), (60, 60), "once each");
    assert_eq!(std::fs::read_dir(f.dir.path().join("spool")).unwrap().count(), 0);
}

#[test]
fn a_writer_on_another_machine_is_seen() {
    let mut f = fixture();
    f.sink.pace.alone = Duration::from_millis(40);
    f.sink.alone().unwrap();
    let (server, writes) = (f.server.clone(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true)));
    let other = std::thread::spawn({
        let writes = writes.clone();
        move || {
            while writes.load(std::sync::atomic::Ordering::Relaxed) {
                server.state().wal[0].2 += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let error = f.sink.alone().unwrap_err().to_string();
    assert!(error.contains("another process writes the run live to questdb://127.0.0.1:"), "{error}");
    writes.store(false, std::sync::atomic::Ordering::Relaxed);
    other.join().unwrap();
    f.server.state().wal.push(("trades_of_others".into(), false, 5, 5));
    f.sink.alone().unwrap();
}

#[test]
fn a_slow_server_blocks_nobody_and_is_not_asked_twice() {
    let mut f = fixture();
    f.server.state().fates.push_back(Fate::Slow);
    f.sink.write(&Versions::of(&[bar(0, 1)]).unwrap()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test of patience")]
    let began = Instant::now();
    assert!(!f.sink.flush().unwrap());
    for i in 2..40 {
        f.sink.write(&Versions::of(&[bar(0, i)]).unwrap()).unwrap();
    }
    assert!(!f.sink.flush().unwrap());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!((f.server.state().n_requests, f.sink.spooled_rows()), (1, 39));
    f.server.open_gate();
    f.flush_until_kept();
    let all = f.server.state().commits.concat();
    assert_eq!((all.lines().count(), all.matches(&sent(1)).count(), f.sink.spooled_rows()), (39, 1, 0));
}

#[test]
fn a_full_spool_makes_the_writer_wait_until_rows_are_sent() {
    let mut f = fixture();
    f.server.state().fates.extend((0..5).map(|_| Fate::Status(503, String::new())));
    drop(f.sink);
    f.sink = Sink::open(f.server.address(), "live", SinkOptions { spool_bytes: 1, ..options(&f.dir) }).unwrap();
    f.sink.pace.back_off = (Duration::from_millis(1), Duration::from_millis(1));
    f.sink.write(&Versions::of(&(0..200).map(|i| bar(i, i)).collect::<Vec<_>>()).unwrap()).unwrap();
    f.sink.write(&Versions::of(&(200..400).map(|i| bar(i, i)).collect::<Vec<_>>()).unwrap()).unwrap();
    f.flush_until_kept();
    assert_eq!(f.server.state().commits.concat().lines().count(), 400);
}

#[test]
fn what_questdb_itself_refuses_is_no_absence() {
    let mut f = fixture();
    let refusal = "{\"code\":\"invalid\",\"message\":\"cast error\",\"line\":1,\"errorId\":\"1\"}";
    f.server.state().fates.push_back(Fate::Status(400, refusal.into()));
    f.sink.write(&Versions::of(&[bar(0, 1)]).unwrap()).unwrap();
    assert!(
        matches!(f.sink.flush(), Err(QuestDbError::Server(Error::Refused { detail, .. })) if detail == "cast error")
    );
    f.server.state().fates.push_back(Fate::Status(401, String::new()));
    assert!(matches!(f.sink.flush(), Err(QuestDbError::Server(Error::Login { .. }))));
}

#[test]
fn what_stands_between_refuses_nothing() {
    for between in [(404, "<html>"), (400, r#"{"error":"x"}"#), (429, "slow down"), (200, "<html>"), (502, "")] {
        let mut f = fixture();
        f.server.state().bars = vec![bar(0, 1)];
        // After a request without an answer the sequencers are asked for, and so they are for marks and health.
        f.server.state().fates.push_back(Fate::CutThenCommitted(1));
        f.server.state().between = Some(between);
        f.sink.write(&Versions::of(&[bar(0, 1)]).unwrap()).unwrap();
        for _ in 0..3 {
            assert!(!f.sink.flush().unwrap(), "{between:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        let store: &mut dyn RowStore = &mut f.sink;
        store.mark(7);
        assert_eq!(store.readable().unwrap(), None);
        assert!(!store.finish().unwrap());
        let why = store.health().away.unwrap();
        assert!(why.contains("not from QuestDB"), "{why}");
        assert_eq!(store.health().spooled_rows, 1);
        let error = store.scan(&BARS, &mut |_| panic!()).unwrap_err().to_string();
        assert!(error.contains("does not answer (--store, PRISM_STORE): status"), "{error}");
        // Nor do requests with rows lose any.
        let fate = Fate::Status(between.0, between.1.into());
        f.server.state().between = None;
        f.server.state().fates.extend((between.0 != 200).then_some(fate));
        f.flush_until_kept();
        assert!(f.server.state().commits.iter().all(|rows| rows.contains(&sent(1))));
        assert_eq!((f.sink.rows, f.sink.spooled_rows()), (1, 0), "{between:?}");
    }
}

#[test]
fn tables_are_read_whole_and_in_parts_that_fit_their_bound() {
    let f = fixture();
    // Most of them at one end of the time they span.
    f.server.state().bars = (0..9_000).map(|i| bar(i, i)).chain([bar(1 << 20, 9_000)]).collect();
    let target = f.sink.target(&BARS);
    let read = |bytes_max| {
        let mut rows = Vec::new();
        f.server.state().asked.clear();
        let range = Ts::MIN..=Ts::MAX;
        let read = target.scan_bounded(f.sink.client(), &range, None, bytes_max, &mut |row| rows.push(row));
        let n_exports = f.server.state().asked.iter().filter(|sql| sql.contains("LIMIT")).count();
        (read.map(|()| rows), n_exports)
    };
    let (whole, n_exports) = read(1 << 20);
    assert_eq!(n_exports, 1);
    assert_eq!(whole.unwrap(), f.server.state().bars);
    let (parts, n_exports) = read(40_000);
    assert!(2 < n_exports, "{n_exports}");
    assert_eq!(parts.unwrap(), f.server.state().bars);
    // One row has more than this.
    let error = read(100).0.unwrap_err().to_string();
    assert!(error.contains("is larger than 100 bytes"), "{error}");
    let mut rows = Vec::new();
    RowStore::scan(&f.sink, &BARS, &mut |row| rows.push(row)).unwrap();
    assert_eq!(rows, f.server.state().bars);
}

#[test]
fn only_tables_of_prism_decide_what_can_be_read() {
    let mut f = fixture();
    f.server.state().wal.push(("somebody_else".into(), true, 90, 1));
    f.sink.write(&Versions::of(&[bar(0, 1)]).unwrap()).unwrap();
    f.flush_until_kept();
    let store: &mut dyn RowStore = &mut f.sink;
    assert_eq!(store.readable().unwrap(), None);
    store.mark(7);
    assert_eq!(store.readable().unwrap(), None, "bars are not applied yet");
    assert!(!store.finish().unwrap());
    assert_eq!(store.health().wal_lag, [("bars".to_string(), 1)]);
    f.server.state().apply();
    assert_eq!(store.readable().unwrap(), Some(7));
    assert!(store.finish().unwrap());
    assert_eq!(store.health().suspended, Vec::<String>::new());
    // What is written later does not hold back an earlier mark.
    store.mark(8);
    assert_eq!(store.readable().unwrap(), Some(8));
    f.server.state().wal[0].1 = true;
    assert_eq!(store.health().suspended, ["bars"]);
    let error = store.finish().unwrap_err().to_string();
    assert!(error.contains("bars") && error.contains("RESUME WAL"), "{error}");
}

#[test]
fn an_empty_text_is_not_sent() {
    let mut f = fixture();
    let told = [("ts", Cell::Ts(0)), ("channel", "".into()), ("cause", "".into()), ("status", "stale".into())];
    f.sink.write(&Versions::of(&[row(&FEED_STATUS, &told)]).unwrap()).unwrap();
    f.flush_until_kept();
    assert_eq!(f.server.state().commits.concat(), "feed_status,status=stale 0\n");
}

#[test]
fn one_process_writes_a_run() {
    let f = fixture();
    let error = Sink::open(f.server.address(), "live", options(&f.dir)).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("another process writes this run"), "{error}");
    assert_eq!(f.server.state().asked, Vec::<String>::new(), "nothing was touched");
    drop(f.sink);
    Sink::open(f.server.address(), "live", options(&f.dir)).unwrap();
}

#[test]
fn what_a_follower_found_at_its_start_is_no_news_when_more_follows() {
    let server = Server::start();
    server.state().wal = vec![("bars".into(), false, 1, 1)];
    server.state().bars = vec![bar(0, 1)];
    server.state().newest = Some(101 * MINUTE / 1_000);
    let mut reader = Reader::new(server.address());
    assert_eq!(reader.news(&[&BARS]).unwrap(), []);
    server.state().wal[0].3 = 2;
    assert_eq!(reader.news(&[&BARS]).unwrap(), []);
    server.state().bars = vec![bar(1, 2)];
    server.state().wal[0].3 = 3;
    assert_eq!(reader.news(&[&BARS]).unwrap().len(), 1);
}

#[test]
fn what_a_follower_read_of_one_table_is_not_lost_when_the_server_goes_away_before_the_next() {
    let server = Server::start();
    server.state().wal = ["bars", "feed_status"].map(|name| (name.into(), false, 1, 0)).into();
    let mut reader = Reader::new(server.address());
    let tables = [&BARS, &FEED_STATUS];
    assert_eq!(reader.news(&tables).unwrap(), []);
    server.state().bars = vec![bar(0, 1)];
    server.state().cut = Some("feed_status");
    server.state().apply();
    reader.news(&tables).unwrap_err();
    server.state().cut = None;
    let news = reader.news(&tables).unwrap();
    assert_eq!(news.iter().filter(|row| row.table == &BARS).count(), 1);
    assert_eq!(reader.news(&tables).unwrap(), []);
}

#[test]
fn rows_of_other_settings_are_withdrawn() {
    let mut f = fixture();
    f.server.state().bars = vec![bar(0, 1)];
    let mut seen = Vec::new();
    let n = RowStore::withdraw(&mut f.sink, "new", i64::MIN, 500 * MINUTE, &mut |rows| {
        seen.extend(rows.iter().flat_map(Versions::to_vec))
    })
    .unwrap();
    assert_eq!((n, seen.len()), (Some(1), 1));
    let state = f.server.state();
    assert!(state.asked.iter().any(|sql| sql.contains("config_hash != 'new'") && sql.contains("retracted = false")));
    let all = state.commits.concat();
    assert!(all.contains("retracted=t") && all.contains("config_hash=new") && all.contains("revision=1i"), "{all}");
    drop(state);
    f.server.state().wal[0].2 += 1;
    assert_eq!(
        RowStore::withdraw(&mut f.sink, "new", i64::MIN, 500 * MINUTE, &mut |_| panic!()).unwrap(),
        None,
        "not readable"
    );
}

#[test]
fn a_password_is_sent_and_never_said() {
    let mut f = fixture();
    assert!(f.server.state().logins.iter().all(|login| login == "Basic YWRtaW46aHVudGVyMg=="));
    assert!(!f.server.state().logins.is_empty());
    f.server.state().fates.push_back(Fate::Status(401, String::new()));
    f.sink.write(&Versions::of(&[bar(0, 1)]).unwrap()).unwrap();
    let error = f.sink.flush().unwrap_err();
    let said = [
        format!("{:?} {}", f.server.address(), f.server.address()),
        format!("{:?}", f.sink.client()),
        RowStore::address(&f.sink),
        format!("{error:?} {error}"),
        format!("{:?}", f.server.address().login),
    ];
    assert!(said.iter().all(|text| !text.contains("hunter2") && !text.contains("aHVudGVyMg")), "{said:?}");
}

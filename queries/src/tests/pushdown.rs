//! What QuestDB is asked for.

use prism_schemas::Versions;
use prism_schemas::time::HOUR;

use super::server::Server;
use super::statements::rows;
use super::*;

struct Asked {
    server: Server,
    engine: Engine,
    live: Arc<LiveRows>,
}

fn asked() -> Asked {
    let (first, corrected) = rows();
    let server = Server::start(&[first, corrected].concat());
    let live = Arc::new(LiveRows::new(6 * HOUR));
    let options = Options { store: Some(Place::QuestDb(server.address.clone())), ..Options::default() };
    Asked { engine: Engine::new(options, live.clone()).unwrap(), server, live }
}

impl Asked {
    /// Runs a statement; gives its answer and what the server was asked for.
    async fn of(&self, sql: &str) -> (QueryResult, Vec<String>) {
        let answer = self.engine.query(sql, &Parameters::new()).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        (answer, self.server.asked())
    }
}

#[tokio::test]
async fn order_and_limit_are_asked_of_the_server() {
    let asked = asked();
    let (answer, sql) = asked.of("SELECT ts FROM bars ORDER BY ts DESC LIMIT 3").await;
    assert_eq!(answer.n_rows(), 3);
    assert_eq!(sql, ["SELECT ts, retracted FROM bars WHERE retracted = false ORDER BY ts DESC LIMIT 3"]);
}

#[tokio::test]
async fn a_limit_within_keeps_its_own_order() {
    let asked = asked();
    let oldest = "(SELECT ts FROM bars WHERE symbol = 'BTCUSDT' ORDER BY ts LIMIT 5)";
    let (answer, sql) = asked.of(&format!("SELECT * FROM {oldest} ORDER BY ts DESC")).await;
    assert_eq!(answer.n_rows(), 5);
    assert!(sql[0].ends_with("ORDER BY ts LIMIT 5"), "{sql:?}");
    let (mut expected, _) = asked.of(oldest.trim_matches(['(', ')'])).await;
    let mut expected_rows = expected.rows().unwrap();
    expected_rows.reverse();
    assert_eq!(answer.rows().unwrap(), expected_rows);
    // The smaller of two limits, on either side.
    let (answer, _) = asked.of(&format!("SELECT * FROM {oldest} LIMIT 2")).await;
    assert_eq!(answer.n_rows(), 2);
    expected = asked.of(&format!("SELECT * FROM {oldest} LIMIT 50")).await.0;
    assert_eq!(expected.n_rows(), 5);
}

#[tokio::test]
async fn doubles_are_filtered_again() {
    let asked = asked();
    let (answer, sql) = asked.of("SELECT close FROM bars WHERE close > 0 AND close < 1e-9 ORDER BY ts LIMIT 4").await;
    assert!(sql.iter().all(|sql| sql.contains("close >= -1e-9") && !sql.contains("LIMIT")), "{sql:?}");
    assert!(answer.n_rows() > 0, "scores of 1e-11 are more than none");
}

#[tokio::test]
async fn after_a_restart_nothing_is_held_against_memory() {
    let asked = asked();
    assert!(asked.engine.catalogue().restore().unwrap() > 50);
    assert!(asked.live.len() > 50);
    asked.server.asked();
    let (answer, sql) = asked.of("SELECT * FROM bars ORDER BY ts DESC LIMIT 1").await;
    assert_eq!((answer.n_rows(), sql.len()), (1, 1));
    assert!(sql[0].ends_with("ORDER BY ts DESC LIMIT 1"), "{sql:?}");
    let (plan, _) = asked.of("EXPLAIN SELECT * FROM bars ORDER BY ts DESC LIMIT 1").await;
    let plan = plan.csv().unwrap();
    assert!(plan.contains("bars: 0 in memory") && plan.contains("ORDER BY ts DESC LIMIT 1"), "{plan}");
}

#[tokio::test]
async fn what_became_known_within_the_newest_stored_microsecond_is_held_against_the_store() {
    let asked = asked();
    let (mut newest, _) = rows();
    let mut newest = newest.remove(0);
    let known_at = newest.table.position("known_at").unwrap();
    let Cell::Ts(at) = newest.cells[known_at] else { unreachable!() };
    newest.cells[known_at] = Cell::Ts(at + 1_700);
    asked.live.apply(&Versions::of(&[newest]).unwrap());
    let shown = async || asked.of("EXPLAIN SELECT * FROM bars").await.0.csv().unwrap();
    asked.live.stored_up_to(at + 1_700);
    assert!(shown().await.contains("bars: 1 in memory"), "known at that moment, so perhaps not stored");
    asked.live.stored_through(at + 1_000);
    assert!(shown().await.contains("bars: 0 in memory"), "stored, to the microsecond");
}

#[tokio::test]
async fn plans_do_not_say_where_the_store_is() {
    let asked = asked();
    for analyse in ["EXPLAIN", "EXPLAIN VERBOSE", "EXPLAIN ANALYZE"] {
        let (plan, _) = asked.of(&format!("{analyse} SELECT * FROM bars")).await;
        assert!(!plan.csv().unwrap().contains("127.0.0.1"), "{analyse}");
    }
    let f = fixture();
    store(f.directory.path(), "2024-08-09", &[bar("2024-08-09T00:00:00Z", 2.0, "2024-08-09T00:01:00.3Z", 0)]);
    for analyse in ["EXPLAIN", "EXPLAIN VERBOSE", "EXPLAIN ANALYZE"] {
        let plan = f.csv(&format!("{analyse} SELECT * FROM bars")).await;
        assert!(plan.contains("stored: 2024-08-09"), "{plan}");
        assert!(!plan.contains(f.directory.path().to_str().unwrap()), "{analyse}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_said_so_in_a_line() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("questdb://{}", listener.local_addr().unwrap());
    drop(listener);
    let place = Place::QuestDb(prism_schemas::QuestDbAddress::parse(&address).unwrap());
    let options = Options { store: Some(place), ..Options::default() };
    let engine = Engine::new(options, Arc::new(LiveRows::new(0))).unwrap();
    let errors = [
        engine.query("SELECT * FROM bars", &Parameters::new()).await.map(|_| ()).unwrap_err(),
        engine.catalogue().restore().map(|_| ()).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::StoreAway(_)), "{error:?}");
        assert!(error.to_string().starts_with(&format!("{address} does not answer: ")), "{error}");
        assert!(!error.to_string().contains('\n'));
    }
}

#[tokio::test]
async fn a_server_that_hangs_ends_with_the_statement() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("questdb://{}", listener.local_addr().unwrap());
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // It reads until the other side closes.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        ended.send(()).unwrap();
    });
    let place = Place::QuestDb(prism_schemas::QuestDbAddress::parse(&address).unwrap());
    let timeout = std::time::Duration::from_millis(100);
    let options = Options { store: Some(place), timeout, ..Options::default() };
    let engine = Engine::new(options, Arc::new(LiveRows::new(0))).unwrap();
    let error = engine.query("SELECT * FROM bars", &Parameters::new()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    end.recv_timeout(std::time::Duration::from_secs(5)).expect("the request ends with its statement");
}

//! Plain names as the rows of one run of a server.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;

use prism_schemas::QuestDbAddress;

use super::*;

#[test]
fn plain_names_are_the_rows_of_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = QuestDbAddress::parse(&format!("questdb://{}", listener.local_addr().unwrap())).unwrap();
    let (send, asked) = channel();
    // A server that has nothing to say, but is asked.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), mut request) = (stream, [0; 8_192]) else { return };
            let n = stream.read(&mut request).unwrap_or(0);
            let line = String::from_utf8_lossy(&request[..n]).lines().next().unwrap_or_default().to_string();
            if send.send(line).is_err() {
                return;
            }
            let body =
                "{\"dataset\":[[\"2024-05-01T00:00:00.000000Z\",\"2024-05-01T01:00:00.000000Z\",5]],\"columns\":[]}";
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    let options = Options { store: Some(Place::QuestDb(address)), run: Some("what-if".into()), ..Options::default() };
    let engine = Engine::new(options, Arc::new(LiveRows::new(0))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let query = |sql: &str| runtime.block_on(engine.query(sql, &Parameters::new()));
    let columns = query("DESCRIBE bars").unwrap().csv().unwrap();
    assert!(columns.contains("close") && !columns.contains("run_id"), "{columns}");
    assert!(matches!(query("SELECT run_id FROM bars"), Err(Error::BadSql { .. })));
    let plan = query("EXPLAIN SELECT close FROM bars WHERE symbol = 'BTCUSDT'").map(|plan| plan.csv().unwrap());
    let statements: Vec<String> = asked.try_iter().collect();
    let all = format!("{plan:?} {statements:?}");
    assert!(all.contains("what-if") && all.contains("run_bars"), "{all}");
}

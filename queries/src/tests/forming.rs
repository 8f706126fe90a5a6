//! What forms, for statements that ask.

use std::sync::Arc;
use std::thread::{sleep, spawn};
use std::time::Duration;

use prism_schemas::Versions;
use prism_schemas::table::{BARS, CONFLUENCE};

use super::*;

const CLOSES: &str = "SELECT close FROM live.forming_bars";

/// A graph of some workers, each of which forms a bar of its own close in the first round it is asked for.
fn graph(live: &Arc<LiveRows>, workers: usize) {
    live.forming.serve();
    for worker in 0..workers {
        let live = live.clone();
        spawn(move || {
            while !live.forming.wants(Some(&BARS)) {
                sleep(Duration::from_millis(1));
            }
            let asked = live.forming.asked();
            // Later ones take longer.
            sleep(Duration::from_millis(30 * worker as u64));
            for close in [1.0, 2.0] {
                let mut bar = bar("2026-01-01T00:00:00Z", close, "2026-01-01T00:00:10Z", 0);
                bar.cells[BARS.position("symbol").unwrap()] = format!("S{worker}").as_str().into();
                Versions::of(&[bar]).unwrap().iter().for_each(|rows| live.forming.form(rows));
            }
            live.forming.formed(worker, workers, asked);
        });
    }
}

#[tokio::test]
async fn a_statement_has_the_newest_of_each_key_of_all_workers() {
    let f = fixture();
    graph(&f.live, 3);
    assert_eq!(f.csv(CLOSES).await, "close\n2.0\n2.0\n2.0\n");
    assert!(!f.live.forming.wants(None), "nobody waits any more");
    assert_eq!(f.csv("SELECT count(*) FROM live.bars").await, "count(*)\n0\n", "nothing closed");
}

#[tokio::test]
async fn who_cannot_be_answered_is_told_why() {
    let f = fixture();
    let error = f.sql(CLOSES).await.unwrap_err();
    assert!(matches!(&error, Error::NotAllowed { what } if what.contains("computes nothing")), "{error:?}");
    f.live.forming.serve();
    let error = f.sql(CLOSES).await.unwrap_err();
    assert!(matches!(error, Error::NotFormed(_)), "{error:?}");
    assert!(!f.live.forming.wants(None));
}

#[test]
fn rows_of_other_tables_and_rounds_of_before_answer_nothing() {
    let live = Arc::new(LiveRows::new(0));
    live.forming.serve();
    let before = live.forming.ask();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let asking = live.clone();
    let answer = spawn(move || runtime.block_on(asking.forming.latest(&BARS)));
    while !live.forming.wants(Some(&BARS)) {
        sleep(Duration::from_millis(1));
    }
    assert!(!live.forming.wants(Some(&CONFLUENCE)));
    live.forming.formed(0, 1, before);
    let bar = bar("2026-01-01T00:00:00Z", 3.0, "2026-01-01T00:00:10Z", 0);
    live.forming.form(&Versions::of(&[bar]).unwrap()[0]);
    live.forming.formed(0, 1, live.forming.asked());
    assert_eq!(answer.join().unwrap().unwrap().num_rows(), 1, "it waited for a round of its own");
}

//! Binance asks whoever listens whether they are there.

use super::*;

/// As documented, 2026-11: a ping every 20 s, and a minute for its answer
/// (<https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams>).
#[tokio::test]
async fn who_answers_no_ping_is_cut() {
    let emulator = emulator(60, Faults::default()).await;
    let [mut there, mut away] = [
        Client::connect(&emulator, "binance-spot/stream").await,
        Client::connect(&emulator, "binance-spot/stream").await,
    ];
    // Two minutes there: reading answers.
    let mut n_pings = 0;
    while n_pings < 7 {
        let message = tokio::time::timeout(Duration::from_secs(60), there.0.next()).await.unwrap();
        match message.expect("the connection goes on").unwrap() {
            Message::Ping(_) => n_pings += 1,
            message => panic!("{message:?}"),
        }
    }
    assert_eq!(away.text().await, None, "nobody read for two minutes");
    there.send("{\"method\":\"SUBSCRIBE\",\"params\":[\"btcusdt@aggTrade\"],\"id\":1}").await;
    assert_eq!(there.next().await["id"], 1);
}

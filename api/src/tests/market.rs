//! What a venue's market is like now.

use prism_schemas::table::{BOOK_FEATURES, BOOK_HEAT, BOOK_WALLS, FOOTPRINT, FOOTPRINT_ANALYSIS, ORDER_FLOW};
use serde_json::json;

use super::*;

/// Two minutes of a book and of trades by level, of which the older one has more rows.
fn fixture() -> Fixture {
    let f = Fixture::new();
    let (mut all, now) = (Vec::new(), ts(NOW));
    for (start, n) in [(now - 2 * MINUTE, 5), (now - MINUTE, 3)] {
        let of = |table, cells: &[(&str, Cell)]| row(table, "BTCUSDT", start, MINUTE, cells);
        all.push(of(&BOOK_FEATURES, &[("mid", (n as f64).into()), ("quality", "ok".into())]));
        all.push(of(&ORDER_FLOW, &[("timeframe", "1m".into()), ("n_buys", n.into())]));
        all.push(of(&FOOTPRINT_ANALYSIS, &[("timeframe", "1m".into()), ("n_levels", n.into())]));
        for at in 0..n {
            let price = Cell::from(100.0 - at as f64);
            all.push(of(&BOOK_HEAT, &[("bucket", (-1 - at).into()), ("price_from", price.clone())]));
            all.push(of(&BOOK_WALLS, &[("wall", at.into()), ("price", price.clone())]));
            all.push(of(&FOOTPRINT, &[("timeframe", "1m".into()), ("level", at.into()), ("price_from", price)]));
        }
    }
    let gone = [("wall", 7.into()), ("price", 1.0.into()), ("retracted", true.into())];
    all.push(row(&BOOK_WALLS, "BTCUSDT", now - MINUTE, MINUTE, &gone));
    f.tell(&all);
    f
}

#[tokio::test]
async fn an_order_book_is_that_of_the_newest_close() {
    let answer = fixture().ok("/api/market/bybit/btc-usdt/orderbook").await;
    assert_eq!((&answer["market"], &answer["book"]["mid"]), (&json!("linear"), &json!(3.0)));
    let prices = |rows: &Value, column: &str| -> Vec<Value> {
        rows.as_array().unwrap().iter().map(|row| row[column].clone()).collect()
    };
    assert_eq!(prices(&answer["heat"], "price_from"), [98.0, 99.0, 100.0]);
    assert_eq!(prices(&answer["walls"], "price"), [98.0, 99.0, 100.0]);
}

#[tokio::test]
async fn trades_are_told_by_level() {
    let f = fixture();
    let answer = f.ok("/api/market/bybit/BTCUSDT/trades").await;
    assert_eq!((&answer["timeframe"], &answer["flow"]["n_buys"]), (&json!("1m"), &json!(3)));
    assert_eq!(answer["footprint"]["n_levels"], 3);
    assert_eq!(answer["levels"].as_array().unwrap().len(), 3);
    // Nobody traded in the newest bar.
    let quiet = row(&ORDER_FLOW, "BTCUSDT", ts(NOW), MINUTE, &[("timeframe", "1m".into()), ("n_buys", 0.into())]);
    f.tell(&[quiet]);
    let answer = f.ok("/api/market/bybit/BTCUSDT/trades?timeframe=1m").await;
    assert_eq!(
        (&answer["flow"]["n_buys"], &answer["footprint"], &answer["levels"]),
        (&json!(0), &json!(null), &json!([]))
    );
    assert_eq!(f.ok("/api/market/bybit/BTCUSDT/trades?timeframe=1h").await["flow"], json!(null));
}

#[tokio::test]
async fn data_is_all_of_it() {
    let f = fixture();
    let answer = f.ok("/api/market/bybit/BTCUSDT/data").await;
    assert_eq!(answer["bars"][0]["close"], 99.0);
    assert_eq!((&answer["book"]["mid"], &answer["confluence"]["score"]), (&json!(3.0), &json!(72.5)));
    assert_eq!((&answer["order_flow"][0]["n_buys"], &answer["open_interest"]), (&json!(3), &json!([])));
    for (path, status) in [
        ("/api/market/kraken/BTCUSDT/data", 404),
        ("/api/market/bybit/NOSUCH/orderbook", 404),
        ("/api/market/bybit/BTCUSDT/trades?timeframe=2m", 400),
        ("/api/market/bybit/BTCUSDT/trades?depth=2", 400),
    ] {
        assert_eq!(f.get(path).await.0, status, "{path}");
    }
}

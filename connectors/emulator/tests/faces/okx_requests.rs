//! OKX's market requests: <https://www.okx.com/docs-v5/en/#order-book-trading-market-data>.

use prism_emulator::Faults;
use serde_json::json;

use super::*;

const LINEAR: &str = "okx-linear/api/v5";

async fn data(emulator: &Emulator, path: &str) -> Vec<Value> {
    let (status, body) = get(emulator, path).await;
    assert_eq!((status, &body["code"], &body["msg"]), (200, &json!("0"), &json!("")), "{path}: {body}");
    body["data"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instruments_and_tickers_are_those_of_the_kind() {
    let emulator = emulator(1, Faults::default()).await;
    let swaps = data(&emulator, &format!("{LINEAR}/public/instruments?instType=SWAP")).await;
    let of = |inst: &str| swaps.iter().find(|swap| swap["instId"] == inst).unwrap();
    let (btc, doge) = (of("BTC-USDT-SWAP"), of("DOGE-USDT-SWAP"));
    for (name, value) in [
        ("ctVal", "0.01"),
        ("ctMult", "1"),
        ("ctValCcy", "BTC"),
        ("settleCcy", "USDT"),
        ("ctType", "linear"),
        ("uly", "BTC-USDT"),
        ("baseCcy", ""),
        ("state", "live"),
        ("lotSz", "0.1"),
    ] {
        assert_eq!(btc[name], value, "{name}");
    }
    assert_eq!((doge["ctVal"].as_str(), doge["lotSz"].as_str()), (Some("1000"), Some("0.001")));
    let spot = data(&emulator, "okx-spot/api/v5/public/instruments?instType=SPOT&instId=BTC-USDT").await;
    assert_eq!((spot.len(), &spot[0]["baseCcy"], &spot[0]["ctVal"]), (1, &json!("BTC"), &json!("")));
    assert!(data(&emulator, "okx-spot/api/v5/market/tickers?instType=SWAP").await.is_empty());
    let tickers = data(&emulator, &format!("{LINEAR}/market/tickers?instType=SWAP")).await;
    assert_eq!(tickers.len(), SYMBOLS.len());
    let one = data(&emulator, "okx-spot/api/v5/market/ticker?instId=BTC-USDT").await;
    // Of spot the first is base, the second quote.
    assert!(float(&one[0]["volCcy24h"]) / float(&one[0]["vol24h"]) > 10_000.0, "{one:?}");
    for (path, status, code) in [
        ("market/ticker?instId=NONE-USDT-SWAP", 200, "51001"),
        ("market/ticker", 400, "50014"),
        ("market/books?instId=BTC-USDT-SWAP&sz=401", 400, "51000"),
        ("market/candles?instId=BTC-USDT-SWAP&bar=1h", 400, "51000"),
        ("public/instruments?instType=NONE", 400, "51000"),
    ] {
        let (answered, body) = get(&emulator, &format!("{LINEAR}/{path}")).await;
        assert_eq!((answered, body["code"].as_str()), (status, Some(code)), "{path}: {body}");
    }
    let (_, none) = get(&emulator, &format!("{LINEAR}/market/trades?instId=NONE-USDT-SWAP")).await;
    assert_eq!(none["msg"], "Instrument ID, Instrument ID code, or Spread ID doesn't exist.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bars_of_other_time_zones_are_others() {
    let emulator = emulator(1, Faults::default()).await;
    let bars = |bar: &str| format!("{LINEAR}/market/candles?instId=ETH-USDT-SWAP&bar={bar}&limit=300");
    for (bar, length, remainder) in [
        ("1m", 60_000, 0),
        ("4H", 14_400_000, 0),
        ("6Hutc", 21_600_000, 0),
        ("1Dutc", 86_400_000, 0),
        ("1D", 86_400_000, 57_600_000),
        // Mondays.
        ("1Wutc", 604_800_000, 345_600_000),
    ] {
        let rows = data(&emulator, &bars(bar)).await;
        let starts: Vec<i64> = rows.iter().map(|row| row[0].as_str().unwrap().parse().unwrap()).collect();
        assert!(starts.windows(2).all(|pair| pair[0] - pair[1] == length), "{bar}: the newest first: {starts:?}");
        assert!(starts.iter().all(|start| start % length == remainder), "{bar}: {starts:?}");
        assert!(rows.iter().skip(1).all(|row| row[8] == "1") && rows[0][8] == "0", "{bar}");
        assert!(rows.iter().all(|row| row.as_array().unwrap().len() == 9), "{bar}");
    }
    let all = data(&emulator, &bars("1m")).await;
    let (newest, oldest) = (all[10][0].as_str().unwrap(), all[20][0].as_str().unwrap());
    let some = data(&emulator, &format!("{}&after={newest}&before={oldest}", bars("1m"))).await;
    assert_eq!(some, all[11..20]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trades_are_paged_by_number() {
    let emulator = emulator(20, Faults::default()).await;
    let path = |query: &str| format!("{LINEAR}/market/{query}");
    for _ in 0..60 {
        if 120 < data(&emulator, &path("trades?instId=BTC-USDT-SWAP&limit=500")).await.len() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    emulator.freeze();
    let recent = data(&emulator, &path("trades?instId=BTC-USDT-SWAP&limit=500")).await;
    let number = |row: &Value| row["tradeId"].as_str().unwrap().parse::<i64>().unwrap();
    assert!(120 < recent.len(), "{}", recent.len());
    assert!(recent.windows(2).all(|pair| number(&pair[0]) == number(&pair[1]) + 1));
    let first = data(&emulator, &path("history-trades?instId=BTC-USDT-SWAP")).await;
    assert_eq!(first, recent[..100]);
    let next = format!("history-trades?instId=BTC-USDT-SWAP&type=1&after={}&limit=10", number(&first[99]));
    assert_eq!(data(&emulator, &path(&next)).await, recent[100..110]);
    let from = number(&recent[60]);
    let between = format!("history-trades?instId=BTC-USDT-SWAP&type=1&before={}&after={}", from - 1, from + 5);
    assert_eq!(data(&emulator, &path(&between)).await, recent[56..61]);
    // Alone it gives the newest.
    let alone = format!("history-trades?instId=BTC-USDT-SWAP&before={}&limit=5", number(&recent[60]));
    assert_eq!(data(&emulator, &path(&alone)).await, recent[..5]);
    let book = data(&emulator, &path("books?instId=BTC-USDT-SWAP&sz=400")).await;
    assert!(book[0]["seqId"].is_i64() && book[0]["bids"].as_array().unwrap().len() > 5);
    assert_eq!(data(&emulator, &path("books?instId=BTC-USDT-SWAP")).await[0]["asks"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_are_rows_of_texts() {
    let emulator = emulator(1, Faults::default()).await;
    let rubik = |path: &str| format!("{LINEAR}/rubik/stat/{path}?instId=BTC-USDT-SWAP&period=5m&limit=50");
    for (path, columns) in [
        ("contracts/open-interest-history", 4),
        ("contracts/long-short-account-ratio-contract", 2),
        ("contracts/long-short-account-ratio-contract-top-trader", 2),
        ("contracts/long-short-position-ratio-contract-top-trader", 2),
        ("taker-volume-contract", 3),
    ] {
        let rows = data(&emulator, &rubik(path)).await;
        assert!(rows.iter().all(|row| row.as_array().is_some_and(|row| row.len() == columns && float(&row[1]) >= 0.0)));
        let starts: Vec<f64> = rows.iter().map(|row| float(&row[0])).collect();
        assert_eq!(rows.len(), 50, "{path}");
        assert!(starts.windows(2).all(|pair| pair[0] - pair[1] == 300_000.0), "{path}: {starts:?}");
    }
    let interest = data(&emulator, &rubik("contracts/open-interest-history")).await;
    assert!((float(&interest[0][1]) / float(&interest[0][2]) - 100.0).abs() < 1e-6, "{interest:?}");
    let settled = data(&emulator, &format!("{LINEAR}/public/funding-rate-history?instId=BTC-USDT-SWAP&limit=20")).await;
    assert!(settled.len() == 20 && settled.iter().all(|row| float(&row["realizedRate"]).abs() < 0.01));
    assert_eq!(float(&settled[0]["fundingTime"]) - float(&settled[1]["fundingTime"]), 8.0 * 3_600_000.0);
    let open = data(&emulator, &format!("{LINEAR}/public/open-interest?instType=SWAP")).await;
    assert_eq!(open.len(), SYMBOLS.len());
    assert!(data(&emulator, &format!("{LINEAR}/public/time")).await[0]["ts"].is_string());
}

/// Five in two seconds of one instrument, and others have their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_address_has_its_own_limit() {
    let emulator = emulator(1, Faults::default()).await;
    let path = |inst: &str| format!("{LINEAR}/rubik/stat/taker-volume-contract?instId={inst}-USDT-SWAP");
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(get(&emulator, &path("BTC")).await);
    }
    assert!(statuses[..5].iter().all(|(status, _)| *status == 200), "{statuses:?}");
    assert_eq!(statuses[5], (429, json!({"msg": "Too Many Requests", "code": "50011"})));
    assert_eq!(get(&emulator, &path("ETH")).await.0, 200);
    assert_eq!(get(&emulator, &format!("{LINEAR}/market/ticker?instId=BTC-USDT-SWAP")).await.0, 200);
    assert_eq!(emulator.asked().beyond, 1);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(get(&emulator, &path("BTC")).await.0, 200);
}

//! Books in contracts, and with more decimals than fit.

use super::*;

impl Log {
    /// One bid whose size has seventeen decimals.
    fn odd(&mut self, ts: Ts, id: u64, price: i64) {
        let bids = Some(Levels { prices: vec![price], sizes: vec![1], price_decimals: 1, size_decimals: 17 });
        let body = Book { bids, update_id: Some(id), depth: Some(50), ..Book::default() };
        self.push(ts, ts, Body::Book(body));
    }
}

/// One size of seventeen decimals makes the minute suspect in which others do not fit beside it, and none after the snapshot
/// that ends it.
#[test]
fn one_odd_number_spoils_one_minute() {
    let mut log = Log::new("bybit", "linear");
    log.trades(0..4);
    log.snapshot(TEN - SECOND, 1);
    log.odd(TEN + 70 * SECOND, 2, 990);
    log.book(TEN + 80 * SECOND, TEN + 80 * SECOND, 3, false, &[(985, 1_000_000)], &[]);
    let bids: Vec<(i64, i64)> = (0..30).map(|n| (995 - 5 * n, 1_000_000 + n)).collect();
    log.book(TEN + 90 * SECOND, TEN + 90 * SECOND, 4, true, &bids, &[(1_005, 4), (1_100, 1_000)]);
    let rows = log.checked();
    let qualities: Vec<String> = told(&rows).into_iter().map(|(_, _, quality, _)| quality).collect();
    assert_eq!(qualities[..3], ["ok", "suspect", "ok"]);
    assert_eq!(float(&rows[1], "bid_size"), Some(1_000_000.0));
}

#[test]
fn contracts_that_are_worth_quote_are_valued_once_it_is_known() {
    for is_declared in [false, true] {
        let mut log = Log::new("bybit", "inverse");
        if is_declared {
            let contract = Instrument { contract_size: Some(Decimal::new(100, 0)), ..Instrument::default() };
            log.push(TEN, TEN, Body::Instrument(Box::new(contract)));
        }
        log.snapshot(TEN + SECOND, 1);
        log.trades(0..2);
        let rows = log.checked();
        // Where its trades cannot be valued there is no bar.
        assert_eq!(rows.is_empty(), !is_declared);
        let Some(first) = rows.first() else { continue };
        // Ten contracts of 100 at 99.5: 1,000 are all of the best level.
        let slippage = float(first, "slippage_sell_1k").unwrap();
        assert!((slippage - 50.0).abs() < 1e-9, "{slippage}");
        let (mut left, mut base) = (100.0f64, 0.0);
        for n in 0..30 {
            let contracts = left.min(f64::from(10 + n));
            base += 100.0 * contracts / (99.5 - 0.5 * f64::from(n));
            left -= contracts;
        }
        let (slippage, expected) =
            (float(first, "slippage_sell_10k").unwrap(), 10_000.0 * (1.0 - 10_000.0 / base / 100.0));
        assert!((slippage - expected).abs() < 1e-8, "{slippage}, expected {expected}");
    }
}

//! Walls and heat of made-up books, by hand.

use prism_schemas::table::{BOOK_HEAT, BOOK_WALLS};

use super::*;

fn text(row: &Version, column: &str) -> String {
    row.get(column).unwrap().to_json().as_str().unwrap_or("").to_string()
}

/// Bids from 99.9 and asks from 100.1 on, twelve each, ten of each price: mid 100, buckets of .05, one price in every other.
fn levels() -> [Vec<(i64, i64)>; 2] {
    [-1, 1].map(|sign| (1..=12).map(|n| (1_000 + sign * n, 10)).collect())
}

impl Log {
    fn even(&mut self, ts: Ts, id: u64) {
        let [bids, asks] = levels();
        self.book(ts, ts, id, true, &bids, &asks);
    }

    fn bid(&mut self, ts: Ts, id: u64, price: i64, size: i64) {
        self.book(ts, ts, id, false, &[(price, size)], &[]);
    }

    /// Takers sell so much at a price of one decimal.
    fn sale(&mut self, ts: Ts, ts_recv: Ts, price: i64, size: i64) {
        let body = Trade {
            id: Some(Id::Number((ts / MILLISECOND) as u64 + 1)),
            price: Some(Decimal::new(price, 1)),
            size: Some(Decimal::new(size, 0)),
            side: Side::Sell.into(),
            stream: "trade".into(),
            ..Trade::default()
        };
        self.push(ts, ts_recv, Body::Trade(body));
    }

    /// Rows of a table, the same however they come.
    fn same(&self, table: &'static Table) -> Vec<Version> {
        let key = |row: &Version| (int(row, "ts"), int(row, "known_at"), int(row, table.key[4]));
        let sorted = |stride, at_once, workers| {
            let mut rows = self.rows(table, stride, at_once, workers);
            rows.sort_by_key(key);
            rows
        };
        let rows = sorted(600, 1, 1);
        for (stride, at_once, workers) in [(1, 1, 1), (7, 3, 2), (600, 100, 3)] {
            let others: Vec<_> = sorted(stride, at_once, workers).iter().map(Version::to_json).collect();
            assert_eq!(rows.iter().map(Version::to_json).collect::<Vec<_>>(), others, "{stride} {at_once} {workers}");
        }
        rows
    }
}

/// Minute, revision, state, size, and what was lost, filled and pulled.
type Told = (i64, i64, String, Option<f64>, [Option<f64>; 3]);

fn walls(rows: &[Version]) -> Vec<Told> {
    let numbers = |row: &Version| ["lost", "filled_at_most", "pulled_at_least"].map(|column| float(row, column));
    rows.iter()
        .map(|row| {
            let minute = (int(row, "ts") - TEN) / MINUTE;
            (minute, int(row, "revision"), text(row, "state"), float(row, "size"), numbers(row))
        })
        .collect()
}

fn wall(minute: i64, state: &str, size: f64, of: [Option<f64>; 3]) -> Told {
    (minute, 0, state.into(), Some(size), of)
}

#[test]
fn walls_stand_until_less_than_half_is_left() {
    let mut log = Log::new("bybit", "linear");
    log.trades(0..6);
    log.even(TEN - SECOND, 1);
    let at = |minute: i64| TEN + minute * MINUTE + 30 * SECOND;
    log.bid(at(0), 2, 995, 50);
    log.bid(at(1), 3, 995, 60);
    // Half is left, of which nobody sold; then less, most of it sold.
    log.bid(at(3), 4, 995, 30);
    log.bid(at(4), 5, 995, 4);
    log.sale(at(4), at(4), 995, 20);
    log.events.sort_by_key(|event| event.ts_recv);
    let rows = log.same(&BOOK_WALLS);
    let expected = [
        wall(0, "new", 50.0, [None; 3]),
        wall(1, "standing", 60.0, [Some(0.0), Some(0.0), Some(0.0)]),
        // Without a book event.
        wall(2, "standing", 60.0, [Some(0.0), Some(0.0), Some(0.0)]),
        wall(3, "standing", 30.0, [Some(30.0), Some(0.0), Some(30.0)]),
        wall(4, "filled", 4.0, [Some(26.0), Some(20.0), Some(6.0)]),
    ];
    assert_eq!(walls(&rows), expected);
    let third = &rows[2];
    let numbers = ["price", "largest", "age", "times_median", "distance_bps", "wall"];
    let expected = [99.5, 60.0, 120.0, 6.0, 50.0, 0.0].map(Some);
    assert_eq!((text(third, "side").as_str(), numbers.map(|column| float(third, column))), ("bid", expected));
    assert_eq!(int(third, "since"), TEN + MINUTE);
}

#[test]
fn a_late_sale_tells_that_a_wall_was_filled() {
    let mut log = Log::new("bybit", "linear");
    log.trades(0..4);
    log.even(TEN - SECOND, 1);
    log.bid(TEN + SECOND, 2, 995, 50);
    log.bid(TEN + 90 * SECOND, 3, 995, 0);
    log.sale(TEN + 90 * SECOND, TEN + 150 * SECOND, 995, 45);
    let versions: Vec<Told> = walls(&log.same(&BOOK_WALLS)).into_iter().filter(|(minute, ..)| *minute == 1).collect();
    let first = (1, 0, "pulled".to_string(), Some(0.0), [Some(50.0), Some(0.0), Some(50.0)]);
    let then = (1, 1, "filled".to_string(), Some(0.0), [Some(50.0), Some(45.0), Some(5.0)]);
    assert_eq!(versions, [first, then]);
}

#[test]
fn nothing_is_said_of_walls_where_the_book_is_not_at_hand() {
    let mut log = Log::new("bybit", "linear");
    log.trades(0..5);
    log.even(TEN - SECOND, 1);
    log.bid(TEN + SECOND, 2, 995, 50);
    // A number is missing over the end of the second minute.
    log.bid(TEN + 100 * SECOND, 9, 995, 50);
    log.even(TEN + 150 * SECOND, 20);
    log.bid(TEN + 151 * SECOND, 21, 995, 50);
    let told: Vec<(i64, String)> =
        walls(&log.same(&BOOK_WALLS)).into_iter().map(|(minute, _, state, ..)| (minute, state)).collect();
    let expected = [(0, "new"), (2, "new"), (3, "standing"), (4, "standing")];
    assert_eq!(told, expected.map(|(minute, state)| (minute, state.to_string())));
}

#[test]
fn heat_is_told_as_far_as_the_book_is_and_empty_buckets_too() {
    let mut log = Log::new("bybit", "linear");
    log.trades(0..1);
    let [bids, asks] = levels();
    // Of bids the venue tells fifty at most and has twelve: the side is whole. Asks are as many as it tells.
    let many: Vec<(i64, i64)> = asks.iter().copied().take(11).chain((12..=50).map(|n| (1_000 + n, 10))).collect();
    log.book(TEN - SECOND, TEN - SECOND, 1, true, &bids, &many[..50]);
    let rows = log.same(&BOOK_HEAT);
    let of = |side: &str| -> Vec<(i64, f64, f64, i64)> {
        let own = rows.iter().filter(|row| text(row, "side") == side);
        own.map(|row| {
            (int(row, "bucket"), float(row, "price_from").unwrap(), float(row, "size").unwrap(), int(row, "n_levels"))
        })
        .collect()
    };
    let bids = of("bid");
    // From 100 down to 99.00: 21 buckets, of which every other has a price, up to 98.80 and not beyond 1 %.
    assert_eq!(bids.len(), 21);
    assert_eq!(bids[20], (-1, 100.0, 0.0, 0));
    assert_eq!((bids[18], bids[19]), ((-3, 99.9, 10.0, 1), (-2, 99.95, 0.0, 0)));
    assert_eq!(bids[0], (-21, 99.0, 10.0, 1));
    let asks = of("ask");
    assert_eq!((asks[0], asks[2], asks.len()), ((1, 100.0, 0.0, 0), (3, 100.1, 10.0, 1), 21));

    // Three asks are all that is told of more: buckets up to 100.3.
    let mut log = Log::new("bybit", "linear");
    log.trades(0..1);
    log.push_book_of_depth(3);
    let rows = log.same(&BOOK_HEAT);
    let last = rows.iter().filter(|row| text(row, "side") == "ask").map(|row| float(row, "price_to").unwrap());
    assert_eq!(last.fold(0.0, f64::max), 100.3);
}

impl Log {
    /// Three levels of each side, of a venue that tells so many.
    fn push_book_of_depth(&mut self, depth: u32) {
        let levels = levels().map(|side| {
            let (prices, sizes) = side.into_iter().take(3).unzip();
            Some(Levels { prices, sizes, price_decimals: 1, size_decimals: 0 })
        });
        let [bids, asks] = levels;
        let book = Book { snapshot: true, bids, asks, update_id: Some(1), depth: Some(depth), ..Book::default() };
        self.push(TEN - SECOND, TEN - SECOND, Body::Book(book));
    }
}

//! Runs that go on over a log whose beginning retention has removed.

use std::{collections::BTreeSet, time::SystemTime};

use prism_log::{Options, SegmentLog, SyncPolicy};
use prism_schemas::{
    event::{LongShortRatio, RiskLimit, risk_limit::Tier},
    store::RowStore,
    table::{FEED_STATUS, OPEN_INTEREST, QUARANTINE, TABLES},
};

use super::*;
use crate::runs;

/// Little enough to be still corrected that a few minutes are more than all of it.
const SHORT: &str = "[time]\nhorizon = \"10s\"";
/// How often the writer says again that it is connected, in seconds.
const AGAIN: i64 = 60;

/// Two instruments in one life of a writer, which says again now and then that they are connected.
struct Market {
    writer: LogWriter,
    log: Arc<dyn Log>,
    ids: [InstrumentId; 2],
    random: u64,
    prices: [i64; 2],
    next: u64,
}

impl Market {
    fn new(log: Arc<dyn Log>, from: i64) -> Market {
        let ids =
            ["BTCUSDT", "ETHUSDT"].map(|symbol| InstrumentId::new("bybit", prism_schemas::Market::Linear, symbol));
        let writer = LogWriter::new(log.clone()).in_session("one life".into());
        Market {
            writer,
            log,
            ids,
            random: 88_172_645_463_325_252 + from as u64,
            prices: [100_000; 2],
            next: from as u64 * 100 + 1,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn push(&mut self, at: usize, ts_event: Ts, ts_recv: Ts, body: Body) {
        let event = Event { ts_event, ts_recv, seq: None, index: 0, body: Some(body) };
        self.writer.push(&self.ids[at], event).unwrap();
    }

    fn trade(&mut self, at: usize, ts_event: Ts, ts_recv: Ts) {
        self.prices[at] += self.random(201) as i64 - 100;
        let side = if self.random(2) == 0 { Side::Buy } else { Side::Sell };
        let trade = Trade {
            id: Some(Id::Number(self.next)),
            price: Some(Decimal::new(self.prices[at], 2)),
            size: Some(Decimal::new(1 + self.random(999) as i64, 3)),
            side: side.into(),
            ..Trade::default()
        };
        self.next += 1;
        self.push(at, ts_event, ts_recv, Body::Trade(trade));
    }

    /// What is open and, now and then, who is forced out.
    fn positions(&mut self, at: usize, ts_event: Ts, ts_recv: Ts) {
        let number = |mantissa: u64| Some(Decimal::new(mantissa as i64, 5));
        let open_interest = number(100_000 + self.random(2_000));
        let ticker = Ticker { open_interest, funding_rate: number(self.random(9)), ..Ticker::default() };
        self.push(at, ts_event, ts_recv, Body::Ticker(ticker.into()));
        if self.random(8) == 0 {
            let (price, size) = (Some(Decimal::new(self.prices[at], 2)), number(1 + self.random(900)));
            let side = Side::Sell.into();
            self.push(
                at,
                ts_event,
                ts_recv,
                Body::Liquidation(Liquidation { side, price, size, ..Liquidation::default() }),
            );
        }
    }

    /// Who is long, and now and then what margins are asked for.
    fn holders(&mut self, at: usize, ts_event: Ts, ts_recv: Ts) {
        let number = |mantissa: u64| Some(Decimal::new(mantissa as i64, 2));
        let body = match self.random(9) {
            0 => {
                let (kind, long) = ("account".into(), number(30 + self.random(40)));
                Body::LongShortRatio(LongShortRatio { kind, long, short: number(50), ..LongShortRatio::default() })
            }
            1 => {
                let [leverage_max, initial_margin, maintenance_margin] = [100 + self.random(900), 5, 2].map(number);
                let tier = Tier { limit: None, leverage_max, maintenance_margin, initial_margin };
                Body::RiskLimit(RiskLimit { tiers: vec![tier] })
            }
            _ => return,
        };
        self.push(at, ts_event, ts_recv, body);
    }

    /// Seconds `from` to `to` of trades and positions; every 20th comes seven seconds late.
    fn seconds(&mut self, from: i64, to: i64) {
        for second in from..to {
            let ts = START + second * SECOND;
            for at in 0..2 {
                if (second - from) % AGAIN == 0 {
                    let status = FeedStatus { status: Feed::Connected.into(), ..FeedStatus::default() };
                    self.push(at, ts, ts, Body::FeedStatus(status));
                }
                for n in 0..self.random(3) as i64 {
                    let ts = ts + (100 + 300 * n) * MILLISECOND;
                    self.trade(at, ts, ts);
                }
                self.positions(at, ts + 50 * MILLISECOND, ts + 60 * MILLISECOND);
                self.holders(at, ts + 50 * MILLISECOND, ts + 60 * MILLISECOND);
                if self.random(20) == 0 {
                    self.positions(at, ts - 7 * SECOND, ts + 900 * MILLISECOND);
                    self.trade(at, ts - 7 * SECOND, ts + 900 * MILLISECOND);
                }
            }
            for topic in TOPICS {
                for partition in 0..self.log.partitions(topic) {
                    self.writer.heartbeat(topic, partition, ts + SECOND, "").unwrap();
                }
            }
        }
        self.writer.flush().unwrap();
    }
}

fn start(now: i64) -> Start {
    Start { over: SHORT, now: START + now * SECOND, ..Start::default() }
}

/// Runs a pipeline until everything up to that second is kept.
fn run_to(log: &impl Shared, store: &MemoryStore, second: i64) -> Running {
    let running = start(second).over(log, store).unwrap();
    running.stored(START + second * SECOND);
    running
}

/// Rows of the tables that are computed, as text, by table and key.
fn derived(store: &MemoryStore) -> BTreeMap<String, String> {
    let rows = TABLES.iter().filter(|table| table.derived).flat_map(|table| store.rows(table));
    rows.map(|row| (format!("{} {}", row.table.name, row.key()), format!("{:?}", row.cells))).collect()
}

/// What differs, by table and key.
fn differing(one: &MemoryStore, other: &MemoryStore) -> BTreeSet<String> {
    let (one, other) = (derived(one), derived(other));
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    keys.into_iter().filter(|key| one.get(*key) != other.get(*key)).cloned().collect()
}

/// What was told of the cut.
fn told(store: &MemoryStore) -> Vec<String> {
    let of = |row: &Version| match (row.get("rule"), row.get("detail")) {
        (Some(Cell::Text(rule)), Some(Cell::Text(detail))) if &**rule == "log_cut" => Some(detail.to_string()),
        _ => None,
    };
    store.rows(&QUARANTINE).iter().filter_map(of).collect()
}

fn begins(row: &Version) -> Ts {
    let Some(Cell::Ts(ts)) = row.get("ts") else { panic!("{row:?}") };
    *ts
}

/// The same log and run twice: one is never stopped, the other goes on after `cut`.
fn twice(until: i64, cut: impl Fn(&MemoryLog), to: i64) -> (MemoryStore, MemoryStore, MemoryLog) {
    let log = MemoryLog::default();
    Market::new(Arc::new(log.clone()), 0).seconds(0, until);
    let store = MemoryStore::new("live");
    run_to(&log, &store, until).end().unwrap();
    Market::new(Arc::new(log.clone()), until).seconds(until, to);
    let whole = MemoryStore::new("live");
    run_to(&log.copy(), &whole, to).end().unwrap();
    cut(&log);
    run_to(&log, &store, to).end().unwrap();
    (whole, store, log)
}

#[test]
fn a_log_as_long_as_its_state_reaches_gives_every_row_bit_for_bit() {
    let reach = crate::reach(&settings(SHORT)) / SECOND;
    assert_eq!(reach, 741);
    // So that bars before the cut matter to indicators, and the longest bars straddle it.
    let (until, to) = (1_530, 1_700);
    let (whole, store, log) = twice(until, |log| log.cut(START + (until - reach - 2) * SECOND), to);
    assert!(0 < log.start(Topic::Trades, 0).unwrap() && 500 < derived(&whole).len());
    assert_eq!(differing(&whole, &store), BTreeSet::new());
    let said = told(&store);
    assert!(matches!(&said[..], [one] if one.contains("come from the store") && !one.contains("partial")), "{said:?}");
    let from = store.rows(&RUNS)[0].get("rebuilt_from").cloned();
    assert!(
        matches!(from, Some(Cell::Ts(from)) if (until - reach - 2..until - reach + 1).contains(&((from - START) / SECOND))),
        "{from:?}"
    );
    assert_eq!(whole.rows(&RUNS)[0].get("rebuilt_from"), Some(&Cell::Null));
}

#[test]
fn segments_that_retention_removed_between_two_lives_change_no_row() {
    let dir = tempfile::tempdir().unwrap();
    let options = |retention| Options {
        partitions: 2,
        segment_bytes: 10_000,
        sync: SyncPolicy::Never,
        retention,
        retention_bytes: 0,
    };
    let open = |retention| Arc::new(SegmentLog::open_with(dir.path(), options(retention)).unwrap());
    let (stop, to) = (1_530, 1_700);
    let (store, whole) = (MemoryStore::new("live"), MemoryStore::new("live"));
    let log = open(0);
    Market::new(log.clone(), 0).seconds(0, stop);
    run_to(&log, &store, stop).end().unwrap();
    Market::new(log.clone(), stop).seconds(stop, to);
    run_to(&log, &whole, to).end().unwrap();
    drop(log);
    // Each segment is as old as what was received last into it.
    #[expect(clippy::disallowed_methods, reason = "an open log trims itself by this time too")]
    let now = SystemTime::now();
    for topic in TOPICS {
        for partition in 0..2 {
            let folder = dir.path().join(format!("{}/{partition}", topic.name()));
            let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
            files.sort();
            for (at, file) in files.iter().enumerate() {
                let age = Duration::from_secs((to as u64) * (files.len() - 1 - at) as u64 / files.len() as u64);
                std::fs::File::options().append(true).open(file).unwrap().set_modified(now - age).unwrap();
            }
        }
    }
    let log = open(1_000 * SECOND);
    log.trim(now).unwrap();
    assert!((0..2).all(|partition| 0 < log.start(Topic::Trades, partition).unwrap()));
    let running = Start { workers: 2, ..start(to) }.over(&log, &store).unwrap();
    running.stored(START + to * SECOND);
    running.end().unwrap();
    assert_eq!(differing(&whole, &store), BTreeSet::new());
    assert_eq!(told(&store).len(), 1);
}

#[test]
fn without_what_the_store_holds_rows_would_differ() {
    let (until, to) = (1_530, 1_700);
    let (whole, _, log) = twice(until, |log| log.cut(START + 776 * SECOND), to);
    let fresh = MemoryStore::new("live");
    run_to(&log, &fresh, to).end().unwrap();
    let differ = differing(&whole, &fresh);
    let late = |table: &str| differ.iter().filter(|key| key.starts_with(table)).count();
    assert!(100 < late("indicators") && 100 < late("bars"), "{}", differ.len());
}

#[test]
fn a_shorter_log_leaves_stored_rows_as_they_are_and_tells_what_it_could_not_correct() {
    let (until, to) = (700, 900);
    // Bars of a minute that are open then began after what is left says that all is connected.
    let cut = START + 655 * SECOND;
    let log = MemoryLog::default();
    Market::new(Arc::new(log.clone()), 0).seconds(0, until);
    let store = MemoryStore::new("live");
    run_to(&log, &store, until).end().unwrap();
    let before = derived(&store);
    let frontier = frontier(&store);
    let mut market = Market::new(Arc::new(log.clone()), until);
    let ts = START + until * SECOND;
    market.trade(0, ts - 7 * SECOND, ts + 900 * MILLISECOND);
    market.seconds(until, to);
    let whole = MemoryStore::new("live");
    run_to(&log.copy(), &whole, to).end().unwrap();
    log.cut(cut);
    run_to(&log, &store, to).end().unwrap();
    let after = derived(&store);
    for row in TABLES.iter().filter(|table| table.derived).flat_map(|table| store.rows(table)) {
        let key = format!("{} {}", row.table.name, row.key());
        if let (Some(had), true) = (before.get(&key), row.table == &BARS) {
            assert_eq!(after.get(&key), Some(had), "a stored bar is not made again");
        } else if row.table == &BARS {
            assert!(frontier <= known_at(&row));
        }
    }
    let bar = |store: &MemoryStore, timeframe: &str| -> Vec<(Ts, String)> {
        let is = |row: &&Version| row.get("timeframe") == Some(&Cell::text(timeframe)) && frontier <= begins(row);
        store.rows(&BARS).iter().filter(is).map(|row| (begins(row), format!("{:?}", row.cells))).collect()
    };
    for timeframe in ["1s", "5s", "15s", "1m"] {
        assert_eq!(bar(&store, timeframe), bar(&whole, timeframe), "{timeframe}: new bars are as they would have been");
    }
    let said = told(&store);
    assert!(said.iter().any(|said| said.contains("that takes a log of 0h13m")), "{said:?}");
    // The bars of the store that late trades would have corrected are told one by one.
    let stays = said.iter().filter(|said| said.contains("stays as it is stored")).count();
    assert!(0 < stays, "{said:?}");
    assert!(0 < differing(&whole, &store).iter().filter(|key| key.starts_with("bars")).count());
}

#[test]
fn bars_across_the_cut_are_partial_and_whole_ones_follow() {
    let (until, to) = (700, 900);
    // The open minute [660, 720) began before what is left.
    let (whole, store, _) = twice(until, |log| log.cut(START + 685 * SECOND), to);
    let minute = |store: &MemoryStore, second: i64| {
        let is =
            |row: &&Version| row.get("timeframe") == Some(&Cell::text("1m")) && begins(row) == START + second * SECOND;
        let rows: Vec<_> =
            store.rows(&BARS).iter().filter(is).map(|row| row.get("quality").cloned().unwrap()).collect();
        assert_eq!(rows.len(), 2, "{second}");
        rows
    };
    assert_eq!(minute(&store, 660), [Cell::text("partial"), Cell::text("partial")]);
    assert_eq!(minute(&whole, 660), [Cell::text("ok"), Cell::text("ok")]);
    for second in [540, 600, 720, 780] {
        assert_eq!(minute(&store, second), minute(&whole, second), "{second}");
    }
}

#[test]
fn records_that_went_before_they_were_computed_are_a_gap_and_told() {
    let (until, to) = (300, 700);
    let (_, store, log) = twice(until, |log| log.cut(START + 400 * SECOND), to);
    assert!(0 < log.start(Topic::Trades, 0).unwrap());
    let said = told(&store);
    assert!(
        matches!(&said[..], [one] if one.contains("before what was received after") && one.contains("gap or partial")),
        "{said:?}"
    );
    let of = |from: i64, to: i64| {
        let is = |row: &&Version| {
            row.get("timeframe") == Some(&Cell::text("1s"))
                && (START + from * SECOND..START + to * SECOND).contains(&begins(row))
        };
        let rows = store.rows(&BARS);
        rows.iter().filter(is).map(|row| row.get("quality").cloned().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(of(305, 395), vec![Cell::text("gap"); 180]);
    let ok = of(440, 690);
    assert!(ok.len() == 500 && ok.iter().all(|quality| *quality == Cell::text("ok")), "{ok:?}");
}

#[test]
fn other_settings_over_a_cut_log_withdraw_nothing_that_they_cannot_make() {
    let (stop, to) = (900, 1_000);
    let (_, store, log) = twice(stop, |log| log.cut(START + 250 * SECOND), to);
    let before = store.rows(&BARS);
    let over = "[time]\nhorizon = \"12s\"";
    let running = Start { over, ..start(to) }.over(&log, &store).unwrap();
    until_caught_up(&running);
    running.stored(START + to * SECOND);
    let hash = Cell::text(settings(over).hash());
    until("the run has the new settings", || store.rows(&RUNS)[0].get("config_hash") == Some(&hash));
    running.end().unwrap();
    // Ten minutes after the cut, and what trades may be ahead.
    let since = START + (250 + 610) * SECOND + 100 * MILLISECOND;
    let (old, new): (Vec<_>, Vec<_>) = store.rows(&BARS).into_iter().partition(|row| begins(row) < since);
    assert_eq!(old, before.into_iter().filter(|row| begins(row) < since).collect::<Vec<_>>());
    assert!(!new.is_empty() && new.iter().all(|row| row.get("config_hash") == Some(&hash)));
    assert!(told(&store).iter().any(|said| said.contains("the settings have changed")));
}

fn until_caught_up(running: &Running) {
    until("caught up", || running.holds("catching up").is_none());
}

#[test]
fn histories_asked_for_again_stay_known_since_they_first_were_and_a_pass_refuses() {
    let (until, to) = (100, 130);
    let log = MemoryLog::default();
    let mut market = Market::new(Arc::new(log.clone()), 0);
    let open =
        || Body::OpenInterest(prism_schemas::event::OpenInterest { size: Decimal::parse("5"), ..Default::default() });
    market.push(0, START, START, open());
    market.seconds(0, until);
    let store = MemoryStore::new("live");
    run_to(&log, &store, until).end().unwrap();
    let histories = |store: &MemoryStore| -> Vec<Version> {
        let is_history = |row: &Version| row.get("source") == Some(&Cell::text("history"));
        store.rows(&OPEN_INTEREST).into_iter().filter(is_history).collect()
    };
    let before = histories(&store);
    log.cut(START + 50 * SECOND);
    let ts = START + until * SECOND;
    market.push(0, START, ts, open());
    market.push(0, START + SECOND, ts, open());
    market.seconds(until, to);
    run_to(&log, &store, to).end().unwrap();
    let after = histories(&store);
    assert_eq!((before.len(), after.len(), &after[..1]), (1, 2, &before[..]));
    assert!(store.rows(&FEED_STATUS).len() > 2);
    let store: Box<dyn RowStore> = Box::new(store);
    let refused = runs::resume(&*store, &log, &Plan::new(settings(SHORT)).unwrap()).unwrap_err().to_string();
    assert!(refused.contains("retention removed what its rows were computed from"), "{refused}");
}

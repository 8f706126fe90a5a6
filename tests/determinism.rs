//! Equal events and settings give equal rows: whatever the workers, the stride, the batches and the order within grace.

use std::collections::{BTreeMap, BTreeSet};

use prism_schemas::{
    Cell, Timeframe, Version,
    event::{Feed, Heartbeat, Side, event::Body},
    table,
    time::{HOUR, MILLISECOND, MINUTE, SECOND},
};
use prism_store::digest::Mode;

use crate::support::{
    Arrival, How, Random, Rows, SEALED, START, Synthetic, Tape, digest, float, in_order, int, linear, prism, rows_of,
    settings, standing, status, text, ts, write_log,
};

const SEED: u64 = 20_240_305;
const MARKET: Synthetic = Synthetic { seed: SEED, hours: 7, trades: 61_300, late: 1_000, copies: 200 };
/// Roles short enough to be warm in seven hours, and thresholds that these scores cross.
pub(crate) const CONFIG: &str = "[timeframes]\nmaintained = [\"1m\", \"3m\", \"5m\", \"15m\", \"1h\", \"4h\"]\n\
    roles = [\"1m\", \"5m\", \"15m\", \"1h\"]\n[signals]\nbullish = 60.0\nbearish = 40.0\n";

fn full(arrivals: &[Arrival]) -> String {
    digest(&standing(Tape::of(arrivals, &settings(CONFIG)).replay(SEALED)), Mode::Full)
}

#[test]
fn workers_stride_and_batch_change_nothing() {
    let arrivals = MARKET.arrivals();
    let n_trades = arrivals.iter().filter(|arrival| arrival.trade().is_some() && !arrival.copy).count();
    assert!(60_000 <= n_trades, "{n_trades}");
    assert_eq!(arrivals.iter().filter(|arrival| 0 < arrival.delay).count(), 1_000);

    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    write_log(&log, &arrivals);
    let tape = Tape::read(&log, &settings(CONFIG));
    let rows = standing(tape.replay(SEALED));
    is_worth_comparing(&rows);
    let expected = digest(&rows, Mode::Full);
    let fast = [1, 2, 3].into_iter().flat_map(|workers| [1, 64, 0].map(|batch| (workers, 600, batch)));
    agree(&tape, &expected, fast.chain([(1, 10, 64), (2, 10, 1), (1, 1, 1)]));
    // At strides 1 and 10 workers wait for each other often: all mixes run on fewer trades.
    let tape = Tape::of(&small(7).arrivals(), &settings(CONFIG));
    let few = digest(&standing(tape.replay(SEALED)), Mode::Full);
    let each =
        |workers| [1, 10, 600].into_iter().flat_map(move |stride| [1, 64, 0].map(|batch| (workers, stride, batch)));
    agree(&tape, &few, [1, 2, 3].into_iter().flat_map(each));

    // The program says the same, with instruments numbered by whoever comes first and a store between.
    let config = dir.path().join("prism.toml");
    std::fs::write(&config, CONFIG).unwrap();
    for (workers, stride, batch) in [("1", "600", "0"), ("3", "10", "64")] {
        let store = dir.path().join(format!("store-{workers}"));
        let [log, store, config] = [&log, &store, &config].map(|path| path.to_str().unwrap());
        let said = prism([
            "replay",
            "--log",
            log,
            "--store",
            store,
            "--config",
            config,
            "--seal",
            "--digest",
            "--workers",
            workers,
            "--stride",
            stride,
            "--batch",
            batch,
        ]);
        assert_eq!(said.fine(), expected, "SEED={SEED} workers {workers} stride {stride} batch {batch}");
    }
}

/// Replays with these workers, strides and batches give this digest.
fn agree(tape: &Tape, expected: &str, mixes: impl IntoIterator<Item = (usize, u64, usize)>) {
    for (workers, stride, batch) in mixes {
        let how = How { workers, stride, batch, seal: true };
        let got = digest(&standing(tape.replay(how)), Mode::Full);
        assert_eq!(got, expected, "SEED={SEED} {how:?}");
    }
}

/// The log holds what the comparison is about.
fn is_worth_comparing(rows: &Rows) {
    let count = |table, of: fn(&Version) -> bool| rows_of(rows, table).filter(|row| of(row)).count();
    let revised = |row: &Version| 0 < int(row, "revision");
    for (what, n, least) in [
        ("confluence rows", count(&table::CONFLUENCE, |_| true), 2_500),
        ("complete ones", count(&table::CONFLUENCE, |row| 0.7 < float(row, "coverage").unwrap()), 500),
        ("books", count(&table::BOOK_FEATURES, |row| text(row, "quality") == "ok"), 800),
        ("order flow", count(&table::ORDER_FLOW, |_| true), 3_000),
        ("revised order flow", count(&table::ORDER_FLOW, revised), 100),
        (
            "open interest",
            count(&table::OPEN_INTEREST_ANALYSIS, |row| matches!(row.get("regime"), Some(Cell::Text(_)))),
            1_000,
        ),
        ("revised open interest", count(&table::OPEN_INTEREST_ANALYSIS, revised), 100),
        ("cascades", count(&table::LIQUIDATION_ANALYSIS, |row| text(row, "cascade") == "cascade"), 10),
        ("revised liquidations", count(&table::LIQUIDATION_ANALYSIS, revised), 5),
        ("suspect books", count(&table::BOOK_FEATURES, |row| text(row, "quality") == "suspect"), 10),
        ("signals", count(&table::SIGNALS, |_| true), 20),
        ("relations", count(&table::RELATIONS, |_| true), 1_500),
        ("revised bars", count(&table::BARS, revised), 300),
        ("revised confluence rows", count(&table::CONFLUENCE, revised), 1_000),
        ("gap bars", count(&table::BARS, |row| text(row, "quality") == "gap"), 30),
        ("venue bars", count(&table::BARS, |row| text(row, "source") == "venue"), 200),
        ("flat bars", count(&table::BARS, |row| row.get("n_trades") == Some(&0i64.into())), 100),
        ("inverse bars", count(&table::BARS, |row| text(row, "market") == "inverse"), 500),
        ("late events", count(&table::LATE_EVENTS, |_| true), 280),
        ("duplicates", count(&table::QUARANTINE, |row| text(row, "rule") == "duplicate"), 200),
    ] {
        assert!(least <= n, "SEED={SEED} {what}: {n} < {least}");
    }
}

/// A smaller market of the same kind.
fn small(seed: u64) -> Synthetic {
    Synthetic { seed, hours: 4, trades: 12_000, late: 150, copies: 60 }
}

/// Two processes feed the log; the first is killed after two hours and starts again ten minutes later. Heartbeats name the
/// sessions, or else the end of the first one is told.
fn killed(told: bool) -> (Vec<Arrival>, i64, i64) {
    let of_second = ["BTCUSDT", "XRPUSDT"];
    let every = 500 * MILLISECOND;
    let (died, again) = (START + 2 * HOUR + 300 * MILLISECOND, START + 2 * HOUR + 10 * MINUTE);
    let mut all = small(8).arrivals();
    let is_lost =
        |arrival: &Arrival| !of_second.contains(&&*arrival.id.symbol) && (died..again).contains(&arrival.event.ts_recv);
    all.retain(|arrival| !is_lost(arrival));
    let of_first: BTreeSet<_> =
        all.iter().map(|arrival| &arrival.id).filter(|id| !of_second.contains(&&*id.symbol)).cloned().collect();
    all.extend(of_first.iter().map(|id| status(id, again, Feed::Connected)));
    // Copies of trades come up to two minutes after the market's end.
    let end = START + 4 * HOUR + 5 * MINUTE;
    if told {
        // What was on its way when a process ended does not come.
        let grace = 250 * MILLISECOND;
        let last = died - (died - START) % every - grace;
        all.extend(of_first.iter().map(|id| status(id, last, Feed::Disconnected)));
        // Sealing goes on to the ends of bars that nobody saw the whole of.
        let ids: BTreeSet<_> = all.iter().map(|arrival| arrival.id.clone()).collect();
        all.extend(ids.iter().map(|id| status(id, end - every - grace, Feed::Disconnected)));
    } else {
        for arrival in &mut all {
            let Some(Body::FeedStatus(status)) = &mut arrival.event.body else { continue };
            let is_second = of_second.contains(&&*arrival.id.symbol);
            let first = if arrival.event.ts_recv < again { "first" } else { "again" };
            status.session = if is_second { "second" } else { first }.into();
        }
    }
    for (session, from, to) in [("first", START, died), ("second", START, end), ("again", again, end)] {
        all.extend((from..to).step_by(every as usize).map(|ts| {
            let session = if told { String::new() } else { session.into() };
            Arrival::new(&linear("BTCUSDT"), ts, ts, Body::Heartbeat(Heartbeat { session, ..Heartbeat::default() }))
        }));
    }
    in_order(&mut all);
    (all, died, again)
}

#[test]
fn a_killed_process_leaves_the_rows_of_one_that_told_its_end() {
    let config = settings(CONFIG);
    let (all, died, again) = killed(false);
    let tape = Tape::of(&all, &config);
    let rows = standing(tape.replay(SEALED));
    let expected = digest(&rows, Mode::Full);
    agree(&tape, &expected, [(1, 10, 1), (2, 10, 64), (3, 600, 0), (2, 1, 0)]);
    let told = standing(Tape::of(&killed(true).0, &config).replay(SEALED));
    assert_eq!(digest(&rows, Mode::Values), digest(&told, Mode::Values));
    // Nothing of the outage is ok, and what is computed from bars does not go on.
    let of_outage = |table, symbol: &'static str| {
        rows_of(&rows, table).filter(move |row| {
            text(row, "symbol") == symbol
                && text(row, "timeframe") == "1m"
                && died < ts(row, "ts_close")
                && ts(row, "ts") < again
        })
    };
    for symbol in ["ETHUSDT", "DOGEUSDT", "ADAUSDT", "BTCUSD"] {
        let qualities: Vec<&str> = of_outage(&table::BARS, symbol).map(|row| text(row, "quality")).collect();
        assert_eq!(qualities.len(), 10, "{symbol}");
        assert!(qualities[1..].iter().all(|quality| *quality == "gap"), "{symbol} {qualities:?}");
        assert_eq!(of_outage(&table::INDICATORS, symbol).filter(|row| died < ts(row, "ts")).count(), 0, "{symbol}");
    }
    assert!(of_outage(&table::BARS, "BTCUSDT").all(|row| text(row, "quality") == "ok"));
}

#[test]
fn arrivals_within_grace_may_come_in_any_order() {
    let config = settings(CONFIG);
    for seed in [1, 2, 3] {
        let arrivals = small(seed).arrivals();
        let expected = full(&arrivals);
        let mut random = Random(seed);
        let mut permuted = arrivals.clone();
        let punctual = |arrival: &&mut Arrival| arrival.trade().is_some() && arrival.delay == 0 && !arrival.copy;
        for arrival in permuted.iter_mut().filter(punctual) {
            let event = &mut arrival.event;
            let close = config.time.close(Timeframe::M1.end(Timeframe::M1.start(event.ts_event)));
            let earliest = event.ts_event - 2 * SECOND;
            event.ts_recv = earliest + random.below((close - earliest) / MILLISECOND + 1) * MILLISECOND;
        }
        in_order(&mut permuted);
        let order = |arrivals: &[Arrival]| arrivals.iter().map(|a| (a.event.ts_event, a.event.seq)).collect::<Vec<_>>();
        assert_ne!(order(&arrivals), order(&permuted));
        assert_eq!(full(&permuted), expected, "SEED={seed}");
    }
}

#[test]
fn any_changed_trade_changes_the_digest() {
    let arrivals = Synthetic { seed: 4, hours: 1, trades: 3_000, late: 0, copies: 0 }.arrivals();
    let expected = full(&arrivals);
    let mut random = Random(5);
    type Change = (&'static str, fn(&mut Vec<Arrival>, usize));
    let changes: [Change; 4] = [
        ("price", |arrivals, at| arrivals[at].trade_mut().price.as_mut().unwrap().mantissa += 1),
        ("size", |arrivals, at| arrivals[at].trade_mut().size.as_mut().unwrap().mantissa += 1),
        ("side", |arrivals, at| {
            let trade = arrivals[at].trade_mut();
            trade.set_side(if trade.side() == Side::Buy { Side::Sell } else { Side::Buy });
        }),
        ("existence", |arrivals, at| drop(arrivals.remove(at))),
    ];
    for (what, change) in changes {
        for _ in 0..5 {
            let mut changed = arrivals.clone();
            let at = loop {
                let at = random.below(arrivals.len() as i64) as usize;
                if arrivals[at].trade().is_some() {
                    break at;
                }
            };
            change(&mut changed, at);
            assert_ne!(full(&changed), expected, "the {what} of {:?} does not count", arrivals[at]);
        }
    }
}

#[test]
fn a_prefix_of_the_log_gives_the_rows_known_by_its_end() {
    let config = settings(CONFIG);
    let arrivals = small(6).arrivals();
    let whole = Tape::of(&arrivals, &config).replay(SEALED);
    for part in [3, 5, 7] {
        let prefix = Tape::of(&arrivals[..arrivals.len() * part / 10], &config);
        let newest = prefix.newest as i64;
        let versions = prefix.replay(How { seal: false, ..SEALED });
        for row in versions.iter().filter(|row| row.table.derived) {
            assert!(ts(row, "known_at") <= newest, "{row:?} is not known by {newest}");
            assert!(config.time.close(ts(row, "ts_close")) <= newest, "{row:?} is not closed by {newest}");
        }
        let known = whole.iter().filter(|row| ts(row, "known_at") <= newest).cloned().collect();
        let (got, expected) = (standing(versions), standing(known));
        assert_eq!(digest(&got, Mode::Full), digest(&expected, Mode::Full), "{part}0 %");
        assert_eq!(got.len(), expected.len(), "{part}0 %");
        let btc = linear("BTCUSDT");
        assert!(rows_of(&got, &table::BARS).any(|row| text(row, "symbol") == btc.symbol));
    }
}

/// Of no table has a row a version known before a time that the log up to then does not give: nothing looks ahead, and nothing
/// is drawn anew.
#[test]
fn what_comes_later_changes_nothing_that_was_known() {
    const OPEN: How = How { seal: false, ..SEALED };
    let tape = Tape::of(&small(11).arrivals(), &settings(CONFIG));
    let before = |cut: i64, versions: &[Version]| -> BTreeMap<(&str, String, i64, i64), Version> {
        let known = versions.iter().filter(|row| row.table.derived && ts(row, "known_at") < cut);
        known.map(|row| ((row.table.name, row.key(), ts(row, "known_at"), int(row, "revision")), row.clone())).collect()
    };
    let (all, mut random) = (tape.replay(OPEN), Random(SEED));
    let mut tables = BTreeSet::new();
    for _ in 0..5 {
        let cut = (START + HOUR + random.below(3 * HOUR)) / SECOND * SECOND;
        let (whole, cut_off) = (before(cut, &all), before(cut, &tape.until(cut as u64).replay(OPEN)));
        let differs = whole.iter().find(|(key, row)| cut_off.get(key) != Some(row));
        assert_eq!(differs, None, "not known at {cut} without what came later");
        assert_eq!(whole.len(), cut_off.len(), "{cut}");
        tables.extend(whole.keys().map(|(table, ..)| *table));
    }
    for table in table::TABLES.iter().filter(|table| table.derived && table.key.contains(&"symbol")) {
        assert!(tables.contains(table.name), "no row of {} was looked at", table.name);
    }
}

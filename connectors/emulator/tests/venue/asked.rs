//! What is asked for by request: histories, and snapshots for users.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use prism_emulator::Faults;
use prism_schemas::Timeframe;
use prism_schemas::event::event::Body;
use prism_sources::synthetic::SYMBOLS;
use prism_venue::{Class, Options, Snapshots};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_venues_only_tell_when_asked_is_asked_for() {
    each(
        [("bybit-linear", 1, true), ("binance-linear", 4, false), ("binance-spot", 0, false), ("bybit-spot", 0, false)],
        async |(face, ratios, has_tiers)| {
            let following = Following::start(face, SYMBOLS, Faults::default(), 1, |options| {
                options.top = 3;
                options.poll = Duration::from_millis(400);
            })
            .await;
            // The past as far as venues tell it, at first.
            let wanted = if ratios == 0 { 0 } else { 3 * 200 };
            let interest = |body: &Body| matches!(body, Body::OpenInterest(open) if open.size.is_some());
            let funding = |body: &Body| matches!(body, Body::FundingRate(funding) if funding.rate.is_some());
            let ratio = |body: &Body| matches!(body, Body::LongShortRatio(r) if r.long.is_some() && r.short.is_some());
            let is_polled = |f: &Following| {
                [f.count(interest), f.count(funding), f.count(ratio)] >= [wanted, wanted, wanted * ratios]
            };
            following.until("all of them", is_polled).await;
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            // What is known is no event; a new interval may have begun.
            assert_eq!(following.count(funding), wanted, "{face}");
            assert!(
                following.count(ratio) <= (wanted + 3) * ratios && following.count(interest) <= wanted + 3,
                "{face}"
            );
            let is_past = |body: &Option<Body>| matches!(body, Some(Body::OpenInterest(_) | Body::LongShortRatio(_)));
            let mut past = BTreeSet::new();
            for (id, event) in following.events.lock().unwrap().iter().filter(|(_, event)| is_past(&event.body)) {
                let of = match &event.body {
                    Some(Body::LongShortRatio(ratio)) => ratio.kind.clone(),
                    _ => "open interest".into(),
                };
                assert!(past.insert((id.clone(), of, event.ts_event)), "{face}: twice {id:?} {event:?}");
            }
            let tiers = |body: &Body| match body {
                Body::RiskLimit(limit) => {
                    limit.tiers.first().and_then(|tier| tier.maintenance_margin).map(|m| m.to_f64())
                }
                _ => None,
            };
            // Of each instrument, and again every other round.
            let n_tiers = following.count(|body| tiers(body) == Some(0.005));
            assert!(if has_tiers { 3 <= n_tiers } else { n_tiers == 0 }, "{face}: {n_tiers}");
            following.end().await;
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_names_what_is_missing_and_what_stands_in_for_it() {
    each(followed(), async |face| {
        // Kraken has few requests to give: its half a minute goes by in three seconds.
        let clock = clock(10);
        let emulator = emulator(SYMBOLS, Faults::default(), &clock).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let options = Options {
            timeframes: vec![Timeframe::M1, Timeframe::M5, Timeframe::M30, Timeframe::H4],
            speed: 10,
            ..Options::at(&emulator.url(face))
        };
        let snapshots = Arc::new(Snapshots::new(maker(face), &options, clock).unwrap());
        let whole = snapshots.take("btc/usdt").await;
        assert_eq!((&*whole.symbol, &whole.missing[..], whole.atomic), ("BTCUSDT", &[][..], true), "{face}");
        let names: Vec<&str> = whole.components.iter().map(|one| &*one.name).collect();
        let expected = if face.ends_with("spot") { 7 } else { 10 };
        assert!(
            expected <= names.len() && names.contains(&"klines_30m") && names.contains(&"book"),
            "{face}: {names:?}"
        );
        let book = whole.components.iter().find(|one| one.name == "book").unwrap();
        // 26 and a few that rest beyond them, less what takers took.
        let n_bids = book.data["bids"].as_array().unwrap().len();
        assert!((20..=30).contains(&n_bids), "{face}: {n_bids}");
        assert!(whole.quota.left < whole.quota.weight && whole.quota.success_rate == 1.0, "{:?}", whole.quota);
        // Who asks for the same meanwhile gets the same.
        let before = emulator.asked().requests;
        let (first, second) = tokio::join!(snapshots.take("BTCUSDT"), snapshots.take("btc-usdt"));
        assert_eq!(first.ts, second.ts);
        assert_eq!(emulator.asked().requests - before, first.components.len() as u64, "{face}");
        // A symbol that nobody has: everything is missing for that one reason, and not asked for again.
        let none = snapshots.take("NOSUCHUSDT").await;
        let (exchange, market) = face.split_once('-').unwrap();
        let expected = format!("no such symbol NOSUCHUSDT at {exchange} {market}");
        assert_eq!((none.missing.len(), none.failure()), (none.components.len(), Some(expected)), "{face}: {none:?}");
        assert!(none.components.iter().any(|one| one.retries == 0), "{face}: {none:?}");
    })
    .await;
}

/// What users may spend is a tenth, told as such; the feeds' budget is not theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_who_ask_too_much_are_told_so_and_the_venue_is_not_asked() {
    let emulator = emulator(SYMBOLS, Faults::default(), &clock(1)).await;
    let options = Options { timeframes: vec![Timeframe::M1], ..Options::at(&emulator.url("binance-linear")) };
    let snapshots = Arc::new(Snapshots::new(maker("binance-linear"), &options, clock(1)).unwrap());
    let mut quota = None;
    for symbol in SYMBOLS {
        let snapshot = snapshots.take(symbol.name).await;
        quota = Some(snapshot.quota);
        if snapshot.missing.is_empty() {
            continue;
        }
        let quota = quota.unwrap();
        assert!(2_400 * 80 / 100 - 240 <= quota.left && !quota.open, "{quota:?}");
        let errors = snapshot.components.iter().filter_map(|one| one.error.as_ref());
        assert!(errors.clone().all(|error| error.class == Class::RateLimit), "{snapshot:?}");
        assert!(errors.clone().all(|error| error.detail.contains("(240 of weight within 60 s)")), "{snapshot:?}");
        assert!(snapshot.duration_ms < 5_000.0);
        return;
    }
    panic!("nobody is limited: {quota:?}");
}

/// Without a venue: host and cause, soon, and no word of limits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_without_a_network_names_host_and_cause() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let options = Options { timeframes: vec![Timeframe::M1], ..Options::at(&format!("http://{address}")) };
    let snapshots = Arc::new(Snapshots::new(maker("bybit-linear"), &options, clock(1)).unwrap());
    let snapshot = snapshots.take("BTCUSDT").await;
    let failure = snapshot.failure().unwrap();
    assert!(failure.starts_with(&format!("no connection to {address}: Connection refused")), "{failure}");
    let classes = || snapshot.components.iter().filter_map(|one| one.error.as_ref()).map(|error| error.class);
    assert!(classes().all(|class| class == Class::Refused) && snapshot.duration_ms < 4_500.0, "{snapshot:?}");
    let error = prism_venue::reach(&maker("bybit-linear"), &options, &clock(1)).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("no connection to {address}: Connection refused")), "{error}");
}

//! A venue that refuses or fails.

use std::sync::Arc;
use std::time::Duration;

use prism_emulator::Faults;
use prism_exchange::Ask;
use prism_schemas::event::Event;
use prism_schemas::event::Feed;
use prism_schemas::event::event::Body;
use prism_schemas::{InstrumentId, Timeframe};
use prism_sources::synthetic::SYMBOLS;
use prism_venue::{ALL, Class, Health, Options, Snapshots, examine};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_waits_as_long_as_the_venue_says() {
    each(followed(), async |face| {
        let faults = Faults { seed: 3, refuse: 0.15, ban: 0.02, fail: 0.1, ..Faults::default() };
        let following = Following::start(face, SYMBOLS, faults, 3, |options| {
            options.top = 4;
            // Only bars that were asked for count.
            options.channels.klines = false;
            options.reconcile = Duration::from_secs(1);
            // Of Kraken spot little else is asked.
            options.refresh = Duration::from_secs(2);
            options.idle = Duration::from_secs(600);
            options.skew = Duration::from_secs(600);
            // Months are refused with an answer: asked three times, given up, and told.
            options.timeframes = vec![Timeframe::M1, Timeframe::M5, Timeframe::M15, Timeframe::H1, Timeframe::Month];
        })
        .await;
        let is_given_up = |body: &Body| matches!(body, Body::Quarantined(q) if q.rule == "refused_request");
        let month = wire(face).unwrap().request(&Ask::Klines("BTCUSDT", Timeframe::Month, 1));
        let n_given_up = if month.is_some() { 4 } else { 0 };
        let is_bar = |body: &Body| matches!(body, Body::Kline(_));
        // It is told that nobody asks, and why, and that it is over.
        let of_requests = |events: &[(InstrumentId, Event)]| -> Vec<(Feed, String)> {
            let told = events.iter().filter(|(id, _)| id.symbol == ALL).filter_map(|(_, event)| match &event.body {
                Some(Body::FeedStatus(told)) if told.channel == "requests" => Some((told.status(), told.cause.clone())),
                _ => None,
            });
            told.collect()
        };
        let is_refusal = |told: &(Feed, String)| told.0 == Feed::Throttled && told.1.contains("status 4");
        following
            .until("bars, months given up, and refusals that began and ended", |f| {
                let told = of_requests(&f.events.lock().unwrap());
                f.count(is_given_up) == n_given_up
                    && 4 * 4 * 4 <= f.count(is_bar)
                    && 4 <= f.emulator.asked().refused
                    && told.iter().position(is_refusal).is_some_and(|at| at + 1 < told.len())
            })
            .await;
        let (asked, events) = following.end().await;
        assert_eq!((asked.too_early, asked.banned), (0, 0), "{face}: {asked:?}");
        let told = of_requests(&events);
        let in_turn = [Feed::Connected, Feed::Throttled].into_iter().cycle();
        assert!(told.iter().zip(in_turn).all(|(told, feed)| told.0 == feed), "{face}: {told:?}");
        let is_row = |body: &Option<Body>| matches!(body, Some(Body::Quota(quota)) if quota.open && 0 < quota.requests);
        assert!(events.iter().any(|(_, event)| is_row(&event.body)), "{face}");
    })
    .await;
}

/// While nothing answers, requests wait for one that tries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_venue_that_fails_is_left_alone_for_a_while() {
    let faults = Faults { fail: 1.0, ..Faults::default() };
    let emulator = emulator(SYMBOLS, faults, &clock(1)).await;
    let options = Options {
        timeframes: vec![Timeframe::M1, Timeframe::M5, Timeframe::M30, Timeframe::H1, Timeframe::H4],
        // Half a minute is three seconds.
        speed: 10,
        ..Options::at(&emulator.url("bybit-linear"))
    };
    let snapshots = Arc::new(Snapshots::new(maker("bybit-linear"), &options, clock(1)).unwrap());
    let snapshot = snapshots.take("BTCUSDT").await;
    assert_eq!(snapshot.missing.len(), snapshot.components.len(), "{:?}", snapshot.missing);
    assert!(snapshot.duration_ms < 5_000.0 && snapshot.quota.success_rate == 0.0, "{:?}", snapshot.quota);
    let failure = snapshot.failure().unwrap();
    assert!(failure.contains("answers with status 502"), "{failure}");
    let asked = emulator.asked();
    // All were under way at once; after five failures one try after the other, ever rarer.
    assert!((10..40).contains(&asked.requests), "{asked:?}");
    emulator.calm();
    for _ in 0..60 {
        if snapshots.take("BTCUSDT").await.missing.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nobody asks any more: {:?}", emulator.asked());
}

/// Neither a ban nor an error: who runs prism from there is told in one line what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_country_that_is_not_served_is_told_as_that() {
    for (face, status, said) in [("bybit-linear", 403, "your country"), ("binance-linear", 451, "restricted location")]
    {
        let emulator = emulator(SYMBOLS, Faults { block: 1.0, ..Faults::default() }, &clock(1)).await;
        let options = Options::at(&emulator.url(face));
        let checks = examine(&maker(face), &options, &clock(1)).await;
        let [_, _, check] = &checks[..] else { panic!("{checks:?}") };
        assert_eq!((&*check.what, check.health), ("requests", Health::Broken));
        let expected = format!("does not serve this address (status {status})");
        assert!(check.found.contains(&expected) && check.found.contains(said), "{}", check.found);
        assert!(check.advice.contains("feeds.addresses"), "{}", check.advice);
        let snapshots = Arc::new(Snapshots::new(maker(face), &options, clock(1)).unwrap());
        let snapshot = snapshots.take("BTCUSDT").await;
        assert!(snapshot.failure().unwrap().contains(&expected), "{snapshot:?}");
        let class = |one: &prism_venue::Component| one.error.as_ref().map(|error| error.class);
        assert!(snapshot.components.iter().all(|one| class(one) == Some(Class::Blocked)), "{snapshot:?}");
        // One request told it, and the others did not ask.
        assert!(emulator.asked().requests <= 3 + snapshot.components.len() as u64, "{:?}", emulator.asked());
    }
}

/// As a spot market printed a number of 26 letters: the venue never started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_row_among_all_is_told_and_the_others_are_followed() {
    let faults = Faults { garbage: 1e-9, ..Faults::default() };
    let following = Following::start("bybit-spot", SYMBOLS, faults, 1, |options| options.top = 2).await;
    let is_odd = |body: &Body| matches!(body, Body::Quarantined(q) if q.rule == "invalid_field" && q.detail.starts_with("ODDUSDT: "));
    following.until("trades of two, and the row", |f| f.healthy() == 2 && f.count(is_odd) == 1).await;
    following.end().await;
}

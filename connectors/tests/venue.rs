//! The driver against the emulated venue: limits are kept, refusals obeyed, silence told.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prism_connectors::emulator::{Emulator, Faults};
use prism_connectors::exchange::{Channels, wire};
use prism_connectors::venue::{Clock, Events, Options, VenueError, follow};
use prism_schemas::Timeframe;
use prism_schemas::event::Feed;
use prism_schemas::event::event::Body;
use tokio::sync::mpsc::channel;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[expect(clippy::disallowed_methods, reason = "a live venue's events are received now")]
fn clock() -> Clock {
    Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64)
}

struct Following {
    emulator: Emulator,
    over: CancellationToken,
    following: JoinHandle<Result<(), VenueError>>,
    events: JoinHandle<Events>,
}

impl Following {
    async fn start(faults: Faults, change: impl FnOnce(&mut Options)) -> Following {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let emulator = Emulator::start(listener, 5, faults, clock()).unwrap();
        let mut options = Options {
            tap: None,
            stream: format!("ws://{}", emulator.address),
            rest: format!("http://{}", emulator.address),
            channels: Channels { trades: true, depth: 50, tickers: true, liquidations: true },
            include: Vec::new(),
            exclude: Vec::new(),
            quote: "USDT".into(),
            top: 100,
            turnover_min: 0.0,
            timeframes: vec![Timeframe::M1],
            bars: 5,
            reconcile: Duration::from_secs(60),
            ping: Duration::from_secs(1),
            stale: Duration::from_secs(5),
            idle: Duration::from_secs(2),
            patience: Duration::from_secs(5),
            rotate: Duration::from_secs(600),
            ignore_gaps: false,
        };
        change(&mut options);
        let (out, mut received) = channel(64);
        let over = CancellationToken::new();
        let maker = Arc::new(|| wire("bybit-linear").unwrap());
        let following = tokio::spawn(follow(maker, options, clock(), out, over.clone()));
        let events = tokio::spawn(async move {
            let mut all = Events::new();
            while let Some(events) = received.recv().await {
                all.extend(events);
            }
            all
        });
        Following { emulator, over, following, events }
    }

    async fn end(self) -> (Emulator, Events) {
        self.over.cancel();
        self.following.await.unwrap().unwrap();
        (self.emulator, self.events.await.unwrap())
    }
}

fn count(events: &Events, is: impl Fn(&Body) -> bool) -> usize {
    events.iter().filter(|(_, event)| event.body.as_ref().is_some_and(&is)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_start_never_meets_the_limit() {
    // 24 symbols with twelve timeframes, and looks for trades that alone would be 4,800 requests in 10 s.
    let following = Following::start(Faults::default(), |options| {
        options.timeframes = Timeframe::ALL.into_iter().filter(|timeframe| *timeframe != Timeframe::Month).collect();
        options.reconcile = Duration::from_millis(50);
    })
    .await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (emulator, events) = following.end().await;
    let asked = emulator.asked();
    assert_eq!((asked.beyond, asked.refused), (0, 0), "{asked:?}");
    assert!((700..=1_500).contains(&asked.requests), "the budget was not used, or not kept: {asked:?}");
    let klines = count(&events, |body| matches!(body, Body::Kline(_)));
    assert!(24 * 12 * 4 <= klines, "{klines}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_waits_as_long_as_the_venue_says() {
    let faults = Faults { seed: 3, refuse: 0.15, fail: 0.1, ..Faults::default() };
    let following = Following::start(faults, |options| {
        options.top = 4;
        options.reconcile = Duration::from_secs(1);
        // Months are refused with an answer: asked three times, given up, and told.
        options.timeframes = vec![Timeframe::M1, Timeframe::M5, Timeframe::M15, Timeframe::H1, Timeframe::Month];
    })
    .await;
    tokio::time::sleep(Duration::from_secs(25)).await;
    let (emulator, events) = following.end().await;
    assert_eq!(count(&events, |body| matches!(body, Body::Quarantined(q) if q.rule == "refused_request")), 4);
    assert_eq!(count(&events, |body| matches!(body, Body::Kline(_))), 4 * 4 * 4);
    let asked = emulator.asked();
    assert!(4 <= asked.refused, "{asked:?}");
    assert_eq!(asked.too_early, 0, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_instrument_is_told_within_three_seconds_and_no_other() {
    let following = Following::start(Faults::default(), |_| {}).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    following.emulator.stall("BTCUSDT");
    let stalled = clock()();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (_, events) = following.end().await;
    let stale: Vec<_> = events
        .iter()
        .filter_map(|(id, event)| match &event.body {
            Some(Body::FeedStatus(status)) if status.status() == Feed::Stale => Some((&*id.symbol, event.ts_recv)),
            _ => None,
        })
        .collect();
    assert_eq!(stale.iter().map(|(symbol, _)| *symbol).collect::<Vec<_>>(), ["BTCUSDT"]);
    let after = (stale[0].1 - stalled) as f64 / 1e9;
    assert!(after < 3.3, "told after {after} s");
    assert_eq!(count(&events, |body| matches!(body, Body::FeedStatus(s) if s.status() == Feed::Connected)), 24);
}

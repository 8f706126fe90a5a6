//! The driver against the emulated venues: limits are kept, refusals obeyed, connections replaced, selections refreshed,
//! and a symbol's snapshot is whole.

mod asked;
mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prism_emulator::{Asked, Emulator, Entry, FACES, Faults, Origin, Script};
use prism_exchange::wire;
use prism_schemas::book::{Rules, State};
use prism_schemas::event::Feed;
use prism_schemas::event::event::Body;
use prism_schemas::event::{Event, Trade, trade};
use prism_schemas::{InstrumentId, OrderBook, Timeframe, Ts};
use prism_sources::synthetic::{SYMBOLS, Symbol};
use prism_venue::{Clock, Events, Maker, NOT_FOLLOWED, Options, VenueError, follow};
use tokio::sync::mpsc::channel;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SECOND: i64 = 1_000_000_000;

/// A clock that runs `speed` times as fast as time, from now on.
#[expect(clippy::disallowed_methods, reason = "a live venue's events are received now")]
fn clock(speed: u32) -> Clock {
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    let began = Instant::now();
    Arc::new(move || start + began.elapsed().as_nanos() as i64 * i64::from(speed))
}

fn maker(face: &'static str) -> Maker {
    Arc::new(move || wire(face).unwrap())
}

/// The faces that there is a connector for.
fn followed() -> impl Iterator<Item = &'static str> {
    FACES.into_iter().filter(|face| wire(face).is_some())
}

async fn emulator(symbols: &'static [Symbol], faults: Faults, clock: &Clock) -> Emulator {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    Emulator::start(listener, Origin::Market(5, symbols), faults, clock.clone()).unwrap()
}

struct Following {
    emulator: Emulator,
    clock: Clock,
    over: CancellationToken,
    following: JoinHandle<Result<(), VenueError>>,
    events: Arc<Mutex<Events>>,
}

impl Following {
    async fn start(
        face: &'static str,
        symbols: &'static [Symbol],
        faults: Faults,
        speed: u32,
        change: impl FnOnce(&mut Options),
    ) -> Following {
        let clock = clock(speed);
        let emulator = emulator(symbols, faults, &clock).await;
        Following::at(emulator, face, clock, speed, change)
    }

    fn at(
        emulator: Emulator,
        face: &'static str,
        clock: Clock,
        speed: u32,
        change: impl FnOnce(&mut Options),
    ) -> Following {
        let mut options = Options {
            timeframes: vec![Timeframe::M1],
            bars: 5,
            ping: Duration::from_secs(1),
            stale: Duration::from_secs(5),
            speed,
            ..Options::at(&emulator.url(face))
        };
        change(&mut options);
        let (out, mut received) = channel(64);
        let over = CancellationToken::new();
        let following = tokio::spawn(follow(maker(face), options, clock.clone(), out, over.clone()));
        let events = Arc::new(Mutex::new(Events::new()));
        let to = events.clone();
        tokio::spawn(async move {
            while let Some(some) = received.recv().await {
                to.lock().unwrap().extend(some);
            }
        });
        Following { emulator, clock, over, following, events }
    }

    fn count(&self, is: impl Fn(&Body) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|(_, event)| event.body.as_ref().is_some_and(&is)).count()
    }

    /// Symbols whose feed changed to a state, in order, with the times it was told.
    fn told(&self, feed: Feed, cause: &str) -> Vec<(String, Ts)> {
        let of = |body: &Body| matches!(body, Body::FeedStatus(told) if told.status() == feed && told.channel.is_empty() && told.cause.contains(cause));
        let events = self.events.lock().unwrap();
        let told = events.iter().filter(|(_, event)| event.body.as_ref().is_some_and(of));
        told.map(|(id, event)| (id.symbol.clone(), event.ts_recv)).collect()
    }

    /// Feeds whose newest state is connected.
    fn healthy(&self) -> usize {
        let mut newest = BTreeMap::new();
        for (id, event) in self.events.lock().unwrap().iter() {
            if let Some(Body::FeedStatus(told)) = &event.body
                && told.channel.is_empty()
            {
                newest.insert(id.symbol.clone(), told.status());
            }
        }
        newest.values().filter(|state| **state == Feed::Connected).count()
    }

    /// Waits until something holds; a busy machine may take long.
    async fn until(&self, what: &str, holds: impl Fn(&Following) -> bool) {
        for _ in 0..120 * 20 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not within two minutes: {what}; {:?}", self.emulator.asked());
    }

    async fn end(self) -> (Asked, Events) {
        self.over.cancel();
        self.following.await.unwrap().unwrap();
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        (self.emulator.asked(), events)
    }
}

/// The same on several venues at once: most of it is waiting.
async fn each<T>(all: impl IntoIterator<Item = T>, run: impl AsyncFn(T)) {
    futures::future::join_all(all.into_iter().map(|one| run(one))).await;
}

/// A hundred symbols, all alike but for their names.
fn hundred() -> &'static [Symbol] {
    let of =
        |n: usize| Symbol { name: Box::leak(format!("COIN{n}USDT").into_boxed_str()), ..SYMBOLS[n % SYMBOLS.len()] };
    Box::leak((0..100).map(of).collect::<Vec<_>>().into_boxed_slice())
}

/// Two minutes of the venue's time: more books and bars than fit into one, within the published weights.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_start_of_a_hundred_symbols_never_meets_the_limit() {
    let klines = 3 * 100 * 4;
    let following = Following::start("binance-linear", hundred(), Faults::default(), 20, |options| {
        options.timeframes = vec![Timeframe::M1, Timeframe::M5, Timeframe::H1];
        options.idle = Duration::from_secs(600);
        options.skew = Duration::from_secs(600);
        options.reconcile = Duration::from_secs(600);
        options.poll = Duration::from_secs(600);
    })
    .await;
    let bars = |following: &Following| following.count(|body| matches!(body, Body::Kline(_)));
    let books = |following: &Following| following.count(|body| matches!(body, Body::Book(book) if book.snapshot));
    following.until("all bars and books", |f| klines <= bars(f) && 100 <= books(f)).await;
    let (asked, _) = following.end().await;
    assert_eq!((asked.beyond, asked.refused, asked.banned), (0, 0, 0), "{asked:?}");
}

/// A quarter of an hour in which no request is answered: what was published meanwhile is there afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_while_nobody_answered_is_asked_for() {
    each(["bybit-linear", "binance-linear"], async |face| {
        let following = Following::start(face, SYMBOLS, Faults::default(), 240, |options| {
            options.top = 2;
            options.idle = Duration::from_secs(36_000);
            options.skew = Duration::from_secs(36_000);
            options.poll = Duration::from_millis(500);
        })
        .await;
        let times = |f: &Following| {
            let mut times: BTreeMap<String, BTreeSet<Ts>> = BTreeMap::new();
            for (id, event) in f.events.lock().unwrap().iter() {
                if let Some(Body::OpenInterest(_)) = &event.body {
                    times.entry(id.symbol.clone()).or_default().insert(event.ts_event);
                }
            }
            times
        };
        let newest = |f: &Following| times(f).values().filter_map(|times| times.last().copied()).min().unwrap_or(0);
        following.until("the past", |f| times(f).values().filter(|times| 200 <= times.len()).count() == 2).await;
        following.emulator.set(Faults { fail: 1.0, ..Faults::default() });
        let before = newest(&following);
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(newest(&following) <= before + 600 * SECOND, "{face}: somebody answered");
        following.emulator.calm();
        following.until("what came after", |f| before + 1_200 * SECOND <= newest(f)).await;
        for (symbol, times) in times(&following) {
            let steps: BTreeSet<i64> = times.iter().zip(times.iter().skip(1)).map(|(a, b)| b - a).collect();
            assert_eq!(steps, BTreeSet::from([300 * SECOND]), "{face} {symbol}");
        }
        following.end().await;
    })
    .await;
}

/// A script stalls one, then everything, and cuts all connections: each is told, and all go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_script_says_goes_wrong_at_its_time_and_ends() {
    each(["bybit-linear", "binance-linear"], async |face| {
        let following = Following::start(face, SYMBOLS, Faults::default(), 1, |options| {
            options.top = 4;
            options.idle = Duration::from_millis(1_500);
            options.include = vec!["BTCUSDT".into()];
        })
        .await;
        following.until("all connected", |f| 4 <= f.healthy()).await;
        let n = following.healthy();
        let script = Script {
            faults: vec![
                Entry { length: 5 * SECOND / 2, stall: vec!["btc-usdt".into()], ..Entry::default() },
                Entry {
                    at: 7 * SECOND / 2,
                    length: 5 * SECOND / 2,
                    shares: Faults { drop: 1.0, ..Faults::default() },
                    ..Entry::default()
                },
                Entry { at: 7 * SECOND, reset_books: vec!["BTCUSDT".into()], ..Entry::default() },
                Entry { at: 8 * SECOND, disconnect_all: true, ..Entry::default() },
            ],
        };
        let told =
            |f: &Following, feed, cause| f.told(feed, cause).into_iter().map(|(symbol, _)| symbol).collect::<Vec<_>>();
        let snapshots = |f: &Following| {
            let events = f.events.lock().unwrap();
            let is = |body: &Option<Body>| matches!(body, Some(Body::Book(book)) if book.snapshot);
            events.iter().filter(|(id, event)| id.symbol == "BTCUSDT" && is(&event.body)).count()
        };
        let all = async {
            following.until("one is stale", |f| !told(f, Feed::Stale, "").is_empty()).await;
            following.until("it speaks again", |f| told(f, Feed::Connected, "again") == ["BTCUSDT"]).await;
            assert_eq!((told(&following, Feed::Stale, ""), following.healthy()), (vec!["BTCUSDT".to_string()], n));
            following.until("all are stale", |f| told(f, Feed::Stale, "").len() == 1 + n).await;
            following.until("all speak again", |f| f.healthy() == n).await;
            assert_eq!(told(&following, Feed::Disconnected, ""), Vec::<String>::new(), "{face}");
            let n_before = snapshots(&following);
            following.until("its numbers began again, and it came whole", |f| n_before < snapshots(f)).await;
            following
                .until("cut, and connected again", |f| told(f, Feed::Disconnected, "").len() == n && f.healthy() == n)
                .await;
        };
        tokio::join!(script.run(&following.emulator), all);
        following.end().await;
    })
    .await;
}

/// Venues cut connections after a day: another stands before, no trade is missing, no book has a gap, and nobody is told
/// that anything ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_replaced_before_its_end() {
    each(followed(), async |face| {
        let lanes = wire(face).unwrap().lanes().len() as u64;
        let following = Following::start(face, SYMBOLS, Faults::default(), 1, |options| {
            options.top = 4;
            options.rotate = Duration::from_secs(1);
            // Whatever the streams lost stays lost.
            options.reconcile = Duration::from_secs(600);
            options.idle = Duration::from_secs(600);
            options.skew = Duration::from_secs(600);
        })
        .await;
        following.until("replaced twice", |f| 3 * lanes <= f.emulator.connections()).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        following.emulator.freeze();
        let n_missing = |f: &Following| {
            let events = f.events.lock().unwrap();
            let (mut since, mut have) = (BTreeMap::new(), BTreeSet::new());
            for (id, event) in events.iter() {
                match &event.body {
                    Some(Body::FeedStatus(told)) if told.status() == Feed::Connected && told.channel.is_empty() => {
                        since.entry(id.clone()).or_insert(event.ts_event);
                    }
                    Some(Body::Trade(Trade { id: Some(trade::Id::Number(number)), .. })) => {
                        have.insert((id.clone(), number.to_string()));
                    }
                    Some(Body::Trade(Trade { id: Some(trade::Id::Text(text)), .. })) => {
                        have.insert((id.clone(), text.clone()));
                    }
                    _ => {}
                }
            }
            let missing = |(id, since): (InstrumentId, Ts)| {
                let trades = f.emulator.trades(&id).into_iter().filter(move |(ts, _)| since <= *ts);
                trades.filter(|(_, trade)| !have.contains(&(id.clone(), trade.clone()))).count()
            };
            since.into_iter().map(missing).sum::<usize>()
        };
        following.until("no trade is missing", |f| n_missing(f) == 0).await;
        let mut books: BTreeMap<_, OrderBook> = BTreeMap::new();
        for (id, event) in following.events.lock().unwrap().iter() {
            match &event.body {
                Some(Body::FeedStatus(told)) => assert_eq!(told.status(), Feed::Connected, "{face}: {told:?}"),
                Some(Body::Book(update)) => {
                    let book = books.entry(id.clone()).or_insert_with(|| OrderBook::new(Rules::of(id)));
                    assert_eq!(book.apply(update).err(), None, "{face} {id}");
                }
                _ => {}
            }
        }
        assert!(books.len() == 4 && books.values().all(|book| book.state() == State::Live), "{face}");
        following.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instruments_join_and_leave_and_others_go_on() {
    each(followed(), async |face| {
        let following = Following::start(face, SYMBOLS, Faults::default(), 1, |options| {
            options.refresh = Duration::from_secs(1);
            options.exclude = vec!["XRP/USDT".into()];
        })
        .await;
        let symbols = |f: &Following, joined: bool| -> BTreeSet<String> {
            let events = f.events.lock().unwrap();
            let is = |body: &Option<Body>| matches!(body, Some(Body::Universe(u)) if u.followed == joined);
            events.iter().filter(|(_, event)| is(&event.body)).map(|(id, _)| id.symbol.clone()).collect()
        };
        following.until("all but one join", |f| symbols(f, true).len() == 23).await;
        // Bybit's contract on a stock, which turns over the most, is followed by name only.
        assert!(["XRPUSDT", "TSLAUSDT"].iter().all(|one| !symbols(&following, true).contains(*one)), "{face}");
        following.emulator.list("BTCUSDT", false);
        following.until("one leaves", |f| f.told(Feed::Disconnected, NOT_FOLLOWED).len() == 1).await;
        assert_eq!(symbols(&following, false), BTreeSet::from(["BTCUSDT".to_string()]));
        let left = (following.clock)();
        following.emulator.list("BTCUSDT", true);
        let again = |f: &Following| {
            let events = f.events.lock().unwrap();
            let of = |one: &&(InstrumentId, Event)| one.0.symbol == "BTCUSDT" && left < one.1.ts_recv;
            let has = |is: fn(&Body) -> bool| events.iter().filter(of).any(|(_, e)| e.body.as_ref().is_some_and(is));
            has(|body| matches!(body, Body::Trade(_)))
                && has(|body| matches!(body, Body::Book(_)))
                && has(|body| matches!(body, Body::Kline(_)))
        };
        following.until("it is followed again, with its bars", again).await;
        assert_eq!(following.told(Feed::Disconnected, "").len(), 1, "{face}: the others' feeds go on");
        following.end().await;
    })
    .await;
}

/// Whoever is told the budget panics: following ends with the name of the task, and the feeds' end is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_panics_ends_following_and_is_named() {
    let following = Following::start("bybit-linear", SYMBOLS, Faults::default(), 1, |options| {
        options.quota = Some(Arc::new(|quota| assert!(quota.requests < 3, "too many")));
    })
    .await;
    let ended = tokio::time::timeout(Duration::from_secs(60), following.following).await.unwrap().unwrap();
    let Err(VenueError::Panicked { venue, task, detail }) = ended else { panic!("{ended:?}") };
    assert_eq!((&*venue, &*task, &*detail), ("bybit linear", "budget of requests", "too many"));
}

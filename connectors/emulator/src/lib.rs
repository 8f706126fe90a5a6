//! Venues on this machine that connectors cannot tell from the real ones: streams and market requests of Bybit v5, of
//! Binance spot and USD-M, of OKX v5 and of Kraken spot, fed by the synthetic market or by recordings, with seeded faults.

mod bars;
mod binance;
mod bybit;
mod faults;
mod fear_greed;
mod kraken;
mod limits;
mod okx;
mod recording;
mod script;
mod stream;
mod tls;
mod venue;
mod view;

pub use faults::Faults;
pub use limits::Asked;
pub use recording::Recording;
pub use script::{Entry, Script};
pub use tls::Authority;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use prism_schemas::event::Instrument;
use prism_schemas::time::MILLISECOND;
use prism_schemas::{Decimal, InstrumentId, Market, OrderBook, Timeframe, Ts};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use limits::{Limit, Requests, limited};
use prism_sources::synthetic::Symbol;
use prism_venue::Clock;
use venue::{Sent, Tape, Venue};

/// The venues that the emulator speaks as, each under its name: `http://127.0.0.1:9100/bybit-linear`.
pub const FACES: [&str; 7] =
    ["bybit-linear", "binance-linear", "binance-spot", "bybit-spot", "okx-linear", "okx-spot", "kraken-spot"];

/// Recordings can be had as this too: the synthetic market has no inverse contracts.
const RECORDED: [&str; 1] = ["bybit-inverse"];

/// Between two steps of the market.
const STEP: Duration = Duration::from_millis(20);
/// Messages a slow reader may be behind before it is disconnected.
const BEHIND_MAX: usize = 8_192;

/// What connections and requests share.
struct Shared {
    venue: Mutex<Venue>,
    sent: broadcast::Sender<Arc<Sent>>,
    faults: Mutex<Faults>,
    /// So far: each has faults of its own.
    n_connections: AtomicU64,
    /// How often all connections were cut.
    n_cuts: AtomicU64,
    /// By face.
    requests: Mutex<BTreeMap<&'static str, Requests>>,
    /// Symbols of which nothing is sent.
    stalled: Mutex<BTreeSet<String>>,
    /// Symbols of which no message goes wrong, in each of their spellings.
    spared: Mutex<Vec<String>>,
    /// Topics that are refused.
    refused: Mutex<BTreeSet<String>>,
    /// The venue's, which may be wrong.
    clock: Clock,
    skew: Arc<AtomicI64>,
    over: CancellationToken,
}

impl Shared {
    fn venue(&self) -> MutexGuard<'_, Venue> {
        self.venue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> Faults {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stalled(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.stalled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a message is of a symbol that is spared.
    fn is_spared(&self, message: &str) -> bool {
        let spared = self.spared.lock().unwrap_or_else(PoisonError::into_inner);
        spared.iter().any(|symbol| message.contains(symbol))
    }

    /// Whether one of these is refused, which one.
    fn refused<'a>(&self, topics: &'a [String]) -> Option<&'a String> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        topics.iter().find(|topic| refused.contains(*topic))
    }
}

/// What happens on the emulated venue.
pub enum Origin {
    /// The synthetic market of a seed, with these symbols.
    Market(u64, &'static [Symbol]),
    /// What was recorded, again.
    Recording(Box<Recording>),
}

/// A running emulator; it ends when this is dropped.
pub struct Emulator {
    shared: Arc<Shared>,
    /// Where it listens.
    pub address: SocketAddr,
    scheme: &'static str,
}

/// The limit of a face, and its routes of streams and of requests.
fn face(name: &str) -> (Limit, [Router<Arc<Shared>>; 2]) {
    match name {
        "bybit-linear" => (bybit::LIMIT, bybit::routes(Market::Linear)),
        "bybit-spot" => (bybit::LIMIT, bybit::routes(Market::Spot)),
        "bybit-inverse" => (bybit::LIMIT, bybit::routes(Market::Inverse)),
        "binance-spot" => (binance::LIMIT_SPOT, binance::routes(Market::Spot)),
        "okx-linear" => (okx::LIMIT, okx::routes(Market::Linear)),
        "okx-spot" => (okx::LIMIT, okx::routes(Market::Spot)),
        "kraken-spot" => (kraken::LIMIT, kraken::routes()),
        _ => (binance::LIMIT_LINEAR, binance::routes(Market::Linear)),
    }
}

impl Emulator {
    /// Serves on `listener`, within the current tokio runtime.
    pub fn start(listener: TcpListener, origin: Origin, faults: Faults, clock: Clock) -> std::io::Result<Emulator> {
        Emulator::start_tls(listener, None, origin, faults, clock)
    }

    /// As [`Emulator::start`], within TLS if there is an authority to sign the certificate.
    pub fn start_tls(
        listener: TcpListener,
        authority: Option<&Authority>,
        origin: Origin,
        faults: Faults,
        clock: Clock,
    ) -> std::io::Result<Emulator> {
        let address = listener.local_addr()?;
        let tls = authority.map(|authority| authority.server_at(address.ip())).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let skew = Arc::new(AtomicI64::new(0));
        let clock: Clock = {
            let skew = skew.clone();
            Arc::new(move || clock() + skew.load(Relaxed))
        };
        let is_recorded = matches!(origin, Origin::Recording(_));
        let venue = Mutex::new(match origin {
            Origin::Market(seed, symbols) => Venue::market(faults.seed, seed, symbols, clock()),
            Origin::Recording(recording) => Venue::recording(faults.seed, recording),
        });
        let names = FACES.into_iter().chain(RECORDED.into_iter().filter(|_| is_recorded));
        let faces: Vec<_> = names.map(|name| (name, face(name))).collect();
        let requests = faces.iter().map(|(name, (limit, _))| (*name, Requests::new(*limit, faults.seed))).collect();
        let shared = Arc::new(Shared {
            venue,
            sent: broadcast::channel(BEHIND_MAX).0,
            faults: Mutex::new(faults),
            n_connections: AtomicU64::new(0),
            n_cuts: AtomicU64::new(0),
            requests: Mutex::new(requests),
            stalled: Mutex::default(),
            spared: Mutex::default(),
            refused: Mutex::default(),
            clock,
            skew,
            over: CancellationToken::new(),
        });
        tokio::spawn(go_on(shared.clone()));
        let mut routes = Router::new().route("/fng/", get(fear_greed::answer));
        for (name, (_, [streams, requests])) in faces {
            let requests = requests.layer(from_fn_with_state((shared.clone(), name), limited));
            // As venues do for who asks for it, with as little work as can be.
            let requests = requests.layer(CompressionLayer::new().quality(CompressionLevel::Fastest));
            routes = routes.nest(&format!("/{name}"), streams.merge(requests));
        }
        let (routes, over) = (routes.with_state(shared.clone()), shared.over.clone());
        tokio::spawn(async move {
            if let Err(error) = tls::serve(listener, tls, routes, over).await {
                tracing::error!(%error, "the emulator ended");
            }
        });
        Ok(Emulator { shared, address, scheme })
    }

    /// The address under which a venue of `faces` is, instead of its own.
    pub fn url(&self, name: &str) -> String {
        format!("{}://{}/{name}", self.scheme, self.address)
    }

    /// The names under which it speaks: those of `FACES`, and inverse contracts if it is a recording's.
    pub fn faces(&self) -> Vec<&'static str> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Where the index of fear and greed is, of the emulated market.
    pub fn fear_greed(&self) -> String {
        self.url("fng/")
    }

    /// The true book of a symbol.
    pub fn book(&self, symbol: &str) -> Option<OrderBook> {
        self.shared.venue().books.get(symbol).map(|known| known.book.clone())
    }

    /// The symbols that have books.
    pub fn symbols(&self) -> Vec<String> {
        self.shared.venue().books.keys().cloned().collect()
    }

    /// Times and ids of the newest trades of an instrument, in order; but for Bybit's they are numbers.
    pub fn trades(&self, instrument: &InstrumentId) -> Vec<(Ts, String)> {
        let venue = self.shared.venue();
        let ids = venue.ids.get(&instrument.symbol).into_iter().flatten();
        let spell = |(ts, text, number): &(Ts, String, u64)| match &*instrument.exchange {
            "bybit" => (*ts, text.clone()),
            _ => (*ts, number.to_string()),
        };
        ids.map(spell).collect()
    }

    /// The true minutes of a symbol: start, open, high, low, close, volume, and how many trades.
    pub fn minutes(&self, symbol: &str) -> Vec<(Ts, [f64; 5], u64)> {
        let venue = self.shared.venue();
        let bars = venue.bars(symbol, Timeframe::M1).into_iter().flatten();
        let of = |(start, bar): (Ts, bars::Bar)| {
            let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(|price| price.to_f64());
            (start, [open, high, low, close, bar.volume], bar.n_trades)
        };
        bars.map(of).collect()
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.n_connections.load(Relaxed)
    }

    /// Waits until what was recorded cannot be read further, and says why; for ever if it can.
    pub async fn broken(&self) -> String {
        loop {
            let trouble = self.shared.venue().trouble();
            if let Some(trouble) = trouble {
                return trouble;
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// Sends nothing of a symbol any more, and does not say so.
    pub fn stall(&self, symbol: &str) {
        self.shared.stalled().insert(symbol.into());
    }

    /// From now on no message of these symbols goes wrong; connections and requests still do.
    pub fn spare(&self, symbols: &[&str]) {
        let symbols: Vec<String> = symbols.iter().map(|symbol| (*symbol).to_string()).collect();
        self.shared.venue().spared.clone_from(&symbols);
        let spell = |symbol: &String| {
            let (base, quote) = split(symbol);
            [symbol.clone(), format!("{base}-{quote}"), format!("{base}/{quote}")]
        };
        *self.shared.spared.lock().unwrap_or_else(PoisonError::into_inner) = symbols.iter().flat_map(spell).collect();
    }

    /// Refuses requests with this topic from now on, or takes them again.
    pub fn refuse(&self, topic: &str, is_refused: bool) {
        let mut refused = self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if is_refused {
            refused.insert(topic.into());
        } else {
            refused.remove(topic);
        }
    }

    /// From now on the venue's clock is ahead by so many nanoseconds.
    pub fn skew(&self, nanos: i64) {
        self.shared.skew.store(nanos, Relaxed);
    }

    /// What was asked so far, of all venues.
    pub fn asked(&self) -> Asked {
        let mut asked = Asked::default();
        let requests = self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.values().for_each(|requests| asked += requests.asked);
        asked
    }

    /// From now on these go wrong; the seed stays.
    pub fn set(&self, faults: Faults) {
        let mut held = self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Faults { seed: held.seed, ..faults };
    }

    /// Ends all faults.
    pub fn calm(&self) {
        self.set(Faults::default());
    }

    /// Cuts all connections, once.
    pub fn cut(&self) {
        self.shared.n_cuts.fetch_add(1, Relaxed);
    }

    /// The book of a symbol begins to number its updates from 1 again, with a snapshot where the venue sends such.
    pub fn reset(&self, symbol: &str) {
        let reset = self.shared.venue().reset(symbol, (self.shared.clock)());
        if let Some(reset) = reset {
            // Nobody may be listening.
            let _ = self.shared.sent.send(Arc::new(reset));
        }
    }

    /// Stops the market; what was sent is all there is.
    pub fn freeze(&self) {
        self.shared.venue().frozen = true;
    }

    /// An instrument is listed or delisted from now on.
    pub fn list(&self, symbol: &str, is_listed: bool) {
        if let Some(instrument) = self.shared.venue().instruments.get_mut(symbol) {
            instrument.status = if is_listed { "Trading" } else { "Closed" }.into();
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.shared.over.cancel();
    }
}

/// Steps the market and tells what happens, until the end.
async fn go_on(shared: Arc<Shared>) {
    while !shared.over.is_cancelled() {
        let sent = shared.venue().step((shared.clock)(), shared.faults().reset);
        let stalled = shared.stalled().clone();
        for one in sent.into_iter().filter(|one| !stalled.contains(&one.symbol)) {
            // Nobody may be listening.
            let _ = shared.sent.send(Arc::new(one));
        }
        tokio::time::sleep(STEP).await;
    }
}

/// A time as most venues write it.
const fn millis(ts: Ts) -> i64 {
    ts / MILLISECOND
}

/// Base, quote and whether it trades; a recording may only know the symbol.
fn identity<'a>(symbol: &'a str, instrument: &'a Instrument) -> (&'a str, &'a str, bool) {
    let is_open = instrument.status.is_empty() || instrument.status.eq_ignore_ascii_case("trading");
    if !instrument.quote.is_empty() {
        return (&instrument.base, &instrument.quote, is_open);
    }
    let (base, quote) = split(symbol);
    (base, quote, is_open)
}

/// Base and quote, as far as a symbol tells.
fn split(symbol: &str) -> (&str, &str) {
    let quote = ["USDT", "USDC", "FDUSD", "BTC", "ETH", "USD"].into_iter().find(|quote| symbol.ends_with(quote));
    let quote = quote.unwrap_or_default();
    (symbol.strip_suffix(quote).unwrap_or(symbol), quote)
}

/// The long/short ratios of a symbol at the start of every five minutes: times and shares of the long side, to four
/// decimals. Those of takers are of its trades, as are all of a recording: that has no accounts.
fn ratios(venue: &mut Venue, symbol: &str, kind: &'static str, now: Ts, limit: usize) -> Option<Vec<(Ts, Decimal)>> {
    let trades = venue.trades.get(symbol)?;
    let newest = || trades.iter().rev().take(1_000);
    let (n_bought, n) = (newest().filter(|done| done.buy).count(), newest().len().max(1));
    let held = match &venue.tape {
        Tape::Market(market, ..) if kind != "taker" => market.long(symbol, kind),
        _ => None,
    };
    let long = held.unwrap_or(Decimal::new((10_000 * n_bought / n) as i64, 4));
    Some(venue.series(symbol, kind, (Timeframe::M5.length(), now), long, limit))
}

/// What is left of a share of one, of four decimals.
fn other(share: Decimal) -> Decimal {
    Decimal::new(10_000 - share.mantissa, 4)
}

//! Live connections to a venue: one task per connection, one budget of requests, and every gap told.
//!
//! The venue's own texts are in [`crate::exchange`]; here are sockets, time-outs and the order of things.

mod connection;
mod rest;
mod trades;

use std::sync::Arc;
use std::time::Duration;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, FeedStatus};
use prism_schemas::{Event, InstrumentId, Timeframe, Ts, canonical_symbol};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::exchange::{Ask, Channels, DecodeError, Wire};
use connection::Connection;
use rest::Rest;
use trades::{Seen, reconcile};

/// The time now, in UNIX nanoseconds.
pub type Clock = Arc<dyn Fn() -> Ts + Send + Sync>;

/// Events in the order they were received.
pub type Events = Vec<(InstrumentId, Event)>;

/// Makes a venue's texts, one maker for each connection.
pub type Maker = Arc<dyn Fn() -> Box<dyn Wire> + Send + Sync>;

/// What came over a venue's wire, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wired {
    /// A connection was opened to this address.
    Opened(String),
    /// A message of the stream.
    Frame(String),
    /// The answer to a request: its address and body.
    Answer(String, String),
}

/// What came over the wire, on which connection, and when.
pub type Tapped = (Ts, String, Wired);

/// What is followed, and how patiently.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where everything that comes over the wire goes too.
    pub tap: Option<Sender<Tapped>>,
    /// Address of the streams: `wss://stream.bybit.com`.
    pub stream: String,
    /// Address of the requests: `https://api.bybit.com`.
    pub rest: String,
    /// What is followed of each instrument.
    pub channels: Channels,
    /// Symbols that are followed whatever their turnover.
    pub include: Vec<String>,
    /// Symbols that are never followed.
    pub exclude: Vec<String>,
    /// Only instruments quoted in this.
    pub quote: String,
    /// So many with the highest turnover of a day are followed beside those included.
    pub top: usize,
    /// And only if it is at least this.
    pub turnover_min: f64,
    /// Bars of these timeframes are asked for at the start.
    pub timeframes: Vec<Timeframe>,
    /// So many of each.
    pub bars: u32,
    /// Between two looks for trades that the stream lost.
    pub reconcile: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// Without any message for so long a connection is given up.
    pub stale: Duration,
    /// Without any message of an instrument for so long, in the clock's time, its feed is said to be stale.
    pub idle: Duration,
    /// A connection must stand within this, and a request be answered.
    pub patience: Duration,
    /// A connection is replaced at this age, before the venue cuts it.
    pub rotate: Duration,
    /// Leave books as they are after a gap: only to see that checks notice.
    pub ignore_gaps: bool,
}

impl Options {
    /// Hands over what came, if anybody wants it.
    async fn tap(&self, ts: Ts, connection: &str, wired: impl FnOnce() -> Wired) {
        if let Some(tap) = &self.tap {
            // Whoever listened has ended; following goes on.
            let _ = tap.send((ts, connection.into(), wired())).await;
        }
    }
}

/// Why a venue cannot be followed. Everything else is retried.
#[derive(Debug, thiserror::Error)]
pub enum VenueError {
    /// No instrument fits: correct the selection.
    #[error("no instrument of {venue} fits feeds.include, feeds.quote, feeds.top and feeds.turnover_min")]
    Nothing {
        /// The venue.
        venue: String,
    },
    /// The address or a certificate store cannot be used at all: correct it.
    #[error("{address}: {detail}")]
    Address {
        /// As configured.
        address: String,
        /// What is wrong.
        detail: String,
    },
}

/// An instrument that is followed, and the venue's spelling of its symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Followed {
    id: InstrumentId,
    native: String,
}

/// Follows a venue until `over`: instruments, warm-up bars, then streams. All events go to `out`, which may be slow.
pub async fn follow(
    maker: Maker,
    options: Options,
    clock: Clock,
    out: Sender<Events>,
    over: CancellationToken,
) -> Result<(), VenueError> {
    let mut wire = maker();
    let rest = Arc::new(Rest::new(&options, wire.limits())?);
    let venue = format!("{} {}", wire.id(), wire.market().name());
    let asked = async {
        let instruments = rest.ask(&mut *wire, &Ask::Instruments, &clock).await;
        (instruments, rest.ask(&mut *wire, &Ask::Tickers, &clock).await)
    };
    let Some((instruments, tickers)) = over.run_until_cancelled(asked).await else { return Ok(()) };
    let (declared, followed) = select(instruments, &tickers, &options);
    if followed.is_empty() {
        return Err(VenueError::Nothing { venue });
    }
    tracing::info!(venue, instruments = followed.len(), "following");
    let _ = out.send(declared).await;

    let (seen, mut tasks) = (Arc::new(Seen::default()), tokio::task::JoinSet::new());
    let topics = wire.topics(&followed[0].native, options.channels).len().max(1);
    let each = (wire.limits().topics_per_connection / topics).max(1);
    for (number, chunk) in (0..).zip(followed.chunks(each)) {
        let connection = Connection::new(maker(), chunk, &options, &seen, &clock, &out, number);
        tasks.spawn(connection.run(over.clone()));
    }
    if options.channels.trades {
        let looking = reconcile(
            maker(),
            followed.clone(),
            options.clone(),
            rest.clone(),
            seen.clone(),
            clock.clone(),
            out.clone(),
        );
        let over = over.clone();
        tasks.spawn(async move { over.run_until_cancelled(looking).await.unwrap_or(()) });
    }
    let warmed = async {
        // The longest first: they are what shorter ones are scored against.
        let mut timeframes = options.timeframes.clone();
        timeframes.sort_by_key(|timeframe| std::cmp::Reverse(timeframe.length()));
        for timeframe in &timeframes {
            for one in &followed {
                let ask = Ask::Klines(&one.native, *timeframe, options.bars);
                if wire.request(&ask).is_some() {
                    let mut bars = rest.ask(&mut *wire, &ask, &clock).await;
                    // A bar that is not over yet is no bar.
                    bars.retain(|(_, event)| !matches!(&event.body, Some(Body::Kline(kline)) if !kline.closed));
                    let _ = out.send(bars).await;
                }
            }
        }
        tracing::info!(venue, "warm-up bars are in the log");
    };
    over.run_until_cancelled(warmed).await;
    tasks.join_all().await;
    Ok(())
}

/// Declarations of the instruments that are followed, and these.
fn select(instruments: Events, tickers: &Events, options: &Options) -> (Events, Vec<Followed>) {
    let turnover = |id: &InstrumentId| {
        let of = tickers.iter().find(|(have, _)| have == id);
        of.and_then(|(_, event)| match &event.body {
            Some(Body::Ticker(ticker)) => Some(ticker.turnover_24h?.to_f64()),
            _ => None,
        })
    };
    let named = |list: &[String], id: &InstrumentId| list.iter().any(|name| canonical_symbol(name) == id.symbol);
    let mut ranked: Vec<(f64, InstrumentId, Event)> = Vec::new();
    for (id, event) in instruments {
        let Some(Body::Instrument(instrument)) = &event.body else { continue };
        let is_open = instrument.status.eq_ignore_ascii_case("trading") || instrument.status == "live";
        if named(&options.include, &id) {
            ranked.push((f64::INFINITY, id, event));
        } else if is_open && instrument.quote == options.quote && !named(&options.exclude, &id) {
            let turnover = turnover(&id).unwrap_or(0.0);
            if options.turnover_min <= turnover {
                ranked.push((turnover, id, event));
            }
        }
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let n_included = ranked.iter().filter(|(turnover, ..)| turnover.is_infinite()).count();
    ranked.truncate(n_included.max(options.top));
    let native = |event: &Event| match &event.body {
        Some(Body::Instrument(instrument)) => instrument.native_symbol.clone(),
        _ => String::new(),
    };
    let followed = ranked.iter().map(|(_, id, event)| Followed { id: id.clone(), native: native(event) }).collect();
    (ranked.into_iter().map(|(_, id, event)| (id, event)).collect(), followed)
}

/// A feed's change of state.
fn status(id: &InstrumentId, ts: Ts, now: Ts, status: Feed, channel: &str, cause: &str) -> (InstrumentId, Event) {
    let body = FeedStatus { status: status.into(), cause: cause.into(), channel: channel.into() };
    let event = Event { ts_event: ts, ts_recv: now, seq: None, index: 0, body: Some(Body::FeedStatus(body)) };
    (id.clone(), event)
}

/// A frame that has no events, with its reason.
fn refusal(wire: &dyn Wire, error: &DecodeError, raw: &[u8], now: Ts) -> (InstrumentId, Event) {
    let nobody = InstrumentId::new(wire.id(), wire.market(), "");
    (nobody, crate::exchange::quarantined(error.rule(), error.to_string(), raw, now))
}

//! What of a venue is followed, how patiently, and where what comes over its wire goes too.

use std::sync::Arc;
use std::time::Duration;

use prism_exchange::Channels;
use prism_schemas::{InstrumentId, Timeframe, Ts};
use tokio::sync::mpsc::Sender;

use super::{Access, Quota};

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

/// Is told the state of the requests' budget once a second.
pub type Told = Arc<dyn Fn(Quota) + Send + Sync>;

/// Tells when the newest bar of an instrument and timeframe began that is known already.
pub type NewestBar = Arc<dyn Fn(&InstrumentId, Timeframe) -> Option<Ts> + Send + Sync>;

/// What is followed, and how patiently.
#[derive(Clone)]
pub struct Options {
    /// Where everything that comes over the wire goes too.
    pub tap: Option<Sender<Tapped>>,
    /// Address of the streams: `wss://stream.bybit.com`.
    pub stream: String,
    /// Address of the requests: `https://api.bybit.com`.
    pub rest: String,
    /// Which certificates are trusted, and which proxies taken.
    pub access: Arc<Access>,
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
    /// When the newest bar of an instrument and timeframe began that is in the log already: only newer ones are asked for.
    pub newest_bar: Option<NewestBar>,
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
    /// Receive and event times may differ by so much, in the clock's time, before a feed is said to be skewed.
    pub skew: Duration,
    /// Between two looks at what there is to follow.
    pub refresh: Duration,
    /// Between two requests for open interest, funding and long/short ratios.
    pub poll: Duration,
    /// Seconds of the clock in a second: 1, but in simulations; the venue's limits are in the clock's time.
    pub speed: u32,
    /// Where the state of the requests' budget is told.
    pub quota: Option<Told>,
    /// Leave books as they are after a gap: only to see that checks notice.
    pub ignore_gaps: bool,
}

impl Options {
    /// Everything of a venue at an address, as patiently as a public venue needs: `http://127.0.0.1:9100/bybit-linear`.
    pub fn at(address: &str) -> Options {
        Options {
            tap: None,
            stream: address.replacen("http", "ws", 1),
            rest: address.into(),
            access: Access::plain(),
            channels: Channels { trades: true, depth: 50, tickers: true, liquidations: true, klines: true },
            include: Vec::new(),
            exclude: Vec::new(),
            quote: "USDT".into(),
            top: 100,
            turnover_min: 0.0,
            timeframes: Vec::new(),
            bars: 220,
            newest_bar: None,
            reconcile: Duration::from_secs(10),
            ping: Duration::from_secs(20),
            stale: Duration::from_secs(30),
            idle: Duration::from_secs(20),
            patience: Duration::from_secs(5),
            rotate: Duration::from_secs(23 * 3_600),
            skew: Duration::from_secs(2),
            refresh: Duration::from_secs(3_600),
            poll: Duration::from_secs(300),
            speed: 1,
            quota: None,
            ignore_gaps: false,
        }
    }
}

impl Options {
    /// Hands over what came, if anybody wants it.
    pub(super) async fn tap(&self, ts: Ts, connection: &str, wired: impl FnOnce() -> Wired) {
        if let Some(tap) = &self.tap {
            // Whoever listened has ended; following goes on.
            let _ = tap.send((ts, connection.into(), wired())).await;
        }
    }
}

//! What a venue wants on its wire: texts to send and requests to make, as pure functions beside its decoder.

use prism_schemas::{Event, InstrumentId, Timeframe, Ts};

use super::{DecodeError, Exchange};

/// What is followed of each instrument; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// Trades: bars are made of them.
    pub trades: bool,
    /// Order book levels per side; 0 for none.
    pub depth: u32,
    /// Best prices, mark, index, funding, open interest.
    pub tickers: bool,
    /// Forced orders.
    pub liquidations: bool,
    /// The venue's own minute bars, once they are closed: what our bars are compared with.
    pub klines: bool,
}

/// What a venue allows on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Topics in one subscription request.
    pub topics_per_request: usize,
    /// Topics on one connection.
    pub topics_per_connection: usize,
    /// Weight of REST requests within a window.
    pub weight: u32,
    /// That window, in seconds.
    pub window: u32,
    /// Milliseconds between two subscription requests on one connection.
    pub pace: u64,
    /// Subscription requests on one connection within an hour; those to end them count too.
    pub hourly: u32,
}

/// Of whom a long/short ratio is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holders {
    /// Accounts, each counted once.
    Accounts,
    /// The accounts with the largest margin, each counted once.
    TopAccounts,
    /// Their positions.
    TopPositions,
    /// Takers' volume.
    Takers,
}

impl Holders {
    /// All of them.
    pub const ALL: [Holders; 4] = [Holders::Accounts, Holders::TopAccounts, Holders::TopPositions, Holders::Takers];

    /// As `LongShortRatio::kind` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Holders::Accounts => "account",
            Holders::TopAccounts => "top_account",
            Holders::TopPositions => "top_position",
            Holders::Takers => "taker",
        }
    }
}

/// A question by REST; `native` is the venue's spelling of a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// All instruments of the market.
    Instruments,
    /// Those that are not traded yet, where they are not among all.
    Launching,
    /// One of them, where what it is must be known before its frames are read.
    Instrument(&'a str),
    /// Best prices and the turnover of a day, of all instruments.
    Tickers,
    /// The newest bars of a timeframe, closed or not.
    Klines(&'a str, Timeframe, u32),
    /// The newest trades.
    Trades(&'a str),
    /// So many trades from a number on, where trades are numbered; and when the one before was traded, if that is known:
    /// some venues are asked by time.
    TradesFrom(&'a str, u64, u32, Option<Ts>),
    /// The order book with at least so many levels per side.
    Book(&'a str, u32),
    /// The ticker of one instrument.
    Ticker(&'a str),
    /// So many of the newest open interests of five minutes each; one is what it is now.
    OpenInterest(&'a str, u32),
    /// So many of the newest funding rates that were settled.
    Funding(&'a str, u32),
    /// So many of the newest long/short ratios of five minutes each.
    Ratio(&'a str, Holders, u32),
    /// Margin tiers.
    RiskLimit(&'a str),
    /// The venue's clock.
    Time,
}

impl Ask<'_> {
    /// The component it is of, in snapshots and messages.
    pub const fn name(&self) -> &'static str {
        match self {
            Ask::Instruments | Ask::Launching | Ask::Instrument(_) => "instruments",
            Ask::Tickers => "tickers",
            Ask::Klines(..) => "klines",
            Ask::Trades(_) | Ask::TradesFrom(..) => "trades",
            Ask::Book(..) => "book",
            Ask::Ticker(_) => "ticker",
            Ask::OpenInterest(..) => "open_interest",
            Ask::Funding(..) => "funding",
            Ask::Ratio(_, holders, _) => holders.name(),
            Ask::RiskLimit(_) => "risk_limit",
            Ask::Time => "time",
        }
    }
}

/// What a venue says to a request for topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All of them are sent from now on.
    Accepted,
    /// One of them or more cannot be had, and none was taken.
    Refused,
    /// One of them or more is sent already, and no other was taken.
    Known,
    /// There were too many requests, and nothing was taken: the same is asked for later.
    Later,
    /// This one is sent from now on, or cannot be had; each of the others has an answer of its own.
    One(String, bool),
}

/// Of which requests there were too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttled {
    /// Of the kind that was refused: others are answered.
    Kind,
    /// Of all from this address.
    All,
}

/// A GET request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// What it costs of the venue's budget.
    pub weight: u32,
    /// A limit that only requests of its kind have.
    pub cap: Option<Cap>,
}

/// A limit of some requests, beside the venue's budget of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Which requests.
    pub of: &'static str,
    /// So many.
    pub requests: u32,
    /// Within so many seconds.
    pub window: u32,
}

/// A venue that can be followed live.
pub trait Wire: Exchange {
    /// The venue's own addresses, of streams and of requests.
    fn addresses(&self) -> [&'static str; 2];

    /// Its addresses elsewhere, by the name under which they are configured: for regions, and where a port is closed.
    fn regions(&self) -> &'static [(&'static str, [&'static str; 2])] {
        &[]
    }

    /// The streams' paths under the venue's address: each is a connection of its own.
    fn lanes(&self) -> Vec<String>;

    /// The topics of an instrument's channels on a lane, by the venue's spelling of its symbol. Instruments may share some.
    fn topics(&self, lane: usize, native: &str, channels: Channels) -> Vec<String>;

    /// The topic of an instrument's book, to have its snapshot sent anew; `None` where snapshots are asked for.
    fn book_topic(&self, native: &str, depth: u32) -> Option<String>;

    /// A request for topics, in as many messages as the venue needs; `number` comes back in the acknowledgement.
    fn subscribe(&self, topics: &[String], number: u64) -> Vec<String>;

    /// As `subscribe`, to end them.
    fn unsubscribe(&self, topics: &[String], number: u64) -> Vec<String>;

    /// The number of the request for topics that a frame answers, and the answer.
    fn answered(&self, frame: &str) -> Option<(u64, Answer)>;

    /// What keeps the connection alive when it is sent now and then; `None`: a ping of the WebSocket protocol does.
    fn ping(&self) -> Option<&'static str>;

    /// What the venue allows.
    fn limits(&self) -> Limits;

    /// The weight that is used up, as a response's headers say.
    fn used(&self, header: &dyn Fn(&str) -> Option<u32>) -> Option<u32>;

    /// Whether a body says that there were too many requests, whatever its status, and of which.
    fn throttled(&self, _body: &str) -> Option<Throttled> {
        None
    }

    /// Whether a body says that the venue failed for the moment, whatever its status: the same question is answered later.
    fn is_transient(&self, _body: &str) -> bool {
        false
    }

    /// Whether a frame says that the venue ends the connection soon.
    fn is_leaving(&self, _frame: &str) -> bool {
        false
    }

    /// The venue's spelling of a symbol of ours, where nothing tells it.
    fn native(&self, symbol: &str) -> String {
        symbol.into()
    }

    /// Whether a body says that the venue has no such symbol.
    fn is_no_symbol(&self, _body: &str) -> bool {
        false
    }

    /// The venue's clock, as the answer to `Ask::Time` says.
    fn time(&self, body: &str) -> Result<Ts, DecodeError>;

    /// The question that a request's address asks, of those that `answer` understands.
    fn asked<'a>(&self, url: &'a str) -> Option<Ask<'a>>;

    /// The request for a question; `None` if the venue does not answer it.
    fn request(&self, ask: &Ask<'_>) -> Option<Request>;

    /// The request for what an answer left to its next page; `None` if it was whole.
    fn more(&self, _ask: &Ask<'_>, _body: &str) -> Option<Request> {
        None
    }

    /// Appends the events of an answer.
    fn answer(
        &mut self,
        ask: &Ask<'_>,
        body: &str,
        ts_recv: Ts,
        out: &mut Vec<(InstrumentId, Event)>,
    ) -> Result<(), DecodeError>;
}

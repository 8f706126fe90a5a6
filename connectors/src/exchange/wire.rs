//! What a venue wants on its wire: texts to send and requests to make, as pure functions beside its decoder.

use prism_schemas::{Event, InstrumentId, Timeframe, Ts};

use super::{DecodeError, Exchange};

/// What is followed of each instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// Trades: bars are made of them.
    pub trades: bool,
    /// Order book levels per side; 0 for none.
    pub depth: u32,
    /// Best prices, mark, index, funding, open interest.
    pub tickers: bool,
    /// Forced orders.
    pub liquidations: bool,
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
}

/// A question by REST; `native` is the venue's spelling of a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// All instruments of the market.
    Instruments,
    /// Best prices and the turnover of a day, of all instruments.
    Tickers,
    /// The newest bars of a timeframe, closed or not.
    Klines(&'a str, Timeframe, u32),
    /// The newest trades.
    Trades(&'a str),
}

/// A GET request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// What it costs of the venue's budget.
    pub weight: u32,
}

/// A venue that can be followed live.
pub trait Wire: Exchange {
    /// The venue's own addresses, of streams and of requests.
    fn addresses(&self) -> [&'static str; 2];

    /// The stream's path under the venue's address.
    fn stream_path(&self) -> String;

    /// The topics of an instrument's channels, by the venue's spelling of its symbol.
    fn topics(&self, native: &str, channels: Channels) -> Vec<String>;

    /// The topic of an instrument's book, to have its snapshot sent anew.
    fn book_topic(&self, native: &str, depth: u32) -> String;

    /// A request for topics; `number` comes back in the acknowledgement.
    fn subscribe(&self, topics: &[String], number: u64) -> String;

    /// As `subscribe`, to end them.
    fn unsubscribe(&self, topics: &[String], number: u64) -> String;

    /// What keeps the connection alive when it is sent now and then; `None`: a ping of the WebSocket protocol does.
    fn ping(&self) -> Option<&'static str>;

    /// What the venue allows.
    fn limits(&self) -> Limits;

    /// The request for a question; `None` if the venue does not answer it.
    fn request(&self, ask: &Ask<'_>) -> Option<Request>;

    /// Appends the events of an answer.
    fn answer(
        &mut self,
        ask: &Ask<'_>,
        body: &str,
        ts_recv: Ts,
        out: &mut Vec<(InstrumentId, Event)>,
    ) -> Result<(), DecodeError>;
}

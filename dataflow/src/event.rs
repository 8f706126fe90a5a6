//! Events inside the graph: small records that carry their own knowledge time.

use prism_schemas::{Timeframe, Ts, event::Feed, instrument::fnv1a};
use serde::{Deserialize, Serialize};

use crate::{
    bar::{Bar, EventId},
    positions::Margins,
    types::Time,
};

/// A trade. Prices and sizes are exact: `price / 10^price_decimals`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trade {
    /// When it happened, says the venue.
    pub ts_event: Ts,
    /// When we received it.
    pub ts_recv: Ts,
    /// Knowledge time.
    pub known: Time,
    /// Order among trades of one `ts_event`: venue sequence or row number.
    pub seq: u64,
    /// Identity; meaning by the shape.
    pub id: u64,
    /// Price mantissa.
    pub price: i64,
    /// Size mantissa, in base units or contracts.
    pub size: i64,
    /// How to read all this.
    pub shape: Shape,
    /// Dense number of the instrument.
    pub instrument: u32,
    /// Order among trades of one `seq`.
    pub index: u16,
    /// The taker bought.
    pub buy: bool,
}

/// How a trade's numbers are to be read: the same for nearly all trades of an instrument, and compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape(u64);

impl Shape {
    /// The first number of streams that `bars.streams` does not name.
    pub const UNLISTED: u32 = 1 << 31;

    /// Of a stream, by its number; an id kind: 0 none, 1 number, 2 text; inverse contracts have sizes in contracts.
    pub fn new(stream: u32, price_decimals: u8, size_decimals: u8, id_kind: u8, inverse: bool) -> Shape {
        let [price, size, kind] = [price_decimals, size_decimals, id_kind].map(u64::from);
        Shape(u64::from(stream) << 32 | price << 24 | size << 16 | kind << 8 | u64::from(inverse))
    }

    /// The number of a stream, given the names in `bars.streams`.
    pub fn stream_number(name: &str, listed: &[String]) -> u32 {
        let place = listed.iter().position(|have| have == name);
        place.map_or_else(|| Shape::UNLISTED | fnv1a(name.as_bytes()) as u32, |place| place as u32)
    }

    /// The stream it came from: its place in `bars.streams`, or a number from [`Shape::UNLISTED`] on.
    #[inline]
    pub fn stream(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Decimals of the price.
    #[inline]
    pub fn price_decimals(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// Decimals of the size.
    #[inline]
    pub fn size_decimals(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// An identity of this kind.
    #[inline]
    pub fn event_id(self, id: u64) -> EventId {
        EventId::of((self.0 >> 8) as u8, id)
    }

    /// Whether the contract is inverse: sizes are in contracts.
    #[inline]
    pub fn is_inverse(self) -> bool {
        self.0 & 1 != 0
    }

    /// The same of trades of which nobody says who took.
    pub fn unsided(self) -> Shape {
        Shape(self.0 | 2)
    }

    /// Whether nobody says who took.
    #[inline]
    pub fn is_unsided(self) -> bool {
        self.0 & 2 != 0
    }
}

impl Trade {
    /// Its identity.
    #[inline]
    pub fn event_id(&self) -> EventId {
        self.shape.event_id(self.id)
    }
}

/// A venue's closed bar in floats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in Bar")]
pub struct Kline {
    pub start: Ts,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    pub volume: f64,
    pub turnover: Option<f64>,
    /// Whether `turnover` still counts contracts.
    pub is_inverse: bool,
    /// Whether the venue's bars hold trades that its streams leave out.
    pub holds_more: bool,
}

/// A session's sign of life: it wrote to a partition, and what it wrote there before has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sign {
    /// By the hash of its text and the partition's number.
    pub session: u64,
    /// Whether it is a partition of states, and not of trades.
    pub of_states: bool,
    /// When it wrote, by its clock.
    pub at: Ts,
}

/// Who says how a feed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Teller {
    /// A session, as in `Sign`.
    Session(u64),
    /// A recording, by the hash of its text.
    Recording(u64),
    /// Not said, as in logs of old.
    Nobody,
}

/// What a venue tells of positions in a contract.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Position {
    /// Open contracts, counted once.
    OpenInterest(f64),
    /// What will be settled next.
    FundingRate(f64),
    /// Hours between settlements.
    FundingInterval(f64),
    /// Long over short accounts.
    Accounts(f64),
    /// Long over short positions of top traders.
    TopPositions(f64),
    /// What the smallest tier asks for.
    Margins(Margins),
    /// A position was closed by force.
    Forced(ForcedOrder),
}

/// A forced order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForcedOrder {
    /// It buys: a short was closed.
    pub buy: bool,
    /// Quote.
    pub price: f64,
    /// Base, of inverse contracts contracts.
    pub size: f64,
    /// Its number among equal ones received in one instant.
    pub n: u32,
    /// Whether the venue tells each of them.
    pub is_all: bool,
}

/// Rare events that change how trades are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fact {
    /// Quote value of one inverse contract, as mantissa and decimals.
    ContractSize(i64, u32),
    /// The feed's state changed.
    Feed {
        /// Who says so.
        teller: Teller,
        /// Event time from which it is so.
        at: Ts,
        /// How it changed.
        change: FeedChange,
    },
    /// A history of klines goes on from here, or ended.
    History {
        /// Who says so.
        teller: Teller,
        /// Theirs.
        timeframe: Timeframe,
        /// Event time from which it is so.
        at: Ts,
        /// Whether more is to come.
        goes_on: bool,
    },
    /// The book is suspect from then on, or is not any more, as its feed says.
    Book {
        /// Event time from which it is so.
        at: Ts,
        /// Whether it is.
        is_suspect: bool,
    },
    /// What a venue tells of positions in a contract.
    Position {
        /// Event time.
        at: Ts,
        /// What it tells.
        position: Position,
        /// Whether the contract is inverse.
        is_inverse: bool,
    },
    /// A session lived. It concerns the instruments of all workers.
    Alive(Sign),
    /// The venue's own bar.
    Kline(Timeframe, Kline),
    /// A bar that is stored already, known when it closed: what the log no longer has of it stands in it.
    Stored(Bar),
    /// From here on the log has everything: bars are made. It concerns the instruments of all workers.
    Begin,
    /// An event was refused before it became a record.
    Refused(RowError),
}

impl Fact {
    /// Where klines stand among each other, behind all else that became known with them.
    pub fn kline_start(&self) -> Option<Ts> {
        match self {
            Fact::Kline(_, kline) => Some(kline.start),
            _ => None,
        }
    }
}

/// A rare event with its knowledge time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// Dense number of the instrument; of a session's life, the worker that is told.
    pub instrument: u32,
    /// Knowledge time.
    pub known: Time,
    /// What it says.
    pub fact: Fact,
}

/// An event that changed nothing, and why: data, not a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowError {
    /// Dense number of the instrument.
    pub instrument: u32,
    /// Event time.
    pub ts_event: Ts,
    /// Receive time.
    pub ts_recv: Ts,
    /// Name of the rule; `late` goes to `late_events`, all others to `quarantine`.
    pub rule: String,
    /// What was wrong.
    pub detail: String,
    /// The event's identity.
    pub id: String,
    /// Price, size and whether the taker bought, of a trade.
    pub trade: Option<(f64, f64, bool)>,
    /// The frame, where there is one.
    pub raw: String,
}

/// What a feed's state says of an instrument's trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FeedChange {
    /// They come from now on.
    Connected,
    /// They do not come any more.
    Disconnected,
    /// Some are missing from now on, although the feed is connected.
    Missing,
    /// All come again.
    Complete,
}

impl FeedChange {
    /// The change that a state is; `None` where it says nothing about trades.
    pub fn of(feed: Feed) -> Option<FeedChange> {
        match feed {
            Feed::Connected => Some(FeedChange::Connected),
            Feed::Disconnected => Some(FeedChange::Disconnected),
            Feed::Gap | Feed::ResyncStarted => Some(FeedChange::Missing),
            Feed::ResyncFinished => Some(FeedChange::Complete),
            Feed::Stale | Feed::Throttled | Feed::Skewed | Feed::Unspecified => None,
        }
    }
}

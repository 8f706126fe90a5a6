//! Venues: each one file of pure functions from frames to events, and one line in `exchanges()`.

mod binance;
mod bybit;
mod coinbase;
mod deribit;
mod kraken;
mod number;
mod okx;
#[doc(hidden)]
pub mod plain;
mod wire;

pub use binance::Binance;
pub use bybit::Bybit;
pub use coinbase::Coinbase;
pub use deribit::Deribit;
pub use kraken::{Kraken, KrakenFutures};
pub use okx::Okx;
pub use wire::{Answer, Ask, Cap, Channels, Holders, Limits, Request, Throttled, Wire};

use prism_schemas::event::event::Body;
use prism_schemas::event::{Instrument, Levels, Quarantined, Side, Trade, trade};
use prism_schemas::time::{DAY, MINUTE};
use prism_schemas::{Decimal, Event, InstrumentId, Market, Ts};

/// Decodes a venue's frames. No socket and no clock: the caller says when a frame was received.
pub trait Exchange: Send + Sync {
    /// The venue's name in `InstrumentId::exchange`.
    fn id(&self) -> &'static str;

    /// The kind of contract of this connection.
    fn market(&self) -> Market;

    /// Takes in what an instrument is, where frames cannot be read without it: their sizes count its contracts.
    fn learn(&mut self, _instrument: &InstrumentId, _described: &Instrument) {}

    /// Takes in the instruments that an answer describes.
    fn learn_from(&mut self, answer: &[(InstrumentId, Event)]) {
        for (id, event) in answer {
            if let Some(Body::Instrument(described)) = &event.body {
                self.learn(id, described);
            }
        }
    }

    /// Appends a frame's events; what it appended before an error does not count.
    fn read(&mut self, frame: &str, ts_recv: Ts, out: &mut Vec<(InstrumentId, Event)>) -> Result<(), DecodeError>;

    /// Appends a frame's events. Acknowledgements and pongs have none. On an error nothing is appended.
    fn decode(&mut self, frame: &str, ts_recv: Ts, out: &mut Vec<(InstrumentId, Event)>) -> Result<(), DecodeError> {
        let before = out.len();
        let read = self.read(frame, ts_recv, out);
        if read.is_err() {
            out.truncate(before);
        }
        read
    }
}

/// A decoder for each venue and market.
pub fn exchanges() -> Vec<Box<dyn Exchange>> {
    vec![
        Box::new(Bybit::new(Market::Linear)),
        Box::new(Bybit::new(Market::Spot)),
        Box::new(Bybit::new(Market::Inverse)),
        Box::new(Binance::new(Market::Linear)),
        Box::new(Binance::new(Market::Spot)),
        Box::new(Binance::new(Market::Inverse)),
        Box::new(Okx::new(Market::Linear)),
        Box::new(Okx::new(Market::Spot)),
        Box::new(Okx::new(Market::Inverse)),
        Box::new(Kraken::default()),
        Box::new(KrakenFutures::new(Market::Inverse)),
        Box::new(KrakenFutures::new(Market::Linear)),
        Box::new(Coinbase::default()),
        Box::new(Deribit::new(Market::Inverse)),
        Box::new(Deribit::new(Market::Linear)),
        Box::new(Deribit::new(Market::Spot)),
    ]
}

/// The decoder of a venue and market.
pub fn exchange(id: &str, market: Market) -> Option<Box<dyn Exchange>> {
    exchanges().into_iter().find(|exchange| exchange.id() == id && exchange.market() == market)
}

/// The venue and market that can be followed live under this name, `bybit-linear`.
pub fn wire(name: &str) -> Option<Box<dyn Wire>> {
    wires().into_iter().find(|wire| name.split_once('-') == Some((wire.id(), wire.market().name())))
}

/// Every venue and market that can be followed live.
pub fn wires() -> Vec<Box<dyn Wire>> {
    vec![
        Box::new(Bybit::new(Market::Linear)),
        Box::new(Bybit::new(Market::Spot)),
        Box::new(Bybit::new(Market::Inverse)),
        Box::new(Binance::new(Market::Linear)),
        Box::new(Binance::new(Market::Spot)),
        Box::new(Okx::new(Market::Linear)),
        Box::new(Okx::new(Market::Spot)),
        Box::new(Kraken::default()),
    ]
}

/// Why a frame has no events. In every case the caller quarantines the frame and goes on; what else it does differs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The frame is cut or garbled: many in a row mean a broken connection, so reconnect.
    #[error("no valid frame: {0}")]
    Malformed(String),
    /// A kind of message nobody here reads: unsubscribe from its channel, or write its decoder.
    #[error("no decoder for \"{0}\"")]
    Unknown(String),
    /// A field is missing or does not hold what the venue documents: the venue changed its format, so tell an operator.
    #[error("field \"{field}\" of {kind} {problem}")]
    Field {
        /// The kind of message.
        kind: &'static str,
        /// The field's name on the wire.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Sizes count contracts and nobody said what one is worth: have the venue's instruments read before its frames.
    #[error("what a contract of {0} is worth is not known: no answer of instruments told it before")]
    Contract(String),
    /// The venue refused a request: correct it, or wait and repeat it.
    #[error("the venue answered: {0}")]
    Refused(String),
}

impl DecodeError {
    /// The name under which the frame is quarantined and counted.
    pub const fn rule(&self) -> &'static str {
        match self {
            DecodeError::Malformed(_) => "malformed_frame",
            DecodeError::Unknown(_) => "unknown_frame",
            DecodeError::Field { .. } => "invalid_field",
            DecodeError::Contract(_) => "unknown_contract_size",
            DecodeError::Refused(_) => "refused_request",
        }
    }
}

/// Bytes of a quarantined frame that are kept.
pub const RAW_MAX: usize = 64 << 10;

/// A frame or record that is no event, with its reason.
pub fn quarantined(rule: &str, detail: String, raw: &[u8], ts_recv: Ts) -> Event {
    let raw = raw[..raw.len().min(RAW_MAX)].to_vec();
    let body = Some(Body::Quarantined(Quarantined { rule: rule.into(), detail, raw }));
    Event { ts_event: ts_recv, ts_recv, seq: None, index: 0, body }
}

/// A trade as an event, or its quarantine if it has no positive price and size.
#[inline]
pub fn trade_event(trade: Trade, ts_event: Ts, ts_recv: Ts, seq: Option<u64>, index: u32, raw: &[u8]) -> Event {
    let positive = |number: Option<Decimal>| number.is_some_and(|number| 0 < number.mantissa);
    if positive(trade.price) && positive(trade.size) {
        return Event { ts_event, ts_recv, seq, index, body: Some(Body::Trade(trade)) };
    }
    let text = |number: Option<Decimal>| number.map_or("absent".to_string(), |number| number.to_string());
    let id = match &trade.id {
        Some(trade::Id::Number(number)) => number.to_string(),
        Some(trade::Id::Text(text)) => text.clone(),
        None => "without id".into(),
    };
    let detail = format!("trade {id}: price {}, size {}", text(trade.price), text(trade.size));
    let event = quarantined("nonpositive_trade", detail, raw, ts_recv);
    Event { ts_event, seq, index, ..event }
}

/// The symbol under which a row without a name is quarantined.
const NAMELESS: &str = "?";

/// The events of an answer's rows, each by its name. A row that cannot be read is quarantined alone (rule `invalid_field`,
/// under its symbol), unless none can.
pub(crate) fn each_row<'a>(
    venue: (&str, Market),
    ts_recv: Ts,
    rows: impl Iterator<Item = (&'a str, Result<(InstrumentId, Event), DecodeError>)>,
) -> Result<Vec<(InstrumentId, Event)>, DecodeError> {
    each_row_named(venue, ts_recv, rows, prism_schemas::canonical_symbol)
}

/// As `each_row`, of names that are no spelling of the symbol.
pub(crate) fn each_row_named<'a>(
    (exchange, market): (&str, Market),
    ts_recv: Ts,
    rows: impl Iterator<Item = (&'a str, Result<(InstrumentId, Event), DecodeError>)>,
    symbol: impl Fn(&str) -> String,
) -> Result<Vec<(InstrumentId, Event)>, DecodeError> {
    let (mut events, mut failed, mut n_read) = (Vec::new(), None, 0);
    for (name, row) in rows {
        let error = match row {
            Ok(event) => {
                n_read += 1;
                events.push(event);
                continue;
            }
            Err(error) => error,
        };
        // One without a name is a row, too, and no refusal of all.
        let symbol = symbol(name);
        let id = InstrumentId::new(exchange, market, if symbol.is_empty() { NAMELESS } else { &symbol });
        events.push((id, quarantined(error.rule(), format!("{name}: {error}"), name.as_bytes(), ts_recv)));
        failed = Some(error);
    }
    match failed {
        Some(error) if n_read == 0 => Err(error),
        _ => Ok(events),
    }
}

/// An event without a sequence number, the first of its frame.
pub fn event_of(ts_event: Ts, ts_recv: Ts, body: Body) -> Event {
    Event { ts_event, ts_recv, seq: None, index: 0, body: Some(body) }
}

/// Price levels brought to the fewest common decimals; `None` if one is no number or does not fit.
pub(crate) fn levels<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Levels> {
    gather(pairs, |number, _| number.decimals, Some)
}

/// As `levels`, with sizes that count so many units each.
pub(crate) fn levels_of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, unit: Decimal) -> Option<Levels> {
    gather(pairs, |number, _| number.decimals, |size| size.times(unit))
}

/// As `levels`, with as many decimals as are written.
pub(crate) fn levels_as_written<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Levels> {
    let written = |text: &str| text.split_once('.').map_or(0, |(_, fraction)| fraction.len() as u32);
    gather(pairs, |number, text| number.decimals.max(written(text)), Some)
}

fn gather<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    decimals: impl Fn(&Decimal, &str) -> u32,
    sized: impl Fn(Decimal) -> Option<Decimal>,
) -> Option<Levels> {
    let mut levels = Levels::default();
    let n = pairs.size_hint().0;
    levels.prices.reserve_exact(n);
    levels.sizes.reserve_exact(n);
    for (price_text, size_text) in pairs {
        let (price, size) = (Decimal::parse(price_text)?, sized(Decimal::parse(size_text)?)?);
        push(&mut levels.prices, &mut levels.price_decimals, price, decimals(&price, price_text))?;
        push(&mut levels.sizes, &mut levels.size_decimals, size, decimals(&size, size_text))?;
    }
    Some(levels)
}

/// Adds a number to those of common decimals, which grow to what it needs.
fn push(numbers: &mut Vec<i64>, decimals: &mut u32, number: Decimal, needed: u32) -> Option<()> {
    if *decimals < needed {
        for before in numbers.iter_mut() {
            *before = Decimal::new(*before, *decimals).at(needed)?;
        }
        *decimals = needed;
    }
    numbers.push(number.at(*decimals)?);
    Some(())
}

/// Puts the settlements of an answer in order, and tells of each how long it is after the one before: venues list them
/// without a hole. More than a day is no interval, and what was before the first is not known.
pub(crate) fn intervals(events: &mut [(InstrumentId, Event)]) {
    events.sort_by(|(a, one), (b, other)| (a, one.ts_event).cmp(&(b, other.ts_event)));
    for at in 1..events.len() {
        let (done, rest) = events.split_at_mut(at);
        if let (Some((before, last)), Some((id, event))) = (done.last(), rest.first_mut())
            && let (true, Some(Body::FundingRate(rate))) = (before == id, &mut event.body)
        {
            // Binance dates settlements some milliseconds late.
            let minutes = (event.ts_event - last.ts_event + MINUTE / 2) / MINUTE;
            rate.interval = Some(minutes * MINUTE).filter(|since| (1..=DAY).contains(since));
        }
    }
}

/// Whether it can be a venue's time: the end of a bar that begins then is one, too.
fn is_time(ts: &Ts) -> bool {
    (1..i64::MAX - 366 * DAY).contains(ts)
}

/// Whether a symbol is spelled as ours are: capital letters, digits and underscores.
pub(crate) fn is_canonical(symbol: &str) -> bool {
    let is = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    !symbol.is_empty() && symbol.bytes().all(is)
}

/// The taker's side when the buyer or the seller was the maker.
pub(crate) const fn taker(buyer_is_maker: bool) -> Side {
    if buyer_is_maker { Side::Sell } else { Side::Buy }
}

/// Decimals of a step such as a tick or a lot.
pub(crate) fn decimals_of(step: Option<Decimal>) -> u32 {
    step.map_or(0, |step| step.decimals)
}

/// Reads fields of one kind of message; a failure names the field.
#[derive(Clone, Copy)]
pub struct Fields {
    /// The kind of message.
    pub kind: &'static str,
}

impl Fields {
    /// The error of a field that is not what it should be.
    pub fn wrong(self, field: &'static str, problem: impl Into<String>) -> DecodeError {
        DecodeError::Field { kind: self.kind, field, problem: problem.into() }
    }

    /// A field that must be there.
    pub fn some<T>(self, field: &'static str, value: Option<T>) -> Result<T, DecodeError> {
        value.ok_or_else(|| self.wrong(field, "is missing"))
    }

    /// An exact number as text.
    pub fn decimal(self, field: &'static str, text: &str) -> Result<Decimal, DecodeError> {
        Decimal::parse(text).ok_or_else(|| self.wrong(field, format!("is no exact number: \"{text}\"")))
    }

    /// An absent or empty field stays absent.
    pub fn optional(self, field: &'static str, text: Option<&str>) -> Result<Option<Decimal>, DecodeError> {
        text.filter(|text| !text.is_empty()).map(|text| self.decimal(field, text)).transpose()
    }

    /// As `optional`, to as many decimals as fit: sums that a venue computes have any number of them.
    pub fn rounded(self, field: &'static str, text: Option<&str>) -> Result<Option<Decimal>, DecodeError> {
        let read =
            |text| Decimal::parse_rounded(text).ok_or_else(|| self.wrong(field, format!("is no number: \"{text}\"")));
        text.filter(|text| !text.is_empty()).map(read).transpose()
    }

    /// UNIX milliseconds, as nanoseconds.
    pub fn millis(self, field: &'static str, millis: i64) -> Result<Ts, DecodeError> {
        let ts = millis.checked_mul(prism_schemas::time::MILLISECOND).filter(is_time);
        ts.ok_or_else(|| self.wrong(field, format!("is no time: {millis}")))
    }

    /// Milliseconds as text; empty or 0 where there is no such time.
    pub fn optional_millis(self, field: &'static str, text: Option<&str>) -> Result<Option<Ts>, DecodeError> {
        let text = text.filter(|text| !text.is_empty() && *text != "0");
        text.map(|text| self.millis(field, self.integer(field, text)?)).transpose()
    }

    /// UNIX seconds with a fraction, exactly.
    pub fn seconds(self, field: &'static str, text: &str) -> Result<Ts, DecodeError> {
        let ts = prism_schemas::time::parse_seconds(text).filter(is_time);
        ts.ok_or_else(|| self.wrong(field, format!("is no time: \"{text}\"")))
    }

    /// An instant as RFC 3339 writes it.
    pub fn utc(self, field: &'static str, text: &str) -> Result<Ts, DecodeError> {
        let ts = prism_schemas::time::parse_ts(text).filter(|ts| is_time(ts) && text.contains('T'));
        ts.ok_or_else(|| self.wrong(field, format!("is no time: \"{text}\"")))
    }

    /// An integer as text.
    pub fn integer<T: std::str::FromStr>(self, field: &'static str, text: &str) -> Result<T, DecodeError> {
        text.parse().map_err(|_| self.wrong(field, format!("is no integer: \"{text}\"")))
    }

    /// An instrument's name in the canonical spelling.
    pub fn symbol(self, field: &'static str, text: &str) -> Result<String, DecodeError> {
        if is_canonical(text) {
            return Ok(text.into());
        }
        let symbol = prism_schemas::canonical_symbol(text);
        let named = |c: char| c.is_alphanumeric() || c == '_';
        if symbol.is_empty() || !symbol.chars().all(named) {
            return Err(self.wrong(field, format!("is no symbol: \"{text}\"")));
        }
        Ok(symbol)
    }

    /// A message of this kind.
    pub fn json<'a, T: serde::Deserialize<'a>>(self, text: &'a str) -> Result<T, DecodeError> {
        if let Some(value) = plain::read(text) {
            return Ok(value);
        }
        sonic_rs::from_str(text).map_err(|error| {
            if error.is_syntax() || error.is_eof() {
                return DecodeError::Malformed(short(&error.to_string()));
            }
            DecodeError::Field { kind: self.kind, field: "?", problem: short(&error.to_string()) }
        })
    }
}

/// The first line of a message: sonic-rs adds an excerpt of the input below it.
fn short(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_string()
}

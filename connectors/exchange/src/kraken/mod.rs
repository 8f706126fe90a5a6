//! Kraken's public spot streams, version 1; frames of version 2 are told by their shape.
//!
//! Documented at <https://docs.kraken.com/api/docs/guides/global-intro> and, for books and their checksums,
//! <https://docs.kraken.com/api/docs/guides/spot-ws-book-v1>. Bitcoin and Dogecoin are spelled XBT and XDG there.

mod answers;
mod futures;
mod v2;
mod wire;

pub use futures::KrakenFutures;

use std::collections::HashMap;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Instrument, Levels, Side, Ticker, Trade};
use prism_schemas::{Event, InstrumentId, Market, Ts};
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sonic_rs::LazyValue;

use self::v2::Version2;
use crate::{DecodeError, Exchange, Fields, event_of, is_canonical, levels_as_written, plain, trade_event};

pub(super) const ID: &str = "kraken";

/// Pairs whose names are kept; the venue has some thousand.
const PAIRS_MAX: usize = 20_000;

type Events = Vec<(InstrumentId, Event)>;

/// The decoder of a connection of either version.
#[derive(Clone, Debug, Default)]
pub struct Kraken {
    version_2: Version2,
    /// Names on the stream by those of requests: `BTC/USD` by `XBTUSD`.
    pairs: HashMap<String, String>,
}

impl Kraken {
    fn trades(
        id: &InstrumentId,
        frame: &str,
        trades: &[TradeItem],
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "trade" };
        for (index, (price, size, time, side, ..)) in (0..).zip(trades) {
            let trade = Trade {
                price: Some(fields.decimal("price", price)?),
                size: Some(fields.decimal("volume", size)?),
                side: match *side {
                    "b" => Side::Buy.into(),
                    "s" => Side::Sell.into(),
                    other => return Err(fields.wrong("side", format!("is no side: \"{other}\""))),
                },
                stream: "trade".into(),
                ..Trade::default()
            };
            let ts_event = fields.seconds("time", time)?;
            out.push((id.clone(), trade_event(trade, ts_event, ts_recv, None, index, frame.as_bytes())));
        }
        Ok(())
    }

    /// A message without data, or any of version 2.
    fn notice(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        if frame.starts_with("{\"channel\":\"") {
            return self.version_2.read(frame, ts_recv, out);
        }
        let notice: Notice = Fields { kind: "message" }.json(frame)?;
        match (notice.event, notice.status) {
            ("subscriptionStatus", Some("error")) => {
                Err(DecodeError::Refused(notice.message.unwrap_or_default().into()))
            }
            ("heartbeat" | "systemStatus" | "subscriptionStatus" | "pong", _) => Ok(()),
            ("", _) => self.version_2.read(frame, ts_recv, out),
            (other, _) => Err(DecodeError::Unknown(other.into())),
        }
    }

    /// The events of a frame in one pass.
    fn whole(frame: &str, ts_recv: Ts, out: &mut Events) -> Option<()> {
        // Channel and pair are the last two texts.
        let (rest, _) = frame.strip_suffix("\"]")?.rsplit_once('"')?;
        let (_, channel) = rest.strip_suffix("\",")?.rsplit_once('"')?;
        let of = |pair| instrument(Fields { kind: "message" }, "pair", pair).ok();
        match channel.split_once('-').map_or(channel, |(kind, _)| kind) {
            "trade" => {
                let (_, trades, _, pair): (u64, Vec<TradeItem>, &str, &str) = plain::read(frame)?;
                Kraken::trades(&of(pair)?, frame, &trades, ts_recv, out).ok()
            }
            "book" => {
                let one: Option<(u64, BookData, &str, &str)> = plain::read(frame);
                let (parts, channel, pair) = match one {
                    Some((_, part, channel, pair)) => ([part, BookData::default()], channel, pair),
                    None => {
                        let two: (u64, BookData, BookData, &str, &str) = plain::read(frame)?;
                        ([two.1, two.2], two.3, two.4)
                    }
                };
                Kraken::book(&of(pair)?, channel, &parts, ts_recv, out).ok()
            }
            "ticker" => {
                let (_, raw, _, pair): (u64, TickerData, &str, &str) = plain::read(frame)?;
                Kraken::ticker(of(pair)?, &raw, ts_recv, out).ok()
            }
            _ => None,
        }
    }

    /// One update; a frame that changes both sides has it in two parts, of which the second has the checksum.
    fn book(
        id: &InstrumentId,
        channel: &str,
        parts: &[BookData<'_>],
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "book" };
        let depth = channel.strip_prefix("book-").and_then(|depth| depth.parse().ok());
        let depth = depth.ok_or_else(|| fields.wrong("channelName", format!("has no depth: \"{channel}\"")))?;
        let mut book = Book { depth: Some(depth), ..Book::default() };
        let mut ts_event = None;
        for raw in parts {
            book.snapshot |= raw.snapshot_asks.is_some() || raw.snapshot_bids.is_some();
            if let Some(checksum) = raw.checksum {
                let sum = checksum.parse().map_err(|_| fields.wrong("c", "is no checksum"))?;
                book.checksum = Some(sum);
            }
            for rows in [&raw.snapshot_asks, &raw.asks].into_iter().flatten() {
                book.asks = Some(read_levels(fields, rows, &mut ts_event)?);
            }
            for rows in [&raw.snapshot_bids, &raw.bids].into_iter().flatten() {
                book.bids = Some(read_levels(fields, rows, &mut ts_event)?);
            }
        }
        if !book.snapshot {
            fields.some("c", book.checksum)?;
        }
        fields.some("a or b", book.asks.as_ref().or(book.bids.as_ref()))?;
        out.push((id.clone(), event_of(ts_event.unwrap_or(ts_recv), ts_recv, Body::Book(book))));
        Ok(())
    }

    fn ticker(id: InstrumentId, raw: &TickerData, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "ticker" };
        let ticker = Ticker {
            last: Some(fields.decimal("c", raw.last.0)?),
            bid_price: Some(fields.decimal("b", raw.bid.0)?),
            bid_size: Some(fields.decimal("b", raw.bid.2)?),
            ask_price: Some(fields.decimal("a", raw.ask.0)?),
            ask_size: Some(fields.decimal("a", raw.ask.2)?),
            // Of each pair the first is since midnight.
            open_24h: Some(fields.decimal("o", raw.open.1)?),
            high_24h: Some(fields.decimal("h", raw.high.1)?),
            low_24h: Some(fields.decimal("l", raw.low.1)?),
            volume_24h: Some(fields.decimal("v", raw.volume.1)?),
            ..Ticker::default()
        };
        out.push((id, event_of(ts_recv, ts_recv, Body::Ticker(ticker.into()))));
        Ok(())
    }
}

/// Levels as written, whose trailing zeros the checksum counts; and the latest of their times.
fn read_levels(fields: Fields, rows: &[Row<'_>], ts_event: &mut Option<Ts>) -> Result<Levels, DecodeError> {
    for row in rows {
        *ts_event = (*ts_event).max(Some(fields.seconds("timestamp", row.time)?));
    }
    let pairs = rows.iter().map(|row| (row.price, row.size));
    levels_as_written(pairs).ok_or_else(|| fields.wrong("levels", "have one that is no exact number"))
}

fn common(name: &str) -> &str {
    match name {
        "XBT" => "BTC",
        "XDG" => "DOGE",
        other => other,
    }
}

pub(super) fn instrument(fields: Fields, field: &'static str, name: &str) -> Result<InstrumentId, DecodeError> {
    let (base, quote) = name.split_once('/').ok_or_else(|| fields.wrong(field, format!("is no pair: \"{name}\"")))?;
    let mut symbol = String::with_capacity(name.len());
    symbol.push_str(common(base));
    symbol.push_str(common(quote));
    if !is_canonical(&symbol) {
        symbol = fields.symbol(field, &symbol)?;
    }
    Ok(InstrumentId { exchange: ID.into(), market: Market::Spot, symbol })
}

impl Exchange for Kraken {
    fn id(&self) -> &'static str {
        ID
    }

    fn market(&self) -> Market {
        Market::Spot
    }

    fn learn(&mut self, _instrument: &InstrumentId, described: &Instrument) {
        if let Some(name) = answers::request_name(&described.native_symbol)
            && self.pairs.len() < PAIRS_MAX
        {
            self.pairs.insert(name, described.native_symbol.clone());
        }
    }

    fn read(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let before = out.len();
        if !frame.trim_start().starts_with('[') {
            return self.notice(frame, ts_recv, out);
        }
        let fields = Fields { kind: "message" };
        // Nearly every frame is spelled like this; what fails is looked at again, part by part.
        if Kraken::whole(frame, ts_recv, out).is_some() {
            return Ok(());
        }
        out.truncate(before);
        // Channel number, one or two parts, channel name, pair.
        let message: Vec<LazyValue> = fields.json(frame)?;
        let [_, parts @ .., channel, pair] = &message[..] else {
            return Err(fields.wrong("message", "has less than four parts"));
        };
        let [first, ..] = parts else { return Err(fields.wrong("message", "has less than four parts")) };
        let text = |value: &LazyValue<'_>| fields.json::<String>(value.as_raw_str());
        let (channel, id) = (text(channel)?, instrument(fields, "pair", &text(pair)?)?);
        let (name, first) = (channel.split('-').next().unwrap_or_default(), first.as_raw_str());
        match name {
            "trade" => Fields { kind: "trade" }
                .json(first)
                .and_then(|trades: Vec<TradeItem>| Kraken::trades(&id, frame, &trades, ts_recv, out)),
            "book" => parts
                .iter()
                .map(|part| Fields { kind: "book" }.json(part.as_raw_str()))
                .collect::<Result<Vec<BookData>, _>>()
                .and_then(|parts| Kraken::book(&id, &channel, &parts, ts_recv, out)),
            "ticker" => {
                Fields { kind: "ticker" }.json(first).and_then(|raw: TickerData| Kraken::ticker(id, &raw, ts_recv, out))
            }
            other => Err(DecodeError::Unknown(other.into())),
        }
    }
}

// {"event":"subscriptionStatus","status":"error","errorMessage":"Subscription depth not supported"}
#[derive(Deserialize)]
struct Notice<'a> {
    #[serde(default)]
    event: &'a str,
    #[serde(default)]
    status: Option<&'a str>,
    #[serde(rename = "errorMessage")]
    message: Option<&'a str>,
}

/// Price, volume, time, side, order type, miscellaneous.
type TradeItem<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str, &'a str);

/// Price, volume, time, and "r" for one that is sent again.
struct Row<'a> {
    price: &'a str,
    size: &'a str,
    time: &'a str,
}

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row<'a>, D::Error> {
        struct Parts;

        impl<'a> Visitor<'a> for Parts {
            type Value = Row<'a>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("price, volume and time")
            }

            fn visit_seq<A: SeqAccess<'a>>(self, mut parts: A) -> Result<Row<'a>, A::Error> {
                let (Some(price), Some(size), Some(time)) =
                    (parts.next_element()?, parts.next_element()?, parts.next_element()?)
                else {
                    return Err(A::Error::custom("a level has less than three parts"));
                };
                while parts.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Row { price, size, time })
            }
        }

        deserializer.deserialize_seq(Parts)
    }
}

// [1234,{"a":[["5541.30000","2.50700000","1534614248.456738"]],"c":"974942666"},"book-10","XBT/USD"]
#[derive(Default, Deserialize)]
struct BookData<'a> {
    #[serde(rename = "as", borrow)]
    snapshot_asks: Option<Vec<Row<'a>>>,
    #[serde(rename = "bs", borrow)]
    snapshot_bids: Option<Vec<Row<'a>>>,
    #[serde(rename = "a", borrow)]
    asks: Option<Vec<Row<'a>>>,
    #[serde(rename = "b", borrow)]
    bids: Option<Vec<Row<'a>>>,
    #[serde(rename = "c")]
    checksum: Option<&'a str>,
}

// {"a":["13.253900",35,"35.72"],"b":["13.23",185,"185.18"],"c":["13.25","3.71"],"v":["26560.8","72035.0"],
// "l":["13.02","13.02"],"h":["13.94","14.21"],"o":["13.80","13.42"]}
#[derive(Deserialize)]
struct TickerData<'a> {
    #[serde(rename = "a", borrow)]
    ask: (&'a str, IgnoredAny, &'a str),
    #[serde(rename = "b", borrow)]
    bid: (&'a str, IgnoredAny, &'a str),
    #[serde(rename = "c")]
    last: (&'a str, &'a str),
    #[serde(rename = "v")]
    volume: (&'a str, &'a str),
    #[serde(rename = "l")]
    low: (&'a str, &'a str),
    #[serde(rename = "h")]
    high: (&'a str, &'a str),
    #[serde(rename = "o")]
    open: (&'a str, &'a str),
}

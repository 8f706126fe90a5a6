//! Recordings of cryptofeed: JSON lines of connections, requests and frames, and the text lines of its versions 2.
//!
//! Forms: github.com/bmoscon/cryptofeed, `cryptofeed/raw_data_collection.py`: 2.x writes `<address> <-> <seconds>` for a
//! connection, `<address> <- <seconds>: <text>` for what was sent, `<url> -> <seconds>: <body>` for an answer, and
//! `<seconds>: <frame>` for a frame, one connection a file that is named by the exchange; before them `configuration: ...`.

use std::borrow::Cow;
use std::collections::HashMap;

use prism_schemas::event::Instrument;
use prism_schemas::event::event::Body;
use prism_schemas::{Event, InstrumentId, Market, Ts};
use serde::Deserialize;

use super::super::instant::Instants;
use super::super::lines::Lines;
use super::super::sight::Sight;
use super::super::who::Names;
use super::super::{Events, Recognised, Source};
use super::Format;
use super::frames::settle;
use prism_exchange::{Binance, Bybit, Coinbase, DecodeError, Deribit, Exchange, Kraken, KrakenFutures, Okx, Wire};

pub(super) const FORMAT: Format = Format {
    name: "cryptofeed",
    looks: "JSON lines {\"t\":\"recv\",\"conn\":..,\"ts\":..,\"data\":..} of Binance, Bybit, OKX, Kraken, Coinbase or Deribit, as prism record and cryptofeed 3 write them",
    recognise,
};

pub(super) const TEXT: Format = Format {
    name: "cryptofeed 2",
    looks: "BINANCE_FUTURES.ws.1.0: lines of <seconds>: <frame>, <url> -> <seconds>: <body>, <address> <-> <seconds>",
    recognise: recognise_text,
};

/// Connections of one recording.
const CONNECTIONS_MAX: usize = 10_000;

/// Contracts of one recording whose worth its answers tell.
const CONTRACTS_MAX: usize = 100_000;

/// Venues of cryptofeed recordings that have a decoder: id and, unless the URL names it, market.
const VENUES: &[(&str, &str, Option<Market>)] = &[
    ("BINANCE", "binance", Some(Market::Spot)),
    ("BINANCE_FUTURES", "binance", Some(Market::Linear)),
    ("BINANCE_DELIVERY", "binance", Some(Market::Inverse)),
    ("BYBIT", "bybit", None),
    ("OKX", "okx", Some(Market::Spot)),
    ("KRAKEN", "kraken", Some(Market::Spot)),
    // Frames of these name the market themselves.
    ("KRAKEN_FUTURES", "kraken", Some(Market::Inverse)),
    ("COINBASE", "coinbase", Some(Market::Spot)),
    ("DERIBIT", "deribit", Some(Market::Inverse)),
];

/// A venue by its name in recordings.
fn venue(name: &str) -> Result<(&'static str, Option<Market>), String> {
    let found = VENUES.iter().find(|(venue, ..)| *venue == name);
    found.map(|(_, id, market)| (*id, *market)).ok_or_else(|| format!("no decoder for exchange {name} yet"))
}

fn recognise(sight: &Sight) -> Option<Result<Recognised, String>> {
    let first = sight.first();
    // The first line may be longer than the head; its beginning is enough.
    let kind = |name: &str| {
        first.starts_with(&format!("{{\"t\":\"{name}\"")) || first.starts_with(&format!("{{\"t\": \"{name}\""))
    };
    if !["header", "http", "connect", "send", "recv"].into_iter().any(kind) {
        return None;
    }
    let named = |key: &str| {
        let (_, rest) = first.split_once(&format!("\"{key}\":"))?;
        rest.trim_start().strip_prefix('"')?.split(['"', '.']).next()
    };
    let name = named("conn").filter(|_| !kind("header")).or_else(|| named("exchange")).unwrap_or_default();
    Some(venue(name).map(|(id, market)| read(sight, FORMAT.name, id, market, Line::of_json)))
}

fn recognise_text(sight: &Sight) -> Option<Result<Recognised, String>> {
    let is_frame = |line: &str| {
        line.split_once(": ").is_some_and(|(ts, frame)| ts.parse::<f64>().is_ok() && frame.starts_with(['{', '[']))
    };
    let is_said = |line: &str| {
        let is_address = line.starts_with("wss://") || line.starts_with("https://");
        is_address && [" <-> ", " <- ", " -> "].iter().any(|arrow| line.contains(arrow))
    };
    let mut lines = sight.text.lines().filter(|line| !line.starts_with("configuration: "));
    let is_one = lines.next().is_some_and(|line| is_frame(line) || is_said(line));
    let stem = sight.stem();
    // A name of older versions ends with what a connection was called.
    let name = stem.split('-').next().unwrap_or_default();
    is_one.then(|| venue(name).map(|(id, market)| read(sight, TEXT.name, id, market, Line::of_text)))
}

/// How a line is told apart.
type Read = for<'a> fn(&'a str) -> Result<Line<'a>, DecodeError>;

fn read(sight: &Sight, format: &'static str, id: &'static str, market: Option<Market>, line: Read) -> Recognised {
    let (input, instants) = (sight.input.clone(), sight.instants);
    let open = move || {
        let lines = Lines::open(&input)?;
        let (connections, contracts) = (HashMap::new(), Vec::new());
        let (decoded, names) = (Vec::new(), Names::default());
        Ok(Box::new(Cryptofeed {
            lines,
            line,
            id,
            market,
            connections,
            contracts,
            decoded,
            names,
            instants,
            ts_recv: 0,
            control: 0,
        }) as Box<dyn Source>)
    };
    Recognised { format, input: sight.input.clone(), note: None, open: Box::new(open) }
}

struct Cryptofeed {
    lines: Lines,
    line: Read,
    id: &'static str,
    market: Option<Market>,
    connections: HashMap<String, Box<dyn Exchange>>,
    /// What answers told of contracts, for the decoders of connections.
    contracts: Vec<(InstrumentId, Box<Instrument>)>,
    /// What a line holds.
    decoded: Vec<(InstrumentId, Event)>,
    names: Names,
    instants: Instants,
    ts_recv: Ts,
    control: u64,
}

/// A line of a recording.
struct Line<'a> {
    kind: Cow<'a, str>,
    conn: Cow<'a, str>,
    ts: Option<Cow<'a, str>>,
    url: Cow<'a, str>,
    data: Cow<'a, str>,
}

impl Line<'_> {
    fn of_json(text: &str) -> Result<Line<'_>, DecodeError> {
        #[derive(Deserialize)]
        struct Json<'a> {
            t: &'a str,
            #[serde(borrow)]
            conn: Option<Cow<'a, str>>,
            #[serde(borrow)]
            ts: Option<sonic_rs::LazyValue<'a>>,
            #[serde(borrow)]
            url: Option<Cow<'a, str>>,
            #[serde(borrow)]
            addr: Option<Cow<'a, str>>,
            #[serde(borrow)]
            data: Option<Cow<'a, str>>,
        }
        let line: Json =
            sonic_rs::from_str(text).map_err(|_| DecodeError::Malformed("no line of a recording".into()))?;
        Ok(Line {
            kind: line.t.into(),
            conn: line.conn.unwrap_or_default(),
            ts: line.ts.map(|ts| ts.as_raw_str().to_string().into()),
            url: line.url.or(line.addr).unwrap_or_default(),
            data: line.data.unwrap_or_default(),
        })
    }

    fn of_text(text: &str) -> Result<Line<'_>, DecodeError> {
        let of = |kind: &'static str, url, ts, data| Line {
            kind: kind.into(),
            conn: "".into(),
            ts: Some(Cow::Borrowed(ts)),
            url: Cow::Borrowed(url),
            data: Cow::Borrowed(data),
        };
        let is_said = text.starts_with("wss://") || text.starts_with("http");
        let cut = |rest: &'_ str| rest.find(": ").map(|at| (at, at + 2));
        if text.starts_with("configuration: ") {
            return Ok(of("header", "", "", ""));
        }
        if let Some((address, ts)) = text.split_once(" <-> ").filter(|_| is_said) {
            return Ok(of("connect", address, ts, ""));
        }
        for (arrow, kind) in [(" <- ", "send"), (" -> ", "http")] {
            if let Some((url, rest)) = text.split_once(arrow).filter(|_| is_said)
                && let Some((end, start)) = cut(rest)
            {
                return Ok(of(kind, url, &rest[..end], &rest[start..]));
            }
        }
        match cut(text) {
            Some((end, start)) => Ok(of("recv", "", &text[..end], &text[start..])),
            None => Err(DecodeError::Malformed("no line of a recording".into())),
        }
    }
}

impl Source for Cryptofeed {
    fn next(&mut self, out: &mut Events) -> std::io::Result<bool> {
        if !self.lines.step()? {
            return Ok(false);
        }
        let before = out.len();
        let line = self.lines.bytes();
        let number = self.lines.number;
        let mut raw = Cow::Borrowed(line);
        let mut market = self.market.unwrap_or(Market::Linear);
        let result = (|| {
            let text = std::str::from_utf8(line).map_err(|error| DecodeError::Malformed(error.to_string()))?;
            let line = (self.line)(text)?;
            raw = Cow::Owned(line.data.as_bytes().to_vec());
            match &*line.kind {
                "header" | "send" => return Ok(()),
                "connect" | "recv" | "http" => {}
                other => return Err(DecodeError::Unknown(other.into())),
            }
            let ts = line.ts.as_ref().and_then(|ts| self.instants.seconds(ts));
            self.ts_recv = ts.ok_or_else(|| DecodeError::Malformed("no receive time".into()))?;
            let name = line.conn;
            match &*line.kind {
                "connect" => {
                    let found = self.market.or_else(|| Bybit::market_of(&line.url));
                    let decoder = found.and_then(|market| prism_exchange::exchange(self.id, market));
                    let mut decoder = decoder.ok_or_else(|| DecodeError::Unknown(line.url.into()))?;
                    self.contracts.iter().for_each(|(id, described)| decoder.learn(id, described));
                    if CONNECTIONS_MAX <= self.connections.len() && !self.connections.contains_key(name.as_ref()) {
                        return Err(DecodeError::Malformed(format!("more than {CONNECTIONS_MAX} connections")));
                    }
                    self.connections.insert(name.into(), decoder);
                    Ok(())
                }
                "recv" => {
                    // A file of text begins anew where the one before it was full, with frames.
                    if self.connections.is_empty() && self.market.is_some() && name.is_empty() {
                        let decoder = self.market.and_then(|market| prism_exchange::exchange(self.id, market));
                        self.connections.extend(decoder.map(|decoder| (String::new(), decoder)));
                    }
                    let decoder = self.connections.get_mut(name.as_ref());
                    let decoder = decoder.ok_or_else(|| DecodeError::Unknown(format!("connection {name}")))?;
                    market = decoder.market();
                    decoder.decode(&line.data, self.ts_recv, &mut self.decoded)
                }
                _ => {
                    market = self.market.or_else(|| Bybit::market_of(&line.url)).unwrap_or(market);
                    bootstrap(self.id, self.market, &line.url, &line.data, self.ts_recv, &mut self.decoded)?;
                    self.contracts.extend(contracts(&self.decoded).take(CONTRACTS_MAX - self.contracts.len()));
                    Ok(())
                }
            }
        })();
        self.names.share(&mut self.decoded, out);
        let nobody = || InstrumentId::new(self.id, market, "").into();
        settle(result, nobody, (&raw, number, self.ts_recv), before, out, &mut self.control);
        Ok(true)
    }

    fn control(&self) -> u64 {
        self.control
    }
}

/// Instruments whose contracts are worth something that frames do not tell.
fn contracts(events: &[(InstrumentId, Event)]) -> impl Iterator<Item = (InstrumentId, Box<Instrument>)> + '_ {
    events.iter().filter_map(|(id, event)| match &event.body {
        Some(Body::Instrument(described)) if described.contract_size.is_some() => Some((id.clone(), described.clone())),
        _ => None,
    })
}

/// REST answers a recording begins with.
fn bootstrap(
    id: &str,
    market: Option<Market>,
    url: &str,
    body: &str,
    ts_recv: Ts,
    out: &mut Vec<(InstrumentId, Event)>,
) -> Result<(), DecodeError> {
    // The venue's clock, or its currencies: no event, and of no market.
    if url.ends_with("/time") || url.contains("/get_currencies") {
        return Ok(());
    }
    let unknown = || DecodeError::Unknown(url.split('?').next().unwrap_or_default().into());
    let market = market.or_else(|| Bybit::market_of(url)).ok_or_else(unknown)?;
    match id {
        "okx" if url.contains("/instruments?") => {
            return Okx::new(market).decode_instruments(body, ts_recv, out);
        }
        "kraken" if url.contains("/AssetPairs") => {
            return Kraken::default().decode_instruments(body, ts_recv, out);
        }
        "kraken" if url.ends_with("/instruments") => {
            return KrakenFutures::new(market).decode_instruments(body, ts_recv, out);
        }
        "coinbase" if url.contains("/products") => {
            return Coinbase::default().decode_instruments(body, ts_recv, out);
        }
        "deribit" if url.contains("/get_instruments") => {
            return Deribit::new(market).decode_instruments(body, ts_recv, out);
        }
        _ => {}
    }
    let mut wire: Box<dyn Wire> = match id {
        "bybit" => Box::new(Bybit::new(market)),
        "binance" => Box::new(Binance::new(market)),
        _ => return Err(unknown()),
    };
    let ask = wire.asked(url).ok_or_else(unknown)?;
    let before = out.len();
    wire.answer(&ask, body, ts_recv, out)?;
    // As it was asked for then.
    let asked = url.split(['?', '&']).find_map(|pair| pair.strip_prefix("limit=")?.parse().ok());
    for (_, event) in &mut out[before..] {
        if let Some(Body::Book(book)) = &mut event.body {
            book.depth = asked;
        }
    }
    Ok(())
}

//! Recordings of venue frames: hftbacktest's `<ns> <json>` lines and cryptofeed's JSON lines.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use prism_schemas::event::Instrument;
use prism_schemas::event::event::Body;
use prism_schemas::{Event, InstrumentId, Market, Ts};
use serde::Deserialize;

use super::bytes::Lines;
use super::instant::Instants;
use super::{Events, Limits, Recognised, Source};
use prism_exchange::{
    Binance, Bybit, Coinbase, DecodeError, Deribit, Exchange, Kraken, KrakenFutures, Okx, Wire, quarantined,
};

/// The market shows in the shape of depth updates: COIN-M names the pair (`ps`), USD-M the previous update (`pu`).
pub(super) fn recognise_hftbacktest(
    path: &Path,
    limits: Limits,
    instants: Instants,
) -> std::io::Result<Result<Recognised, String>> {
    let mut lines = Lines::open(path, limits)?;
    let mut symbol = None;
    let mut market = None;
    // Every recording shows a depth update or a futures bookTicker early.
    while market.is_none() && lines.number < 100_000 && lines.step()? {
        let Ok(line) = std::str::from_utf8(lines.bytes()) else { continue };
        let Some(shape) = line.split_once(' ').and_then(|(_, json)| sonic_rs::from_str::<Combined>(json).ok()) else {
            continue;
        };
        symbol = symbol.or_else(|| shape.data.s.map(str::to_string));
        market = match shape.data {
            Shape { e: Some("depthUpdate" | "bookTicker"), ps: Some(_), .. } => Some(Market::Inverse),
            Shape { e: Some("depthUpdate"), pu: Some(_), .. } => Some(Market::Linear),
            Shape { e: Some("depthUpdate"), .. } => Some(Market::Spot),
            _ => None,
        };
    }
    let (Some(market), Some(symbol)) = (market, symbol) else {
        return Ok(Err("lines of <ns> <json>, but no Binance depth update that shows the market".into()));
    };
    let path = path.to_path_buf();
    let open = move || {
        let decoder = Binance::new(market).with_symbol(&symbol);
        let nobody = InstrumentId::new("binance", market, "");
        let lines = Lines::open(&path, limits)?;
        Ok(Box::new(Hftbacktest { lines, decoder, nobody, instants, ts_recv: 0, control: 0 }) as Box<dyn Source>)
    };
    Ok(Ok(Recognised { format: "hftbacktest", open: Box::new(open) }))
}

#[derive(Deserialize)]
struct Combined<'a> {
    #[serde(borrow)]
    data: Shape<'a>,
}

#[derive(Deserialize)]
struct Shape<'a> {
    e: Option<&'a str>,
    s: Option<&'a str>,
    ps: Option<&'a str>,
    pu: Option<i64>,
}

struct Hftbacktest {
    lines: Lines,
    decoder: Binance,
    /// Whom frames that cannot be decoded are filed under.
    nobody: InstrumentId,
    instants: Instants,
    ts_recv: Ts,
    control: u64,
}

impl Source for Hftbacktest {
    fn next(&mut self, out: &mut Events) -> std::io::Result<bool> {
        if !self.lines.step()? {
            return Ok(false);
        }
        let before = out.len();
        let line = self.lines.bytes();
        let result = match std::str::from_utf8(line).ok().and_then(|line| line.split_once(' ')) {
            Some((ts, frame)) => match self.instants.read(ts) {
                Ok(ts) => {
                    self.ts_recv = ts;
                    self.decoder.decode(frame, ts, out)
                }
                Err(wrong) => Err(DecodeError::Malformed(format!("receive time {wrong}"))),
            },
            None if line.is_empty() => Ok(()),
            None => Err(DecodeError::Malformed("not <ns> <json>".into())),
        };
        settle(result, &self.nobody, (line, self.lines.number, self.ts_recv), before, out, &mut self.control);
        Ok(true)
    }

    fn control(&self) -> u64 {
        self.control
    }
}

/// Quarantines what failed, and counts what has no events.
fn settle(
    result: Result<(), DecodeError>,
    nobody: &InstrumentId,
    (line, number, ts_recv): (&[u8], u64, Ts),
    before: usize,
    out: &mut Events,
    control: &mut u64,
) {
    match result {
        Ok(()) if out.len() == before => *control += 1,
        Ok(()) => {}
        Err(error) => {
            let detail = format!("line {number}: {error}");
            out.push((nobody.clone(), quarantined(error.rule(), detail, line, ts_recv)));
        }
    }
}

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

pub(super) fn recognise_cryptofeed(
    path: &Path,
    head: &str,
    limits: Limits,
    instants: Instants,
) -> Result<Recognised, String> {
    let first = head.lines().next().unwrap_or_default();
    // The first line may be longer than the head; its beginning is enough.
    let kind = |name: &str| {
        first.starts_with(&format!("{{\"t\":\"{name}\"")) || first.starts_with(&format!("{{\"t\": \"{name}\""))
    };
    if !["header", "http", "connect", "send", "recv"].into_iter().any(kind) {
        return Err("JSON lines, but not of a recording known here".into());
    }
    let named = |key: &str| {
        let (_, rest) = first.split_once(&format!("\"{key}\":"))?;
        rest.trim_start().strip_prefix('"')?.split(['"', '.']).next()
    };
    let name = named("conn").filter(|_| !kind("header")).or_else(|| named("exchange")).unwrap_or_default();
    let Some((_, id, market)) = VENUES.iter().find(|(venue, ..)| *venue == name) else {
        return Err(format!("no decoder for exchange {name} yet"));
    };
    let (path, id, market) = (path.to_path_buf(), *id, *market);
    let open = move || {
        let lines = Lines::open(&path, limits)?;
        let (connections, contracts) = (HashMap::new(), Vec::new());
        let source = Cryptofeed { lines, id, market, connections, contracts, instants, ts_recv: 0, control: 0 };
        Ok(Box::new(source) as Box<dyn Source>)
    };
    Ok(Recognised { format: "cryptofeed", open: Box::new(open) })
}

struct Cryptofeed {
    lines: Lines,
    id: &'static str,
    market: Option<Market>,
    connections: HashMap<String, Box<dyn Exchange>>,
    /// What answers told of contracts, for the decoders of connections.
    contracts: Vec<(InstrumentId, Box<Instrument>)>,
    instants: Instants,
    ts_recv: Ts,
    control: u64,
}

#[derive(Deserialize)]
struct Line<'a> {
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
            let line: Line =
                sonic_rs::from_str(text).map_err(|_| DecodeError::Malformed("no line of a recording".into()))?;
            let data = line.data.unwrap_or_default();
            raw = Cow::Owned(data.as_bytes().to_vec());
            match line.t {
                "header" | "send" => return Ok(()),
                "connect" | "recv" | "http" => {}
                other => return Err(DecodeError::Unknown(other.into())),
            }
            let ts = line.ts.as_ref().and_then(|ts| self.instants.seconds(ts.as_raw_str()));
            self.ts_recv = ts.ok_or_else(|| DecodeError::Malformed("no receive time".into()))?;
            let name = line.conn.unwrap_or_default();
            match line.t {
                "connect" => {
                    let addr = line.addr.unwrap_or_default();
                    let found = self.market.or_else(|| Bybit::market_of(&addr));
                    let decoder = found.and_then(|market| prism_exchange::exchange(self.id, market));
                    let mut decoder = decoder.ok_or_else(|| DecodeError::Unknown(addr.into()))?;
                    self.contracts.iter().for_each(|(id, described)| decoder.learn(id, described));
                    if CONNECTIONS_MAX <= self.connections.len() && !self.connections.contains_key(name.as_ref()) {
                        return Err(DecodeError::Malformed(format!("more than {CONNECTIONS_MAX} connections")));
                    }
                    self.connections.insert(name.into(), decoder);
                    Ok(())
                }
                "recv" => {
                    let decoder = self.connections.get_mut(name.as_ref());
                    let decoder = decoder.ok_or_else(|| DecodeError::Unknown(format!("connection {name}")))?;
                    market = decoder.market();
                    decoder.decode(&data, self.ts_recv, out)
                }
                _ => {
                    let url = line.url.unwrap_or_default();
                    market = self.market.or_else(|| Bybit::market_of(&url)).unwrap_or(market);
                    bootstrap(self.id, self.market, &url, &data, self.ts_recv, out)?;
                    self.contracts.extend(contracts(&out[before..]).take(CONTRACTS_MAX - self.contracts.len()));
                    Ok(())
                }
            }
        })();
        let nobody = InstrumentId::new(self.id, market, "");
        settle(result, &nobody, (&raw, number, self.ts_recv), before, out, &mut self.control);
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
    out: &mut Events,
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

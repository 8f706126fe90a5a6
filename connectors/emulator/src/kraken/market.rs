//! Market requests to the emulated Kraken: one function per address.
//!
//! Documented at <https://docs.kraken.com/api/docs/category/rest-api/market-data>.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get};
use prism_schemas::event::{Instrument, Ticker};
use prism_schemas::time::{DAY, SECOND, format_ts};
use prism_schemas::{Decimal, Timeframe, Ts};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::pairs::{Pair, volume};
use crate::Shared;
use crate::bars::{Bar, gathered};
use crate::venue::{Done, Level, Venue};

/// Bars of one answer.
const BARS: usize = 720;
/// Trades of one answer.
const TRADES: usize = 1_000;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/0/public/Time", on(time))
        .route("/0/public/AssetPairs", on(asset_pairs))
        .route("/0/public/Ticker", on(tickers))
        .route("/0/public/OHLC", on(bars))
        .route("/0/public/Trades", on(trades))
        .route("/0/public/Depth", on(depth))
}

/// The parameters that market requests have.
#[derive(Deserialize)]
struct Asked {
    pair: Option<String>,
    interval: Option<String>,
    since: Option<String>,
    count: Option<String>,
    #[serde(rename = "assetVersion")]
    asset_version: Option<String>,
}

/// A request, and when.
struct Call {
    now: Ts,
    asked: Asked,
    /// Whether lists hold a row that cannot be read.
    has_garbage: bool,
}

/// A result, or what is said of an error.
type Answered = Result<Value, &'static str>;

const NO_PAIR: &str = "EQuery:Unknown asset pair";
const INVALID: &str = "EGeneral:Invalid arguments";

impl Call {
    /// Under which a pair is answered: names of today if they are asked for.
    fn key(&self, pair: &Pair) -> String {
        if self.asked.asset_version.as_deref() == Some("1") { pair.name.clone() } else { pair.key.clone() }
    }

    fn number<T: std::str::FromStr>(text: Option<&String>) -> Result<Option<T>, &'static str> {
        text.map(|text| text.parse().map_err(|_| INVALID)).transpose()
    }

    fn count(&self, default: usize, max: usize) -> Result<usize, &'static str> {
        Ok(Call::number(self.asked.count.as_ref())?.unwrap_or(default).clamp(1, max))
    }

    /// The pair that is asked for, which must be one.
    fn one(&self, venue: &Venue) -> Result<(String, Pair), &'static str> {
        let pair = self.asked.pair.as_deref().ok_or(INVALID)?;
        Pair::find(venue, pair).ok_or(NO_PAIR)
    }

    /// Those that are asked for, or all.
    fn some(&self, venue: &Venue) -> Result<Vec<(String, Pair)>, &'static str> {
        match &self.asked.pair {
            Some(pairs) => pairs.split(',').map(|pair| Pair::find(venue, pair).ok_or(NO_PAIR)).collect(),
            None => {
                let spell = |(symbol, one): (&String, &Instrument)| (symbol.clone(), Pair::of(symbol, one));
                Ok(venue.instruments.iter().map(spell).collect())
            }
        }
    }

    /// Rows of a pair, and where the next ones begin.
    fn rows(&self, pair: &Pair, rows: Value, last: Value) -> Answered {
        let mut result = Map::new();
        result.insert(self.key(pair), rows);
        result.insert("last".into(), last);
        Ok(result.into())
    }
}

fn on(of: fn(&Call, &mut Venue) -> Answered) -> MethodRouter<Arc<Shared>> {
    get(async move |State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>| -> Response {
        let has_garbage = 0.0 < shared.faults().garbage;
        let call = Call { now: (shared.clock)(), asked, has_garbage };
        let answer = of(&call, &mut shared.venue());
        match answer {
            Ok(result) => Json(json!({"error": [], "result": result})).into_response(),
            Err(error) => Json(json!({"error": [error]})).into_response(),
        }
    })
}

fn time(call: &Call, _: &mut Venue) -> Answered {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = call.now / SECOND;
    let text = format_ts(seconds * SECOND);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse::<usize>().ok().and_then(|month| MONTHS.get(month - 1)).copied().unwrap_or_default();
    let weekday = DAYS[call.now.div_euclid(DAY).rem_euclid(7) as usize];
    let readable =
        format!("{weekday}, {:>2} {month} {} {} +0000", part(8, 10).trim_start_matches('0'), part(2, 4), part(11, 19));
    Ok(json!({"unixtime": seconds, "rfc1123": readable}))
}

fn asset_pairs(call: &Call, venue: &mut Venue) -> Answered {
    let mut result = Map::new();
    for (symbol, pair) in call.some(venue)? {
        let Some(one) = venue.instruments.get(&symbol) else { continue };
        let lot = one.min_size.or(one.lot_size).map_or("0.0001".to_string(), |min| min.to_string());
        let tick = one.tick_size.map_or("0.1".to_string(), |tick| tick.to_string());
        let row = json!({
            "altname": pair.altname, "wsname": pair.wsname, "aclass_base": "currency", "base": pair.assets[0],
            "aclass_quote": "currency", "quote": pair.assets[1], "lot": "unit", "cost_decimals": 5,
            "pair_decimals": pair.decimals, "lot_decimals": 8, "lot_multiplier": 1, "leverage_buy": [], "leverage_sell": [],
            "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]], "fee_volume_currency": "ZUSD", "margin_call": 80,
            "margin_stop": 40, "ordermin": lot, "costmin": "0.5", "tick_size": tick,
            "status": if pair.is_open { "online" } else { "cancel_only" }, "execution_venue": "international",
        });
        result.insert(call.key(&pair), row);
    }
    Ok(result.into())
}

fn tickers(call: &Call, venue: &mut Venue) -> Answered {
    let mut result = Map::new();
    for (symbol, pair) in call.some(venue)? {
        let Some((_, ticker)) = venue.tickers.get(&symbol) else { continue };
        let day = venue.bars.get(&(symbol.clone(), Timeframe::D1)).and_then(|bars| bars.last_key_value());
        if let Some(row) = ticker_row(&pair, ticker, day.map_or(0, |(_, bar)| bar.n_trades)) {
            result.insert(call.key(&pair), row);
        }
    }
    if call.has_garbage && call.asked.pair.is_none() {
        // A row among many that is no number.
        result.insert("ODDUSDT".into(), json!({"c": ["0.29009999999999997e", "1"], "v": ["1", "1"], "o": "1"}));
    }
    Ok(result.into())
}

/// Where two numbers are, the first is of today and the second of a day; the market knows the latter alone.
fn ticker_row(pair: &Pair, ticker: &Ticker, n_trades: u64) -> Option<Value> {
    let price = |price: Option<Decimal>| price.map(|price| pair.long_price(price));
    let twice = |text: String| json!([text, text]);
    let level = |best: Option<Decimal>, size: Option<Decimal>| {
        let size = size?;
        Some(json!([price(best)?, format!("{:.0}", size.to_f64()), format!("{:.3}", size.to_f64())]))
    };
    let sum = ticker.volume_24h?;
    let mean = ticker.turnover_24h?.to_f64() / sum.to_f64().max(f64::MIN_POSITIVE);
    Some(json!({
        "a": level(ticker.ask_price, ticker.ask_size)?, "b": level(ticker.bid_price, ticker.bid_size)?,
        "c": [price(ticker.last)?, "0.00100000"], "v": twice(volume(sum)), "p": twice(format!("{mean:.5}")),
        "t": [n_trades, n_trades], "l": twice(price(ticker.low_24h)?), "h": twice(price(ticker.high_24h)?),
        "o": price(ticker.open_24h)?,
    }))
}

/// The newest, in order; the last is not over, and the one before is where who asks again goes on. Weeks begin on
/// Thursdays, as the epoch did, and so do fortnights of fifteen days.
fn bars(call: &Call, venue: &mut Venue) -> Answered {
    let (symbol, pair) = call.one(venue)?;
    let minutes = Call::number::<i64>(call.asked.interval.as_ref())?.unwrap_or(1);
    let own = |timeframe| venue.bars(&symbol, timeframe).unwrap_or_default();
    let all = match minutes {
        1 => own(Timeframe::M1),
        5 => own(Timeframe::M5),
        15 => own(Timeframe::M15),
        30 => own(Timeframe::M30),
        60 => own(Timeframe::H1),
        240 => own(Timeframe::H4),
        1_440 => own(Timeframe::D1),
        10_080 | 21_600 => {
            let length = minutes / 1_440 * DAY;
            gathered(&own(Timeframe::D1), |start| start - start.rem_euclid(length))
        }
        _ => return Err(INVALID),
    };
    let since = Call::number::<i64>(call.asked.since.as_ref())?.unwrap_or(0);
    let newest = &all[all.len().saturating_sub(BARS)..];
    let row = |(start, bar): &(Ts, Bar)| {
        let prices = [bar.open, bar.high, bar.low, bar.close].map(|price| pair.price(price));
        let mean = if bar.volume <= 0.0 { 0.0 } else { bar.turnover / bar.volume };
        let mean = format!("{mean:.decimals$}", decimals = pair.decimals as usize);
        let [open, high, low, close] = prices;
        json!([start / SECOND, open, high, low, close, mean, format!("{:.8}", bar.volume), bar.n_trades])
    };
    let rows = newest.iter().filter(|(start, _)| since < start / SECOND).map(row).collect();
    let over = newest.len().checked_sub(2).and_then(|at| newest.get(at));
    call.rows(&pair, rows, over.map_or(0, |(start, _)| start / SECOND).into())
}

/// Those after an instant, the oldest first; without one the newest.
fn trades(call: &Call, venue: &mut Venue) -> Answered {
    let (symbol, pair) = call.one(venue)?;
    let n = call.count(TRADES, TRADES)?;
    let since = Call::number::<i64>(call.asked.since.as_ref())?;
    // Seconds are taken, too.
    let since = since.map(|since| if since < 10_000_000_000 { since * SECOND } else { since });
    let all: Vec<&Done> = venue.trades.get(&symbol).into_iter().flatten().collect();
    let page: Vec<&Done> = match since {
        None => all[all.len().saturating_sub(n)..].to_vec(),
        Some(since) => all.into_iter().filter(|done| since < done.ts).take(n).collect(),
    };
    let last = page.last().map(|done| done.ts).or(since).unwrap_or(call.now);
    let row = |done: &&Done| {
        // Seconds, with seven digits of a fraction.
        let at = (done.ts / 100) as f64 / 1e7;
        let (side, kind) = (if done.buy { "b" } else { "s" }, if done.number.is_multiple_of(3) { "l" } else { "m" });
        json!([pair.long_price(done.price), volume(done.size), at, side, kind, "", done.number])
    };
    call.rows(&pair, page.iter().map(row).collect(), last.to_string().into())
}

/// Volumes have three decimals here, and times are those of the request.
fn depth(call: &Call, venue: &mut Venue) -> Answered {
    let (symbol, pair) = call.one(venue)?;
    let n = call.count(100, 500)?;
    let levels = venue.books.get(&symbol).map(|known| known.levels(n)).unwrap_or_default();
    let row =
        |(price, size): &Level| json!([pair.long_price(*price), format!("{:.3}", size.to_f64()), call.now / SECOND]);
    let [bids, asks] = levels.map(|levels| levels.iter().map(row).collect::<Vec<_>>());
    let mut result = Map::new();
    result.insert(call.key(&pair), json!({"asks": asks, "bids": bids}));
    Ok(result.into())
}

//! Market requests to the emulated OKX: one function per address, and what each may be asked.
//!
//! Documented at <https://www.okx.com/docs-v5/en/#order-book-trading-market-data> and
//! <https://www.okx.com/docs-v5/en/#public-data-rest-api>.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get};
use prism_schemas::event::{Instrument, Ticker};
use prism_schemas::time::{HOUR, SECOND};
use prism_schemas::{Decimal, Market, Timeframe, Ts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::FUNDING;
use super::spelling::Spelled;
use super::statistics::{interests, positions, ratios, takers, top_accounts};
use crate::bars::{Bar, gathered};
use crate::limits::Cap;
use crate::venue::{Done, TIMEFRAMES, Venue};
use crate::{Shared, millis};

/// So many within two seconds, each instrument for itself where it is documented so.
const fn cap(path: &'static str, n: usize, by: &'static str) -> Cap {
    Cap { path, n, window: 2 * SECOND, by }
}

/// As published with each address.
pub(super) const CAPS: [Cap; 17] = [
    cap("/public/instruments", 20, "instType"),
    cap("/public/time", 10, ""),
    cap("/public/open-interest", 20, "instId"),
    cap("/public/funding-rate", 10, "instId"),
    cap("/public/funding-rate-history", 10, "instId"),
    cap("/market/tickers", 20, ""),
    cap("/market/ticker", 20, ""),
    cap("/market/candles", 40, ""),
    cap("/market/history-candles", 20, ""),
    cap("/market/trades", 100, ""),
    cap("/market/history-trades", 20, ""),
    cap("/market/books", 40, ""),
    cap("/contracts/open-interest-history", 10, "instId"),
    cap("/contracts/long-short-account-ratio-contract", 5, "instId"),
    cap("/contracts/long-short-account-ratio-contract-top-trader", 5, "instId"),
    cap("/contracts/long-short-position-ratio-contract-top-trader", 5, "instId"),
    cap("/stat/taker-volume-contract", 5, "instId"),
];

/// All addresses.
pub(super) fn routes(market: Market) -> Router<Arc<Shared>> {
    let all: [(&str, Answers); 17] = [
        ("public/instruments", instruments),
        ("public/time", |call, _| Ok(vec![json!({"ts": millis(call.now).to_string()})])),
        ("public/open-interest", open_interest),
        ("public/funding-rate", funding),
        ("public/funding-rate-history", fundings),
        ("market/tickers", tickers),
        ("market/ticker", ticker),
        ("market/candles", candles),
        ("market/history-candles", candles),
        ("market/trades", trades),
        ("market/history-trades", past_trades),
        ("market/books", books),
        ("rubik/stat/contracts/open-interest-history", interests),
        ("rubik/stat/contracts/long-short-account-ratio-contract", ratios),
        ("rubik/stat/contracts/long-short-account-ratio-contract-top-trader", top_accounts),
        ("rubik/stat/contracts/long-short-position-ratio-contract-top-trader", positions),
        ("rubik/stat/taker-volume-contract", takers),
    ];
    all.into_iter().fold(Router::new(), |router, (path, of)| router.route(&format!("/api/v5/{path}"), on(market, of)))
}

/// The parameters that market requests have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    inst_type: Option<String>,
    inst_id: Option<String>,
    bar: Option<String>,
    pub(super) period: Option<String>,
    pub(super) unit: Option<String>,
    r#type: Option<String>,
    after: Option<String>,
    before: Option<String>,
    limit: Option<String>,
    sz: Option<String>,
}

/// A request, and when.
pub(super) struct Call {
    pub(super) market: Market,
    pub(super) now: Ts,
    pub(super) asked: Asked,
    /// Whether lists hold a row that cannot be read.
    has_garbage: bool,
}

/// A code and a message.
pub(super) type Refused = (&'static str, String);
/// Rows, or why there are none.
pub(super) type Answered = Result<Vec<Value>, Refused>;
type Answers = fn(&Call, &mut Venue) -> Answered;

pub(super) fn wrong<T>(parameter: &str) -> Result<T, Refused> {
    Err(("51000", format!("Parameter {parameter} error")))
}

impl Call {
    fn number(text: Option<&String>, name: &str) -> Result<Option<i64>, Refused> {
        text.map(|text| text.parse().or_else(|_| wrong(name))).transpose()
    }

    /// At most so many rows.
    pub(super) fn limit(&self, default: usize, max: usize) -> Result<usize, Refused> {
        match Call::number(self.asked.limit.as_ref(), "limit")? {
            None => Ok(default),
            Some(limit) => usize::try_from(limit).map(|limit| limit.clamp(1, max)).or_else(|_| wrong("limit")),
        }
    }

    /// The newest that are earlier than `after` and newer than `before`, the newest first; `rows` are in order.
    fn page<T>(&self, rows: &[T], limit: usize, key: impl Fn(&T) -> i64) -> Result<Vec<usize>, Refused> {
        let after = Call::number(self.asked.after.as_ref(), "after")?.unwrap_or(i64::MAX);
        let before = Call::number(self.asked.before.as_ref(), "before")?.unwrap_or(i64::MIN);
        let is_here = |at: &usize| before < key(&rows[*at]) && key(&rows[*at]) < after;
        Ok((0..rows.len()).rev().filter(is_here).take(limit).collect())
    }

    /// The instrument that is asked for, which must be one.
    pub(super) fn one(&self, venue: &Venue) -> Result<(String, Spelled), Refused> {
        let Some(inst) = &self.asked.inst_id else {
            return Err(("50014", "Parameter instId can not be empty.".into()));
        };
        let none = || ("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.".to_string());
        Spelled::find(self.market, venue, inst).ok_or_else(none)
    }

    /// As `one`, of contracts.
    pub(super) fn contract(&self, venue: &Venue) -> Result<(String, Spelled), Refused> {
        if self.market == Market::Spot { wrong("instId") } else { self.one(venue) }
    }

    /// Whether the kind of instruments that is asked for is here; OKX has others, of which nothing is known.
    fn is_here(&self) -> Result<bool, Refused> {
        let kind = if self.market == Market::Spot { "SPOT" } else { "SWAP" };
        match self.asked.inst_type.as_deref() {
            None => Err(("50014", "Parameter instType can not be empty.".into())),
            Some("SPOT" | "MARGIN" | "SWAP" | "FUTURES" | "OPTION" | "EVENTS") => {
                Ok(self.asked.inst_type.as_deref() == Some(kind))
            }
            Some(_) => wrong("instType"),
        }
    }
}

fn on(market: Market, of: Answers) -> MethodRouter<Arc<Shared>> {
    get(async move |State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>| -> Response {
        let has_garbage = 0.0 < shared.faults().garbage;
        let call = Call { market, now: (shared.clock)(), asked, has_garbage };
        let answer = of(&call, &mut shared.venue());
        let (status, code, message, data) = match answer {
            Ok(data) => (StatusCode::OK, "0", String::new(), data),
            Err((code @ "51001", message)) => (StatusCode::OK, code, message, Vec::new()),
            Err((code, message)) => (StatusCode::BAD_REQUEST, code, message, Vec::new()),
        };
        (status, Json(json!({"code": code, "msg": message, "data": data}))).into_response()
    })
}

fn instruments(call: &Call, venue: &mut Venue) -> Answered {
    if !call.is_here()? {
        return Ok(Vec::new());
    }
    let is_spot = call.market == Market::Spot;
    let row = |(symbol, one): (&String, &Instrument)| {
        let spelled = Spelled::of(call.market, symbol, one);
        let size = |number: Option<Decimal>| number.map_or("1".to_string(), |number| spelled.size(number).to_string());
        let (lot, tick) = (size(one.lot_size), one.tick_size.map_or("0.1".to_string(), |tick| tick.to_string()));
        let state = if spelled.is_open { "live" } else { "suspend" };
        let mut row = json!({
            "instType": spelled.kind(), "instId": spelled.inst, "tickSz": tick, "lotSz": lot,
            "minSz": one.min_size.map_or(lot.clone(), |min| size(Some(min))), "state": state, "expTime": "", "optType": "",
            "stk": "", "alias": "", "category": "1", "listTime": "1611907686000", "lever": "100", "ruleType": "normal",
            "maxLmtSz": "100000000", "maxMktSz": "100000", "instCategory": "1",
        });
        let contract = |text: String| if is_spot { String::new() } else { text };
        let pair = |text: &str| if is_spot { text.to_string() } else { String::new() };
        (row["baseCcy"], row["quoteCcy"]) = (pair(&spelled.base).into(), pair(&spelled.quote).into());
        (row["uly"], row["instFamily"]) =
            (contract(spelled.family.clone()).into(), contract(spelled.family.clone()).into());
        (row["ctVal"], row["ctMult"]) = (contract(spelled.worth().to_string()).into(), contract("1".into()).into());
        (row["ctValCcy"], row["settleCcy"]) =
            (contract(spelled.base.clone()).into(), contract(spelled.quote.clone()).into());
        row["ctType"] = contract("linear".into()).into();
        row
    };
    let inst = call.asked.inst_id.as_deref();
    let rows = venue.instruments.iter().map(row).filter(|row| inst.is_none_or(|inst| row["instId"] == inst));
    let rows: Vec<Value> = rows.collect();
    if rows.is_empty() && inst.is_some() { call.one(venue).map(|_| rows) } else { Ok(rows) }
}

/// Of each instrument that has something to tell.
fn each(call: &Call, venue: &Venue, row: impl Fn(&Spelled, Ts, &Ticker) -> Option<Value>) -> Vec<Value> {
    let of = |(symbol, (ts, ticker)): (&String, &(Ts, Ticker))| {
        let instrument = venue.instruments.get(symbol)?;
        row(&Spelled::of(call.market, symbol, instrument), *ts, ticker)
    };
    venue.tickers.iter().filter_map(of).collect()
}

fn tickers(call: &Call, venue: &mut Venue) -> Answered {
    if !call.is_here()? {
        return Ok(Vec::new());
    }
    let mut rows = each(call, venue, |spelled, ts, ticker| Some(spelled.ticker(ts, ticker)));
    if call.has_garbage {
        // A row among many that is no number.
        rows.push(json!({"instType": "SPOT", "instId": "ODD-USDT", "last": "0.29009999999999997e"}));
    }
    Ok(rows)
}

fn ticker(call: &Call, venue: &mut Venue) -> Answered {
    let (symbol, spelled) = call.one(venue)?;
    Ok(venue.tickers.get(&symbol).map(|(ts, ticker)| spelled.ticker(*ts, ticker)).into_iter().collect())
}

/// Bars of UTC, and long ones of UTC+8 under names that do not end with `utc`: their days begin at 16:00.
fn bars_of(venue: &Venue, symbol: &str, name: &str) -> Result<(Timeframe, Vec<(Ts, Bar)>), Refused> {
    let (short, is_utc) = name.strip_suffix("utc").map_or((name, false), |short| (short, true));
    // Minutes are written as everywhere, others in capitals.
    let is_spelled = !short.ends_with('m') && short.to_uppercase() == short || short.ends_with('m') && !is_utc;
    let own = if short.ends_with('M') { short.to_string() } else { short.to_lowercase() };
    let timeframe = own.parse().ok().filter(|timeframe| is_spelled && TIMEFRAMES.contains(timeframe));
    let Some(timeframe): Option<Timeframe> = timeframe else { return wrong("bar") };
    let is_long = Timeframe::H6 <= timeframe;
    if is_utc && !is_long {
        return wrong("bar");
    }
    let of = |timeframe| venue.bars(symbol, timeframe).unwrap_or_default();
    if !is_long || is_utc {
        return Ok((timeframe, of(timeframe)));
    }
    Ok((timeframe, gathered(&of(Timeframe::H1), |start| timeframe.start(start + 8 * HOUR) - 8 * HOUR)))
}

fn candles(call: &Call, venue: &mut Venue) -> Answered {
    let (symbol, spelled) = call.one(venue)?;
    let (timeframe, bars) = bars_of(venue, &symbol, call.asked.bar.as_deref().unwrap_or("1m"))?;
    let page = call.page(&bars, call.limit(100, 300)?, |(start, _)| millis(*start))?;
    let row = |at: usize| {
        let (start, bar) = &bars[at];
        spelled.bar(*start, bar, start + timeframe.length() <= call.now)
    };
    Ok(page.into_iter().map(row).collect())
}

fn trades(call: &Call, venue: &mut Venue) -> Answered {
    let (symbol, spelled) = call.one(venue)?;
    let n = call.limit(100, 500)?;
    Ok(venue.trades.get(&symbol).into_iter().flatten().rev().take(n).map(|done| spelled.trade(done)).collect())
}

/// By number, or by time, which only goes back.
fn past_trades(call: &Call, venue: &mut Venue) -> Answered {
    let (symbol, spelled) = call.one(venue)?;
    let done: Vec<&Done> = venue.trades.get(&symbol).into_iter().flatten().collect();
    let n = call.limit(100, 100)?;
    let page = match call.asked.r#type.as_deref() {
        None | Some("1") => call.page(&done, n, |done| done.number as i64)?,
        Some("2") if call.asked.before.is_none() => call.page(&done, n, |done| millis(done.ts))?,
        _ => return wrong("type"),
    };
    Ok(page.into_iter().map(|at| spelled.trade(done[at])).collect())
}

fn books(call: &Call, venue: &mut Venue) -> Answered {
    let (symbol, spelled) = call.one(venue)?;
    let depth = match Call::number(call.asked.sz.as_ref(), "sz")? {
        None => 1,
        Some(depth @ 1..=400) => depth as usize,
        Some(_) => return wrong("sz"),
    };
    let Some(known) = venue.books.get(&symbol) else { return Ok(Vec::new()) };
    let [bids, asks] = known.levels(depth).map(|levels| spelled.levels(&levels));
    let (ts, seq) = (millis(call.now).to_string(), known.number - known.origin);
    Ok(vec![json!({"asks": asks, "bids": bids, "ts": ts, "seqId": seq})])
}

/// Of one, or of all.
fn open_interest(call: &Call, venue: &mut Venue) -> Answered {
    if call.market == Market::Spot || !call.is_here()? {
        return if call.market == Market::Spot { wrong("instType") } else { Ok(Vec::new()) };
    }
    let wanted = call.asked.inst_id.as_ref().map(|_| call.one(venue)).transpose()?;
    let is_wanted = |inst: &str| wanted.as_ref().is_none_or(|(_, spelled)| spelled.inst == inst);
    Ok(each(call, venue, |spelled, ts, ticker| {
        let open = ticker.open_interest.filter(|_| is_wanted(&spelled.inst))?;
        let ([open, base, value], ts) = (spelled.open_interest(open, ticker.mark), millis(ts).to_string());
        Some(json!({"instType": "SWAP", "instId": spelled.inst, "oi": open, "oiCcy": base, "oiUsd": value, "ts": ts}))
    }))
}

fn funding(call: &Call, venue: &mut Venue) -> Answered {
    let (symbol, spelled) = call.contract(venue)?;
    let ticker = venue.tickers.get(&symbol);
    Ok(ticker.and_then(|(ts, ticker)| spelled.funding(*ts, ticker)).into_iter().collect())
}

/// Those that were settled: the rate that was foreseen, and the one that was paid.
fn fundings(call: &Call, venue: &mut Venue) -> Answered {
    let (symbol, spelled) = call.contract(venue)?;
    let rate = venue.tickers.get(&symbol).and_then(|(_, ticker)| ticker.funding_rate);
    let Some(rate) = rate else { return Ok(Vec::new()) };
    let rows = venue.series(&symbol, "funding", (FUNDING, call.now), rate, usize::MAX);
    let row = |at: usize| {
        let (ts, rate) = (millis(rows[at].0).to_string(), rows[at].1.to_string());
        json!({
            "instType": "SWAP", "instId": spelled.inst, "fundingRate": rate, "realizedRate": rate, "fundingTime": ts,
            "method": "current_period", "formulaType": "withRate",
        })
    };
    Ok(call.page(&rows, call.limit(400, 400)?, |(ts, _)| millis(*ts))?.into_iter().map(row).collect())
}

//! Market requests to the emulated Bybit v5: one function per address, each answering within one category.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get};
use prism_schemas::event::Instrument;
use prism_schemas::time::{HOUR, MILLISECOND, MINUTE, SECOND};
use prism_schemas::{Decimal, Market, Timeframe, Ts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{both, pairs, side, ticker_data};
use crate::bars::Bar;
use crate::venue::{Done, TIMEFRAMES, Venue};
use crate::{Shared, identity, other, ratios};

/// Instruments in one answer: few, so that whoever wants all must turn pages.
const PAGE: usize = 10;

/// All addresses of a category.
pub(super) fn routes(market: Market) -> Router<Arc<Shared>> {
    Router::new()
        .route("/v5/market/time", get(time))
        .route("/v5/market/instruments-info", on(market, instruments))
        .route("/v5/market/tickers", on(market, tickers))
        .route("/v5/market/kline", on(market, klines))
        .route("/v5/market/recent-trade", on(market, trades))
        .route("/v5/market/orderbook", on(market, orderbook))
        .route("/v5/market/open-interest", on(market, open_interest))
        .route("/v5/market/funding/history", on(market, funding))
        .route("/v5/market/account-ratio", on(market, account_ratio))
        .route("/v5/market/risk-limit", on(market, risk_limit))
}

/// The parameters that market requests have.
#[derive(Deserialize)]
struct Asked {
    category: Option<String>,
    #[serde(default)]
    symbol: String,
    interval: Option<String>,
    #[serde(rename = "intervalTime")]
    interval_time: Option<String>,
    period: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// A request to a category, and when.
struct Call {
    market: Market,
    now: Ts,
    asked: Asked,
    /// Whether lists hold a row that cannot be read.
    has_garbage: bool,
    is_renamed: bool,
}

/// A result, or why there is none.
type Answered = Result<Value, &'static str>;

const NO_SYMBOL: &str = "params error: symbol invalid";
const NO_CATEGORY: &str = "params error: Category is invalid";

impl Call {
    fn limit(&self, default: usize, max: usize) -> usize {
        self.asked.limit.unwrap_or(default).clamp(1, max)
    }

    fn is_spot(&self) -> bool {
        self.market == Market::Spot
    }

    /// Spot has no positions.
    fn of_contracts(&self) -> Result<&str, &'static str> {
        if self.is_spot() { Err(NO_CATEGORY) } else { Ok(&self.asked.symbol) }
    }

    /// An instrument without a value, as a recording may have: nothing is listed.
    fn without(&self, venue: &Venue) -> Answered {
        if venue.instruments.contains_key(&self.asked.symbol) {
            self.listed(std::iter::empty())
        } else {
            Err(NO_SYMBOL)
        }
    }

    /// A list as Bybit answers it.
    fn listed(&self, list: impl Iterator<Item = Value>) -> Answered {
        Ok(json!({"category": self.market.name(), "list": list.collect::<Vec<_>>(), "nextPageCursor": ""}))
    }
}

/// As Bybit answers, refusals too.
fn on(market: Market, of: fn(&Call, &mut Venue) -> Answered) -> MethodRouter<Arc<Shared>> {
    get(async move |State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>| -> Response {
        let call = Call {
            market,
            now: (shared.clock)(),
            asked,
            has_garbage: 0.0 < shared.faults().garbage,
            is_renamed: 0.0 < shared.faults().rename,
        };
        let result = match call.asked.category.as_deref() {
            Some(category) if category == market.name() => of(&call, &mut shared.venue()),
            _ => Err(NO_CATEGORY),
        };
        reply(call.now, result)
    })
}

fn reply(now: Ts, result: Answered) -> Response {
    let (code, message, result) = match result {
        Ok(result) => (0, "OK", result),
        Err(message) => (10_001, message, json!({})),
    };
    let now = now / MILLISECOND;
    Json(json!({"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now})).into_response()
}

/// Of no category.
async fn time(State(shared): State<Arc<Shared>>) -> Response {
    let now = (shared.clock)();
    reply(now, Ok(json!({"timeSecond": (now / SECOND).to_string(), "timeNano": now.to_string()})))
}

/// A contract on a stock, which turns over more than any other.
const STOCK: &str = "TSLAUSDT";

/// Spot has no pages.
fn instruments(call: &Call, venue: &mut Venue) -> Answered {
    let text = |number: Option<Decimal>| number.map(|number| number.to_string());
    let spell = |(symbol, one): (&String, &Instrument)| {
        let (base, quote, is_open) = identity(symbol, one);
        let mut spelled = json!({
            "symbol": symbol, "status": if is_open { "Trading" } else { "Closed" }, "baseCoin": base, "quoteCoin": quote,
            "priceFilter": {"tickSize": text(one.tick_size)},
        });
        let (lot, min) = (text(one.lot_size), text(one.min_size));
        if call.is_spot() {
            spelled["lotSizeFilter"] = json!({"basePrecision": lot, "minOrderQty": min});
            return spelled;
        }
        let (kind, settled) = match call.market {
            Market::Inverse => ("InversePerpetual", base),
            _ => ("LinearPerpetual", quote),
        };
        (spelled["contractType"], spelled["settleCoin"]) = (kind.into(), settled.into());
        spelled["deliveryTime"] = "0".into();
        if symbol == STOCK {
            spelled["symbolType"] = "stock".into();
        }
        spelled["lotSizeFilter"] = json!({"qtyStep": lot, "minOrderQty": min});
        spelled
    };
    let symbol = &call.asked.symbol;
    let all = venue.instruments.iter().filter(|(name, _)| symbol.is_empty() || *symbol == **name);
    if call.is_spot() {
        return call.listed(all.map(spell));
    }
    let after = match &call.asked.cursor {
        None => "",
        Some(cursor) => cursor.strip_prefix("last=").ok_or("params error: cursor invalid")?,
    };
    let rest: Vec<_> = all.filter(|(name, _)| after < &***name).collect();
    let n = call.limit(500, 1_000).min(PAGE).min(rest.len());
    let is_known = venue.instruments.contains_key(STOCK);
    let is_last = n == rest.len() && symbol.is_empty() && call.market == Market::Linear && !is_known;
    let cent = Some(Decimal::new(1, 2));
    let stock = (STOCK.into(), Instrument { tick_size: cent, lot_size: cent, min_size: cent, ..Instrument::default() });
    let stock = is_last.then_some((&stock.0, &stock.1));
    let mut page = call.listed(rest[..n].iter().copied().chain(stock).map(spell))?;
    if n < rest.len() {
        // As it goes into an address.
        page["nextPageCursor"] = format!("last%3D{}", rest[n - 1].0).into();
    }
    Ok(page)
}

fn tickers(call: &Call, venue: &mut Venue) -> Answered {
    let symbol = &call.asked.symbol;
    let of = venue.tickers.iter().filter(|(name, _)| symbol.is_empty() || *symbol == **name);
    // A row among many that is no number.
    let is_odd = call.has_garbage && symbol.is_empty();
    let odd = is_odd.then(|| json!({"symbol": "ODDUSDT", "lastPrice": "0.29009999999999997e"}));
    let has_stock = symbol.is_empty() && call.market == Market::Linear && !venue.tickers.contains_key(STOCK);
    let stock = has_stock.then(|| json!({"symbol": STOCK, "lastPrice": "250.1", "turnover24h": "999999999999"}));
    let of = of.map(|(symbol, (_, ticker))| Value::from(ticker_data(call.market, symbol, ticker, true)));
    call.listed(of.chain(odd).chain(stock))
}

fn klines(call: &Call, venue: &mut Venue) -> Answered {
    let timeframe = match call.asked.interval.as_deref() {
        Some("D") => Some(Timeframe::D1),
        Some("W") => Some(Timeframe::W1),
        Some(minutes) => TIMEFRAMES.into_iter().find(|timeframe| minutes.parse() == Ok(timeframe.length() / MINUTE)),
        None => None,
    };
    let timeframe = timeframe.ok_or("params error: interval is invalid")?;
    let bars = venue.bars(&call.asked.symbol, timeframe).ok_or(NO_SYMBOL)?;
    let row = |(start, bar): &(Ts, Bar)| {
        let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(|price| price.to_string());
        let (volume, turnover) = (format!("{:.6}", bar.volume), format!("{:.4}", bar.turnover));
        json!([(start / MILLISECOND).to_string(), open, high, low, close, volume, turnover])
    };
    call.listed(bars.iter().rev().take(call.limit(200, 1_000)).map(row))
}

fn trades(call: &Call, venue: &mut Venue) -> Answered {
    let name = |id: &str| if call.is_renamed { format!("execution {id}") } else { id.to_string() };
    let row = |done: &Done| {
        json!({
            "execId": name(&done.id), "symbol": call.asked.symbol, "price": done.price.to_string(), "size": done.size.to_string(),
            "side": side(done.buy), "time": (done.ts / MILLISECOND).to_string(), "isBlockTrade": false,
            "seq": done.number.to_string(),
        })
    };
    let n = if call.is_spot() { call.limit(60, 60) } else { call.limit(500, 1_000) };
    call.listed(venue.trades.get(&call.asked.symbol).into_iter().flatten().rev().take(n).map(row))
}

fn orderbook(call: &Call, venue: &mut Venue) -> Answered {
    let known = venue.books.get(&call.asked.symbol).ok_or(NO_SYMBOL)?;
    let n = if call.is_spot() { call.limit(1, 200) } else { call.limit(25, 500) };
    let [bids, asks] = known.levels(n).map(|levels| pairs(&levels));
    let (now, u) = (call.now / MILLISECOND, known.number - known.origin);
    Ok(json!({"s": call.asked.symbol, "b": bids, "a": asks, "ts": now, "u": u, "seq": known.number, "cts": now}))
}

fn open_interest(call: &Call, venue: &mut Venue) -> Answered {
    let symbol = call.of_contracts()?;
    if call.asked.interval_time.as_deref() != Some("5min") {
        return Err("params error: intervalTime invalid");
    }
    let open = venue.tickers.get(symbol).and_then(|(_, ticker)| ticker.open_interest);
    let Some(open) = open else { return call.without(venue) };
    let every = (Timeframe::M5.length(), call.now);
    let rows = venue.series(symbol, "open_interest", every, open, call.limit(50, 200));
    let row = |(ts, open): &(Ts, Decimal)| {
        let (sum, ts) = (both(*open).to_string(), (ts / MILLISECOND).to_string());
        json!({"openInterest": sum, "singleOpenInterest": open.to_string(), "timestamp": ts})
    };
    let mut listed = call.listed(rows.iter().rev().map(row))?;
    listed["symbol"] = symbol.into();
    Ok(listed)
}

fn funding(call: &Call, venue: &mut Venue) -> Answered {
    let symbol = call.of_contracts()?;
    let rate = venue.tickers.get(symbol).and_then(|(_, ticker)| ticker.funding_rate);
    let Some(rate) = rate else { return call.without(venue) };
    let rows = venue.series(symbol, "funding", (8 * HOUR, call.now), rate, call.limit(200, 200));
    let row = |(ts, rate): &(Ts, Decimal)| {
        let ts = (ts / MILLISECOND).to_string();
        json!({"symbol": symbol, "fundingRate": rate.to_string(), "fundingRateTimestamp": ts})
    };
    call.listed(rows.iter().rev().map(row))
}

fn account_ratio(call: &Call, venue: &mut Venue) -> Answered {
    let symbol = call.of_contracts()?;
    if call.asked.period.as_deref() != Some("5min") {
        return Err("params error: period invalid");
    }
    let rows = ratios(venue, symbol, "account", call.now, call.limit(50, 500)).ok_or(NO_SYMBOL)?;
    let row = |(ts, long): &(Ts, Decimal)| {
        let (ts, [buy, sell]) = ((ts / MILLISECOND).to_string(), [*long, other(*long)].map(|one| one.to_string()));
        json!({"symbol": symbol, "buyRatio": buy, "sellRatio": sell, "timestamp": ts})
    };
    call.listed(rows.iter().rev().map(row))
}

fn risk_limit(call: &Call, venue: &mut Venue) -> Answered {
    let symbol = call.of_contracts()?;
    if !venue.instruments.contains_key(symbol) {
        return Err(NO_SYMBOL);
    }
    // Of inverse contracts margins are said in percent, and limits in base.
    let (decimals, limit) = if call.market == Market::Inverse { (2, 150) } else { (4, 2_000_000) };
    let tier = |n: i64| {
        let margin = |part: i64| Decimal::new(part * n, decimals).to_string();
        json!({
            "id": n, "symbol": symbol, "riskLimitValue": (limit * n).to_string(), "maintenanceMargin": margin(50),
            "initialMargin": margin(100), "isLowestRisk": i32::from(n == 1),
            "maxLeverage": Decimal::new(10_000 / n, 2).to_string(),
        })
    };
    call.listed((1..=5).map(tier))
}

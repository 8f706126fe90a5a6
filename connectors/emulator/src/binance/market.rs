//! Market requests to the emulated Binance: one function per address, and what each costs.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get};
use prism_schemas::event::{Instrument, Ticker};
use prism_schemas::time::{HOUR, MILLISECOND, MINUTE};
use prism_schemas::{Decimal, Market, Timeframe, Ts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{agg_trade, put};
use crate::bars::Bar;
use crate::limits::{Cap, Limit, TOO_OFTEN, parameter};
use crate::venue::{Level, TIMEFRAMES, Venue};
use crate::{Shared, identity, other, ratios};

/// 6,000 a minute: <https://developers.binance.com/docs/binance-spot-api-docs/rest-api/limits>.
pub(crate) const LIMIT_SPOT: Limit =
    Limit { weight: 6_000, of: |path, query| weight(Market::Spot, path, query), ..LIMIT_LINEAR };

/// 2,400 a minute: <https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info>.
pub(crate) const LIMIT_LINEAR: Limit = Limit {
    weight: 2_400,
    window: MINUTE,
    leaks: false,
    of: |path, query| weight(Market::Linear, path, query),
    caps: &[Cap::new("/futures/data/", 1_000, 5 * MINUTE), Cap::new("/fundingRate", 500, 5 * MINUTE)],
    beyond: (StatusCode::TOO_MANY_REQUESTS, TOO_OFTEN),
    banned: StatusCode::IM_A_TEAPOT,
    blocked: (
        StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS,
        "{\"code\":0,\"msg\":\"Service unavailable from a restricted location according to 'b. Eligibility'\"}",
    ),
    headers: |used, _, _| vec![("x-mbx-used-weight-1m", used as i64)],
};

/// As published with each request.
fn weight(market: Market, path: &str, query: &str) -> u64 {
    let value = |name: &str| parameter(query, name);
    let limit: u64 = value("limit").and_then(|text| text.parse().ok()).unwrap_or(500);
    match (market, path.rsplit('/').next().unwrap_or_default()) {
        (Market::Spot, "exchangeInfo") => 20,
        (Market::Spot, "24hr") => {
            if value("symbol").is_some() {
                2
            } else {
                80
            }
        }
        (Market::Spot, "klines") => 2,
        (Market::Spot, "aggTrades") => 4,
        (Market::Spot, "depth") => match limit {
            0..=100 => 5,
            101..=500 => 25,
            501..=1_000 => 50,
            _ => 250,
        },
        (_, "24hr") => {
            if value("symbol").is_some() {
                1
            } else {
                40
            }
        }
        (_, "klines") => match limit {
            0..100 => 1,
            100..500 => 2,
            500..=1_000 => 5,
            _ => 10,
        },
        (_, "aggTrades") => 20,
        (_, "depth") => match limit {
            0..=50 => 2,
            51..=100 => 5,
            101..=500 => 10,
            _ => 20,
        },
        (_, "fundingRate") => 0,
        _ if path.contains("/futures/data/") => 0,
        _ => 1,
    }
}

/// All addresses of a market.
pub(super) fn routes(market: Market) -> Router<Arc<Shared>> {
    let base = if market == Market::Spot { "/api/v3" } else { "/fapi/v1" };
    let of_all = Router::new()
        .route(&format!("{base}/time"), on(time))
        .route(&format!("{base}/exchangeInfo"), on(if market == Market::Spot { pairs } else { contracts }))
        .route(&format!("{base}/ticker/24hr"), on(tickers))
        .route(&format!("{base}/klines"), on(klines))
        .route(&format!("{base}/depth"), on(depth))
        .route(&format!("{base}/aggTrades"), on(agg_trades));
    if market == Market::Spot {
        return of_all;
    }
    of_all
        .route("/fapi/v1/openInterest", on(open_interest))
        .route("/fapi/v1/fundingRate", on(funding))
        .route("/futures/data/openInterestHist", on(open_interests))
        .route("/futures/data/globalLongShortAccountRatio", on(|call, venue| ratio(call, venue, "account")))
        .route("/futures/data/topLongShortAccountRatio", on(|call, venue| ratio(call, venue, "top_account")))
        .route("/futures/data/topLongShortPositionRatio", on(|call, venue| ratio(call, venue, "top_position")))
        .route("/futures/data/takerlongshortRatio", on(taker_ratio))
}

/// The parameters that market requests have.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    symbol: String,
    interval: Option<String>,
    period: Option<String>,
    limit: Option<usize>,
    #[serde(rename = "fromId")]
    from_id: Option<u64>,
}

/// A request, and when.
struct Call {
    now: Ts,
    asked: Asked,
}

/// The answer, or a refusal: code and message.
type Answered = Result<Value, (i64, &'static str)>;

const NO_SYMBOL: (i64, &str) = (-1121, "Invalid symbol.");

impl Call {
    fn limit(&self, default: usize, max: usize) -> usize {
        self.asked.limit.unwrap_or(default).clamp(1, max)
    }

    /// An instrument without a value, as a recording may have: there are none.
    fn without(&self, venue: &Venue) -> Answered {
        if venue.instruments.contains_key(&self.asked.symbol) { Ok(json!([])) } else { Err(NO_SYMBOL) }
    }

    /// Five minutes are all there is.
    fn period(&self) -> Result<i64, (i64, &'static str)> {
        match self.asked.period.as_deref() {
            Some("5m") => Ok(Timeframe::M5.length()),
            _ => Err((-1130, "Data sent for parameter 'period' is not valid.")),
        }
    }
}

fn on(of: fn(&Call, &mut Venue) -> Answered) -> MethodRouter<Arc<Shared>> {
    get(async move |State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>| -> Response {
        let call = Call { now: (shared.clock)(), asked };
        let answer = of(&call, &mut shared.venue());
        match answer {
            Ok(value) => Json(value).into_response(),
            Err((code, message)) => {
                (StatusCode::BAD_REQUEST, Json(json!({"code": code, "msg": message}))).into_response()
            }
        }
    })
}

fn time(call: &Call, _: &mut Venue) -> Answered {
    Ok(json!({"serverTime": call.now / MILLISECOND}))
}

fn pairs(call: &Call, venue: &mut Venue) -> Answered {
    Ok(exchange_info(call, venue, |_| {}))
}

fn contracts(call: &Call, venue: &mut Venue) -> Answered {
    // Perpetual contracts are said to end in 2100.
    Ok(exchange_info(call, venue, |one| {
        (one["contractType"], one["deliveryDate"]) = ("PERPETUAL".into(), 4_133_404_800_000_i64.into());
        one["marginAsset"] = one["quoteAsset"].clone();
    }))
}

fn exchange_info(call: &Call, venue: &Venue, add: impl Fn(&mut Value)) -> Value {
    let text = |number: Option<Decimal>| number.map_or("0".to_string(), |number| number.to_string());
    let one = |(symbol, one): (&String, &Instrument)| {
        let (base, quote, is_open) = identity(symbol, one);
        let mut one = json!({
            "symbol": symbol, "status": if is_open { "TRADING" } else { "BREAK" }, "baseAsset": base, "quoteAsset": quote,
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": text(one.tick_size)},
                {"filterType": "LOT_SIZE", "stepSize": text(one.lot_size), "minQty": text(one.min_size), "maxQty": "9000"},
            ],
        });
        add(&mut one);
        one
    };
    let symbols: Vec<Value> = venue.instruments.iter().map(one).collect();
    json!({"timezone": "UTC", "serverTime": call.now / MILLISECOND, "rateLimits": [], "symbols": symbols})
}

fn tickers(call: &Call, venue: &mut Venue) -> Answered {
    let one = |(symbol, (ts, ticker)): (&String, &(Ts, Ticker))| {
        let mut data = json!({"symbol": symbol, "closeTime": ts / MILLISECOND});
        put(&mut data, [("lastPrice", ticker.last), ("openPrice", ticker.open_24h), ("highPrice", ticker.high_24h)]);
        put(
            &mut data,
            [("lowPrice", ticker.low_24h), ("volume", ticker.volume_24h), ("quoteVolume", ticker.turnover_24h)],
        );
        data
    };
    if call.asked.symbol.is_empty() {
        return Ok(venue.tickers.iter().map(one).collect());
    }
    venue.tickers.get_key_value(&call.asked.symbol).map(one).ok_or(NO_SYMBOL)
}

fn klines(call: &Call, venue: &mut Venue) -> Answered {
    let timeframe = call.asked.interval.as_deref().and_then(|interval| interval.parse().ok());
    let timeframe: Option<Timeframe> = timeframe.filter(|timeframe| TIMEFRAMES.contains(timeframe));
    let timeframe = timeframe.ok_or((-1120, "Invalid interval."))?;
    let bars = venue.bars(&call.asked.symbol, timeframe).ok_or(NO_SYMBOL)?;
    let row = |(start, bar): &(Ts, Bar)| {
        let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(|price| price.to_string());
        let (volume, turnover) = (format!("{:.6}", bar.volume), format!("{:.4}", bar.turnover));
        let (bought, value) = (format!("{:.6}", bar.bought), format!("{:.4}", bar.bought * bar.close.to_f64()));
        let (from, to) = (start / MILLISECOND, timeframe.end(*start) / MILLISECOND - 1);
        json!([from, open, high, low, close, volume, to, turnover, bar.n_trades, bought, value, "0"])
    };
    let skip = bars.len().saturating_sub(call.limit(500, 1_000));
    Ok(bars[skip..].iter().map(row).collect())
}

fn depth(call: &Call, venue: &mut Venue) -> Answered {
    let known = venue.books.get(&call.asked.symbol).ok_or(NO_SYMBOL)?;
    let pairs = |levels: Vec<Level>| -> Vec<[String; 2]> {
        levels.into_iter().map(|(price, size)| [price.to_string(), size.to_string()]).collect()
    };
    let [bids, asks] = known.levels(call.limit(500, 5_000)).map(pairs);
    Ok(json!({"lastUpdateId": known.number, "bids": bids, "asks": asks}))
}

fn agg_trades(call: &Call, venue: &mut Venue) -> Answered {
    let n = call.limit(500, 1_000);
    let Some(trades) = venue.trades.get(&call.asked.symbol) else { return Ok(json!([])) };
    Ok(match call.asked.from_id {
        Some(from) => trades.iter().filter(|done| from <= done.number).take(n).map(agg_trade).collect(),
        None => trades.iter().skip(trades.len().saturating_sub(n)).map(agg_trade).collect(),
    })
}

fn open_interest(call: &Call, venue: &mut Venue) -> Answered {
    let (ts, ticker) = venue.tickers.get(&call.asked.symbol).ok_or(NO_SYMBOL)?;
    let mut data = json!({"symbol": call.asked.symbol, "time": ts / MILLISECOND});
    put(&mut data, [("openInterest", ticker.open_interest)]);
    Ok(data)
}

fn open_interests(call: &Call, venue: &mut Venue) -> Answered {
    let (every, symbol) = ((call.period()?, call.now), &call.asked.symbol);
    let known = venue.tickers.get(symbol).and_then(|(_, ticker)| ticker.open_interest.zip(ticker.mark));
    let Some((open, mark)) = known else { return call.without(venue) };
    let row = |(ts, open): &(Ts, Decimal)| {
        let value = format!("{:.8}", open.to_f64() * mark.to_f64());
        json!({
            "symbol": symbol, "sumOpenInterest": open.to_string(), "sumOpenInterestValue": value,
            "timestamp": ts / MILLISECOND,
        })
    };
    Ok(venue.series(symbol, "open_interest", every, open, call.limit(30, 500)).iter().map(row).collect())
}

fn funding(call: &Call, venue: &mut Venue) -> Answered {
    let symbol = &call.asked.symbol;
    let known = venue.tickers.get(symbol).and_then(|(_, ticker)| ticker.funding_rate.zip(ticker.mark));
    let Some((rate, mark)) = known else { return call.without(venue) };
    let row = |(ts, rate): &(Ts, Decimal)| {
        let (rate, mark) = (rate.to_string(), mark.to_string());
        json!({"symbol": symbol, "fundingTime": ts / MILLISECOND, "fundingRate": rate, "markPrice": mark})
    };
    Ok(venue.series(symbol, "funding", (8 * HOUR, call.now), rate, call.limit(100, 1_000)).iter().map(row).collect())
}

/// Times and shares of a kind of ratio, each as a row.
fn shares(call: &Call, venue: &mut Venue, kind: &'static str, row: impl Fn(i64, Decimal, String) -> Value) -> Answered {
    call.period()?;
    let rows = ratios(venue, &call.asked.symbol, kind, call.now, call.limit(30, 500)).ok_or(NO_SYMBOL)?;
    let spell = |(ts, long): &(Ts, Decimal)| {
        row(ts / MILLISECOND, *long, format!("{:.4}", long.to_f64() / other(*long).to_f64().max(0.000_1)))
    };
    Ok(rows.iter().map(spell).collect())
}

fn ratio(call: &Call, venue: &mut Venue, kind: &'static str) -> Answered {
    shares(call, venue, kind, |ts, long, ratio| {
        let [long, short] = [long, other(long)].map(|one| one.to_string());
        json!({
            "symbol": call.asked.symbol, "longShortRatio": ratio, "longAccount": long, "shortAccount": short,
            "timestamp": ts,
        })
    })
}

fn taker_ratio(call: &Call, venue: &mut Venue) -> Answered {
    shares(call, venue, "taker", |ts, long, ratio| {
        let [bought, sold] = [long, other(long)].map(|one| one.to_string());
        json!({"buySellRatio": ratio, "buyVol": bought, "sellVol": sold, "timestamp": ts})
    })
}

//! `/api/signals`: threshold crossings of the confluence score.

use axum::Json;
use axum::extract::State;
use prism_queries::{Parameters, named};
use prism_schemas::canonical_symbol;
use prism_schemas::time::{DAY, format_ts, parse_ts};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::Routes;
use crate::App;
use crate::error::{ApiError, Problem};
use crate::explain::{interpretation, is_current};
use crate::extract::{Params, Segment, one_of, time, within};
use crate::instruments::resolve;
use crate::shape::{ComponentRow, Row, SignalRow, rows};

/// Components of a signal are looked for in bars that started at most this long before; longer than any role needs.
const ROLES_MAX: i64 = 2 * DAY;
const SORTS: [&str; 9] =
    ["timestamp", "-timestamp", "score", "-score", "strength", "-strength", "reliability", "-reliability", "symbol"];

pub(crate) fn routes() -> Routes {
    Routes::new()
        .get("/api/signals", page)
        .get("/api/signals/latest", latest)
        .get("/api/signals/active", active)
        .get("/api/signals/symbol/{symbol}", of_symbol)
        .get("/api/signals/{signal_id}", one)
}

/// Some signals.
#[derive(Serialize, ToSchema)]
pub(crate) struct Signals {
    #[schema(value_type = Vec<SignalRow>)]
    signals: Vec<Row>,
    /// How many these are.
    count: usize,
}

/// How many signals.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LatestQuery {
    /// 1 to 20, 5 if absent.
    #[param(minimum = 1, maximum = 20, default = 5)]
    limit: Option<u32>,
}

/// The newest signals.
#[utoipa::path(get, path = "/api/signals/latest", operation_id = "latest_signals", tag = "signals", params(LatestQuery),
    responses((status = 200, body = Signals), (status = 400, body = Problem)))]
pub(crate) async fn latest(
    State(app): State<App>,
    Params(query): Params<LatestQuery>,
) -> Result<Json<Signals>, ApiError> {
    let limit = within("limit", query.limit, 5, 1, 20)?;
    select(&app, &Filter::default(), "-timestamp", limit, 0).await
}

/// Signals that are in force.
#[utoipa::path(get, path = "/api/signals/active", operation_id = "active_signals", tag = "signals", params(SymbolQuery),
    responses((status = 200, body = Signals), (status = 400, body = Problem)))]
pub(crate) async fn active(
    State(app): State<App>,
    Params(query): Params<SymbolQuery>,
) -> Result<Json<Signals>, ApiError> {
    let limit = within("limit", query.limit, 100, 1, 100)?;
    one_of("market", query.market.as_deref(), &["spot", "linear", "inverse"])?;
    let filter =
        Filter { status: Some("active".into()), exchange: query.exchange, market: query.market, ..Filter::default() };
    select(&app, &filter, "-timestamp", limit, 0).await
}

/// Which signals of a symbol.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SymbolQuery {
    /// 1 to 100.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Only this venue.
    exchange: Option<String>,
    /// Only this market: spot, linear or inverse.
    market: Option<String>,
}

/// The newest signals of a symbol, on all venues unless one is named; 10 if `limit` is absent.
#[utoipa::path(get, path = "/api/signals/symbol/{symbol}", operation_id = "signals_of_symbol", tag = "signals",
    params(("symbol" = String, Path, description = "any spelling: BTCUSDT, btc/usdt, BTC-USDT"), SymbolQuery),
    responses((status = 200, body = Signals), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn of_symbol(
    State(app): State<App>,
    Segment(symbol): Segment,
    Params(query): Params<SymbolQuery>,
) -> Result<Json<Signals>, ApiError> {
    let limit = within("limit", query.limit, 10, 1, 100)?;
    let id = resolve(&app, &symbol, query.exchange.as_deref(), query.market.as_deref()).await?;
    let filter =
        Filter { symbol: Some(id.symbol), exchange: query.exchange, market: query.market, ..Filter::default() };
    select(&app, &filter, "-timestamp", limit, 0).await
}

/// Which signals, and which page of them.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// From 1.
    #[param(minimum = 1, maximum = 1_000_000, default = 1)]
    page: Option<u32>,
    /// 1 to 100, 20 if absent.
    #[param(minimum = 1, maximum = 100, default = 20)]
    size: Option<u32>,
    /// Only this symbol, in any spelling.
    symbol: Option<String>,
    /// BULLISH or BEARISH.
    signal_type: Option<String>,
    /// Only with at least this score, 0 to 100.
    #[param(minimum = 0, maximum = 100)]
    min_score: Option<f64>,
    /// From this time on, RFC 3339 or UNIX ms.
    from_date: Option<String>,
    /// Before this time, RFC 3339 or UNIX ms.
    to_date: Option<String>,
    /// timestamp, score, strength, reliability (with a minus: highest first) or symbol; -timestamp if absent.
    sort: Option<String>,
}

/// A page of signals.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignalPage {
    #[schema(value_type = Vec<SignalRow>)]
    signals: Vec<Row>,
    /// This page, from 1.
    page: u32,
    /// Most signals of a page.
    size: u32,
    /// Number of signals that fit.
    total: u64,
    /// Number of pages.
    pages: u64,
}

/// Signals by filter, in pages.
#[utoipa::path(get, path = "/api/signals", operation_id = "signals", tag = "signals", params(PageQuery),
    responses((status = 200, body = SignalPage), (status = 400, body = Problem)))]
pub(crate) async fn page(
    State(app): State<App>,
    Params(query): Params<PageQuery>,
) -> Result<Json<SignalPage>, ApiError> {
    let page = within("page", query.page, 1, 1, 1_000_000)?;
    let size = within("size", query.size, 20, 1, 100)?;
    let sort = one_of("sort", query.sort.as_deref(), &SORTS)?.unwrap_or("-timestamp").to_string();
    one_of("signal_type", query.signal_type.as_deref(), &["BULLISH", "BEARISH"])?;
    if query.min_score.is_some_and(|score| !(0.0..=100.0).contains(&score)) {
        return Err(ApiError::field("min_score", "min_score must be 0 to 100"));
    }
    let filter = Filter {
        symbol: query.symbol.as_deref().map(canonical_symbol),
        signal_type: query.signal_type,
        min_score: query.min_score,
        from: time("from_date", query.from_date.as_deref())?.map(format_ts),
        to: time("to_date", query.to_date.as_deref())?.map(format_ts),
        ..Filter::default()
    };
    let counted = app.engine.named(&named::SIGNALS_COUNT, &filter.parameters()).await?.rows()?;
    let total = counted.first().and_then(|row| row.first()?.as_u64()).unwrap_or(0);
    let offset = (page - 1) * size;
    let signals = select(&app, &filter, &sort, size, offset).await?.0.signals;
    Ok(Json(SignalPage { signals, page, size, total, pages: total.div_ceil(u64::from(size)) }))
}

/// A signal and what it is made of.
#[derive(Serialize, ToSchema)]
pub(crate) struct OneSignal {
    #[schema(value_type = SignalRow)]
    signal: Row,
    /// Each component of each role timeframe as it stood at the crossing, with `interpretation`.
    #[schema(value_type = Vec<ComponentRow>)]
    components: Vec<Row>,
}

/// One signal with the components of its score.
#[utoipa::path(get, path = "/api/signals/{signal_id}", operation_id = "signal", tag = "signals",
    params(("signal_id" = String, Path, description = "id of the signal")),
    responses((status = 200, body = OneSignal), (status = 404, body = Problem)))]
pub(crate) async fn one(State(app): State<App>, Segment(signal_id): Segment) -> Result<Json<OneSignal>, ApiError> {
    let given: Parameters = [("signal_id".to_string(), json!(signal_id))].into();
    let found = rows(&app.engine.named(&named::SIGNAL, &given).await?)?;
    let Some(signal) = found.into_iter().next() else {
        return Err(ApiError::NotFound("there is no signal of this id".into()));
    };
    let text = |name: &str| signal.get(name).cloned().unwrap_or(Value::Null);
    let mut components = Vec::new();
    if let Some(at) = text("ts_close").as_str().and_then(parse_ts) {
        let mut given: Parameters =
            ["exchange", "market", "symbol"].into_iter().map(|name| (name.to_string(), text(name))).collect();
        given.insert("at".into(), format_ts(at).into());
        given.insert("from".into(), format_ts(at.saturating_sub(ROLES_MAX)).into());
        components = rows(&app.engine.named(&named::COMPONENTS, &given).await?)?;
        components.retain(|row| is_current(row, at));
        for row in &mut components {
            row.insert("interpretation".into(), interpretation(row).into());
        }
    }
    Ok(Json(OneSignal { signal, components }))
}

#[derive(Default)]
struct Filter {
    symbol: Option<String>,
    exchange: Option<String>,
    market: Option<String>,
    signal_type: Option<String>,
    status: Option<String>,
    min_score: Option<f64>,
    from: Option<String>,
    to: Option<String>,
}

impl Filter {
    fn parameters(&self) -> Parameters {
        let pairs = [
            ("symbol", json!(self.symbol)),
            ("exchange", json!(self.exchange)),
            ("market", json!(self.market)),
            ("signal_type", json!(self.signal_type)),
            ("status", json!(self.status)),
            ("min_score", json!(self.min_score)),
            ("from", json!(self.from)),
            ("to", json!(self.to)),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }
}

async fn select(app: &App, filter: &Filter, sort: &str, limit: u32, offset: u32) -> Result<Json<Signals>, ApiError> {
    let mut given = filter.parameters();
    given.insert("sort".into(), sort.trim_start_matches('-').into());
    given.insert("sign".into(), json!(if sort.starts_with('-') { -1.0 } else { 1.0 }));
    given.insert("limit".into(), limit.into());
    given.insert("offset".into(), offset.into());
    let signals = rows(&app.engine.named(&named::SIGNALS, &given).await?)?;
    Ok(Json(Signals { count: signals.len(), signals }))
}

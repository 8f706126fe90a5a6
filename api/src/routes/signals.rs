//! `/api/signals`: threshold crossings of the confluence score.

use axum::Json;
use axum::extract::State;
use prism_queries::{Parameters, named};
use prism_schemas::time::{HOUR, format_ts, parse_ts};
use prism_schemas::{InstrumentId, Market, canonical_symbol};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::Routes;
use crate::App;
use crate::advice::{Advice, Basis, advice};
use crate::error::{ApiError, Problem};
use crate::extract::{Body, Params, Segment, one_of, time, within};
use crate::instruments::resolve;
use crate::interpret::{Position, Sentence, interpret, outcome};
use crate::shape::{ComponentRow, ConfluenceRow, DimensionRow, EventRow, Row, SignalRow, rows};

/// Symbols of which signals are generated at once.
const SYMBOLS_MAX: usize = 20;
const SORTS: [&str; 9] =
    ["timestamp", "-timestamp", "score", "-score", "strength", "-strength", "reliability", "-reliability", "symbol"];

pub(crate) fn routes() -> Routes {
    Routes::new()
        .get("/api/signals", page)
        .get("/api/signals/latest", latest)
        .get("/api/signals/active", active)
        .get("/api/signals/symbol/{symbol}", of_symbol)
        .get("/api/signals/{signal_id}", one)
        .post("/api/signals/generate", generate)
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
    /// What happened to it, in order.
    #[schema(value_type = Vec<EventRow>)]
    events: Vec<Row>,
    /// What its score says.
    insights: Vec<Sentence>,
    /// What may be done about it.
    actionable_insights: Vec<Sentence>,
    /// What speaks against relying on it.
    warnings: Vec<Sentence>,
    /// Its score.
    #[schema(value_type = ConfluenceRow)]
    confluence: Option<Row>,
    /// The dimensions of its score.
    #[schema(value_type = Vec<DimensionRow>)]
    dimensions: Vec<Row>,
    /// Each component of each role timeframe as it stood at the crossing, with `interpretation`.
    #[schema(value_type = Vec<ComponentRow>)]
    components: Vec<Row>,
}

/// One signal with what its score is made of, what that says, and what happened to it.
#[utoipa::path(get, path = "/api/signals/{signal_id}", operation_id = "signal", tag = "signals",
    params(("signal_id" = String, Path, description = "id of the signal")),
    responses((status = 200, body = OneSignal), (status = 404, body = Problem)))]
pub(crate) async fn one(State(app): State<App>, Segment(signal_id): Segment) -> Result<Json<OneSignal>, ApiError> {
    let given: Parameters = [("signal_id".to_string(), json!(signal_id))].into();
    let found = rows(&app.engine.named(&named::SIGNAL, &given).await?)?;
    let Some(signal) = found.into_iter().next() else {
        return Err(ApiError::NotFound("there is no signal of this id".into()));
    };
    let mut asked = given;
    asked.insert("ts".into(), signal.get("ts").cloned().unwrap_or(Value::Null));
    let events = rows(&app.engine.named(&named::SIGNAL_EVENTS, &asked).await?)?;
    let text = |name: &str| signal.get(name).and_then(Value::as_str);
    let number = |name: &str| signal.get(name).and_then(Value::as_f64);
    let id = || Some(InstrumentId::new(text("exchange")?, Market::parse(text("market")?)?, text("symbol")?));
    let basis = match (id(), text("ts_close").and_then(parse_ts)) {
        (Some(id), Some(at)) => Basis::read(&app.engine, &id, Some(at)).await?,
        _ => None,
    };
    let position = || {
        let targets = [number("target_1")?, number("target_2")?];
        Some(Position {
            entry: number("entry_price")?,
            stop: number("stop_loss")?,
            basis: text("stop_basis")?,
            targets,
        })
    };
    let mut told = OneSignal {
        events,
        insights: basis.as_ref().map_or(Vec::new(), Basis::insights),
        actionable_insights: match (outcome(&signal), basis.as_ref().zip(number("score"))) {
            (Some(outcome), _) => vec![outcome],
            (None, Some((basis, score))) => {
                basis.actionable(text("signal").unwrap_or(""), score, position(), number("position_size_percent"))
            }
            (None, None) => Vec::new(),
        },
        warnings: basis.as_ref().map_or(Vec::new(), |basis| basis.warnings(position().as_ref())),
        confluence: None,
        dimensions: Vec::new(),
        components: Vec::new(),
        signal,
    };
    if let Some(basis) = basis {
        (told.confluence, told.dimensions, told.components) =
            (Some(basis.confluence), basis.dimensions, basis.components);
    }
    told.components.iter_mut().for_each(interpret);
    Ok(Json(told))
}

/// For what signals are generated.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// 1 to 20 symbols, in any spelling.
    #[schema(example = json!(["BTCUSDT", "ETH/USDT"]))]
    symbols: Vec<String>,
    /// Venue, where several have them.
    exchange: Option<String>,
    /// spot, linear or inverse, where several have them.
    market: Option<String>,
    /// Only those of at least this reliability, 0 to 1; 0 if absent.
    confidence_threshold: Option<f64>,
    /// How long a position may last, in hours, above 0; 1 if absent. The longest role timeframe of which twelve bars are within
    /// it gives stop and targets.
    time_horizon_hours: Option<f64>,
}

/// What is advised.
#[derive(Serialize, ToSchema)]
pub(crate) struct Generated {
    /// Of each symbol, in the order asked for.
    signals: Vec<Advice>,
    /// Symbols of which nothing is advised.
    skipped: Vec<Skipped>,
}

/// A symbol of which nothing is advised.
#[derive(Serialize, ToSchema)]
pub(crate) struct Skipped {
    /// As it was asked for.
    symbol: String,
    /// Why.
    reason: String,
}

/// The signal that could be made of each symbol's newest score, beyond thresholds or not. Nothing is stored.
#[utoipa::path(post, path = "/api/signals/generate", operation_id = "generate_signals", tag = "signals",
    request_body = Wanted,
    responses((status = 200, body = Generated), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn generate(State(app): State<App>, Body(wanted): Body<Wanted>) -> Result<Json<Generated>, ApiError> {
    if !(1..=SYMBOLS_MAX).contains(&wanted.symbols.len()) {
        return Err(ApiError::field("symbols", format!("symbols must name 1 to {SYMBOLS_MAX} symbols")));
    }
    let threshold = wanted.confidence_threshold.unwrap_or(0.0);
    if !(0.0..=1.0).contains(&threshold) {
        return Err(ApiError::field("confidence_threshold", "confidence_threshold must be 0 to 1"));
    }
    let hours = wanted.time_horizon_hours.unwrap_or(1.0);
    if !(0.0 < hours && hours <= 8_760.0) {
        return Err(ApiError::field("time_horizon_hours", "time_horizon_hours must be above 0, and 8760 at most"));
    }
    let (mut signals, mut skipped) = (Vec::new(), Vec::new());
    for symbol in &wanted.symbols {
        let id = match resolve(&app, symbol, wanted.exchange.as_deref(), wanted.market.as_deref()).await {
            Err(error @ ApiError::UnknownSymbol { .. }) if 1 < wanted.symbols.len() => {
                skipped.push(Skipped { symbol: symbol.clone(), reason: error.to_string() });
                continue;
            }
            other => other?,
        };
        let reason = match advice(&app.engine, &id, (hours * HOUR as f64) as i64).await? {
            Some(advice) if threshold <= advice.reliability => {
                signals.push(advice);
                continue;
            }
            Some(advice) => format!("its reliability of {:.2} is below {threshold}", advice.reliability),
            None => "it has no score yet, or the settings of its score are not stored yet".into(),
        };
        skipped.push(Skipped { symbol: symbol.clone(), reason });
    }
    Ok(Json(Generated { signals, skipped }))
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

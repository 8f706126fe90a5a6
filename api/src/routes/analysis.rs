//! `/api/analysis/{symbol}`: the score of one instrument, taken apart.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use prism_queries::named;
use prism_schemas::Timeframe;
use prism_schemas::time::{DAY, format_ts, parse_ts};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::Routes;
use crate::App;
use crate::error::{ApiError, Problem};
use crate::extract::{Params, Segment};
use crate::instruments::resolve;
use crate::interpret::{interpret, is_current};
use crate::shape::{ComponentRow, ConfluenceRow, DimensionRow, Row, parameters, rows};

pub(crate) fn routes() -> Routes {
    Routes::new().get("/api/analysis/{symbol}", analysis)
}

/// Which instrument of the symbol.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AnalysisQuery {
    /// Only this venue.
    exchange: Option<String>,
    /// Only this market: spot, linear or inverse.
    market: Option<String>,
}

/// The score of one instrument, taken apart.
#[derive(Serialize, ToSchema)]
pub(crate) struct Analysis {
    exchange: String,
    market: String,
    symbol: String,
    /// The newest confluence; null if there is none yet.
    #[schema(value_type = Option<ConfluenceRow>)]
    confluence: Option<Row>,
    /// Dimensions by timeframe; `all` is over the roles.
    #[schema(value_type = BTreeMap<String, Vec<DimensionRow>>)]
    dimensions: BTreeMap<String, Vec<Row>>,
    /// Components by timeframe, with `interpretation`.
    #[schema(value_type = BTreeMap<String, Vec<ComponentRow>>)]
    components: BTreeMap<String, Vec<Row>>,
    metadata: Metadata,
}

/// What the analysis rests on.
#[derive(Serialize, ToSchema)]
pub(crate) struct Metadata {
    /// Bars of the base timeframe in the last 24 hours before `last_bar`.
    data_points: u64,
    /// End of the newest bar of the base timeframe.
    last_bar: Value,
    /// When the newest confluence became known.
    known_at: Value,
    /// Time to answer.
    processing_time_ms: f64,
}

/// The newest score of an instrument: confluence, dimensions and components of each role timeframe.
#[utoipa::path(get, path = "/api/analysis/{symbol}", tag = "analysis",
    params(("symbol" = String, Path, description = "any spelling: BTCUSDT, btc/usdt, BTC-USDT"), AnalysisQuery),
    responses((status = 200, body = Analysis), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn analysis(
    State(app): State<App>,
    Segment(symbol): Segment,
    Params(query): Params<AnalysisQuery>,
) -> Result<Json<Analysis>, ApiError> {
    let started = Instant::now();
    let id = resolve(&app, &symbol, query.exchange.as_deref(), query.market.as_deref()).await?;
    let given = parameters(&id);
    let confluence = rows(&app.engine.named(&named::LIVE_CONFLUENCE, &given).await?)?.pop();
    let mut dimensions = rows(&app.engine.named(&named::LIVE_DIMENSIONS, &given).await?)?;
    let mut components = rows(&app.engine.named(&named::LIVE_COMPONENTS, &given).await?)?;
    let at = confluence.as_ref().and_then(|row| row.get("ts_close")?.as_str()).and_then(parse_ts);
    if let Some(at) = at {
        dimensions.retain(|row| is_current(row, at));
        components.retain(|row| is_current(row, at));
    }
    components.iter_mut().for_each(interpret);
    let timeframes = components.iter().filter_map(|row| row.get("timeframe")?.as_str()?.parse::<Timeframe>().ok());
    let base = timeframes.min().unwrap_or(Timeframe::M1);
    let since = at.or(app.live.newest()).unwrap_or(0).saturating_sub(DAY);
    let mut counted = given;
    counted.insert("timeframe".into(), base.name().into());
    counted.insert("from".into(), format_ts(since).into());
    let count = rows(&app.engine.named(&named::BARS_COUNT, &counted).await?)?.pop().unwrap_or_default();
    let metadata = Metadata {
        data_points: count.get("data_points").and_then(Value::as_u64).unwrap_or(0),
        last_bar: count.get("last_bar").cloned().unwrap_or(Value::Null),
        known_at: confluence.as_ref().and_then(|row| row.get("known_at").cloned()).unwrap_or(Value::Null),
        processing_time_ms: (started.elapsed().as_secs_f64() * 1e6).round() / 1e3,
    };
    let (dimensions, components) = (by_timeframe(dimensions), by_timeframe(components));
    let market = id.market.name().into();
    Ok(Json(Analysis {
        exchange: id.exchange,
        market,
        symbol: id.symbol,
        confluence,
        dimensions,
        components,
        metadata,
    }))
}

fn by_timeframe(rows: Vec<Row>) -> BTreeMap<String, Vec<Row>> {
    let mut map: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows {
        let timeframe = row.get("timeframe").and_then(Value::as_str).unwrap_or("").to_string();
        map.entry(timeframe).or_default().push(row);
    }
    map
}

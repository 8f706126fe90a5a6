//! `/api/indicators/{symbol}`: indicators of one instrument and timeframe.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Routes;
use crate::App;
use crate::error::{ApiError, Problem};
use crate::extract::{Params, Segment, time, timeframe, within};
use crate::history::{Want, newest};
use crate::instruments::resolve;
use crate::shape::{IndicatorRow, Row};

pub(crate) fn routes() -> Routes {
    Routes::new().get("/api/indicators/{symbol}", indicators)
}

/// Which indicators.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct IndicatorsQuery {
    /// Duration of a bar; 1m if absent.
    #[param(default = "1m")]
    timeframe: Option<String>,
    /// How many, the newest; 1 to 1000, 100 if absent.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// From this time on, RFC 3339 or UNIX ms.
    from: Option<String>,
    /// Before this time, RFC 3339 or UNIX ms.
    to: Option<String>,
    /// Only this venue.
    exchange: Option<String>,
    /// Only this market: spot, linear or inverse.
    market: Option<String>,
}

/// Indicators of one instrument and timeframe, oldest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Indicators {
    exchange: String,
    market: String,
    symbol: String,
    timeframe: String,
    #[schema(value_type = Vec<IndicatorRow>)]
    indicators: Vec<Row>,
}

/// The newest indicators of an instrument in a range of time, oldest first.
#[utoipa::path(get, path = "/api/indicators/{symbol}", tag = "analysis",
    params(("symbol" = String, Path, description = "any spelling: BTCUSDT, btc/usdt, BTC-USDT"), IndicatorsQuery),
    responses((status = 200, body = Indicators), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 422, description = "bars of this timeframe are not maintained", body = Problem)))]
pub(crate) async fn indicators(
    State(app): State<App>,
    Segment(symbol): Segment,
    Params(query): Params<IndicatorsQuery>,
) -> Result<Json<Indicators>, ApiError> {
    let timeframe = timeframe(query.timeframe.as_deref(), &app.maintained)?;
    let limit = within("limit", query.limit, 100, 1, 1000)?;
    let from = time("from", query.from.as_deref())?;
    let to = time("to", query.to.as_deref())?;
    let id = resolve(&app, &symbol, query.exchange.as_deref(), query.market.as_deref()).await?;
    let want = Want { query: &prism_queries::named::INDICATORS, id: &id, timeframe, limit, from, to };
    let indicators = newest(&app, &want).await?;
    let timeframe = timeframe.name().into();
    Ok(Json(Indicators {
        exchange: id.exchange,
        market: id.market.name().into(),
        symbol: id.symbol,
        timeframe,
        indicators,
    }))
}

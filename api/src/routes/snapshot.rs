//! `/api/snapshot/{symbol}`: everything that a venue tells of a symbol, asked for now.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::Routes;
use crate::error::{ApiError, Problem};
use crate::extract::{Params, Segment, one_of};
use crate::{App, SnapshotOf};

pub(crate) fn routes() -> Routes {
    Routes::new().get("/api/snapshot/{symbol}", snapshot)
}

/// Of which venue.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SnapshotQuery {
    /// Only this venue.
    exchange: Option<String>,
    /// Only this market: spot, linear or inverse.
    market: Option<String>,
}

/// All components of a symbol asked for at once: ticker, book, bars of the role timeframes, trades, ratios, open interest,
/// funding, margin tiers; each with its times, age, retries, error and stand-in, and what is left of the venue's budget.
#[utoipa::path(get, path = "/api/snapshot/{symbol}", tag = "analysis",
    params(("symbol" = String, Path, description = "any spelling: BTCUSDT, btc/usdt, BTC-USDT"), SnapshotQuery),
    responses((status = 200, body = Object), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn snapshot(
    State(app): State<App>,
    Segment(symbol): Segment,
    Params(query): Params<SnapshotQuery>,
) -> Result<Json<Value>, ApiError> {
    let SnapshotQuery { exchange, market } = query;
    one_of("market", market.as_deref(), &["spot", "linear", "inverse"])?;
    let none = || ApiError::NotFound("this process follows no such venue: see feeds.venues".into());
    let snapshots = app.snapshots.as_ref().ok_or_else(none)?;
    (snapshots.0)(SnapshotOf { symbol, exchange, market }).await.map(Json).ok_or_else(none)
}

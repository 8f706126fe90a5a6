//! `/api/snapshot/{symbol}`: everything that a venue tells of a symbol, asked for now.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Routes;
use crate::error::{ApiError, Problem};
use crate::extract::{Params, Segment, one_of};
use crate::{App, SnapshotOf};

/// A header that a page of another site cannot send without being asked first, which nobody allows it.
const HEADER: &str = "x-prism";

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
/// It spends that budget, so the request needs the header `X-Prism: 1`; who asks for the same within a second gets the same.
#[utoipa::path(get, path = "/api/snapshot/{symbol}", tag = "analysis",
    params(("symbol" = String, Path, description = "any spelling: BTCUSDT, btc/usdt, BTC-USDT"), SnapshotQuery,
        ("X-Prism" = String, Header, description = "any value, such as 1: shows that no foreign page asks")),
    responses((status = 200, body = Object), (status = 400, body = Problem),
        (status = 403, description = "the header is missing", body = Problem), (status = 404, body = Problem),
        (status = 429, description = "other snapshots are under way", body = Problem)))]
pub(crate) async fn snapshot(
    State(app): State<App>,
    Segment(symbol): Segment,
    headers: HeaderMap,
    Params(query): Params<SnapshotQuery>,
) -> Result<impl IntoResponse, ApiError> {
    if !headers.contains_key(HEADER) {
        return Err(ApiError::HeaderMissing);
    }
    let SnapshotQuery { exchange, market } = query;
    one_of("market", market.as_deref(), &["spot", "linear", "inverse"])?;
    let none = || ApiError::NotFound("this process follows no such venue: see feeds.venues".into());
    let snapshots = app.snapshots.as_ref().ok_or_else(none)?;
    let taken = app.shared.recent_snapshots.take(snapshots, SnapshotOf { symbol, exchange, market }).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], taken.ok_or_else(none)?))
}

//! `/api/top-symbols`: instruments by confluence.

use axum::Json;
use axum::extract::State;
use prism_queries::{Parameters, named};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Routes;
use crate::App;
use crate::error::{ApiError, Problem};
use crate::extract::{Params, within};
use crate::shape::{ConfluenceRow, Row, rows};

pub(crate) fn routes() -> Routes {
    Routes::new().get("/api/top-symbols", top_symbols)
}

/// How many.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TopQuery {
    /// 1 to 1000, 20 if absent.
    #[param(minimum = 1, maximum = 1000, default = 20)]
    limit: Option<u32>,
}

/// Instruments, highest confluence first.
#[derive(Serialize, ToSchema)]
pub(crate) struct TopSymbols {
    #[schema(value_type = Vec<ConfluenceRow>)]
    symbols: Vec<Row>,
}

/// Instruments by their newest confluence score, highest first.
#[utoipa::path(get, path = "/api/top-symbols", tag = "analysis", params(TopQuery),
    responses((status = 200, body = TopSymbols), (status = 400, body = Problem)))]
pub(crate) async fn top_symbols(
    State(app): State<App>,
    Params(query): Params<TopQuery>,
) -> Result<Json<TopSymbols>, ApiError> {
    let limit = within("limit", query.limit, 20, 1, 1000)?;
    let given: Parameters = [("limit".to_string(), limit.into())].into();
    Ok(Json(TopSymbols { symbols: rows(&app.engine.named(&named::TOP_SYMBOLS, &given).await?)? }))
}

//! `/api/openapi.json`: the OpenAPI 3.1 document, generated from the handlers.

use axum::Json;
use utoipa::OpenApi;

use super::{Routes, analysis, bars, health, indicators, page, signals, snapshot, sql, stream, tables, top_symbols};

pub(crate) fn routes() -> Routes {
    Routes::new().get("/api/openapi.json", openapi)
}

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "prism",
        description = "Public crypto market feeds as explained, reproducible signals. Times are UTC; \
        requests take RFC 3339 or UNIX ms, each row carries `timestamp` (UNIX ms) and `known_at`."
    ),
    paths(
        page::index,
        page::script,
        page::style,
        health::health,
        health::ready,
        health::metrics,
        health::version,
        signals::page,
        signals::latest,
        signals::active,
        signals::of_symbol,
        signals::one,
        bars::bars,
        indicators::indicators,
        analysis::analysis,
        top_symbols::top_symbols,
        snapshot::snapshot,
        sql::sql,
        tables::tables,
        tables::one,
        openapi,
        stream::client,
        stream::signals
    )
)]
pub(crate) struct Document;

/// This document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "system",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
pub(crate) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}

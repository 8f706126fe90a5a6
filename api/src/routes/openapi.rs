//! `/api/openapi.json`: the OpenAPI 3.1 document, generated from the handlers.

use std::sync::LazyLock;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::{
    Routes, analysis, bars, health, indicators, market, page, signals, snapshot, sql, stream, tables, top_symbols,
};

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
        page::heat,
        page::symbol,
        page::style,
        health::health,
        health::ready,
        health::status,
        health::metrics,
        health::version,
        signals::page,
        signals::latest,
        signals::active,
        signals::of_symbol,
        signals::one,
        signals::generate,
        bars::bars,
        indicators::indicators,
        analysis::analysis,
        market::orderbook,
        market::trades,
        market::data,
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
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object)))]
pub(crate) async fn openapi() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str())
}

/// The OpenAPI document: what the handlers say, and what is so of all of them.
pub fn document() -> Value {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    document["components"]["securitySchemes"] = json!({"token": {
        "type": "http",
        "scheme": "bearer",
        "description": "Needed where the server was started with a token file. Never needed: the page, /health and /ready. \
            A stream may send it as its first message instead.",
    }});
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, operations) in paths {
        for (_, operation) in operations.as_object_mut().into_iter().flatten() {
            complete(path, operation);
        }
    }
    document
}

/// Adds to an operation what every one has.
fn complete(path: &str, operation: &mut Value) {
    let is_probe = path == "/health" || path == "/ready";
    let is_page = path == "/" || path.starts_with("/assets/");
    let problem = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
    let responses = &mut operation["responses"];
    if !is_probe {
        let why = "the host that the request names is not one of this server's";
        responses["421"] = json!({"description": why, "content": problem});
    }
    if !is_probe && !is_page {
        responses["401"] = json!({"description": "a token is needed", "content": problem});
        operation["security"] = json!([{}, {"token": []}]);
    }
    let responses = &mut operation["responses"];
    if path.starts_with("/api/")
        && !path.starts_with("/api/tables")
        && !["/api/openapi.json", "/api/system/status"].contains(&path)
    {
        for (status, why) in [(503, "the store is away"), (504, "the answer took too long")] {
            let one = &mut responses[status.to_string()];
            if one.is_null() {
                *one = json!({"description": why, "content": problem});
            }
        }
    }
    let description = "too many connections or streams, or too many of this address";
    let one = &mut responses[if path.starts_with("/ws/") { "503" } else { "429" }];
    if one.is_null() {
        *one = json!({"description": description, "content": problem});
    }
    for (status, response) in responses.as_object_mut().into_iter().flatten() {
        let is_told = response["description"].as_str().is_some_and(|text| !text.is_empty());
        if !is_told {
            let status = status.parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
            let reason = status.and_then(|status| status.canonical_reason()).unwrap_or("answer");
            response["description"] = reason.to_lowercase().into();
        }
        let Some(content) = response.get_mut("content").and_then(Value::as_object_mut) else { continue };
        let is_problem = |kind: &Value| kind["schema"]["$ref"] == "#/components/schemas/Problem";
        if content.get("application/json").is_some_and(is_problem)
            && let Some(kind) = content.remove("application/json")
        {
            content.insert("application/problem+json".into(), kind);
        }
    }
}

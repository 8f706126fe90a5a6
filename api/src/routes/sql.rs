//! `/api/sql`: any reading statement over the catalogue.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use prism_queries::Parameters;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Routes;
use crate::App;
use crate::error::{ApiError, Problem};
use crate::extract::Body;

pub(crate) fn routes() -> Routes {
    Routes::new().post("/api/sql", sql)
}

/// A statement.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statement {
    /// One SELECT, WITH, VALUES, EXPLAIN, SHOW TABLES or DESCRIBE.
    #[schema(
        example = "SELECT ts, close FROM bars WHERE symbol = $symbol AND timeframe = '1m' ORDER BY ts DESC LIMIT 5"
    )]
    sql: String,
    /// Values of the statement's `$name` placeholders: texts, numbers, truth values or null.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"symbol": "BTCUSDT"}))]
    parameters: Parameters,
}

/// An answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct Answer {
    /// Names of the columns.
    columns: Vec<String>,
    /// Values by row and column; times are RFC 3339.
    rows: Vec<Vec<Value>>,
    /// Whether there were more rows than are given.
    truncated: bool,
}

/// Answers a statement as JSON, or as CSV if `Accept` is text/csv.
#[utoipa::path(post, path = "/api/sql", tag = "sql", request_body = Statement,
    responses(
        (status = 200, content((Answer = "application/json"), (String = "text/csv"))),
        (status = 400, description = "wrong statement or parameter, with its place", body = Problem),
        (status = 413, body = Problem), (status = 415, body = Problem),
        (status = 422, description = "a statement that does more than read, or needs too much memory", body = Problem),
        (status = 429, description = "too many statements are running", body = Problem),
        (status = 504, description = "cancelled after the limit", body = Problem)))]
pub(crate) async fn sql(
    State(app): State<App>,
    headers: HeaderMap,
    Body(statement): Body<Statement>,
) -> Result<Response, ApiError> {
    let answer = app.engine.query(&statement.sql, &statement.parameters).await?;
    let wants_csv = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if wants_csv.is_some_and(|accept| accept.split(',').any(|kind| kind.trim().starts_with("text/csv"))) {
        let truncated = answer.truncated.to_string();
        let kind = [("content-type", "text/csv; charset=utf-8"), ("x-truncated", truncated.as_str())];
        return Ok((kind, answer.csv()?).into_response());
    }
    let columns = answer.columns.iter().map(|column| column.name.clone()).collect();
    Ok(Json(Answer { columns, rows: answer.rows()?, truncated: answer.truncated }).into_response())
}

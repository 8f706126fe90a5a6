//! Errors as RFC 9457 problems; the only place that knows status codes.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prism_queries::Error;
use serde::Serialize;
use utoipa::ToSchema;

/// A client asks again for what is stored after so many seconds.
const STORE_AWAY: u32 = 5;

/// What a client can act on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// A field of the request is wrong.
    #[error("{detail}")]
    BadField { field: String, detail: String },
    /// The request cannot be read.
    #[error("{0}")]
    BadRequest(String),
    /// There is no such symbol.
    #[error("unknown symbol \"{symbol}\"")]
    UnknownSymbol { symbol: String, near: Vec<String> },
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The path has no such method.
    #[error("the path does not have this method")]
    MethodNotAllowed,
    /// The body is too long.
    #[error("the body is longer than 1 MiB")]
    TooLarge,
    /// The body is not JSON by its header.
    #[error("the body must be application/json")]
    MediaType,
    /// A page of another origin asks for the stream.
    #[error("the stream is for pages of its own origin")]
    ForeignOrigin,
    /// The request took too long.
    #[error("the request took too long")]
    Timeout,
    /// The request names a host that this is not.
    #[error("the host of the request is not one of this server's: start it with --allow-host NAME to allow it")]
    ForeignHost,
    /// The token is missing or wrong.
    #[error("send the token: Authorization: Bearer ...")]
    Unauthorized,
    /// A page of another site may have asked.
    #[error("send the header X-Prism: 1")]
    HeaderMissing,
    /// There are no bars of this timeframe.
    #[error("bars of {timeframe} are not maintained, but {}", maintained.join(" "))]
    NotMaintained { timeframe: String, maintained: Vec<String> },
    /// Too many streams are open.
    #[error("too many streams are open")]
    TooManyStreams,
    /// Too many connections are open.
    #[error("too many connections are open")]
    TooManyConnections,
    /// Too many connections or streams of one address are open.
    #[error("too many connections of this address are open")]
    TooManyOfAddress,
    /// Too many different snapshots are under way.
    #[error("other snapshots are under way")]
    SnapshotsBusy,
    /// What is stored was asked for just now, and there was no answer.
    #[error("the store gave no answer a moment ago")]
    StoreSilent,
    /// A query failed.
    #[error(transparent)]
    Query(#[from] Error),
}

impl ApiError {
    pub(crate) fn field(field: &str, detail: impl Into<String>) -> ApiError {
        ApiError::BadField { field: field.into(), detail: detail.into() }
    }
}

/// A problem as RFC 9457 describes it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`; `code` tells problems apart.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Stable name of the problem.
    code: &'static str,
    /// What is wrong, in a sentence.
    detail: String,
    /// The field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// Line of the SQL statement, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// Column of the SQL statement, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
    /// Symbols spelt alike.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    near: Vec<String>,
    /// What would do instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed: Vec<String>,
}

impl ApiError {
    /// The status, the stable code, and after how many seconds to ask again.
    fn status(&self) -> (StatusCode, &'static str, Option<u32>) {
        use StatusCode as S;
        match self {
            ApiError::BadField { .. } => (S::BAD_REQUEST, "bad_field", None),
            ApiError::BadRequest(_) => (S::BAD_REQUEST, "bad_request", None),
            ApiError::UnknownSymbol { .. } => (S::NOT_FOUND, "unknown_symbol", None),
            ApiError::NotFound(_) => (S::NOT_FOUND, "not_found", None),
            ApiError::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method_not_allowed", None),
            ApiError::TooLarge => (S::PAYLOAD_TOO_LARGE, "too_large", None),
            ApiError::MediaType => (S::UNSUPPORTED_MEDIA_TYPE, "media_type", None),
            ApiError::ForeignOrigin => (S::FORBIDDEN, "foreign_origin", None),
            ApiError::ForeignHost => (S::MISDIRECTED_REQUEST, "foreign_host", None),
            ApiError::Unauthorized => (S::UNAUTHORIZED, "unauthorized", None),
            ApiError::HeaderMissing => (S::FORBIDDEN, "header_missing", None),
            ApiError::NotMaintained { .. } => (S::UNPROCESSABLE_ENTITY, "timeframe_not_maintained", None),
            ApiError::Timeout => (S::GATEWAY_TIMEOUT, "timeout", None),
            ApiError::TooManyStreams => (S::SERVICE_UNAVAILABLE, "too_many_streams", Some(1)),
            ApiError::TooManyConnections => (S::SERVICE_UNAVAILABLE, "too_many_connections", Some(1)),
            ApiError::TooManyOfAddress => (S::TOO_MANY_REQUESTS, "too_many_of_address", Some(1)),
            ApiError::SnapshotsBusy => (S::TOO_MANY_REQUESTS, "snapshots_busy", Some(1)),
            ApiError::StoreSilent => (S::SERVICE_UNAVAILABLE, "store_away", Some(STORE_AWAY)),
            ApiError::Query(error) => match error {
                Error::BadSql { .. } => (S::BAD_REQUEST, "bad_sql", None),
                Error::BadParameter { .. } => (S::BAD_REQUEST, "bad_parameter", None),
                Error::NotAllowed { .. } => (S::UNPROCESSABLE_ENTITY, "sql_not_allowed", None),
                Error::OutOfMemory { .. } => (S::UNPROCESSABLE_ENTITY, "sql_out_of_memory", None),
                Error::Timeout { .. } => (S::GATEWAY_TIMEOUT, "sql_timeout", None),
                Error::Busy { .. } => (S::TOO_MANY_REQUESTS, "sql_busy", Some(1)),
                Error::StoreAway(_) => (S::SERVICE_UNAVAILABLE, "store_away", Some(STORE_AWAY)),
                Error::NotFormed(_) => (S::SERVICE_UNAVAILABLE, "not_formed", Some(1)),
                Error::Store(_) | Error::Internal(_) => (S::INTERNAL_SERVER_ERROR, "internal", None),
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, retry) = self.status();
        let mut problem = Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("error"),
            status: status.as_u16(),
            code,
            detail: self.to_string(),
            field: None,
            line: None,
            column: None,
            near: Vec::new(),
            allowed: Vec::new(),
        };
        match self {
            ApiError::BadField { field, .. } => problem.field = Some(field),
            ApiError::UnknownSymbol { near, .. } => problem.near = near,
            ApiError::NotMaintained { maintained, .. } => {
                (problem.field, problem.allowed) = (Some("timeframe".into()), maintained);
            }
            ApiError::Query(Error::BadSql { line, column, .. }) => (problem.line, problem.column) = (line, column),
            ApiError::Query(Error::BadParameter { name, .. }) => problem.field = Some(format!("parameters.{name}")),
            ApiError::Query(Error::StoreAway(detail)) => {
                tracing::warn!(detail, "the store does not answer");
                problem.detail = "the store does not answer: ask again later".into();
            }
            ApiError::Query(Error::Store(detail) | Error::Internal(detail)) => {
                tracing::error!(detail, "query failed");
                problem.detail = "internal error".into();
            }
            _ => {}
        }
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Whether a request is answered as ready.
pub(crate) const fn readiness(is_ready: bool) -> StatusCode {
    if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Gives a layer's plain refusal the shape of a problem.
pub(crate) fn as_problem(response: Response) -> Response {
    let is_problem =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    match response.status() {
        _ if is_problem => response,
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge.into_response(),
        StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => ApiError::Timeout.into_response(),
        _ => response,
    }
}

//! Reading requests: query strings, JSON bodies and paths, with errors that name the field.

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::{header, request::Parts};
use prism_schemas::time::parse_ts;
use prism_schemas::{Timeframe, Ts};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// A query string.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params<T>, ApiError> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Params(value)),
            Err(rejection) => Err(named(&rejection.body_text())),
        }
    }
}

/// A segment of the path, or several.
pub(crate) struct Segment<T = String>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segment<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Segment<T>, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(text)| Segment(text)).map_err(|error| ApiError::BadRequest(error.body_text()))
    }
}

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        if kind.split(';').next().is_none_or(|kind| !kind.trim().eq_ignore_ascii_case("application/json")) {
            return Err(ApiError::MediaType);
        }
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|error| match error {
            BytesRejection::FailedToBufferBody(inner) if inner.body_text().contains("length limit") => {
                ApiError::TooLarge
            }
            other => ApiError::BadRequest(other.body_text()),
        })?;
        serde_json::from_slice(&bytes).map(Body).map_err(|error| match error.is_data() {
            true => named(&error.to_string()),
            false => ApiError::BadRequest(format!("the body is not JSON: {error}")),
        })
    }
}

/// An error of serde, with the field it names (`limit: invalid digit`, "unknown field `x`") if it names one.
fn named(message: &str) -> ApiError {
    let text = message.strip_prefix("Failed to deserialize query string: ").unwrap_or(message);
    let quoted = || text.split('`').nth(1).filter(|_| text.contains("field `"));
    let prefixed = || text.split_once(": ").map(|(field, _)| field).filter(|field| !field.contains(' '));
    match quoted().or_else(prefixed) {
        Some(field) => ApiError::field(field, text),
        None => ApiError::BadRequest(text.into()),
    }
}

/// A number within bounds.
pub(crate) fn within(field: &str, value: Option<u32>, default: u32, min: u32, max: u32) -> Result<u32, ApiError> {
    let value = value.unwrap_or(default);
    match (min..=max).contains(&value) {
        true => Ok(value),
        false => Err(ApiError::field(field, format!("{field} must be {min} to {max}"))),
    }
}

/// A time as RFC 3339 or UNIX ms.
pub(crate) fn time(field: &str, value: Option<&str>) -> Result<Option<Ts>, ApiError> {
    let wrong = || ApiError::field(field, format!("{field} must be RFC 3339 or UNIX milliseconds"));
    // A plus sign of an offset arrives as a space.
    value.map(|text| parse_ts(&text.replace(' ', "+")).ok_or_else(wrong)).transpose()
}

/// A timeframe by name: one of those maintained, if these are known.
pub(crate) fn timeframe(value: Option<&str>, maintained: &[Timeframe]) -> Result<Timeframe, ApiError> {
    let wanted: Timeframe =
        value.unwrap_or("1m").parse().map_err(|error: String| ApiError::field("timeframe", error))?;
    if maintained.is_empty() || maintained.contains(&wanted) {
        return Ok(wanted);
    }
    let names = maintained.iter().map(|one| one.name().to_string()).collect();
    Err(ApiError::NotMaintained { timeframe: wanted.name().into(), maintained: names })
}

/// One of a few words.
pub(crate) fn one_of<'a>(field: &str, value: Option<&'a str>, words: &[&str]) -> Result<Option<&'a str>, ApiError> {
    match value {
        Some(word) if !words.contains(&word) => {
            Err(ApiError::field(field, format!("{field} must be one of {}", words.join(" "))))
        }
        other => Ok(other),
    }
}

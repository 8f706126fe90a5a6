//! `/health`, `/ready`, `/metrics`, `/version`: what operators and probes ask.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use prism_status::Status;
use serde::Serialize;
use utoipa::ToSchema;

use super::Routes;
use crate::App;
use crate::error::readiness;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .get("/health", health)
        .get("/ready", ready)
        .get("/api/system/status", status)
        .get("/metrics", metrics)
        .get("/version", version)
}

/// The process answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    status: &'static str,
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/health", tag = "system", responses((status = 200, body = Health)))]
pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether answers are up to date.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ready {
    ready: bool,
    /// Whether time is simulated (demo).
    simulated: bool,
    /// Why not, by name.
    reasons: BTreeMap<String, String>,
}

/// Whether the process is ready, else why not.
#[utoipa::path(get, path = "/ready", tag = "system",
    responses((status = 200, body = Ready), (status = 503, description = "not ready", body = Ready)))]
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, Json<Ready>) {
    let now = of(&app);
    (readiness(now.ready), Json(now))
}

/// As `/ready`, for those who look rather than probe: always 200.
#[utoipa::path(get, path = "/api/system/status", tag = "system", responses((status = 200, body = Ready)))]
pub(crate) async fn status(State(app): State<App>) -> Json<Ready> {
    Json(of(&app))
}

fn of(app: &App) -> Ready {
    app.status.check((app.clock.0)());
    let reasons = app.status.reasons();
    Ready { ready: reasons.is_empty(), simulated: app.status.simulated.load(Relaxed), reasons }
}

/// Counters, gauges and histograms as OpenMetrics text, or plain for clients that do not ask for it.
#[utoipa::path(get, path = "/metrics", tag = "system",
    responses((status = 200, description = "the metrics",
        content((String = "application/openmetrics-text"), (String = "text/plain")))))]
pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> impl IntoResponse {
    let now = (app.clock.0)();
    app.status.check(now);
    app.status.gauge("prism_live_rows", &[], app.live.len() as f64);
    app.status.gauge("prism_state_bytes", &[("operator", "live_rows")], app.live.bytes() as f64);
    app.status.gauge("prism_streams", &[], app.shared.n_streams.load(Relaxed) as f64);
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let kind = match accept.contains("application/openmetrics-text") {
        true => Status::media_type(),
        false => "text/plain; version=0.0.4; charset=utf-8",
    };
    ([(header::CONTENT_TYPE, kind)], app.status.metrics(now))
}

/// Which build answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Version {
    name: &'static str,
    version: &'static str,
}

/// The version of the program.
#[utoipa::path(get, path = "/version", tag = "system", responses((status = 200, body = Version)))]
pub(crate) async fn version() -> Json<Version> {
    Json(Version { name: "prism", version: env!("CARGO_PKG_VERSION") })
}

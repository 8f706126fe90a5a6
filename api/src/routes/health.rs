//! `/health`, `/ready`, `/metrics`, `/version`: what operators and probes ask.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::Routes;
use crate::App;
use crate::error::readiness;

pub(crate) fn routes() -> Routes {
    Routes::new().get("/health", health).get("/ready", ready).get("/metrics", metrics).get("/version", version)
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
    let reasons = app.status.reasons();
    (
        readiness(reasons.is_empty()),
        Json(Ready { ready: reasons.is_empty(), simulated: app.status.simulated.load(Relaxed), reasons }),
    )
}

/// Counters and gauges as Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "system",
    responses((status = 200, content_type = "text/plain", body = String)))]
pub(crate) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let text = app.status.metrics(&[
        ("prism_live_rows", "Rows in memory.", app.live.len() as f64),
        ("prism_streams", "Open WebSocket streams.", app.shared.n_streams.load(Relaxed) as f64),
    ]);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
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

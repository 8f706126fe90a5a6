//! HTTP, WebSocket and the dashboard page.
//!
//! [`app`] is the router as a function of its [`App`]; tests call it without a socket, [`serve`] binds it to one.
//! `routes` has one file for each group of paths: handler, query and response together. Status codes are in `error`
//! only. Live changes arrive through the broadcast channel in [`App`]; everything else is a named query.
//!
//! Invariant: nothing here writes, computes a market quantity, or knows where rows come from.

#![allow(unused_qualifications, reason = "utoipa writes query types with their full path")]

mod error;
mod explain;
mod extract;
mod history;
mod instruments;
mod outbox;
mod routes;
mod shape;
mod status;
#[cfg(test)]
mod tests;

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use prism_queries::{Engine, LiveRows};
use prism_schemas::Version;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, broadcast};
use tokio_util::sync::CancellationToken;

use crate::error::{ApiError, as_problem};
pub use crate::status::Status;

/// Longest body of a request, in bytes.
const BODY_MAX: usize = 1 << 20;
/// A request is answered within this time beyond the SQL limit.
const REQUEST_MARGIN: Duration = Duration::from_secs(5);
/// How long open requests may take after the shutdown began.
const DRAIN: Duration = Duration::from_secs(5);

/// What handlers share.
#[derive(Clone, Debug)]
pub struct App {
    pub(crate) engine: Arc<Engine>,
    pub(crate) live: Arc<LiveRows>,
    pub(crate) updates: broadcast::Sender<Arc<Vec<Version>>>,
    pub(crate) status: Arc<Status>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) snapshots: Option<Snapshots>,
}

/// Asks a venue for everything of a symbol: given the symbol and perhaps the exchange and market; nothing if no venue that
/// is followed fits.
#[derive(Clone)]
pub struct Snapshots(pub Arc<dyn Fn(SnapshotOf) -> BoxFuture<'static, Option<serde_json::Value>> + Send + Sync>);

/// Of what a snapshot is taken.
#[derive(Clone, Debug)]
pub struct SnapshotOf {
    /// In any spelling.
    pub symbol: String,
    /// Only of this venue.
    pub exchange: Option<String>,
    /// Only of this market.
    pub market: Option<String>,
}

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshots")
    }
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) n_streams: AtomicUsize,
    pub(crate) stored_instruments: Mutex<instruments::Known>,
    pub(crate) closing: CancellationToken,
}

impl App {
    /// Apply versions to `live` before sending them to `updates`: a subscriber's snapshot is taken from `live`.
    pub fn new(
        engine: Arc<Engine>,
        live: Arc<LiveRows>,
        updates: broadcast::Sender<Arc<Vec<Version>>>,
        status: Arc<Status>,
    ) -> App {
        App { engine, live, updates, status, shared: Arc::default(), snapshots: None }
    }

    /// With venues that can be asked.
    pub fn with_snapshots(mut self, snapshots: Option<Snapshots>) -> App {
        self.snapshots = snapshots;
        self
    }
}

/// The router.
pub fn app(state: App) -> Router {
    let limit = state.engine.options().timeout + REQUEST_MARGIN;
    let timed = move |request: Request, next: Next| async move {
        match tokio::time::timeout(limit, next.run(request)).await {
            Ok(response) => response,
            Err(_) => ApiError::Timeout.into_response(),
        }
    };
    routes::routes()
        .router
        .fallback(|| async { ApiError::NotFound("there is nothing at this path".into()) })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn(timed))
        .layer(map_response(|response: Response| async { as_problem(response) }))
        .layer(map_response(secured))
        .with_state(state)
}

/// Security headers of every response.
async fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Serves until `shutdown` is done, then closes streams, refuses new requests and lets open ones end.
pub async fn serve(
    listener: TcpListener,
    state: App,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let closing = state.shared.closing.clone();
    let began = closing.clone();
    let server = axum::serve(listener, app(state)).with_graceful_shutdown(async move {
        shutdown.await;
        closing.cancel();
    });
    tokio::select! {
        ended = server.into_future() => ended,
        () = async { began.cancelled().await; tokio::time::sleep(DRAIN).await } => Ok(()),
    }
}

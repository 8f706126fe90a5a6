//! HTTP, WebSocket and the dashboard page.
//!
//! [`app`] is the router as a function of its [`App`]; tests call it without a socket, [`serve`] binds it to one.
//! `routes` has one file for each group of paths: handler, query and response together. Status codes are in `error`
//! only. Live changes are told through [`Updates`]; everything else is a named query. A [`Door`] says who may ask, [`Limits`]
//! what clients may take at most.
//!
//! `interpret` makes sentences of rows, for the terminal too; `advice` gathers what they are made of.
//!
//! Invariant: nothing here writes, computes a market quantity that is in no row (shares and distances aside), or knows where
//! rows come from.

#![allow(unused_qualifications, reason = "utoipa writes query types with their full path")]

mod advice;
mod board;
mod change;
mod door;
mod error;
mod extract;
mod history;
mod instruments;
mod interpret;
mod limits;
mod outbox;
mod routes;
mod server;
mod shape;
mod snapshots;
mod subscriber;
#[cfg(test)]
mod tests;
mod updates;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use prism_queries::{Engine, LiveRows};
use prism_schemas::{Timeframe, Ts};
pub use prism_status::{Stage, Status};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

pub use crate::advice::{Advice, advice};
pub use crate::door::{Audience, Door, DoorError, Secret};
use crate::error::{ApiError, as_problem};
pub use crate::interpret::{Sentence, price};
pub use crate::limits::Limits;
pub use crate::routes::openapi::document;
pub use crate::server::serve;
pub use crate::snapshots::{SnapshotOf, Snapshots};
pub use crate::updates::Updates;

/// Longest body of a request, in bytes.
const BODY_MAX: usize = 1 << 20;
/// A request is answered within this time beyond the SQL limit.
const REQUEST_MARGIN: Duration = Duration::from_secs(5);

/// Tells the time, UNIX ns.
#[derive(Clone)]
pub struct Clock(pub Arc<dyn Fn() -> Ts + Send + Sync>);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Default for Clock {
    /// The machine's.
    fn default() -> Clock {
        #[expect(clippy::disallowed_methods, reason = "how far results are behind the clock is no result")]
        let now = || {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            Ts::try_from(since.as_nanos()).unwrap_or(Ts::MAX)
        };
        Clock(Arc::new(now))
    }
}

/// What handlers share.
#[derive(Clone, Debug)]
pub struct App {
    pub(crate) engine: Arc<Engine>,
    pub(crate) live: Arc<LiveRows>,
    pub(crate) updates: Arc<Updates>,
    pub(crate) status: Arc<Status>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) snapshots: Option<Snapshots>,
    pub(crate) door: Arc<Door>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) clock: Clock,
    /// Timeframes of bars; unknown if empty.
    pub(crate) maintained: Arc<[Timeframe]>,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) n_streams: AtomicUsize,
    pub(crate) streams: Arc<limits::ByAddress>,
    pub(crate) connections: Arc<limits::ByAddress>,
    pub(crate) stored_instruments: Mutex<instruments::Known>,
    pub(crate) recent_snapshots: snapshots::Recent,
    pub(crate) closing: CancellationToken,
}

impl App {
    /// For this machine only, with usual limits, by the machine's clock. Rows are in memory before
    /// `updates` tells of them.
    pub fn new(engine: Arc<Engine>, updates: Arc<Updates>, status: Arc<Status>) -> App {
        App {
            engine,
            live: updates.live().clone(),
            updates,
            status,
            shared: Arc::default(),
            snapshots: None,
            door: Arc::default(),
            limits: Arc::default(),
            clock: Clock::default(),
            maintained: Arc::default(),
        }
    }

    /// With venues that can be asked.
    pub fn with_snapshots(mut self, snapshots: Option<Snapshots>) -> App {
        self.snapshots = snapshots;
        self
    }

    /// For those whom the door lets in.
    pub fn with_door(mut self, door: Door) -> App {
        self.door = Arc::new(door);
        self
    }

    /// With limits of its own.
    pub fn with_limits(mut self, limits: Limits) -> App {
        self.limits = Arc::new(limits);
        self
    }

    /// By a clock of its own, such as a simulated one.
    pub fn with_clock(mut self, clock: Clock) -> App {
        self.clock = clock;
        self
    }

    /// Knowing for which timeframes there are bars, so that a question for another one is refused with their names.
    pub fn with_timeframes(mut self, maintained: &[Timeframe]) -> App {
        self.maintained = maintained.into();
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
        .layer(from_fn_with_state(state.clone(), door::pass))
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

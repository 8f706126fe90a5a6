//! The venue's limit of requests, and those that are refused on purpose.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prism_schemas::Ts;
use prism_schemas::time::{MILLISECOND, SECOND};

use super::{Faults, Shared};
use crate::synthetic::Random;

/// Requests of one address within the window, as Bybit counts them.
const LIMIT: usize = 600;
/// That window.
const WINDOW: i64 = 5 * SECOND;
/// How long who was refused must wait, in seconds.
const RETRY_AFTER: i64 = 1;

/// What was asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// All requests.
    pub requests: u64,
    /// Those beyond the limit.
    pub beyond: u64,
    /// Those refused on purpose, with the time to wait.
    pub refused: u64,
    /// Those that came before that time was over.
    pub too_early: u64,
}

pub(super) struct Requests {
    faults: Faults,
    random: Random,
    times: VecDeque<Ts>,
    /// Nobody should ask before this.
    closed_until: Ts,
    pub(super) asked: Asked,
}

impl Requests {
    pub(super) fn new(faults: Faults) -> Requests {
        let random = Random::new(faults.seed, "requests");
        Requests { faults, random, times: VecDeque::new(), closed_until: 0, asked: Asked::default() }
    }

    /// Why a request is refused now, if it is, and how many are left within the window.
    fn take(&mut self, now: Ts, calm: bool) -> (Option<StatusCode>, usize) {
        self.asked.requests += 1;
        while self.times.front().is_some_and(|at| *at + WINDOW <= now) {
            self.times.pop_front();
        }
        let left = LIMIT.saturating_sub(self.times.len());
        if now < self.closed_until {
            self.asked.too_early += 1;
        } else if left == 0 {
            self.asked.beyond += 1;
            return (Some(StatusCode::FORBIDDEN), 0);
        }
        self.times.push_back(now);
        let chance = self.random.uniform();
        if !calm && chance < self.faults.refuse {
            self.asked.refused += 1;
            self.closed_until = now + RETRY_AFTER * SECOND;
            return (Some(StatusCode::TOO_MANY_REQUESTS), left - 1);
        }
        if !calm && chance < self.faults.refuse + self.faults.fail {
            return (Some(StatusCode::BAD_GATEWAY), left.saturating_sub(1));
        }
        (None, left.saturating_sub(1))
    }
}

/// Counts a request, and answers it only if the venue would.
pub(super) async fn limited(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let now = (shared.clock)();
    let calm = shared.calm.load(std::sync::atomic::Ordering::Relaxed);
    let (refusal, left) = shared.requests.lock().unwrap_or_else(PoisonError::into_inner).take(now, calm);
    let mut response = match refusal {
        None => next.run(request).await,
        Some(status) => (status, "access too frequent").into_response(),
    };
    let reset = (now + WINDOW) / MILLISECOND;
    let headers = response.headers_mut();
    headers.insert("x-bapi-limit", HeaderValue::from(LIMIT as u64));
    headers.insert("x-bapi-limit-status", HeaderValue::from(left as u64));
    headers.insert("x-bapi-limit-reset-timestamp", HeaderValue::from(reset));
    if refusal == Some(StatusCode::TOO_MANY_REQUESTS) {
        headers.insert("retry-after", HeaderValue::from(RETRY_AFTER));
    }
    response
}

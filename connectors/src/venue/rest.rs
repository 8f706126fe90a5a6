//! Requests to a venue under one budget, repeated until they are answered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use tokio::sync::Mutex;

use super::{Clock, Events, Options, VenueError, Wired, refusal};
use crate::exchange::{Ask, Limits, Wire};

/// The first wait after a failure.
const BACK_OFF_MIN: Duration = Duration::from_millis(250);
/// The longest.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Answers in a row that cannot be used.
const USELESS_MAX: u32 = 3;
/// The share of the venue's budget that is used, in percent: others may share the address.
const SHARE: u32 = 80;

pub(super) struct Rest {
    client: reqwest::Client,
    base: String,
    options: Options,
    limits: Limits,
    budget: Mutex<Budget>,
}

/// What requests cost so far.
#[derive(Default)]
struct Budget {
    /// Weights within the window, and when.
    spent: VecDeque<(Instant, u32)>,
    /// The venue wants to be left alone until then.
    closed: Option<Instant>,
}

#[expect(clippy::disallowed_methods, reason = "the pace of requests; receive times come from the caller's clock")]
fn now() -> Instant {
    Instant::now()
}

impl Rest {
    pub(super) fn new(options: &Options, limits: Limits) -> Result<Rest, VenueError> {
        // Another venue may have done so already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(options.patience).user_agent("prism").build();
        let client =
            client.map_err(|error| VenueError::Address { address: options.rest.clone(), detail: error.to_string() })?;
        let base = options.rest.trim_end_matches('/').to_string();
        Ok(Rest { client, base, options: options.clone(), limits, budget: Mutex::default() })
    }

    /// Waits until the budget has room for a weight, and takes it.
    async fn take(&self, weight: u32) {
        let window = Duration::from_secs(self.limits.window.into());
        let room = self.limits.weight * SHARE / 100;
        // Held while waiting: whoever asked first goes first.
        let mut budget = self.budget.lock().await;
        loop {
            let Budget { spent, closed } = &mut *budget;
            while spent.front().is_some_and(|(at, _)| window <= at.elapsed()) {
                spent.pop_front();
            }
            let used: u32 = spent.iter().map(|(_, weight)| weight).sum();
            let wait = match closed.take_if(|until| now() < *until) {
                Some(until) => until - now(),
                None if used + weight <= room || spent.is_empty() => {
                    spent.push_back((now(), weight));
                    return;
                }
                None => spent.front().map_or(window, |(at, _)| window.saturating_sub(at.elapsed())),
            };
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
    }

    /// The answer's events; nothing if the venue does not answer such questions. Repeats until there is an answer; one that
    /// cannot be used some times in a row is given up, and kept with its reason.
    pub(super) async fn ask(&self, wire: &mut dyn Wire, ask: &Ask<'_>, clock: &Clock) -> Events {
        let mut events = Events::new();
        let Some(request) = wire.request(ask) else { return events };
        let url = format!("{}{}", self.base, request.path);
        let (mut back_off, mut n_useless) = (BACK_OFF_MIN, 0);
        loop {
            self.take(request.weight).await;
            let (wait, why) = match self.get(&url).await {
                Ok(body) => {
                    let ts_recv = clock();
                    let name = format!("{}.http", wire.id().to_uppercase());
                    self.options.tap(ts_recv, &name, || Wired::Answer(url.clone(), body.clone())).await;
                    match wire.answer(ask, &body, ts_recv, &mut events) {
                        Ok(()) => return events,
                        Err(error) => {
                            n_useless += 1;
                            if n_useless == USELESS_MAX {
                                tracing::error!(url, %error, "the request is given up");
                                events.push(refusal(wire, &error, body.as_bytes(), ts_recv));
                                return events;
                            }
                            (None, error.to_string())
                        }
                    }
                }
                Err(refused) => refused,
            };
            tracing::warn!(url, why, "the request is repeated");
            match wait {
                // Nobody may ask before.
                Some(wait) => self.budget.lock().await.closed = Some(now() + wait),
                None => {
                    tokio::time::sleep(back_off).await;
                    back_off = (back_off * 2).min(BACK_OFF_MAX);
                }
            }
        }
    }

    /// The body of an answer, or why there is none and how long the venue wants to be left alone.
    async fn get(&self, url: &str) -> Result<String, (Option<Duration>, String)> {
        let failed = |error: reqwest::Error| (None, error.without_url().to_string());
        let response = self.client.get(url).send().await.map_err(failed)?;
        let status = response.status();
        if status.is_success() {
            return response.text().await.map_err(failed);
        }
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let wait = match status {
            // Banned for a while: Binance answers 418, Bybit 403.
            StatusCode::TOO_MANY_REQUESTS | StatusCode::IM_A_TEAPOT | StatusCode::FORBIDDEN => {
                Some(Duration::from_secs(seconds.unwrap_or(10)))
            }
            _ => seconds.map(Duration::from_secs),
        };
        Err((wait, format!("status {status}")))
    }
}
